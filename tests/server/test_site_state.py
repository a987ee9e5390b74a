"""Whole runs of methods with a site half, cut off and taken up, with the real apps and data."""

import json

import numpy as np
import pytest

import client_app
from dtfl_app.core.errors import FederationError
from dtfl_app.messages.training import TrainingTask
from tests.support.methods import SGD

SETTINGS = {
    "strategy": "scaffold,fednova",
    "rounds": 5,
    "checkpoint_every": 2,
    "round.fraction": 0.7,
    "twin__kind": "none",
    "twin__recording": "",
    **SGD,
}
INT8 = {"wire__upload_precision": "int8", "wire__download_precision": "int8"}
SAME = ["metrics.jsonl", "calibration.json", "models/scaffold.safetensors", "alarms/scaffold.csv"]


class PowerCut(BaseException):
    """What no handler catches."""


def cut_off_in_round(server_round: int):
    def handler(message, context):
        training = message.metadata.message_type == "train"
        if training and TrainingTask.unpack(message).server_round == server_round:
            raise PowerCut
        return client_app.app(message, context)

    return handler


def cut(launcher, server_round: int, **settings):
    """Folder of a run that was cut off when this round began."""
    config = launcher.config(**settings)
    launcher.started -= 1
    with pytest.raises(PowerCut):
        launcher.run(grid={"handler": cut_off_in_round(server_round)}, **settings)
    return launcher.path(config)


@pytest.mark.parametrize("wire", [{}, INT8], ids=["float32", "int8"])
def test_a_run_cut_off_ends_byte_identical_where_sites_keep_their_state(launcher, tmp_path, wire):
    """Cut in round 4, after the checkpoint of round 2 and a round 3 that is played again."""
    settings = {**SETTINGS, **wire, "state.dir": str(tmp_path)}
    whole, path = launcher.run(**settings), cut(launcher, 4, **settings)

    again = launcher.run(grid={"ids_seed": 77}, resume=str(path), **settings)

    for name in SAME:
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_without_their_state_sites_say_what_is_missing(launcher):
    path = cut(launcher, 4, **SETTINGS)

    with pytest.raises(FederationError, match="0 of 2 sites gave a usable reply"):
        launcher.run(resume=str(path), **SETTINGS)

    events = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    said = [event["reason"] for event in events if event["event"] == "refused"]
    assert said and all("scaffold/" in text and "set state.dir" in text for text in said)


def test_scaffold_is_not_fedavg(launcher):
    """The first round is the same, c and all c_k being 0; the second is not."""
    far = {"train__epochs": 10, "train__lr": 0.3, "round.fraction": 1.0}
    few = {**SETTINGS, "strategy": "scaffold,fedavg", **far}
    one, two = launcher.run(**{**few, "rounds": 1}), launcher.run(**{**few, "rounds": 2})

    def apart(run) -> float:
        first, second = (run.model(name).params for name in ("scaffold", "fedavg"))
        return max(float(np.abs(first[key] - second[key]).max()) for key in first)

    assert apart(one) < 1e-6
    assert apart(two) > 1e-4
