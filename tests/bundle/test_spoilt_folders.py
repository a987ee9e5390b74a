"""A model's folder in which one thing is wrong, under hashes that fit it: refused, in words."""

import hashlib
import json
import os
import re
import shutil
import socket
import struct

import onnx
import pytest
from onnx import helper

from dtfl_app.bundle.decoding import decode
from dtfl_app.bundle.folder import model_version, read_folder
from dtfl_app.bundle.tensors import require_onnx
from dtfl_app.core.errors import BundleError
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.once import score_file
from dtfl_app.detector.models import ModelSpec, build_model
from tests.support.spoiling import dumped, spoilt

# What no check can know to be wrong: file, keys, what was done to them.
SOUND = [
    # Nothing depends on what a manifest tells of the run.
    ("manifest.json", r"run|strategy|made_with/.*|detector/.*", "unknown name"),
    ("manifest.json", r"made_with/.*", "missing"),
    # A temperature below 0, a classifier's score, a station below the sea, a mean of balances.
    ("scaler.json", r"mean/.*", "negative"),
    ("calibration.json", r"sites/.*/values/0", "negative"),
    ("physics.json", r".*/elevations/.*|expected/.*", "negative"),
    # A link without a rule never runs; a curve may have fewer points.
    ("physics.json", r".*/rules/[^/]*", "missing"),
    ("physics.json", r".*/curves/[^/]*", "shorter"),
]


def sound(name, key, what):
    return any((name, what) == (of, done) and re.fullmatch(keys, key) for of, keys, done in SOUND)


@pytest.fixture(scope="module")
def files(model):
    return {path.name: path.read_bytes() for path in model.iterdir()}


@pytest.fixture
def copied(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


def repair(folder):
    """Write the manifest that fits the files."""
    plain = json.loads((folder / "manifest.json").read_text())
    hashes = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in plain["files"]
    }
    plain.update(files=hashes, model=model_version(hashes))
    (folder / "manifest.json").write_text(json.dumps(plain))


def detect(folder, data):
    """Read the folder and score a file with it, as `dtfl detect` does."""
    _, lines = score_file(read_folder(folder), DetectionOptions(), data)
    return list(lines)


@pytest.mark.parametrize(
    "name", ["scaler.json", "features.json", "calibration.json", "physics.json"]
)
def test_each_entry_that_is_wrong_is_refused_with_its_file(files, model, name):
    taken, tried = [], 0
    for key, what, plain in spoilt(json.loads(files[name])):
        tried += 1
        try:
            decode({**files, name: dumped(plain)}, model, "1")
        except BundleError as error:
            assert re.search(rf"{name}|model\.safetensors", str(error)), (key, what, str(error))
        else:
            taken.append((key, what))

    assert tried > 50
    assert [one for one in taken if not sound(name, *one)] == []


def test_each_entry_of_the_manifest_that_is_wrong_is_refused(copied):
    path, taken = copied / "manifest.json", []
    for key, what, plain in spoilt(json.loads(path.read_text())):
        path.write_bytes(dumped(plain))
        try:
            read_folder(copied)
        except BundleError as error:
            assert str(copied) in str(error), (key, what, str(error))
        else:
            taken.append((key, what))

    assert [one for one in taken if not sound("manifest.json", *one)] == []


def test_an_error_says_file_key_what_is_there_and_what_should_be(files, model):
    plain = json.loads(files["calibration.json"])
    plain["sites"]["site-02"][1]["count"] = "many"

    with pytest.raises(BundleError) as refused:
        decode({**files, "calibration.json": dumped(plain)}, model, "1")

    assert str(refused.value) == (
        f"{model}/calibration.json: sites.site-02[1].count: Expected `int`, got `str`, found "
        "'many'; copy the model's whole folder from its run again"
    )


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"3", b'{"a": 1, "a": 2}', b"\xff", b"9" * 5000]
)
@pytest.mark.parametrize("name", ["manifest.json", "scaler.json"])
def test_what_is_no_json_is_refused(copied, name, content):
    (copied / name).write_bytes(content)
    if name != "manifest.json":
        repair(copied)

    with pytest.raises(BundleError, match=rf"{name}"):
        read_folder(copied)


@pytest.mark.parametrize("key", ["low", "high", "period-s"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", '"x"', "[]"])
def test_a_schema_with_an_impossible_number_is_refused(files, model, key, value):
    text = re.sub(rf"{key} = .*", f"{key} = {value}", files["schema.toml"].decode(), count=1)

    with pytest.raises(BundleError, match=r"schema\.toml"):
        decode({**files, "schema.toml": text.encode()}, model, "1")


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "schema.toml"])
def test_a_file_cut_short_is_refused(copied, dataset04, name):
    whole = (copied / name).read_bytes()
    for length in (0, 1, 7, 9, 100, len(whole) // 2, len(whole) - 9):
        (copied / name).write_bytes(whole[:length])
        repair(copied)

        with pytest.raises(BundleError, match=rf"{name}"):
            detect(copied, dataset04)


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors"])
def test_files_exchanged_are_refused(copied, dataset04, name):
    others = {path.name for path in copied.iterdir()} - {name, "manifest.json"}
    for other in sorted(others):
        (copied / name).write_bytes((copied / other).read_bytes())
        repair(copied)

        with pytest.raises(BundleError, match=rf"{name}"):
            detect(copied, dataset04)


def test_a_graph_of_another_width_is_refused(copied, dataset04):
    detector = build_model(ModelSpec("autoencoder", 12, 1, hidden=8, latent=4), seed=3)
    graph = detector.to_onnx()
    (copied / "model.onnx").write_bytes(graph)
    repair(copied)

    with pytest.raises(BundleError, match=r"model\.onnx cannot score \d+ time steps of 43 feat"):
        detect(copied, dataset04)


def test_a_graph_that_claims_a_hundred_gigabytes_is_refused_unread(copied):
    """25 x 10^9 numbers of 4 bytes, in a file of some hundred thousand."""
    model = onnx.load(copied / "model.onnx")
    model.graph.initializer[0].dims[:] = [250_000, 100_000]
    (copied / "model.onnx").write_bytes(model.SerializeToString())
    repair(copied)

    with pytest.raises(BundleError, match=r"model\.onnx .*claims 250000x100000 = 25000000000 nu"):
        read_folder(copied)


def elsewhere(changed):
    tensor = changed.graph.initializer[0]
    tensor.external_data.add(key="location", value="/dev/zero")
    tensor.data_location = onnx.TensorProto.EXTERNAL


def constant(changed):
    value = onnx.TensorProto(dims=[10**11], data_type=onnx.TensorProto.FLOAT, name="huge")
    changed.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))


def negative(changed):
    changed.graph.initializer[0].dims[0] = -1


def within(changed):
    graph = onnx.GraphProto(name="inner")
    changed.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=graph))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (elsewhere, "stands in another file"),
        (constant, "'huge' claims"),
        (negative, "claims"),
        (within, "holds a graph"),
    ],
)
def test_tensors_of_nodes_negative_sizes_and_other_files_are_seen_too(model, change, told):
    changed = onnx.load(model / "model.onnx")
    change(changed)

    with pytest.raises(BundleError, match=told):
        require_onnx(changed.SerializeToString(), model / "model.onnx", "copy it")


def test_a_safetensors_file_that_claims_too_much_is_refused(copied):
    content = (copied / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    name = max(header, key=lambda key: header[key].get("data_offsets", [0, 0])[1])
    header[name]["data_offsets"][1] = 10**11
    text = json.dumps(header).encode()
    (copied / "model.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + content[8 + length :]
    )
    repair(copied)

    with pytest.raises(BundleError, match=r"model\.safetensors holds .* tells of 100000000000"):
        read_folder(copied)


def bound_socket(path):
    # Its name may be 107 bytes long.
    there = path.parent.with_name("s")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.path.relpath(there))
    there.rename(path)


PUT = {
    "a FIFO": os.mkfifo,
    "a folder": os.mkdir,
    "a socket": bound_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a huge file": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
}


@pytest.mark.parametrize("what", PUT)
@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "schema.toml"])
def test_what_is_no_file_is_refused_and_never_waited_for(copied, name, what):
    (copied / name).unlink()
    PUT[what](copied / name)

    with pytest.raises(BundleError, match=rf"{name}"):
        read_folder(copied)


def test_a_manifest_lists_the_files_of_a_model_and_no_others(copied):
    plain = json.loads((copied / "manifest.json").read_text())
    for listed, told in (
        ({**plain["files"], "../secret": "0" * 64}, "lists '../secret'"),
        ({n: h for n, h in plain["files"].items() if n != "card.md"}, r"lists no card\.md"),
    ):
        (copied / "manifest.json").write_text(json.dumps({**plain, "files": listed}))
        with pytest.raises(BundleError, match=told):
            read_folder(copied)
