"""With Flower's own loop, `Strategy.start`, every method ends in the model that it has in ours."""

import numpy as np
import pytest

from dtfl_app.messages.wire import to_arrays
from dtfl_app.strategies.registry import BUILT_IN
from tests.support.federation import Federation
from tests.support.line_model import bias, line_twin
from tests.support.methods import optimiser_for

OPTIONS = {
    "fedadam": [{"fedadam__eta": 0.5}],
    "dtml": [{"dtml__steps": 2}],
    "lpe": [{"lpe__policy": "static"}, {"lpe__policy": "adaptive"}],
    "cwa": [{"cwa__schedule": "sequential"}, {"cwa__schedule": "parallel"}],
    "dtkd": [{"dtkd__side": "client"}, {"dtkd__side": "server"}],
}
METHODS = [
    (name, {**options, **optimiser_for(name)})
    for name in BUILT_IN
    if name != "fedbn"  # these sites have nothing that normalises
    for options in OPTIONS.get(name, [{}])
]
INT8 = {"wire__upload_precision": "int8", "wire__download_precision": "int8"}


@pytest.mark.parametrize("wire", [{}, INT8], ids=["float32", "int8"])
@pytest.mark.parametrize(("name", "options"), METHODS)
def test_both_loops_end_in_the_same_model(name, options, wire):
    """Five sites, three of them a round; without checkpoints, at which int8 uploads start anew."""
    ours, theirs = (
        Federation(
            name, line_twin(10.0, steps=2), sites=5, round__fraction=0.6, checkpoint_every=0,
            twin__warm_steps=3, **options, **wire,
        )
        for _ in range(2)
    )  # fmt: skip

    results = ours.run(rounds=5), theirs.run_as_flower(rounds=5)

    first, second = (to_arrays(result.arrays) for result in results)
    assert list(first) == list(second)
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert theirs.sites_asked() == ours.sites_asked()
    assert results[0].train_metrics_clientapp == results[1].train_metrics_clientapp
    assert theirs.events == ours.events == []


def test_replies_that_are_refused_in_flowers_loop_are_told_too():
    """Site 0 fails: sites 1 and 2 add (2 + 3) / 2 a round."""
    federation = Federation(failing={0})

    result = federation.run_as_flower(rounds=2)

    assert to_arrays(result.arrays)["layers.6.bias"].tolist() == [5.0]
    assert [(e.kind, e.round, e.site) for e in federation.events] == [
        ("refused", 1, "site-0"),
        ("refused", 2, "site-0"),
    ]


def test_a_round_without_a_usable_reply_leaves_the_model_as_it_is_in_flowers_loop():
    federation = Federation(failing={0, 1, 2})

    result = federation.run_as_flower(rounds=2, start=7.0)

    assert result.train_metrics_clientapp == {}
    assert bias(federation.strategy.state.model) == 7.0
