"""The folder that a gateway needs: everything to score readings with, each file under its hash.

model.onnx         the detector, its score, the features' shares in it and what it expects
model.safetensors  the same model as `dtfl evaluate` and further training read it
scaler.json        the scaling that the federation agreed on, and sites' own where each has one
calibration.json   kinds of evidence, thresholds, the sites' sketches of normal scores
features.json      how features are made of readings
schema.toml        channels, units, ranges, and how a site's file is written
physics.json       with physical evidence: the plants' laws and the demand to expect
card.md            what the model is, what it was measured to do, and what not
manifest.json      the SHA-256 of each of these, the model's version, run and packages
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dtfl_app.bundle.bundle import Bundle, encode
from dtfl_app.bundle.decoding import decode
from dtfl_app.bundle.reading import REMEDY, convert, parse, read_file
from dtfl_app.bundle.records import ManifestRecord
from dtfl_app.core.errors import BundleError, ResultsError
from twin.files import write_atomically

__all__ = ["MANIFEST", "model_version", "read_folder", "write_folder"]

MANIFEST = "manifest.json"
_FORMAT = 1
# Tells of the run: two runs that did the same leave different cards, and the same model.
_CARD = "card.md"
_PHYSICS = "physics.json"
_NEEDED = {
    "model.onnx", "model.safetensors", "scaler.json", "calibration.json", "features.json",
    "schema.toml", _CARD,
}  # fmt: skip
# Bytes of the largest file that is read at all: the detectors and sites of any plant need less.
_MOST_TEXT, _MOST_MODEL = 64 << 20, 256 << 20


def write_folder(
    path: Path, bundle: Bundle, weights: bytes, card: str, about: Mapping[str, object]
) -> str:
    """Write the folder, in one move, in place of an earlier one; return the model's version.

    Parameters
    ----------
    path : the folder.
    bundle : what to score with.
    weights : the model file, copied byte for byte.
    card : the model card; ``{version}`` in it becomes the model's version.
    about : what the manifest says of the run and of the packages.

    Raises ResultsError when it cannot be written.
    """
    files = {**encode(bundle), "model.safetensors": weights}
    version = model_version({name: _sha256(content) for name, content in files.items()})
    files[_CARD] = card.replace("{version}", version).encode()
    manifest = {
        "format": _FORMAT,
        "model": version,
        "files": {name: _sha256(files[name]) for name in sorted(files)},
        **about,
    }
    files[MANIFEST] = json.dumps(manifest, indent=1).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as aside:
            made = Path(aside) / "made"
            made.mkdir()
            for name, content in files.items():
                write_atomically(made / name, content)
            _put(made, path, Path(aside) / "before")
    except OSError as error:
        raise ResultsError(
            f"{path} cannot be written ({error}); make room, or give it rights"
        ) from error
    return version


def _put(made: Path, path: Path, before: Path) -> None:
    """Rename `made` to `path`; what was there stands aside, and again in its place on failure."""
    if path.exists():
        path.rename(before)
    try:
        made.rename(path)
    except OSError:
        if before.exists():
            before.rename(path)
        raise


def model_version(hashes: Mapping[str, str]) -> str:
    """Return 12 hexadecimal digits that two models share if and only if they score alike.

    They are the first of the SHA-256 over the sorted hashes of all files but card and manifest.
    """
    told = sorted(digest for name, digest in hashes.items() if name not in (_CARD, MANIFEST))
    return _sha256("".join(told).encode())[:12]


def read_folder(path: Path, *, whole: bool = True) -> Bundle:
    """Read and check a folder that `write_folder` wrote; unless `whole`, one that lacks layers too.

    Raises BundleError naming the file, and the key in it, that is missing, changed, impossible or
    does not belong there.
    """
    manifest = _manifest(path)
    _require_nothing_else(path, manifest)
    contents = {name: _checked(path / name, digest) for name, digest in manifest.files.items()}
    version = model_version(manifest.files)
    if version != manifest.model:
        raise _not_whole(path / MANIFEST, f"calls the model {manifest.model}, its files {version}")
    return decode(contents, path, version, whole=whole)


def _manifest(path: Path) -> ManifestRecord:
    if not path.is_dir():
        raise BundleError(
            f"{path}: no such folder; expected RUN/deploy/STRATEGY, which a run leaves"
        )
    where = path / MANIFEST
    try:
        found = parse(read_file(where, _MOST_TEXT, REMEDY), where, REMEDY)
    except FileNotFoundError:
        raise BundleError(
            f"{path} holds no {MANIFEST}; expected RUN/deploy/STRATEGY, which a run leaves"
        ) from None
    if found.get("format") != _FORMAT:
        raise _not_whole(where, f"format {found.get('format')}, this version reads {_FORMAT}")
    manifest = convert(found, ManifestRecord, where, REMEDY)
    listed = set(manifest.files)
    if lacking := sorted(_NEEDED - listed):
        raise _not_whole(where, f"lists no {lacking[0]} among its files")
    if strange := sorted(listed - _NEEDED - {_PHYSICS}):
        raise _not_whole(where, f"lists {strange[0]!r}, which is no file of a model")
    return manifest


def _require_nothing_else(path: Path, manifest: ManifestRecord) -> None:
    try:
        found = {file.name for file in path.iterdir()}
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error}); give it the right to be") from error
    if strange := sorted(found - set(manifest.files) - {MANIFEST}):
        raise BundleError(
            f"{path / strange[0]} does not belong to the model; its folder holds what its "
            f"{MANIFEST} lists and nothing else: remove it"
        )


def _checked(path: Path, digest: str) -> bytes:
    most = _MOST_MODEL if path.name.startswith("model.") else _MOST_TEXT
    try:
        content = read_file(path, most, REMEDY)
    except FileNotFoundError:
        raise _not_whole(path, "is missing") from None
    if _sha256(content) != digest:
        raise _not_whole(path, f"was changed: its SHA-256 is not the one in {MANIFEST}")
    return content


def _not_whole(path: Path, what: str) -> BundleError:
    return BundleError(f"{path} {what}; {REMEDY}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
