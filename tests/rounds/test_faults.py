"""Every bad reply at every strategy, with sites that learn by arithmetic (see `scripted_site`).

Three sites, three rounds; in round 2 site-1 misbehaves. Its reply must leave no trace: the run must
end with the very weights it ends with when site-1 simply fails in round 2.
"""

import re

import numpy as np
import pytest

from tests.support.faults import FAULTS, misbehaving
from tests.support.federation import Federation
from tests.support.line_model import line, line_twin
from tests.support.refusals import REASONS
from tests.support.scripted_site import scripted_site

STRATEGIES = ["fedavg", "dtml", "fpf", "lpe", "cwa", "dtkd"]
PRECISIONS = ["float32", "int8"]


def played(fault, strategy, precision, mark) -> Federation:
    plan = {(2, "site-1"): fault}
    handler = misbehaving(scripted_site, plan, mark)
    twin = line_twin(5.0)
    few = {"twin__warm_steps": 2, "dtml__steps": 2}
    federation = Federation(
        strategy, twin, handler=handler, wire__upload_precision=precision, **few
    )
    federation.run(rounds=3)
    return federation


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """(strategy, precision) -> the federation whose site-1 fails in round 2."""
    mark = tmp_path_factory.mktemp("failed") / "unpickled"
    return {
        (strategy, precision): played("fail", strategy, precision, mark)
        for strategy in STRATEGIES
        for precision in PRECISIONS
    }


def test_every_fault_has_its_reason():
    assert set(REASONS) == {*FAULTS, "replay"}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("fault", REASONS)
def test_a_bad_reply_is_refused_with_its_reason_and_leaves_no_trace(
    fault, strategy, precision, failed, tmp_path
):
    mark = tmp_path / "unpickled"

    federation = played(fault, strategy, precision, mark)

    assert [(line.sites, line.refused) for line in federation.lines[1:]] == [(3, 0), (2, 1), (3, 0)]
    (event,) = federation.events
    assert (event.kind, event.round, event.site) == ("refused", 2, "site-1")
    assert re.search(REASONS[fault], event.reason), event.reason
    assert not mark.exists()
    model = federation.strategy.state.model
    expected = failed[strategy, precision].strategy.state.model
    assert all(np.isfinite(value).all() for value in model.values())
    assert all(np.array_equal(model[key], expected[key]) for key in expected)


def test_layers_that_lpe_did_not_ask_for_are_refused():
    """It asks for the last layer, the twin has the others; site-1 sends the whole model."""

    def generous(message, context):
        task = message.content.config_records["task"]
        if message.metadata.message_type == "train" and task["site"] == "site-1":
            task["upload"] = list(line(0.0))
        return scripted_site(message, context)

    federation = Federation("lpe", line_twin(5.0), handler=generous)
    federation.run(rounds=1)

    assert (federation.lines[1].sites, federation.lines[1].refused) == (2, 1)
    (event,) = federation.events
    assert (event.kind, event.site) == ("refused", "site-1")
    assert "not asked for: 'model/layers.0.bias'" in event.reason
