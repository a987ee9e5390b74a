"""Whole runs in 8 bits: every method, the real sites and data, without the engine."""

import numpy as np
import pytest

from dtfl_app.messages.wire import to_arrays, with_prefix
from tests.support.methods import WITH_ADAM
from tests.support.runs import Run

ALL = ",".join(WITH_ADAM)
BOTH = {"wire__upload_precision": "int8", "wire__download_precision": "int8"}


@pytest.fixture(scope="module")
def exact(launcher) -> Run:
    return launcher.run(strategy=ALL, rounds=4)


@pytest.fixture(scope="module")
def rounded(launcher) -> Run:
    return launcher.run(strategy=ALL, rounds=4, **BOTH)


def replies(run: Run, strategy: str) -> list[dict[str, np.ndarray]]:
    """Arrays of the replies to the last round of one strategy, sorted by site."""
    last = sorted(
        (m for m in run.grid.received if m.metadata.message_type == "train"),
        key=lambda m: m.content.config_records["identity"]["site"],
    )
    place = list(WITH_ADAM).index(strategy)
    rounds = len(run.lines(strategy)) - 1
    mine = [
        m
        for site in range(run.grid.sites)
        for m in last[site * len(WITH_ADAM) * rounds :][place * rounds : (place + 1) * rounds][-1:]
    ]
    return [with_prefix("model", to_arrays(m.content.array_records["arrays"])) for m in mine]


def distance(first, second) -> float:
    return float(np.sqrt(sum(((first[key] - second[key]) ** 2).sum() for key in first)))


def test_in_float32_the_mean_of_the_replies_is_the_model_to_the_last_bit(exact):
    """Nothing is rounded on the way: each reply is what the mean is made of."""
    arrays = replies(exact, "fedavg")

    model = exact.model("fedavg").params

    for key, value in model.items():
        third = [a[key].astype(np.float64) * (1.0 / 3.0) for a in arrays]
        np.testing.assert_array_equal(value, (third[0] + third[1] + third[2]).astype(np.float32))


@pytest.mark.parametrize("strategy", WITH_ADAM)
def test_every_method_ends_near_where_it_ends_in_float32(exact, rounded, strategy):
    """Within a tenth of the way that the model went from its start."""
    start = with_prefix("model", to_arrays(exact.grid.tasks()[0].content["arrays"]))
    precise, coarse = (run.model(strategy).params for run in (exact, rounded))

    assert 0 < distance(precise, coarse) < 0.1 * distance(precise, start)
    assert [line.refused for line in rounded.lines(strategy)] == [0] * 5


@pytest.mark.parametrize("strategy", WITH_ADAM)
def test_every_method_moves_a_quarter_of_the_bytes(exact, rounded, strategy):
    """The first model goes down in full; scales add 4 bytes an array to its own."""
    precise, coarse = (run.lines(strategy)[1:] for run in (exact, rounded))

    assert coarse[0].bytes_down == precise[0].bytes_down
    for old, new in zip(precise, coarse, strict=True):
        assert 0.25 < new.bytes_up / old.bytes_up < 0.27
    for old, new in zip(precise[1:], coarse[1:], strict=True):
        assert 0.25 < new.bytes_down / old.bytes_down < 0.27


def test_a_method_after_another_ends_as_it_does_alone(launcher, rounded):
    """What another method's uploads lost at the same sites does not leak into this one's."""
    alone = launcher.run(strategy="lpe", rounds=4, **BOTH)

    first, second = (run.model("lpe").params for run in (alone, rounded))
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_sites_may_sit_out_rounds(launcher):
    run = launcher.run(strategy="cwa", rounds=4, round__fraction=0.67, **BOTH)

    assert [(line.sites, line.refused) for line in run.lines("cwa")[1:]] == [(2, 0)] * 4
