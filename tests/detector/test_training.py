"""Training, on models small enough to follow with a pencil.

`line(b)` is an autoencoder of one feature whose weights and biases are all 0 but the last bias,
b. Its hidden layers output 0 and get no gradient, so it says b whatever it sees and only b learns.
"""

import math

import numpy as np
import pytest
import torch

from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params, set_params
from dtfl_app.detector.training import (
    Distillation,
    Rows,
    TrainingSpec,
    batch_loss,
    gradient,
    train,
    train_params,
)
from tests.support.line_model import LAST, LINE, bias, line

SMALL = ModelSpec("autoencoder", features=3, hidden=8, latent=2)


def rows(values, labels=None) -> Rows:
    x = np.asarray(values, dtype=np.float32)
    y = np.zeros(len(x)) if labels is None else np.asarray(labels)
    return Rows.from_numpy(x if x.ndim == 2 else x[:, None], y.astype(np.int8))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def model_of(params, spec=LINE):
    model = build_model(spec, seed=0)
    set_params(model, params)
    return model


def constant_classifier(logit: float):
    spec = ModelSpec("classifier", features=1, hidden=1, latent=1)
    model = build_model(spec, seed=0)
    params = {k: np.zeros_like(v) for k, v in get_params(model).items()}
    params["layers.4.bias"][:] = logit
    set_params(model, params)
    return model


def test_two_adam_steps_by_hand():
    """From b = 0 towards x = 1 with lr 0.1; the loss is (b - 1)^2, its slope 2 (b - 1).

    Step 1: g = -2; Adam's first step is lr * sign(g): b = 0.1.
    Step 2: g = -1.8; m = 0.9 * -0.2 + 0.1 * -1.8 = -0.36, m^ = m / 0.19 = -1.894737;
    v = 0.999 * 0.004 + 0.001 * 3.24 = 0.007236, v^ = v / 0.001999 = 3.619810;
    b = 0.1 + 0.1 * 1.894737 / sqrt(3.619810) = 0.199588.
    The losses were 1 and 0.81, so their mean is 0.905.
    """
    model = model_of(line(0.0))

    loss = train(model, rows([1.0] * 4), 2, TrainingSpec(lr=0.1, batch_size=4), rng())

    assert get_params(model)[LAST][0] == pytest.approx(0.199588, abs=1e-6)
    assert loss == pytest.approx(0.905, abs=1e-6)


def test_two_proximal_steps_by_hand():
    """As above with FedProx's mu = 18, whose pull 18 / 2 * (b - 0)^2 has slope 18 b.

    Step 1: b is still the incoming 0, so nothing pulls: b = 0.1.
    Step 2: g = -1.8 + 18 * 0.1 = 0; m = -0.18, m^ = -0.947368; v = 0.003996, v^ = 1.998999;
    b = 0.1 + 0.1 * 0.947368 / sqrt(1.998999) = 0.167006.
    The loss that is told leaves the pull out: 0.905 again.
    """
    model = model_of(line(0.0))
    spec = TrainingSpec(lr=0.1, batch_size=4, proximal=18.0)

    loss = train(model, rows([1.0] * 4), 2, spec, rng())

    assert get_params(model)[LAST][0] == pytest.approx(0.167006, abs=1e-6)
    assert loss == pytest.approx(0.905, abs=1e-6)


@pytest.mark.parametrize(("momentum", "last"), [(0.0, 0.36), (0.5, 0.46)])
def test_two_sgd_steps_by_hand(momentum, last):
    """The gradient at b is 2 (b - 1): b = 0, 0.2, and 0.2 + 0.16, with momentum 0.1 more."""
    model = model_of(line(0.0))
    spec = TrainingSpec(0.1, batch_size=4, optimizer="sgd", momentum=momentum)

    train(model, rows([1.0] * 4), 2, spec, rng())

    assert bias(get_params(model)) == pytest.approx(last, abs=1e-6)


def test_gradients_may_be_changed_before_every_step():
    """The gradient is 2 (0 - 1) = -2, plus 5: one step of 0.1 goes to -0.3, the next to -0.54."""
    seen = []

    def push(model):
        seen.append(bias(get_params(model)))
        dict(model.named_parameters())["layers.6.bias"].grad += 5.0

    spec = TrainingSpec(0.1, batch_size=4, optimizer="sgd")
    model = model_of(line(0.0))
    train(model, rows([1.0] * 4), 2, spec, rng(), after_backward=push)

    assert seen == pytest.approx([0.0, -0.3])
    assert bias(get_params(model)) == pytest.approx(-0.54, abs=1e-6)


def test_adam_starts_afresh_in_every_call():
    """Two calls of one step are two first steps of 0.1 each: b = 0.2, not 0.199588."""
    model, spec = model_of(line(0.0)), TrainingSpec(lr=0.1, batch_size=4)

    train(model, rows([1.0] * 4), 1, spec, rng())
    train(model, rows([1.0] * 4), 1, spec, rng())

    assert get_params(model)[LAST][0] == pytest.approx(0.2, abs=1e-6)


def test_the_gradient_is_that_of_the_mean_loss_over_all_rows():
    """Mean of (b - 1)^2 and (b - 4)^2 at b = 2: slope (2 * 1 + 2 * -2) / 2 = -1."""
    slope = gradient(line(2.0), build_model(LINE, 0), rows([1.0, 4.0]))

    assert slope.keys() == line(0.0).keys()
    assert slope[LAST].tolist() == pytest.approx([-1.0])
    assert all((value == 0).all() for key, value in slope.items() if key != LAST)


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_distillation_of_an_autoencoder_by_hand(temperature):
    """Student says 0, teacher 4, data 2: L = 0.75 * (0 - 2)^2 + 0.25 * 0.5 * (4 - 0)^2 = 5.

    A Gaussian decoder of standard deviation T has KL = (4 - 0)^2 / (2 T^2): T^2 KL lacks T.
    """
    lesson = Distillation(model_of(line(4.0)), weight=0.25, temperature=temperature)

    loss = batch_loss(model_of(line(0.0)), rows([2.0]), lesson)

    assert loss.item() == pytest.approx(5.0)


def test_distillation_of_a_classifier_by_hand():
    """Teacher's logit 0, student's 2 ln 3, T = 2: at T they say p = 1/2 and q = 3/4.

    KL(p || q) = 1/2 ln(2/3) + 1/2 ln 2 = 1/2 ln(4/3); times T^2 = 4: 2 ln(4/3).
    At T = 1 the student says 9/10, so cross-entropy of label 1 is ln(10/9).
    """
    student = constant_classifier(2 * math.log(3))
    lesson = Distillation(constant_classifier(0.0), weight=0.25, temperature=2.0)

    loss = batch_loss(student, rows([5.0, -5.0], labels=[1, 1]), lesson)

    assert loss.item() == pytest.approx(0.75 * math.log(10 / 9) + 0.25 * 2 * math.log(4 / 3))


def test_a_classifier_learns_from_cross_entropy():
    """Logit ln 3 says 3/4: losses ln(4/3) for label 1 and ln 4 for label 0, mean of the two."""
    loss = batch_loss(constant_classifier(math.log(3)), rows([1.0, 1.0], labels=[1, 0]))

    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_a_teacher_is_never_changed():
    teacher = model_of(line(4.0))
    lesson = Distillation(teacher, weight=1.0, temperature=1.0)

    train(model_of(line(0.0)), rows([2.0] * 4), 3, TrainingSpec(0.1, 4), rng(), lesson)

    assert get_params(teacher)[LAST][0] == 4.0
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_with_full_weight_only_the_teacher_counts():
    """One step of 0.1 towards the teacher's 4, though the data says -2."""
    lesson = Distillation(model_of(line(4.0)), weight=1.0, temperature=1.0)

    after = train_params(
        line(0.0), build_model(LINE, 0), rows([-2.0]), 1, TrainingSpec(0.1), rng(), lesson
    )

    assert after[LAST][0] == pytest.approx(0.1, abs=1e-6)


def test_without_weight_a_teacher_changes_nothing():
    data = rows(rng(1).normal(size=(40, 3)))
    start = get_params(build_model(SMALL, seed=3))
    lesson = Distillation(build_model(SMALL, seed=8), weight=0.0, temperature=2.0)

    plain, taught = (
        train_params(start, build_model(SMALL, 0), data, 7, TrainingSpec(), rng(), each)
        for each in (None, lesson)
    )

    assert all(np.array_equal(plain[key], taught[key]) for key in start)


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    data = rows(rng(1).normal(size=(50, 3)))
    spec = TrainingSpec(lr=0.01, batch_size=16)
    start = get_params(build_model(SMALL, seed=3))

    first, again, other = (
        train_params(start, build_model(SMALL, 0), data, 6, spec, rng(seed)) for seed in (4, 4, 5)
    )

    assert all(np.array_equal(first[key], again[key]) for key in start)
    assert any(not np.array_equal(first[key], other[key]) for key in start)


def test_the_loss_falls_on_a_problem_that_can_be_learned():
    """Three channels driven by one latent signal: an autoencoder of width 2 can follow it."""
    signal = rng(2).normal(size=(400, 1))
    data = rows(signal @ np.array([[1.0, -0.7, 0.4]]))
    model = build_model(SMALL, seed=0)
    spec = TrainingSpec(lr=0.01, batch_size=64)

    first = train(model, data, 5, spec, rng())
    train(model, data, 150, spec, rng())
    last = train(model, data, 5, spec, rng())

    assert last < 0.2 * first


@pytest.mark.parametrize(
    ("kind", "learned"), [("autoencoder", [1.0, 3.0, 4.0]), ("classifier", [1.0, 2.0, 4.0])]
)
def test_each_kind_of_model_learns_from_the_rows_it_can(kind, learned):
    """Labels 0, 1, -1, 0: an autoencoder leaves the abnormal row out, a classifier the unknown."""
    data = rows([1.0, 2.0, 3.0, 4.0], labels=[0, 1, -1, 0])

    usable = data.for_model(build_model(ModelSpec(kind, features=1), seed=0))

    assert usable.x[:, 0].tolist() == learned
    assert len(usable) == 3


@pytest.mark.parametrize(("steps", "count"), [(0, 4), (3, 0)])
def test_without_steps_or_rows_nothing_is_learned(steps, count):
    model = model_of(line(0.5))

    loss = train(model, rows(np.ones((count, 1))), steps, TrainingSpec(), rng())

    assert math.isnan(loss)
    assert all(np.array_equal(get_params(model)[k], v) for k, v in line(0.5).items())


@pytest.mark.parametrize(
    ("batch_size", "taken"), [(2, [2, 2, 1, 2, 2, 1]), (5, [5] * 6), (9, [5] * 6)]
)
def test_every_pass_shows_each_row_once(batch_size, taken):
    """5 rows in batches of 2 are 2 + 2 + 1; six steps make two passes."""
    seen: list[list[float]] = []
    model = model_of(line(0.0))
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0][:, 0].tolist()))
    data = rows([10.0, 20.0, 30.0, 40.0, 50.0])

    train(model, data, 6, TrainingSpec(0.1, batch_size), rng())

    assert [len(batch) for batch in seen] == taken
    passes = np.concatenate(seen).reshape(-1, 5)
    assert (np.sort(passes, axis=1) == data.x[:, 0].numpy()).all()


def test_train_params_leaves_its_input_alone():
    start = line(0.0)

    after = train_params(start, build_model(LINE, 0), rows([1.0]), 1, TrainingSpec(0.1), rng())

    assert start[LAST][0] == 0.0
    assert after[LAST][0] == pytest.approx(0.1, abs=1e-6)


def test_rows_keep_the_memory_layout_torch_needs():
    turned = np.arange(6, dtype=np.float32).reshape(2, 3).T

    made = Rows.from_numpy(turned, np.array([0, 1, -1], dtype=np.int8), torch.device("cpu"))

    assert made.x.tolist() == turned.tolist()
    assert made.y.tolist() == [0.0, 1.0, -1.0]
