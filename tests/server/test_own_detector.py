"""Somebody else's convolutional detector, with BatchNorm, in whole runs of the app."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.once import score_file
from dtfl_app.evaluation.saved_model import evaluate_file
from dtfl_app.messages.wire import to_arrays
from dtfl_app.results.saved_models import load_model
from dtfl_app.strategies.registry import BUILT_IN
from tests.support.methods import SGD
from tests.support.runs import Run

STENCIL = "tests.support.own_detectors:Stencil"
OWN = {
    "detector__model": STENCIL,
    "detector__options": "width=6",
    "detector__window": 4,
    "lpe__low": 2,
    "lpe__high": 2,
    "dtkd__side": "client",
}


@pytest.fixture(scope="module")
def everything(launcher) -> Run:
    """Two rounds of every method, int8 both ways, with the sites' SGD that some of them need."""
    small = {"wire__upload_precision": "int8", "wire__download_precision": "int8", **SGD}
    return launcher.run(strategy=",".join(BUILT_IN), rounds=2, checkpoint_every=1, **small, **OWN)


@pytest.mark.parametrize("strategy", BUILT_IN)
def test_every_method_trains_it(everything, strategy):
    lines = everything.lines(strategy)

    assert [(line.sites, line.refused) for line in lines[1:]] == [(3, 0)] * 2
    assert all(np.isfinite(line.loss) and np.isfinite(line.metrics.threshold) for line in lines[1:])
    assert set(everything.model(strategy).params) == {
        "see.weight", "see.bias", "even.weight", "even.bias", "even.running_mean",
        "even.running_var", "say.weight", "say.bias",
    }  # fmt: skip


def test_lpe_exchanges_its_layers_by_module(launcher):
    """Convolution and BatchNorm come from the twin, so what sites send is the last layer."""
    run = launcher.run(strategy="lpe", rounds=1, **OWN)

    replies = [m for m in run.grid.received if m.metadata.message_type == "train"]
    sent = [set(to_arrays(reply.content.array_records["arrays"])) for reply in replies]
    assert sent == [{"model/say.weight", "model/say.bias"}] * 3


def test_a_gateway_scores_as_the_run_did(everything, dataset04):
    folder = everything.path / "deploy" / "cwa"

    _, lines = score_file(read_folder(folder), DetectionOptions(every_step=True), dataset04)

    steps = pd.DataFrame([line for line in map(json.loads, lines) if "event" not in line])
    stored = pd.read_csv(everything.path / "alarms" / "cwa.csv")
    np.testing.assert_allclose(steps["score"], stored["score"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(steps["alarm"], stored["alarm"])
    about = json.loads((folder / "manifest.json").read_text())["detector"]
    assert about == {"model": STENCIL, "options": "width=6"}
    assert f"- {STENCIL} (width=6), window 4, 43 features" in (folder / "card.md").read_text()


def test_a_stored_model_is_built_again_by_its_name(everything, dataset04):
    found = evaluate_file(
        everything.path, everything.path / "models" / "cwa.safetensors", dataset04
    )

    stored = pd.read_csv(everything.path / "alarms" / "cwa.csv")
    np.testing.assert_allclose(found.alarms["score"], stored["score"], rtol=1e-12)


def test_a_stored_model_whose_class_is_gone_or_has_changed_says_so(everything):
    model = load_model(everything.path / "models" / "cwa.safetensors")

    with pytest.raises(
        ConfigError, match=r"'gone:Stencil' cannot be imported: .*No module named 'gon"
    ):
        replace(model, spec=replace(model.spec, kind="gone:Stencil")).detector()
    with pytest.raises(DataError, match=r"(?s)are not those of detector\.model = .*size mismatch"):
        replace(model, spec=replace(model.spec, options="width=7")).detector()


def test_a_run_with_it_goes_on_to_the_same_bytes(launcher):
    long = launcher.run(strategy="lpe", rounds=3, checkpoint_every=1, **OWN)
    short = launcher.run(strategy="lpe", rounds=2, checkpoint_every=1, **OWN)

    again = launcher.run(
        resume=str(short.path), strategy="lpe", rounds=3, checkpoint_every=1, **OWN
    )

    for name in ("models/lpe.safetensors", "alarms/lpe.csv", "deploy/lpe/model.onnx"):
        assert (again.path / name).read_bytes() == (long.path / name).read_bytes()
