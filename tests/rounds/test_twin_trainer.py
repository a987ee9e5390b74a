import numpy as np
import pytest

from dtfl_app.core.errors import TwinError
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.detector.training import Rows, TrainingSpec
from dtfl_app.rounds.twin_trainer import TwinTrainer
from tests.support.line_model import LINE, bias, line, line_twin

SPEC = ModelSpec("autoencoder", features=3, hidden=6, latent=2)
START = get_params(build_model(SPEC, seed=1))


def trainer(seed: int = 0, labels=None, kind: str = "autoencoder") -> TwinTrainer:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    y = np.zeros(60) if labels is None else labels
    spec = ModelSpec(kind, features=3, hidden=6, latent=2)
    rows = Rows.from_numpy(x, np.asarray(y, dtype=np.int8))
    return TwinTrainer(build_model(spec, 0), rows, TrainingSpec(0.01, 16), steps=3, seed=seed)


def silent(kind: str):
    """Parameters that are all 0."""
    spec = ModelSpec(kind, features=3, hidden=6, latent=2)
    return {key: np.zeros_like(value) for key, value in get_params(build_model(spec, 0)).items()}


def same(first, second) -> bool:
    return all(np.array_equal(first[key], second[key]) for key in first)


def test_a_classifier_that_says_one_half_knows_nothing():
    """All parameters 0 make the logit 0, whatever the label: -log 0.5."""
    twin = trainer(kind="classifier")

    assert twin.chance == pytest.approx(twin.loss(silent("classifier")))
    assert trainer().chance == 0.0


def test_a_round_gives_the_same_batches_whatever_came_before():
    fresh, used = trainer(), trainer()
    used.begin_round(1)
    used.train(START, 5)
    used.gradient(START, 10)

    for each in (fresh, used):
        each.begin_round(2)

    assert same(fresh.train(START), used.train(START))


def test_another_round_or_seed_gives_other_batches():
    first, second, third = trainer(), trainer(), trainer(seed=1)
    for each, server_round in ((first, 1), (second, 2), (third, 1)):
        each.begin_round(server_round)

    trained = [each.train(START) for each in (first, second, third)]

    assert not same(trained[0], trained[1])
    assert not same(trained[0], trained[2])


def test_the_rounds_steps_are_the_default_and_all_are_counted():
    twin = trainer()

    assert same(twin.train(START, 0), START)
    assert twin.steps_done == 0
    twin.train(START)
    twin.train(START, 4)
    twin.distil(START, [START])
    twin.gradient(START, 10)

    assert twin.steps_done == 3 + 4 + 3 + 1


def test_an_autoencoder_never_sees_the_twins_attacks():
    """Half of the rows say 10 in normal operation, half -10 under attack: it goes up."""
    labels = np.array([0, 1] * 4, dtype=np.int8)
    x = np.where(labels == 0, 10.0, -10.0).astype(np.float32)[:, None]
    rows = Rows.from_numpy(x, labels)
    twin = TwinTrainer(build_model(LINE, 0), rows, TrainingSpec(0.5, 8), steps=1, seed=0)

    assert bias(twin.train(line(0))) == pytest.approx(0.5, abs=1e-6)
    assert bias(twin.gradient(line(0), 100)) == pytest.approx(-20.0)


@pytest.mark.parametrize(
    ("kind", "label", "needed"),
    [("autoencoder", 1, "normal operation"), ("classifier", -1, "labelled rows")],
)
def test_a_twin_that_can_teach_nothing_is_refused(kind, label, needed):
    """Its steps would be counted and change nothing."""
    message = f"none of the twin's 60 rows can train the {kind}; it needs {needed}"

    with pytest.raises(TwinError, match=message):
        trainer(kind=kind, labels=[label] * 60)


def test_what_it_is_given_is_never_changed():
    start, teacher = line(0), line(4)
    twin = line_twin(10.0)

    twin.train(start)
    twin.distil(start, [teacher])
    twin.gradient(start, 4)

    assert (bias(start), bias(teacher)) == (0.0, 4.0)


def test_distilling_goes_towards_the_teacher_and_not_towards_the_data():
    assert bias(line_twin(10.0).distil(line(0), [line(-3)])) == pytest.approx(-0.5, abs=1e-6)


def test_several_teachers_teach_their_mean():
    """Teachers say 4 and -2, so the student ends near 1, where nothing is left to learn."""
    twin = line_twin(10.0, lr=0.1)

    both = twin.distil(line(0), [line(4), line(-2)], steps=60)

    assert bias(both) == pytest.approx(1.0, abs=0.05)
    assert bias(twin.distil(line(1), [line(4), line(-2)], steps=1)) == 1.0


def test_teachers_count_by_their_weights():
    """(3 * 4 + 1 * -2) / 4 = 2.5, from where there is nothing left to learn."""
    twin = line_twin(10.0)

    assert bias(twin.distil(line(2.5), [line(4), line(-2)], 1, [3.0, 1.0])) == 2.5
    assert bias(twin.distil(line(2.5), [line(4), line(-2)], 1)) == pytest.approx(2.0, abs=1e-6)


def test_the_same_teacher_twice_is_that_teacher():
    once, twice, weighed = (trainer() for _ in range(3))
    teacher = {key: value + np.float32(0.1) for key, value in START.items()}

    first = once.distil(START, [teacher])

    assert not same(first, START)
    assert same(first, twice.distil(START, [teacher, teacher]))
    assert same(first, weighed.distil(START, [teacher], weights=[0.3]))


def test_a_classifier_learns_the_mean_of_the_logits():
    """Not the mean of the probabilities: logits 6 and 0 have the mean 3, and no slope there."""
    nothing = silent("classifier")
    last = list(nothing)[-1]
    low, middle, high = ({**nothing, last: np.full(1, b, np.float32)} for b in (0, 3, 6))

    after = trainer(kind="classifier").distil(middle, [low, high], steps=1)

    assert after[last][0] == 3.0
