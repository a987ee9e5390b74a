"""What a model knows of the site that it is used at: its name, laws, scores and channels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.bundle.laws import LawStream
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import laws_among
from dtfl_app.detection.threshold_table import ThresholdTable
from dtfl_app.sites.features import channel_of
from twin.schema import Schema

__all__ = ["absent_channels", "law_stream", "own_table", "require_known"]


def require_known(bundle: Bundle, site: str) -> None:
    """Raise ConfigError for a name that means nothing to the model; "" is none."""
    calibrated, physics = bundle.calibration.sites, bundle.physics
    plants = [] if physics is None else [name for name in physics.plants if name]
    known = sorted({*calibrated, *plants, *bundle.scalers})
    if site and site not in known:
        raise ConfigError(
            f"--site {site}: the model knows {', '.join(known)}; name one of them, or leave it out "
            "at a site that took no part in its training"
        )


def own_table(bundle: Bundle, site: str) -> ThresholdTable | None:
    """Return the table of a site's own calibration scores; None where some evidence has none."""
    own = bundle.calibration.sites.get(site, ())
    if not own or not all(sketch.count for sketch in own):
        return None
    alone = replace(bundle.calibration, sites={site: own})
    return ThresholdTable(alone, bundle.rate)


def law_stream(bundle: Bundle, site: str) -> LawStream | None:
    """Return what weighs the laws of a site's plant; None where the model weighs none."""
    physics = bundle.physics
    if physics is None:
        return None
    names = bundle.features.names
    return LawStream(physics.laws(site), physics.expected, laws_among(bundle.kinds), names)


def absent_channels(bundle: Bundle, schema: Schema, ignored: Collection[str]) -> NDArray[np.bool_]:
    """Tell which channels are taken as missing: those to ignore, and those never read in training.

    Raises ConfigError for a channel to ignore that there is not.
    """
    if unknown := sorted(set(ignored) - set(schema.names)):
        raise ConfigError(
            f"--ignore {unknown[0]}: no such channel; expected some of {', '.join(schema.names)}"
        )
    plan = bundle.features
    read = {channel_of(name) for name in plan.names if name not in plan.unread}
    return np.array([name in ignored or name not in read for name in schema.names])
