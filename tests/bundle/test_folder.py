"""A bundle's folder: whole or refused, the same for the same run, and telling what it is."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest

from dtfl_app.bundle.decoding import decode
from dtfl_app.bundle.folder import model_version, read_folder
from dtfl_app.core.errors import BundleError, SchemaError
from dtfl_app.core.evidence import evidence_kinds
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.once import score_file
from twin.ctown.channels import SCADA

FILES = {
    "model.onnx", "model.safetensors", "scaler.json", "calibration.json", "features.json",
    "schema.toml", "physics.json", "card.md", "manifest.json",
}  # fmt: skip


@pytest.fixture
def copied(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_leaves_every_file_under_its_hash(everything, model):
    files = files_of(model)

    manifest = json.loads(files["manifest.json"])
    hashes = {n: hashlib.sha256(c).hexdigest() for n, c in files.items() if n != "manifest.json"}
    assert set(files) == FILES
    assert manifest["files"] == hashes
    assert manifest["model"] == model_version(hashes)
    assert manifest["strategy"] == "cwa"
    assert manifest["run"] == json.loads((everything.path / "config.json").read_text())["run"]
    weights = everything.path / "models" / "cwa.safetensors"
    assert files["model.safetensors"] == weights.read_bytes()


def test_what_is_read_back_is_what_the_run_had(everything, model):
    saved, found = everything.model("cwa"), read_folder(model)

    assert found.site_schema.schema == SCADA
    assert found.site_schema.time == "DATETIME"
    assert found.features.names == saved.features
    assert found.features.unread == ()
    assert found.kinds == evidence_kinds(saved.evidence)
    assert (found.rate, found.smoothing) == (saved.false_alarm_rate, saved.smoothing)
    np.testing.assert_array_equal(found.scaler.mean, saved.scaler["mean"])
    np.testing.assert_array_equal(found.calibration.floors, saved.calibration.floors)
    for site, sketches in saved.calibration.sites.items():
        for stored, sketch in zip(found.calibration.sites[site], sketches, strict=True):
            assert stored.count == sketch.count
            np.testing.assert_array_equal(stored.values, sketch.values)
    assert found.physics is not None and found.physics.expected is not None
    np.testing.assert_array_equal(found.physics.expected, saved.physics["demand"])
    onnx.checker.check_model(onnx.load_from_string(found.graph))


def test_a_run_repeated_leaves_the_same_model(launcher, everything, model):
    """Card and manifest name the run; everything else is the same, byte for byte."""
    again = launcher.run(
        strategy="cwa", rounds=2, detector__evidence="instant,smoothed,plc,pump,balance"
    )

    first, second = files_of(model), files_of(again.path / "deploy" / "cwa")
    differing = {name for name in FILES if first[name] != second[name]}

    assert differing == {"card.md", "manifest.json"}
    versions = [json.loads(files["manifest.json"])["model"] for files in (first, second)]
    assert versions[0] == versions[1]


def test_the_card_says_what_it_is_and_where_it_failed(everything, model):
    card = (model / "card.md").read_text()
    metrics = everything.lines("cwa")[-1].metrics

    assert card.startswith(f"# Model {read_folder(model).version}")
    for told in (
        "3 sites",
        "data set batadal",
        "| plc |",
        f"{metrics.s:.4f}",
        "7 of 7",
        "Worst:",
        "| false alarms in settled normal steps (wanted) |",
        "onnxruntime",
    ):
        assert told in card
    assert "{" not in card


def test_nothing_in_the_folder_tells_where_it_was_made(model, launcher):
    for content in files_of(model).values():
        assert str(launcher.folder).encode() not in content
        assert str(launcher.data_dir).encode() not in content


@pytest.mark.parametrize("name", sorted(FILES - {"manifest.json"}))
def test_a_changed_file_is_named(copied, name):
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)

    with pytest.raises(BundleError, match=rf"{name} was changed"):
        read_folder(copied)


def test_a_missing_file_is_named(copied):
    (copied / "scaler.json").unlink()

    with pytest.raises(BundleError, match=r"scaler\.json is missing"):
        read_folder(copied)


def test_a_file_that_is_not_the_model_s_is_named(copied):
    (copied / "notes.txt").write_text("ours")

    with pytest.raises(BundleError, match=r"notes\.txt does not belong"):
        read_folder(copied)


def test_hashes_cannot_be_exchanged_without_the_version(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "scaler.json").write_text("{}")
    manifest["files"]["scaler.json"] = hashlib.sha256(b"{}").hexdigest()
    (copied / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(BundleError, match=r"manifest\.json calls the model"):
        read_folder(copied)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 1, "model": 3}'])
def test_a_manifest_that_is_none_is_refused(copied, content):
    (copied / "manifest.json").write_text(content)

    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_folder(copied)


def test_a_folder_that_is_no_model_says_which_is_meant(everything, tmp_path):
    for folder in (everything.path, tmp_path / "none"):
        with pytest.raises(BundleError, match="RUN/deploy/STRATEGY"):
            read_folder(folder)


def test_evidence_that_this_version_does_not_know_is_named(model):
    files = files_of(model)
    files["calibration.json"] = files["calibration.json"].replace(b'"plc"', b'"twin"')

    with pytest.raises(
        BundleError, match=r"evidence \['twin'\]; this version knows instant, .*card"
    ):
        decode(files, model, "1")


def test_a_model_that_would_raise_no_alarm_is_refused_when_loaded(model):
    files = files_of(model)
    plain = json.loads(files["calibration.json"])
    for sketches in plain["sites"].values():
        for sketch in sketches:
            sketch.update(count=0, values=[])

    with pytest.raises(BundleError, match="would raise no alarm"):
        decode({**files, "calibration.json": json.dumps(plain).encode()}, model, "1")


def test_a_site_names_its_own_columns_and_nothing_else(model, dataset04, tmp_path):
    """The same hours under other names and an ISO clock give the same lines."""
    found = read_folder(model)
    text = (model / "schema.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(text.replace('column = "L_T1"', 'column = "Tank 1 [m]"'))
    other = tmp_path / "other.toml"
    other.write_text(text.replace('unit = "m"', 'unit = "cm"', 1))
    lines = dataset04.read_text().splitlines()[:200]
    data, plain = tmp_path / "own.csv", tmp_path / "plain.csv"
    data.write_text("\n".join([lines[0].replace("L_T1", "Tank 1 [m]"), *lines[1:]]))
    plain.write_text("\n".join(lines))
    options = DetectionOptions(every_step=True)

    _, renamed = score_file(found.for_site(own), options, data)
    _, as_trained = score_file(found, options, plain)

    assert list(renamed) == list(as_trained)
    with pytest.raises(SchemaError, match=r"other\.toml.*only columns, time and labels"):
        found.for_site(other)
