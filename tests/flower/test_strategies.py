"""The five methods in Flower's own loop, with stock clients and a model with BatchNorm."""

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg

from dtfl_app.core.errors import ConfigError, FederationError, ReplyError, TwinError
from dtfl_app.flower import CWA, DTKD, DTML, FPF, LPE, read_teacher
from dtfl_app.messages.wire import to_arrays
from dtfl_app.testing.grid import InProcessGrid
from tests.support.stock_app import Client, loss_of, network, stripes, twin

COUNTER = "1.num_batches_tracked"
FIVE = [
    (CWA, {}),
    (CWA, {"schedule": "parallel"}),
    (DTML, {"lr": 0.1, "steps": 5, "batch": 20}),
    (FPF, {"gamma": 0.3}),
    (LPE, {}),
    (LPE, {"policy": "adaptive", "stall": 0.5}),
    (DTKD, {"side": "server"}),
]
# What makes plain FedAvg of each.
OFF = [
    (CWA, {}, {"steps": 0}),
    (DTML, {"steps": 0}, {}),
    (FPF, {"gamma": 0.0, "temperature": 1e20}, {}),
    (LPE, {"low": 0}, {}),
    (DTKD, {"side": "server"}, {"steps": 0}),
]


def play(strategy, rounds=3, client=None, model=None, **grid):
    """Play in Flower's own loop; return the grid and the last model."""
    nodes = InProcessGrid(3, handler=client or Client(), **grid)
    start = ArrayRecord((model or network()).state_dict())
    result = strategy.start(nodes, start, num_rounds=rounds)
    return nodes, to_arrays(result.arrays)


def same(first, second) -> bool:
    return list(first) == list(second) and all(np.array_equal(first[k], second[k]) for k in first)


def loss_on_twin(params) -> float:
    model = network().eval()
    model.load_state_dict({key: torch.from_numpy(value) for key, value in params.items()})
    return float(np.mean([float(loss_of(model, batch)) for batch in stripes(0.0, seed=9)]))


@pytest.mark.parametrize(("method", "settings"), FIVE)
def test_stock_clients_learn_with_each_method(method, settings):
    _, params = play(method(twin(), fraction_evaluate=0.0, **settings), rounds=4)

    sent = network().state_dict()
    assert {k: (v.shape, str(v.dtype)) for k, v in params.items()} == {
        k: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in sent.items()
    }
    assert loss_on_twin(params) < 0.6 < loss_on_twin({k: v.numpy() for k, v in sent.items()})


@pytest.mark.parametrize(("method", "settings"), FIVE)
def test_who_answers_first_and_under_which_number_changes_no_bit(method, settings):
    _, forwards = play(method(twin(), fraction_evaluate=0.0, **settings))
    _, backwards = play(
        method(twin(), fraction_evaluate=0.0, **settings), backwards=True, ids_seed=1
    )

    assert same(forwards, backwards)


@pytest.mark.parametrize(("method", "settings", "idle"), OFF)
def test_each_method_that_is_switched_off_is_flowers_fedavg(method, settings, idle):
    """But for the counter, of which Flower makes a mean in float64."""
    _, ours = play(method(twin(**idle), fraction_evaluate=0.0, **settings), rounds=1)
    _, plain = play(FedAvg(fraction_evaluate=0.0), rounds=1)

    for key in set(plain) - {COUNTER}:
        np.testing.assert_allclose(ours[key], plain[key], rtol=1e-5, atol=1e-7)


def test_of_a_counter_the_largest_stands():
    """Sites 0, 1 and 2 take 2, 3 and 4 batches from where the counter stood."""
    _, params = play(DTML(twin(), steps=0, fraction_evaluate=0.0), rounds=2)

    assert params[COUNTER].dtype == np.int64
    assert params[COUNTER].tolist() == 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_federation_of_another_precision_keeps_it(dtype):
    """The twin trains its float32 model."""
    strategy = CWA(twin(), fraction_evaluate=0.0)

    _, params = play(strategy, client=Client(dtype), model=network(dtype=dtype))

    kinds = {str(value.dtype) for key, value in params.items() if key != COUNTER}
    assert kinds == {str(dtype).removeprefix("torch.")}


def test_flowers_own_arguments_are_taken_too():
    strategy = CWA(twin(), fraction_train=0.5, min_train_nodes=1, fraction_evaluate=0.0)

    nodes, _ = play(strategy, rounds=2)

    assert len(nodes.tasks()) == 2


def test_another_run_of_the_same_object_begins_anew():
    strategy = LPE(twin(), fraction_evaluate=0.0)

    (_, first), (_, second) = play(strategy), play(strategy)

    assert same(first, second)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (DTML, {"lr": -1.0}, "DTML: dtml.lr = -1.0; expected at least 0"),
        (CWA, {"schedule": "both"}, "CWA: cwa.schedule = 'both'; expected one of"),
        (DTKD, {"lambda_": 2.0}, "DTKD: dtkd.lambda = 2.0; expected at least 0 and at most 1"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(method, settings, message):
    with pytest.raises(ConfigError, match=message):
        method(twin(), **settings)


def test_layers_that_the_model_has_not_are_refused():
    """Conv, BatchNorm and Linear are three layers."""
    with pytest.raises(ConfigError, match=r"lpe\.low = 4, .* <= 3, the number of layers"):
        play(LPE(twin(), low=4, high=4, fraction_evaluate=0.0))


def test_an_argument_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="fraction_trian"):
        CWA(twin(), fraction_trian=0.5)


def test_a_model_that_is_not_the_twins_is_refused():
    with pytest.raises(TwinError, match=r"'0.weight' has shape .* \(2, 1, 3, 3\).*model_fn"):
        play(
            CWA(twin(), fraction_evaluate=0.0), model=torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3))
        )


def test_steps_that_diverge_end_the_run_with_the_array_and_the_round():
    """One step of a size that float32 cannot hold: no later loss would tell."""
    with np.errstate(over="ignore"), pytest.raises(TwinError, match=r"DTML: array .* of round 1"):
        play(DTML(twin(), lr=1e300, steps=1, fraction_evaluate=0.0))


# --- replies that are of no use -------------------------------------------------------------------


def not_finite(state, metrics):
    state["0.bias"][0] = torch.nan


def another_shape(state, metrics):
    state["0.bias"] = torch.zeros(4)


def another_type(state, metrics):
    state["0.bias"] = state["0.bias"].double()


def missing(state, metrics):
    del state["0.bias"]


def unknown(state, metrics):
    state["extra"] = torch.zeros(1)


def weightless(state, metrics):
    metrics["num-examples"] = -1000


BAD = [not_finite, another_shape, another_type, missing, unknown, weightless]


@pytest.mark.parametrize("harm", BAD)
def test_a_bad_reply_is_left_out_and_the_round_goes_on(harm):
    def one(site, message, state, metrics):
        if site == 1:
            harm(state, metrics)

    _, params = play(CWA(twin(), fraction_evaluate=0.0), rounds=1, client=Client(change=one))
    _, without = play(CWA(twin(), fraction_evaluate=0.0), rounds=1, failing={1})

    assert same(params, without)


def test_a_run_whose_replies_are_all_of_no_use_ends_with_the_reason():
    def every(site, message, state, metrics):
        missing(state, metrics)

    with pytest.raises(FederationError, match=r"round 1: none of 3 replies.*missing: '0.bias'"):
        play(CWA(twin(), fraction_evaluate=0.0), client=Client(change=every))


def test_a_round_in_which_every_site_fails_leaves_the_model():
    nodes = InProcessGrid(3, handler=Client(), failing={0, 1, 2})

    result = CWA(twin(), fraction_evaluate=0.0).start(nodes, ArrayRecord(network().state_dict()), 2)

    assert not result.train_metrics_clientapp


# --- LPE: what a client takes part in -------------------------------------------------------------


@pytest.mark.parametrize("policy", ["static", "adaptive"])
def test_a_client_that_returns_the_wanted_layers_alone_saves_the_others(policy):
    sizes = []

    def partial(site, message, state, metrics):
        wanted = message.content["config"]["upload-keys"]
        for key in set(state) - set(wanted):
            del state[key]
        sizes.append(len(state))

    settings = {"policy": policy, "stall": 1.0, "fraction_evaluate": 0.0}
    _, part = play(LPE(twin(), **settings), client=Client(change=partial))
    _, whole = play(LPE(twin(), **settings))

    assert same(part, whole)
    assert sizes[:3] + sizes[-3:] == {"static": [2] * 6, "adaptive": [0] * 3 + [2] * 3}[policy]


def test_an_adaptive_exchange_needs_a_score_of_the_replies():
    strategy = LPE(twin(), policy="adaptive", score_key="loss", fraction_evaluate=0.0)

    with pytest.raises(ConfigError, match=r"metric 'loss' of a reply is None.*'train_loss'"):
        play(strategy)


# --- DTKD at the client ---------------------------------------------------------------------------


def test_a_teacher_that_no_client_learns_from_is_an_error():
    with pytest.raises(ConfigError, match=r"no client learned from the teacher.*side="):
        play(DTKD(twin(), fraction_evaluate=0.0))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_clients_read_the_teacher_that_was_trained_on_twin_data(precision):
    teachers, told = [], []

    def learn(site, message, state, metrics):
        teachers.append(read_teacher(message))
        told.append(dict(message.content["config"]))
        metrics["soft-loss"] = 0.0

    strategy = DTKD(twin(warm_steps=60), precision=precision, lambda_=0.25, fraction_evaluate=0.0)
    play(strategy, rounds=1, client=Client(change=learn))

    assert list(teachers[0]) == list(network().state_dict())
    assert loss_on_twin({k: v.numpy() for k, v in teachers[0].items()}) < 0.3
    assert teachers[0][COUNTER].tolist() == 60
    assert (told[0]["dtkd.lambda"], told[0]["dtkd.temperature"]) == (0.25, 2.0)


def test_a_task_without_a_teacher_says_so():
    nodes, _ = play(CWA(twin(), fraction_evaluate=0.0), rounds=1)

    with pytest.raises(ReplyError, match="no ArrayRecord 'teacher'"):
        read_teacher(nodes.tasks()[0])
