"""One site asked through the real ClientApp, as the server asks it."""

from dataclasses import replace

import numpy as np
from flwr.app import Context, Message, RecordDict

import client_app
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.inputs.preparation import scaler_to_arrays
from dtfl_app.messages.admission import admit
from dtfl_app.messages.calibration import CalibrationTask
from dtfl_app.messages.training import Expected, TrainingTask
from dtfl_app.messages.wire import Ledger, prefixed
from dtfl_app.sites.scaling import Scaler
from dtfl_app.testing.grid import identify
from tests.support.settings import keyed

__all__ = ["SCALER", "SETTINGS", "SPEC", "START", "admitted", "ask", "node"]

SETTINGS = {
    "dataset": "small",
    "train.epochs": 2,
    "train.batch-size": 16,
    "train.lr": 0.01,
    "detector.hidden": 6,
    "detector.latent": 2,
    "detector.smoothing": 3,
    "seed": 5,
}
SPEC = ModelSpec("autoencoder", features=2, hidden=6, latent=2)
START = get_params(build_model(SPEC, seed=1))
SCALER = Scaler(np.array([0.5, 1.0]), np.array([2.0, 4.0]), clip=10.0)


def node(place: int = 0, node_id: int = 7, **settings) -> Context:
    config = {**SETTINGS, **keyed(**settings)}
    return Context(1, node_id, {"partition-id": place, "num-partitions": 2}, RecordDict(), config)


def ask(context: Context, start=START, extra=None, closing=False, **changes) -> Message:
    """Send one task as the server does, `changes` in it or the closing one; return the reply."""
    identify()
    arrays = {**prefixed("model", start), **prefixed("scaler", scaler_to_arrays(SCALER))}
    arrays |= extra or {}
    packed = Ledger().pack(context.node_id, arrays, keep=[])
    site = f"site-{context.node_config['partition-id']}"
    task = CalibrationTask(site, 1, "")
    if not closing:
        task = replace(TrainingTask(site, 1, "", tuple(start)), **changes)
    return client_app.app(task.pack(context.node_id, packed), context)


def admitted(reply: Message, place: int = 0, server_round: int = 1, start=START):
    shapes = {key: value.shape for key, value in start.items()}
    return admit(reply, Expected(f"site-{place}", server_round, shapes))
