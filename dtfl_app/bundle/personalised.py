"""From the folder of a model that lacks a site's own layers to the whole folder of that site."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dtfl_app.bundle.card import lacking_words
from dtfl_app.bundle.folder import MANIFEST, read_folder, write_folder
from dtfl_app.core.errors import BundleError, ConfigError
from dtfl_app.core.logs import quoted
from dtfl_app.detector.params import Params
from dtfl_app.results.saved_models import SavedModel, load_model, pack_model

__all__ = ["Lacking", "read_lacking", "write_whole"]

_WEIGHTS, _CARD = "model.safetensors", "card.md"


@dataclass(frozen=True, slots=True, eq=False)
class Lacking:
    """A folder whose model is whole at one site alone.

    Parameters
    ----------
    folder : the folder, read and checked.
    site : the site.
    version : of the site's own layers, as its state names it; empty = those that it began with.
    model : what the folder holds.
    about : its manifest.
    """

    folder: Path
    site: str
    version: str
    model: SavedModel
    about: Mapping[str, Any]

    @property
    def first_layers(self) -> Params:
        """What every site began with, of the layers that it has of its own."""
        assert self.model.own_layers is not None
        return {key: self.model.params[key] for key in self.model.own_layers.keys}

    @property
    def run(self) -> str:
        """The run's name, under which the site keeps its state."""
        return str(self.about["run"])


def read_lacking(folder: Path, site: str) -> Lacking:
    """Read the folder of a model that lacks the layers that `site` has of its own.

    Raises BundleError as `read_folder` does, or where the model lacks nothing; ConfigError where
    the run knows of no layers of such a site.
    """
    bundle = read_folder(folder, whole=False)
    model = load_model(folder / _WEIGHTS)
    if model.own_layers is None:
        raise BundleError(f"{folder}: its model is whole; detect with it as it is")
    # A site that was never drawn has calibrated with the layers that came.
    versions = {**dict.fromkeys(bundle.calibration.sites, ""), **model.own_layers.versions}
    if site not in versions:
        raise ConfigError(
            f"--site {quoted(site)}: no layers of such a site go with {folder}; expected one of "
            f"{', '.join(sorted(versions))}"
        )
    return Lacking(
        folder, site, versions[site], model, json.loads((folder / MANIFEST).read_bytes())
    )


def write_whole(lacking: Lacking, layers: Params, out: Path) -> str:
    """Write the site's own folder, which detects as any other; return its model's version.

    Parameters
    ----------
    lacking : what lacks the layers.
    layers : parameter key -> value.
    out : the folder to write; one of a model that is there is replaced.

    Raises ConfigError where these are other layers than are lacking or something else is at `out`,
    ResultsError where it cannot be written.
    """
    _require_place(lacking.folder, out)
    model = lacking.model
    wanted = {key: value.shape for key, value in lacking.first_layers.items()}
    found = {key: value.shape for key, value in layers.items()}
    if found != wanted:
        raise ConfigError(
            f"site {lacking.site}: its own layers are {found}, and the model lacks {wanted}; "
            "expected the state of the run that left the folder"
        )
    whole = replace(model, params={**model.params, **layers}, own_layers=None)
    bundle = replace(read_folder(lacking.folder, whole=False), graph=whole.detector().to_onnx())
    about = {key: lacking.about[key] for key in ("run", "strategy", "detector", "made_with")}
    return write_folder(out, bundle, pack_model(whole), _card(lacking), about)


def _card(lacking: Lacking) -> str:
    own = lacking.model.own_layers
    assert own is not None
    card = (lacking.folder / _CARD).read_text(encoding="utf-8")
    said = f"With the layers of site {lacking.site}, for that site alone: {', '.join(own.keys)}."
    return card.replace(lacking.about["model"], "{version}").replace(lacking_words(own.keys), said)


def _require_place(folder: Path, out: Path) -> None:
    if out.resolve() == folder.resolve():
        raise ConfigError(f"--out {out}: that is the folder that lacks layers; name another")
    if out.exists() and not (out / MANIFEST).is_file():
        raise ConfigError(f"--out {out}: is there and holds no model; name a new folder")
