"""Sites whose processes restart: what they kept on disk stands in for what they had in memory."""

import json
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

import client_app
from dtfl_app.core.errors import ReplyError
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.inputs.preparation import scaler_to_arrays
from dtfl_app.messages.admission import admit
from dtfl_app.messages.training import Expected, TrainingTask
from dtfl_app.messages.wire import Ledger, prefixed
from dtfl_app.sites.scaling import Scaler
from dtfl_app.testing.grid import identify
from tests.support.small_dataset import SmallDataset, use_small_dataset

START = get_params(build_model(ModelSpec("autoencoder", features=2, hidden=6, latent=2), seed=1))
SCALER = Scaler(np.array([0.5, 1.0]), np.array([2.0, 4.0]), clip=10.0)
ARRAYS = {**prefixed("model", START), **prefixed("scaler", scaler_to_arrays(SCALER))}
SHAPES = {key: value.shape for key, value in START.items()}
SETTINGS = {"dataset": "small", "detector.hidden": 6, "detector.latent": 2, "detector.smoothing": 3}


class Site:
    """A site whose process restarts before every message, and the server's ledger of it."""

    def __init__(self, folder: Path | None) -> None:
        identify()
        self.ledger = Ledger()
        self.node = {"partition-id": 0, "num-partitions": 2}
        self.node |= {} if folder is None else {"state.dir": str(folder)}

    def train(self, server_round: int, follows: str) -> np.ndarray:
        """One int8 round from the same model; all values that the server then has."""
        keep = [name for name in ARRAYS if name.startswith("scaler/")]
        tag = f"cwa/{server_round}"
        task = TrainingTask("site-0", server_round, "ab", tuple(START), tag, follows)
        message = task.pack(7, self.ledger.pack(7, ARRAYS, keep))
        context = Context(1, 7, self.node, RecordDict(), SETTINGS)
        reply = client_app.app(message, context)
        params = admit(reply, Expected("site-0", server_round, SHAPES, START)).params
        return np.concatenate([value.ravel() for value in params.values()])


@pytest.fixture
def dataset(monkeypatch) -> SmallDataset:
    made = SmallDataset()
    use_small_dataset(monkeypatch, made)
    return made


def test_a_restarted_site_needs_nothing_twice_and_still_owes_what_rounding_lost(tmp_path, dataset):
    """With error feedback the second upload differs from one that follows no other."""
    with_debt, fresh = Site(tmp_path / "a"), Site(tmp_path / "b")
    for site in (with_debt, fresh):
        site.train(1, follows="")

    owing = with_debt.train(2, follows="cwa/1")
    free = fresh.train(2, follows="cwa/0")

    assert not np.array_equal(owing, free)


def test_a_restarted_site_without_a_folder_refuses_and_loses_one_round(dataset):
    site = Site(None)
    site.train(1, follows="")

    with pytest.raises(ReplyError, match="this site's state was lost"):
        site.train(2, follows="cwa/1")
    site.ledger.forget(7)
    assert site.train(3, follows="").size == sum(value.size for value in START.values())


def test_the_site_s_own_calibration_is_in_its_folder(tmp_path, dataset):
    Site(tmp_path).train(4, follows="")

    index = json.loads((tmp_path / "site-0" / "ab" / "state.json").read_text())
    latest = index["metrics"]["calibration"]
    assert (latest["server-round"], latest["calibration-counts"]) == (4, [20])
    assert len(latest["calibration-scores"]) == 32


def restarted(message: Message, context: Context) -> Message:
    """A site that forgets all it had in memory before every message."""
    place = context.node_config
    return client_app.app(
        message, Context(1, context.node_id, place, RecordDict(), context.run_config)
    )


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_run_whose_sites_restart_before_every_message_ends_in_the_same_models(
    launcher, tmp_path, precision
):
    """Nothing is asked for twice either: not one reply is refused, and as many bytes travel."""
    settings = {"strategy": "fedavg,lpe,dtkd", "wire__upload_precision": precision}
    settings |= {"wire__download_precision": precision, "lpe__low": 2, "lpe__high": 2}
    lasting = launcher.run(sites=2, **settings)

    again = launcher.run(sites=2, grid={"handler": restarted}, state__dir=str(tmp_path), **settings)

    for one, other in zip(lasting.lines_of_all(), again.lines_of_all(), strict=True):
        assert (one.refused, one.bytes_down) == (other.refused, other.bytes_down)
    assert not any(line.refused for line in again.lines_of_all())
    for method in ("fedavg", "lpe", "dtkd"):
        first, second = lasting.model(method).params, again.model(method).params
        assert all(np.array_equal(first[key], second[key]) for key in first)
