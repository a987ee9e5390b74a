"""What a data set is to the app: its sites' data, an evaluation set, and all that depends on it.

The app asks a `FederatedDataset` and knows no kind of data set beside it; `catalogue` holds those
that the setting `dataset` can name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.core.node_config import OwnData
from dtfl_app.core.registry import NoOptions, read_options
from dtfl_app.sites.baseline import behind_baseline, standardised
from dtfl_app.sites.features import (
    Features,
    FeatureSpec,
    make_features,
    no_window,
    window_ends,
    window_features,
)
from dtfl_app.sites.own_files import load_own_file, read_own_file
from dtfl_app.sites.partition import calibration_rows, split_calibration
from dtfl_app.sites.quality import QualityReport
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from twin.schema import ABNORMAL, INSTANCE, LABEL, Schema

__all__ = [
    "LEAST_READINGS",
    "LEAST_WINDOWS",
    "FederatedDataset",
    "OwnTwin",
    "SiteData",
    "build_site",
    "chosen_features",
    "evaluation_features",
    "least_windows",
    "normal_windows",
    "refuse_partition",
]

#: Readings behind the moments of a channel that may leave a site, at least.
LEAST_READINGS = 30
#: Fewest windows of normal operation that a site trains on, and of a channel whose moments it
#: tells, however many readings each is of: of fewer, a mean and a variance, or a step of training,
#: come close to the readings themselves. Ten is the threshold rule of official statistics (ESSnet
#: SDC, Guidelines for the checking of output based on microdata research, 2010).
LEAST_WINDOWS = 10


@dataclass(frozen=True, slots=True, eq=False)
class SiteData:
    """All that one site brings to the federation.

    Parameters
    ----------
    name : stable site name; replies are sorted by it.
    schema : channels and sampling period.
    spec : how its features are made.
    features_train : rows to learn from. Labels are kept: a trainer of normal behaviour leaves
        out the abnormal ones itself.
    features_cal : rows to calibrate the threshold on, none of them in `features_train`. May be
        empty, or without a normal row, at a site with very little normal operation.
    quality : what was found in the readings and done about it.
    """

    name: str
    schema: Schema
    spec: FeatureSpec
    features_train: Features
    features_cal: Features
    quality: QualityReport

    @property
    def normal(self) -> tuple[int, int]:
        """Windows that are normal or unlabelled, to train on and to calibrate on."""
        train, calibration = (
            int(np.count_nonzero(part.label < 1))
            for part in (self.features_train, self.features_cal)
        )
        return train, calibration


def least_windows(schema: Schema, spec: FeatureSpec, readings: int = LEAST_READINGS) -> int:
    """Return the number of windows whose moments may leave a site, at least.

    `LEAST_WINDOWS`, and as many as bring in `readings` new readings of a channel.
    """
    _, step = spec.rows(schema)
    return max(LEAST_WINDOWS, math.ceil(readings / step))


@dataclass(frozen=True, slots=True)
class OwnTwin:
    """The twin that a data set brings: its kind, and the files it is made of.

    How a twin simulates is no concern of the sites; ``inputs.twin_data`` builds it from this.

    Parameters
    ----------
    kind : "ctown", simulated; "recorded", replayed; "none"; or a twin of somebody's own, as the
        setting `twin.kind` names it.
    network : EPANET file of a C-Town plant; None = the embedded one.
    published_rules : the plant's PLCs follow BATADAL's published set-points, whatever the file
        `network` says.
    recording : what another simulator recorded, read by `FederatedDataset.read_recording`; None =
        only what the setting `twin.recording` names.
    options : of a twin of somebody's own, as `twin.options` has them; that setting comes first.
    """

    kind: str = "none"
    network: Path | None = None
    published_rules: bool = False
    recording: Path | None = None
    options: str = ""


class FederatedDataset(ABC):
    """A data set that comes as K sites, with or without an evaluation set.

    A base class, and no protocol, so that a new data set is short: it says how it is opened, its
    schema, its features and its sites. All else has a default, that of sites whose files are in the
    columns of a labelled series (see ``twin.schema``), with no twin and nothing to judge by. Where
    the sites are C-Town plants that differ, it has a method ``plant_named(site)`` beside these,
    which returns the plant of a site (see ``inputs.physics``).

    Attributes
    ----------
    Options : a frozen dataclass of `core.settings.setting` fields, what `dataset-options` may say.
    scored : BATADAL's score S is defined for it: its sites are C-Town plants, attacked by the hour.
    reads_data_dir : its files lie in data.dir.
    files_in_data_dir : settings that name a file mean one in data.dir, where it is there.
    frozen_as_missing : its sites take channels that never move as missing (`quality.clean`). Plants
        whose pumps may rest for months do not.
    """

    __slots__ = ()

    Options: ClassVar[type] = NoOptions
    scored: ClassVar[bool] = False
    reads_data_dir: ClassVar[bool] = False
    files_in_data_dir: ClassVar[bool] = False
    frozen_as_missing: ClassVar[bool] = False

    # -- opening it ------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Open the data set as the run config says; nothing is read or simulated yet.

        Raises ConfigError for settings that it cannot follow.
        """

    @classmethod
    def options(cls, config: RunConfig) -> Any:  # noqa: ANN401 - an instance of `cls.Options`
        """Read `dataset-options` of the run config; ConfigError for any but those of `Options`."""
        return read_options(cls.Options, "dataset-options", config.run.dataset_options)

    @classmethod
    def from_run(cls, config: RunConfig, folder: Path) -> Self:
        """Open the data set of a stored run from its folder, which holds its `documents`."""
        return cls.from_config(config)

    @classmethod
    def from_own_file(cls, config: RunConfig, own: OwnData) -> tuple[Self, SiteData]:
        """Open a node's own file, as the data set's way of reading it and the site it makes.

        Raises ConfigError where the data set has no place for files of others.
        """
        raise ConfigError(
            f"node config: data-path is given, but the run is on dataset = "
            f"{config.run.dataset!r}, which has data of its own; run with dataset=files"
        )

    @classmethod
    def fixed_sites(cls, config: RunConfig) -> int | None:
        """Return how many sites a simulation of it has; None = as many as one wants.

        Raises ConfigError or DataError where the run config says otherwise.
        """
        return None

    # -- its sites and what they are judged by ---------------------------------------------------

    @property
    @abstractmethod
    def schema(self) -> Schema:
        """Channels and sampling period that all sites share."""

    @property
    @abstractmethod
    def feature_spec(self) -> FeatureSpec:
        """How features are made, at the sites and from the twin's series alike."""

    @abstractmethod
    def sites(self, k: int) -> list[str]:
        """Names of the `k` sites; DataError when the data set cannot be cut into so many."""

    @abstractmethod
    def load_site(self, index: int, k: int) -> SiteData:
        """Load site `index` (0 to k - 1) of `k`."""

    def load_evaluation(self, k: int) -> Features | None:
        """Load the labelled evaluation set for `k` sites, disjoint from them; None without one."""
        return None

    def prepare(  # noqa: B027 - most data sets lie ready
        self, k: int, on_progress: Callable[[int, int], None]
    ) -> None:
        """Make what must be there before `k` sites load; called once, at the server."""

    def describe(self, k: int) -> str:
        """Say in one line what the data is."""
        return f"{k} sites in schema {self.schema.name!r}"

    # -- names in it -----------------------------------------------------------------------------

    @staticmethod
    def site_of(instance: str) -> str:
        """Return the site at which an instance was recorded: its name up to the first slash."""
        return instance.partition("/")[0]

    @staticmethod
    def family_of(event: str) -> str:
        """Return the kind under which a twin simulates such an event; "" where none is known."""
        return ""

    # -- further files, and its twin -------------------------------------------------------------

    @property
    def site_schema(self) -> SiteSchema:
        """How a site's file is read, at a gateway that detects."""
        return SiteSchema(self.schema, labels=LabelColumn(LABEL))

    def read_file(self, path: Path) -> pd.DataFrame:
        """Read an unseen file as a labelled series, its readings treated as in training."""
        if self.frozen_as_missing:
            return load_own_file(path, self.site_schema)[0]
        series = read_own_file(path, self.site_schema).series
        self.schema.validate(series, str(path))
        return series

    def documents(self) -> Mapping[str, bytes]:
        """What a run's folder keeps so that `from_run` reads further files: name -> content."""
        return {}

    @property
    def own_twin(self) -> OwnTwin:
        """The twin of its sites, where the run config does not name another."""
        return OwnTwin(self.site_schema.twin)

    def read_recording(self, path: Path) -> pd.DataFrame:
        """Read what another simulator recorded in the layout of the sites' files.

        As delivered: what a simulator holds constant, or out of range, is not a sensor's fault.
        """
        return read_own_file(path, self.site_schema).series


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

    The split comes before windows are made, so none holds readings of both, and after recordings
    are standardised, if they are, so both parts are by one baseline. Raises DataError when nothing
    is left to train on.
    """
    window, read = spec.rows(schema)[0], standardised(series, schema, spec.baseline)
    train, calibration = split_calibration(read, calibration_share, per, least=window)
    features = window_features(train, schema, spec)
    if not len(features):
        raise DataError(f"site {name!r}: {no_window(series, schema, spec)}")
    calibrating = window_features(calibration, schema, spec)
    return SiteData(name, schema, spec, features, calibrating, quality)


def normal_windows(
    name: str,
    series: pd.DataFrame,
    schema: Schema,
    spec: FeatureSpec,
    calibration_share: float,
) -> tuple[int, int]:
    """Return `SiteData.normal` of the site that `build_site` makes, without making it.

    Readings do not matter and may be left out of `series`. Raises DataError as `build_site` does.
    """
    window = spec.rows(schema)[0]
    read = series[behind_baseline(series[INSTANCE], spec.baseline)] if spec.baseline else series
    calibration = calibration_rows(read, calibration_share, least=window)
    ends = window_ends(read, schema, spec, calibration)
    calibrated = calibration[ends]
    if calibrated.all():
        raise DataError(f"site {name!r}: {no_window(series, schema, spec)}")
    normal = read[LABEL].to_numpy()[ends] < ABNORMAL
    return int(np.count_nonzero(normal & ~calibrated)), int(np.count_nonzero(normal & calibrated))


def evaluation_features(
    where: str, series: pd.DataFrame, schema: Schema, spec: FeatureSpec
) -> Features:
    """Compute the features to judge by; DataError naming `where` if there is no window."""
    features = make_features(series, schema, spec)
    if not len(features):
        raise DataError(f"{where}: {no_window(series, schema, spec)}")
    return features


def chosen_features(config: RunConfig, default: FeatureSpec) -> FeatureSpec:
    """Return how the run config wants features made; `default` in all that it leaves open."""
    chosen = config.features
    return FeatureSpec(
        chosen.window_s or default.window_s,
        chosen.step_s or default.step_s,
        tuple(s.strip() for s in chosen.statistics.split(",") if s.strip()) or default.statistics,
        config.data.baseline if config.data.scaling == "recording" else 0,
    )


def refuse_partition(config: RunConfig, allowed: tuple[str, ...] = ("auto",)) -> None:
    """Raise ConfigError where the run config would cut up sites that are what they are."""
    if config.data.partition not in allowed:
        raise ConfigError(
            f"run config: data.partition = {config.data.partition!r}, but the sites of "
            f"{config.run.dataset} are what they are; leave partition at "
            f"{' or '.join(map(repr, allowed))}"
        )
