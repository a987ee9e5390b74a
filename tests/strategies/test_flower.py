"""Flower's own strategies: each ends as in Flower's loop and resumes, or is refused."""

import gc
import json
import logging
import re
import shlex
from dataclasses import replace

import flwr.serverapp.strategy as flower
import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from safetensors.numpy import load, save

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.rounds.state import Snapshot, State
from dtfl_app.strategies.registry import create_strategy, find_strategy, strategy_names
from dtfl_app.testing.grid import InProcessGrid, identify
from tests.support.federation import Federation
from tests.support.line_model import bias, line
from tests.support.places import REPOSITORY
from tests.support.workbench import reply, strategy_on, workbench

FLOWER = "flwr.serverapp.strategy"
RUN = {
    "Bulyan": "",
    "FedAdagrad": "",
    "FedAdam": "eta=0.5",
    "FedAvg": "",
    "FedAvgM": "server-momentum=0.9, server-learning-rate=0.5",
    "FedMedian": "",
    "FedProx": "proximal-mu=0.5",
    "FedTrimmedAvg": "beta=0.3",
    "FedYogi": "eta=0.5",
    "Krum": "num-malicious-nodes=1",
    "MultiKrum": "num-nodes-to-select=2",
    "QFedAvg": "client-learning-rate=0.5, q=0.2",
}
REFUSED = {
    "DifferentialPrivacyClientSideAdaptiveClipping": "needs 'strategy' to be made",
    "DifferentialPrivacyClientSideFixedClipping": "needs 'strategy' to be made",
    "DifferentialPrivacyServerSideAdaptiveClipping": "needs 'strategy' to be made",
    "DifferentialPrivacyServerSideFixedClipping": "needs 'strategy' to be made",
    "FedXgbBagging": "cannot prepare a round of this model: Expected exactly one Array",
    "FedXgbCyclic": "asks 1 of 2 sites; here round.fraction says how many",
    "Strategy": "is abstract",
}
INT8 = {"wire__upload_precision": "int8", "wire__download_precision": "int8"}
OWN = """
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp.strategy import FedAvg

class Counting(FedAvg):
    \"\"\"Adds the number of the rounds before, and a table of what it added.\"\"\"
    def __init__(self, start: int = 0):
        super().__init__()
        self.count, self.table, self.steady = start, None, False
    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        if self.table is not None:
            self.table += self.count  # in place
        else:
            self.table = np.full(2, float(self.count))
        self.count, self.steady = self.count + 1, True
        added = {k: a.numpy() + np.float32(self.table[0]) for k, a in arrays.items()}
        return ArrayRecord({k: type(arrays[k])(a) for k, a in added.items()}), metrics

class Drawing(FedAvg):
    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)
    def aggregate_train(self, server_round, replies):
        self.rng.normal()
        return super().aggregate_train(server_round, replies)

class Telling(FedAvg):
    def configure_train(self, server_round, arrays, config, grid):
        return super().configure_train(server_round, arrays, ConfigRecord({"lr": 0.1}), grid)

class Sending(FedAvg):
    def configure_train(self, server_round, arrays, config, grid):
        half = ArrayRecord({k: type(a)(a.numpy() / 2) for k, a in arrays.items()})
        return super().configure_train(server_round, half, config, grid)

class Few(FedAvg):
    def __init__(self):
        super().__init__(min_available_nodes=100)

class Cutting(FedAvg):
    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        arrays.popitem()
        return arrays, metrics
"""


@pytest.fixture(autouse=True)
def within_an_app():
    identify()


@pytest.fixture
def own(tmp_path, monkeypatch) -> str:
    (tmp_path / "flower_methods.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "flower_methods"


def made(name: str, options: str = "", **settings):
    return strategy_on(f"{FLOWER}:{name}", strategy_options=options, **settings)


def federation(name: str, options: str, **settings):
    """Five sites, four of them a round, a checkpoint after each."""
    common = {"sites": 5, "round__fraction": 0.8, "checkpoint_every": 1, **settings}
    return Federation(name, strategy_options=options, **common)


def from_file(snapshot: Snapshot) -> Snapshot:
    """What a checkpoint's file keeps of it."""
    arrays = load(save({k: np.asarray(a, order="C") for k, a in snapshot.arrays().items()}))
    in_order = {key: arrays[key] for key in snapshot.arrays()}
    return Snapshot.read(in_order, json.loads(json.dumps(snapshot.notes())))


def assert_resumes(name: str, options: str, **settings) -> None:
    whole = federation(name, options, **settings)
    whole.run(rounds=5)
    for at in (1, 3):
        (snapshot,) = [s for s in whole.snapshots if s.round == at]
        resumed = federation(name, options, ids_seed=9, **settings)
        resumed.run(rounds=5, snapshot=from_file(snapshot))
        for part in ("model", "memory"):
            first, second = (getattr(f.strategy.state, part) for f in (whole, resumed))
            assert list(first) == list(second)
            assert all(first[k].tobytes() == second[k].tobytes() for k in first)
    assert bias(whole.strategy.state.model) != 0.0


def test_all_that_flower_exports_is_run_or_refused_here():
    assert {*RUN, *REFUSED, "Result"} == set(flower.__all__)


@pytest.mark.parametrize("wire", [{}, INT8], ids=["float32", "int8"])
@pytest.mark.parametrize("name", RUN)
def test_one_that_runs_resumes_to_the_last_byte(name, wire):
    assert_resumes(f"{FLOWER}:{name}", RUN[name], **wire)


@pytest.mark.parametrize("name", REFUSED)
def test_one_that_cannot_run_is_refused_with_the_reason(name):
    with pytest.raises(ConfigError, match=f"strategy .*{name}.*{REFUSED[name]}"):
        made(name)


@pytest.mark.parametrize("name", RUN)
def test_three_rounds_give_the_numbers_that_flower_gives(name):
    """Flower's own object lives through three rounds; ours is made anew in each."""
    options = find_strategy(f"{FLOWER}:{name}").Settings
    ours = made(name, RUN[name])
    theirs = getattr(flower, name)(
        **{field: getattr(ours.settings, field) for field in options.__dataclass_fields__}
    )
    state, model = State(start := random_params(0)), start

    for number in (1, 2, 3):
        answers = [random_params(10 * number + site) for site in range(4)]
        ours.server_round = number
        state = ours.update(state, [reply(f"s{i}", a) for i, a in enumerate(answers)])
        model = flower_round(theirs, number, model, answers)

    assert all(np.allclose(state.model[k], model[k], rtol=1e-5, atol=1e-6) for k in start)
    assert {array.dtype for array in state.model.values()} == {np.dtype(np.float32)}
    assert list(state.model) == list(start)


def random_params(seed: int):
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=v.shape).astype(np.float32) for k, v in line(0).items()}


def flower_round(strategy, number: int, model, answers):
    """What Flower makes of the sites' `answers` to `model`."""
    grid = InProcessGrid(len(answers))
    tasks = strategy.configure_train(number, to_record(model), ConfigRecord(), grid)
    metrics = {"num-examples": 1.0, "train_loss": 1.0}
    replies = [
        Message(
            RecordDict({"arrays": to_record(a), "metrics": MetricRecord(metrics)}), reply_to=task
        )
        for task, a in zip(tasks, answers, strict=True)
    ]
    gc.freeze()  # or QFedAvg and Bulyan collect garbage for seconds
    record, _ = strategy.aggregate_train(number, replies)
    gc.unfreeze()
    return {key: array.astype(np.float32) for key, array in to_arrays(record).items()}


def test_q_fedavg_of_two_sites_by_hand():
    """q = 1, L = 1 / 0.5 = 2, from 0; site a says 1 at a loss of 1, site b 3 at a loss of 4.

    Gradients L (0 - 1) = -2 and L (0 - 3) = -6, times the losses: -2 and -24. h = q F^(q-1) norm^2
    + L F^q = 4 + 2 and 36 + 8. So 0 + (2 + 24) / (6 + 44) = 0.52.
    """
    replies = [reply("a", line(1)), replace(reply("b", line(3)), loss=4.0)]

    after = made("QFedAvg", "client-learning-rate=0.5, q=1.0").update(State(line(0)), replies)

    assert bias(after.model) == pytest.approx(0.52, abs=1e-6)


def test_momentum_by_hand_and_from_the_model_in_force():
    """Momentum 1/2, rate 1: from 0 to 2 (momentum -2), and once the run is at 1 again to 1 + 1 + 1.

    The sites say 2 both times, so the second pseudo-gradient is 1 - 2 and the momentum -1 - 1.
    """
    fedavgm = made("FedAvgM", "server-momentum=0.5")
    replies = [reply("a", line(1)), reply("b", line(3))]

    first = fedavgm.update(State(line(0)), replies)
    second = fedavgm.update(replace(first, model=line(1)), replies)

    assert (bias(first.model), bias(second.model)) == (2.0, 3.0)


def test_what_it_remembered_before_is_left_as_it_was(own):
    counting = strategy_on(f"{own}:Counting", strategy_options="start=3")
    first = counting.update(State(line(0)), [reply("a", line(1))])
    before = {key: array.copy() for key, array in first.memory.items()}

    second = counting.update(first, [reply("a", line(1))])

    assert (bias(first.model), bias(second.model)) == (1 + 3, 1 + 3 + 4)
    assert all(np.array_equal(first.memory[key], before[key]) for key in before)
    assert {k: a.tolist() for k, a in second.memory.items()} == {
        "count/int": 5,
        "table/array": [7.0, 7.0],
        "steady/bool": True,
    }


def test_counts_and_arrays_of_a_class_of_ones_own_resume_too(own):
    assert_resumes(f"{own}:Counting", "start=2")


def test_a_memory_that_no_checkpoint_can_hold_is_refused(own):
    drawing = strategy_on(f"{own}:Drawing")

    with pytest.raises(ConfigError, match=r"remembers rng, a Generator, which a checkpoint cannot"):
        drawing.update(State(line(0)), [reply("a", line(1))])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Telling", "tells its sites lr, which ours do not read"),
        ("Sending", "sends sites other arrays than the model"),
    ],
)
def test_what_only_its_own_sites_can_do_is_refused(own, name, reason):
    with pytest.raises(ConfigError, match=reason):
        strategy_on(f"{own}:{name}")


def test_a_strategy_that_waits_for_many_sites_does_not_wait_here(own):
    assert bias(strategy_on(f"{own}:Few").update(State(line(0)), [reply("a", line(1))]).model) == 1


def test_a_model_that_lacks_an_array_is_refused(own):
    with pytest.raises(Exception, match=r"Cutting: made arrays .*; expected "):
        strategy_on(f"{own}:Cutting").update(State(line(0)), [reply("a", line(1))])


def test_replies_weigh_by_rows_and_trust():
    """Rows 10 and 30, of which trust leaves a third: (10 * 1 + 10 * 3) / 20 = 2."""
    fedavg = made("FedAvg", round__weighting="examples")
    replies = [
        reply("a", line(1), examples=10),
        replace(reply("b", line(3), examples=30), weight=1 / 3),
    ]

    assert bias(fedavg.update(State(line(0)), replies).model) == pytest.approx(2.0)


@pytest.mark.parametrize(("name", "told"), [("FedMedian", True), ("FedYogi", False)])
def test_one_that_takes_no_account_of_weights_says_so(name, told, caplog):
    with caplog.at_level(logging.WARNING, "flwr"):
        made(name, round__weighting="examples", trust__witness="weigh")

    text = "takes no account of weights, so round.weighting, trust.witness makes no difference"
    assert (text in caplog.text) is told


def test_fedprox_tells_sites_what_ours_does():
    ours = strategy_on("fedprox", fedprox__mu=0.25)

    assert made("FedProx", "proximal-mu=0.25").site_extras() == ours.site_extras()
    assert made("FedAvg").site_extras() == ({}, {})


def test_too_few_replies_for_bulyan_leave_the_model_as_it_is_and_are_told():
    """Three malicious need 4 * 3 + 3 = 15 replies; there are four a round."""
    bulyan = federation(f"{FLOWER}:Bulyan", "num-malicious-nodes=3")

    bulyan.run(rounds=2, start=7.0)

    assert bias(bulyan.strategy.state.model) == 7.0
    reason = "it makes no model of 4 replies; the model stays as it was"
    assert [(e.kind, e.round, e.reason) for e in bulyan.events] == [
        ("rule", number, reason) for number in (1, 2)
    ]


def test_one_class_is_wrapped_once():
    assert find_strategy(f"{FLOWER}:FedYogi") is find_strategy(f"{FLOWER}:FedYogi")


def test_a_rule_of_ours_beside_its_own_is_refused():
    with pytest.raises(ConfigError, match=r"trust\.aggregation = 'median' would have no effect"):
        made("FedYogi", trust__aggregation="median")


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("FedYogi", "etta=1.0", "'etta'"),
        ("FedYogi", 'eta="much"', "eta = 'much' is str, expected float"),
        ("FedYogi", "fraction-train=0.5", "'fraction-train'"),
        ("FedTrimmedAvg", "beta=0.7", "does not take these strategy-options.*0, 0.5"),
        ("QFedAvg", "q=0.2", "needs client-learning-rate; give it as strategy-options="),
    ],
)
def test_wrong_options_are_refused(name, options, reason):
    with pytest.raises(ConfigError, match=reason):
        made(name, options)


def test_the_commands_of_the_page_are_taken():
    page = (REPOSITORY / "docs" / "your-strategy.md").read_text()
    commands = [shlex.split(c)[2:] for c in re.findall(r"^dtfl run .*flwr.*$", page, re.MULTILINE)]

    for command in commands:
        settings = dict(word.split("=", 1) for word in command)
        config = RunConfig.from_mapping(settings)
        for name in strategy_names(config):
            assert create_strategy(name, replace(workbench(), config=config)).name == name
    assert len(commands) == 5
