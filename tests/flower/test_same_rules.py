"""Beside our own strategy, on the same replies and the same twin, each method gives the same."""

import numpy as np
import pytest
import torch
from flwr.app import MetricRecord

from dtfl_app.detector.models import build_model
from dtfl_app.flower import CWA, DTKD, DTML, FPF, LPE, SiteReply, TorchTwin
from dtfl_app.rounds.state import State
from tests.support.line_model import LINE, line, line_twin
from tests.support.workbench import reply, strategy_on

METHODS = [
    ("cwa", CWA, {"schedule": "sequential"}),
    ("cwa", CWA, {"schedule": "parallel"}),
    ("dtml", DTML, {"lr": 0.125, "steps": 3, "batch": 8}),
    ("fpf", FPF, {"gamma": 0.3, "temperature": 0.5}),
    ("lpe", LPE, {"low": 2, "high": 3}),
    ("dtkd", DTKD, {"side": "server"}),
]


def squares(model, batch):
    return ((model(batch) - batch) ** 2).mean()


def towards(model, teacher, batch):
    with torch.no_grad():
        wanted = teacher(batch)
    return 0.5 * ((model(batch) - wanted) ** 2).mean()


def torch_twin() -> TorchTwin:
    """The twin of `line_twin(10.0)`: eight readings of 10, one step of 0.5 a round."""
    return TorchTwin(
        lambda: build_model(LINE, seed=0), squares, [torch.full((8, 1), 10.0)], steps=1, lr=0.5,
        warm_steps=3, soft_loss_fn=towards,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "method", "settings"), METHODS)
def test_two_rounds_end_in_the_same_model(name, method, settings):
    options = {f"{name}__{key}": value for key, value in settings.items()}
    ours = strategy_on(name, line_twin(10.0), twin__warm_steps=3, **options)
    theirs = method(torch_twin(), **settings)
    state = ours.prepare(State(line(0.0)))
    theirs.model = line(0.0)
    theirs.prepare()

    for said in ((1.0, 3.0), (-2.0, 6.0)):
        ours.state = state
        keys = ours.upload_keys(1)
        sent = [{key: line(b)[key] for key in keys} for b in said]
        state = ours.update(
            state, [reply(f"site-{b}", params) for b, params in zip("ab", sent, strict=True)]
        )
        told = [SiteReply(params, 1.0, MetricRecord({"train_loss": 1.0})) for params in sent]
        theirs.model = theirs.update(told)

    assert list(theirs.model) == list(state.model)
    for key, value in state.model.items():
        np.testing.assert_allclose(theirs.model[key], value, rtol=1e-6)
