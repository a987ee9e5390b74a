"""What a federation needs from a data set: its sites' data and an evaluation set.

The client asks a `FederatedDataset` for one site, the server for the evaluation set; neither
knows which data set it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.sites.features import Features, FeatureSpec, make_features
from dtfl_app.sites.partition import split_calibration
from dtfl_app.sites.quality import QualityReport
from twin.schema import Schema

__all__ = ["FederatedDataset", "SiteData", "build_site", "resolve_data_dir"]

_DEFAULT_DIR = Path("..") / "shared" / "data"


@dataclass(frozen=True, slots=True, eq=False)
class SiteData:
    """All that one site brings to the federation.

    Parameters
    ----------
    name : stable site name; replies are sorted by it.
    schema : channels and sampling period.
    features_train : rows to learn from. Labels are kept: a trainer of normal behaviour leaves
        out the abnormal ones itself.
    features_cal : rows to calibrate the threshold on, none of them in `features_train`. May be
        empty, or without a normal row, at a site with very little normal operation.
    quality : what was found in the readings and done about it.
    """

    name: str
    schema: Schema
    features_train: Features
    features_cal: Features
    quality: QualityReport


@runtime_checkable
class FederatedDataset(Protocol):
    """A data set that comes as K sites, with or without an evaluation set."""

    @property
    def schema(self) -> Schema:
        """Channels and sampling period that all sites share."""
        ...

    @property
    def feature_spec(self) -> FeatureSpec:
        """How features are made, at the sites and from the twin's series alike."""
        ...

    def sites(self, k: int) -> list[str]:
        """Names of the `k` sites; DataError when the data set cannot be cut into so many."""
        ...

    def load_site(self, index: int, k: int) -> SiteData:
        """Load site `index` (0 to k - 1) of `k`."""
        ...

    def load_evaluation(self, k: int) -> Features | None:
        """Load the labelled evaluation set for `k` sites, disjoint from them; None without one."""
        ...

    def prepare(self, k: int, on_progress: Callable[[int, int], None]) -> None:
        """Make what must be there before `k` sites load; called once, at the server."""
        ...

    def describe(self, k: int) -> str:
        """Say in one line what the data is."""
        ...


def build_site(
    name: str,
    series: pd.DataFrame,
    schema: Schema,
    spec: FeatureSpec,
    calibration_share: float,
    quality: QualityReport,
    per: Literal["stretch", "label"] = "stretch",
) -> SiteData:
    """Split one site's labelled series and compute the features of both parts.

    The split comes first, so no window holds readings of both. Raises DataError when nothing is
    left to train on.
    """
    window = spec.rows(schema)[0]
    train, calibration = split_calibration(series, calibration_share, per, least=window)
    features = make_features(train, schema, spec)
    if not len(features):
        raise DataError(
            f"site {name!r}: {len(train)} training rows give no window of {spec.window_s:g} s; "
            "use a shorter window or fewer sites"
        )
    return SiteData(name, schema, features, make_features(calibration, schema, spec), quality)


def resolve_data_dir(setting: str) -> Path:
    """Return the folder of the public data sets.

    The first that is given counts: `setting` (run config), the environment variable DTFL_DATA,
    ``../shared/data`` below the current directory. Raises DataError when it is no folder.
    """
    chosen = Path(setting or os.environ.get("DTFL_DATA", "") or _DEFAULT_DIR).expanduser()
    if not chosen.is_dir():
        raise DataError(
            f"no data folder: looked for setting data.dir={setting!r}, then environment variable "
            f"DTFL_DATA={os.environ.get('DTFL_DATA', '')!r}, then {_DEFAULT_DIR}, and took "
            f"{chosen}, which is no folder. Set one of them to the folder with batadal/ and 3w/"
        )
    return chosen.resolve()
