"""FedBN: what normalises is each site's own."""

import json

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.messages.wire import to_arrays
from dtfl_app.testing.plant import SITES, SmallPlant
from dtfl_app.testing.runs import play

STENCIL = {
    "strategy": "fedbn",
    "detector.model": "tests.support.own_detectors:Stencil",
    "detector.window": 4,
    "rounds": 2,
}
NORM = {f"even.{part}" for part in ("weight", "bias", "running_mean", "running_var")}


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> SmallPlant:
    return SmallPlant.write(tmp_path_factory.mktemp("plant"))


def settings(plant, folder, **changes):
    told = {"results-dir": str(folder), "run-name": "run", **STENCIL, **changes}
    return {**plant.settings(), **told}


def test_batch_norm_and_its_statistics_stay_at_the_sites(plant, tmp_path):
    """All else is averaged; sites' means of what they see differ, as their readings do."""
    run = play(settings(plant, tmp_path), len(SITES))

    replies = [m for m in run.grid.received if m.metadata.message_type == "train"]
    sent = {name for m in replies for name in to_arrays(m.content.array_records["arrays"])}
    assert sent == {
        f"model/{part}" for part in ("see.weight", "see.bias", "say.weight", "say.bias")
    }
    means = []
    for context in run.grid.contexts.values():
        own = to_arrays(context.state.array_records["own-arrays fedbn/2"])
        assert set(own) == {f"personal/{key}" for key in NORM}
        means.append(own["personal/even.running_mean"])
    assert not np.array_equal(means[0], means[1])
    assert run.model().own_layers.versions == dict.fromkeys(SITES, "fedbn/2")
    line = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["balanced_accuracy"] is not None and line["s"] is None


def test_a_detector_without_such_layers_is_refused(plant, tmp_path):
    with pytest.raises(ConfigError, match=r"'autoencoder' has no layer that normalises"):
        play(settings(plant, tmp_path, **{"detector.model": "autoencoder"}), len(SITES))
