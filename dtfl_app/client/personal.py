"""Layers of a method that are a site's own: laid over every model that comes, and never sent.

They stand among what the site keeps for the method (`dtfl_app.client.versions`), below
``personal/``. The first time there are none, and those of the first model are where it begins.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import numpy as np
from flwr.app import Context, RecordDict

from dtfl_app.client.site import Site
from dtfl_app.client.state import SiteState
from dtfl_app.client.versions import held_version
from dtfl_app.core.errors import ConfigError, ReplyError, SiteError
from dtfl_app.detector.detector import Detector
from dtfl_app.detector.params import Params, as_params, get_params
from dtfl_app.detector.samples import Judged, sample_scores, settled_steps
from dtfl_app.messages.calibration import CalibrationTask
from dtfl_app.messages.declaration import listed
from dtfl_app.messages.training import TrainingTask
from dtfl_app.messages.wire import MODEL, Arrays, prefixed, with_prefix

__all__ = ["judged_rows", "stored_layers", "with_kept_layers", "with_own_layers"]

_PERSONAL = "personal"


def with_own_layers(site: Site, task: CalibrationTask, received: Arrays, own: Arrays) -> Arrays:
    """Return the arrays of a task with the site's own layers in place of those that came.

    Parameters
    ----------
    site : for its name, in errors.
    task : names them.
    received : its arrays.
    own : what the site keeps for the method.

    Raises SiteError where they would leave the site, or cease to be its own; ReplyError where the
    task names no such parameters.
    """
    held, named = with_prefix(_PERSONAL, own), set(task.personal)
    asked = set()
    if isinstance(task, TrainingTask):
        asked = (named | held.keys()) & {*task.upload, *task.extras}
    if asked:
        raise SiteError(
            f"site {site.name}: the task asks for {listed(asked)}, which are the site's own and "
            "never leave it; nothing is returned"
        )
    if held and held.keys() != named:
        raise SiteError(
            f"site {site.name}: the task names {listed(named) or 'none'} as the site's own, which "
            f"so far were {listed(held)}; nothing is returned"
        )
    if unknown := named - with_prefix(MODEL, received).keys():
        raise ReplyError(f"the task's personal-keys name {listed(unknown)}, no such parameter came")
    if named and task.versions is None:
        raise ReplyError("the task has personal-keys and no state-from; expected both or neither")
    return {**received, **prefixed(MODEL, held)}


def with_kept_layers(task: CalibrationTask, model: Detector, own: Arrays) -> Arrays:
    """Return what the site keeps from now on: besides `own` its layers of the trained `model`."""
    trained = get_params(model) if task.personal else {}
    return {**own, **prefixed(_PERSONAL, {key: trained[key] for key in task.personal})}


def stored_layers(folder: Path, site: str, run: str, version: str) -> Params:
    """Read a site's own layers from its state on disk.

    Parameters
    ----------
    folder : what ``state.dir`` was.
    site : the site's name.
    run : the run's, as the server tells it.
    version : which of them, as the server names it.

    Returns parameter key -> value. Raises ConfigError where they are not there.
    """
    home = folder.expanduser().absolute() / quote(site, safe="")
    context = Context(0, 0, {}, RecordDict(), {})
    SiteState(home, site, run, limit=0).load(context)
    found = held_version(version, context)
    layers = with_prefix(_PERSONAL, found or {})
    if not layers:
        raise ConfigError(
            f"{home / run}: holds no layers {version!r} of site {site}; expected the folder that "
            "state.dir named during the run, at this site. A site without one kept its layers in "
            "memory alone, and they are gone: train again with state.dir"
        )
    return as_params(layers)


def judged_rows(site: Site, task: CalibrationTask, model: Detector, received: Arrays) -> Judged:
    """Score the site's labelled rows, which only it can with its own layers; () where none are."""
    rows = site.labelled(received) if task.personal else None
    if rows is None:
        return ()
    settings, features = site.config.detector, rows.features
    evidence = rows.evidence(model, settings)
    if np.isnan(evidence).any():
        raise SiteError(
            f"{int(np.isnan(evidence).any(axis=1).sum())} of {len(evidence)} scores of labelled "
            "rows are not numbers: the model that came, or the detector, is not sound"
        )
    settled = settled_steps(features.label, features.instance, settings.settling)
    groups = (features.label == 1, settled, (features.label == 0) & ~settled)
    samples = tuple(sample_scores(evidence[group]) for group in groups)
    return samples if any(sample.count for sample in samples) else ()
