"""dtfl personalise: what a site's own folder scores with is what the site calibrated with."""

import json

import numpy as np
import onnxruntime
import pytest
from flwr.app import Context, RecordDict
from typer.testing import CliRunner

from dtfl_app.bundle.folder import read_folder
from dtfl_app.cli.main import app
from dtfl_app.client.site import open_site
from dtfl_app.core.errors import BundleError, DataError
from dtfl_app.detector.calibration import sketch_scores
from dtfl_app.evaluation.saved_model import evaluate_file
from dtfl_app.inputs.preparation import prepare
from dtfl_app.testing.plant import SITES, SmallPlant
from dtfl_app.testing.runs import PlayedRun, play

# Two of three sites a round: the third's own layers are of an earlier one.
FEW = {"round.fraction": 0.67, "seed": 2}
# 0.855 before round 1, 0.872 after it: round 2 is played, and then not taken.
EARLY = {"stop-at-target": True, "target": 0.86, "seed": 3}
# Nobody has trained: all have the layers that came.
AT_ONCE = {"stop-at-target": True, "target": 0.01}


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> SmallPlant:
    return SmallPlant.write(tmp_path_factory.mktemp("plant"))


def settings(plant, folder, **changes):
    return {
        **plant.settings(),
        "strategy": "fedper",
        "rounds": 3,
        "train.epochs": 5,
        "state.dir": str(folder / "state"),
        "results-dir": str(folder),
        "run-name": "run",
        **changes,
    }


def called(*words):
    found = CliRunner().invoke(app, [str(word) for word in words])
    return found.exit_code, " ".join(found.output.split())


def whole(run: PlayedRun, folder, site: str):
    """The command for a site, and where it is to write."""
    out = folder / f"own-{site}"
    deployed = run.path / "deploy" / "fedper"
    return ["personalise", deployed, "--state", folder / "state", "--site", site, "--out", out], out


def scored(bundle, plant, folder, site: str) -> np.ndarray:
    """Order statistics of the scores of a site's calibration rows, by the folder's graph alone."""
    place = {"partition-id": SITES.index(site), "num-partitions": len(SITES)}
    data = open_site(Context(1, 1, place, RecordDict(), settings(plant, folder))).data
    rows = prepare(data.features_cal, bundle.scaler, bundle.features.window)
    (totals,) = onnxruntime.InferenceSession(bundle.graph).run(["total"], {"x": rows.x})
    evidence = rows.weigh(totals.astype(np.float64), bundle.kinds, bundle.smoothing)
    return sketch_scores(evidence[rows.features.label < 1, 0]).values


@pytest.mark.parametrize(
    ("changes", "rounds"),
    [({}, {3}), (FEW, {1, 3}), (EARLY, {1}), (AT_ONCE, set())],
    ids=["all", "few", "early", "at once"],
)
def test_a_site_s_own_folder_scores_as_the_site_calibrated(plant, tmp_path, changes, rounds):
    run = play(settings(plant, tmp_path, **changes), len(SITES))
    versions = run.model().own_layers.versions
    assert set(versions.values()) == {f"fedper/{number}" for number in rounds}

    for site in SITES:
        words, out = whole(run, tmp_path, site)
        code, said = called(*words)
        assert code == 0, said
        bundle = read_folder(out)
        told = bundle.calibration.sites[site][0].values
        np.testing.assert_allclose(scored(bundle, plant, tmp_path, site), told, rtol=1e-4)

    graphs = {read_folder(tmp_path / f"own-{site}").graph for site in SITES}
    assert len(graphs) == (len(SITES) if rounds else 1)


def test_what_lacks_layers_is_refused_with_what_to_do(plant, tmp_path):
    run = play(settings(plant, tmp_path), len(SITES))
    deployed, data = run.path / "deploy" / "fedper", plant.folder / "judged.parquet"

    with pytest.raises(BundleError, match=r"each site has layers.6.weight, .*dtfl personalise"):
        read_folder(deployed)
    code, said = called("detect", "--model", deployed, "--data", data)
    assert code == 2 and "the model is not whole" in said
    with pytest.raises(DataError, match="the model is not whole"):
        evaluate_file(run.path, run.path / "models" / "fedper.safetensors", data)
    manifest = json.loads((deployed / "manifest.json").read_text())
    assert manifest["own_layers"] == {
        "keys": ["layers.6.weight", "layers.6.bias"], "versions": dict.fromkeys(SITES, "fedper/3")
    }  # fmt: skip
    assert "**Not whole: each site has layers.6.weight" in (deployed / "card.md").read_text()

    words, out = whole(run, tmp_path, "north")
    assert called(*words)[0] == 0
    code, said = called("detect", "--model", out, "--data", data, "--out", tmp_path / "a.jsonl")
    assert code == 0, said
    card = (out / "card.md").read_text()
    assert "With the layers of site north, for that site alone" in card and "Not whole" not in card
    assert json.loads((out / "manifest.json").read_text())["model"] in card

    for wrong, expected in (
        ({"--site": "south"}, "expected one of east, north, west"),
        ({"--state": tmp_path}, "holds no layers 'fedper/3' of site north; expected the folder"),
        ({"--out": deployed}, "that is the folder that lacks layers"),
        ({"--out": tmp_path}, "is there and holds no model"),
    ):
        changed = [str(wrong.get(str(words[i - 1]), word)) for i, word in enumerate(words)]
        code, said = called(*changed)
        assert code == 2 and expected in said, said
    code, said = called("personalise", out, *words[2:])
    assert code == 2 and "its model is whole" in said
