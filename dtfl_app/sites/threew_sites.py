"""3W as a federation: every measured well is a site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import pandas as pd

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.features import Features, FeatureSpec, concat, make_features
from dtfl_app.sites.federation import (
    FederatedDataset,
    OwnTwin,
    SiteData,
    build_site,
    chosen_features,
    refuse_partition,
)
from dtfl_app.sites.folders import resolve_data_dir
from dtfl_app.sites.partition import by_column
from dtfl_app.sites.quality import QualityReport, clean
from dtfl_app.sites.site_schema import SiteSchema
from dtfl_app.sites.threew import (
    CHANNELS,
    DEFAULT_CHANNELS,
    read_threew,
    read_threew_raw,
    threew_schema,
    well_of,
)
from twin.schema import INSTANCE, Schema, iter_instances

__all__ = ["FIVE_MINUTES", "ThreeWDataset"]

_FOLDER = "3w"
_PROTOCOLS = ("leave-one-site-out", "unseen-events", "pooled")

# Five minutes are long enough for a pressure to show its trend. The step is the one the 3W
# project sets for this event; a longer one leaves a well of 10 normal minutes with 3 windows.
FIVE_MINUTES = FeatureSpec(window_s=300, step_s=15, statistics=("mean", "std", "change"))


@dataclass(frozen=True, slots=True)
class ThreeWDataset(FederatedDataset):
    """3W's measured wells, one site each.

    Parameters
    ----------
    data_dir : folder that holds ``3w/``: there either ``class2_WELL.parquet``, of event type 2, or
        the published folders, of which that of the event type is read.
    protocol : "leave-one-site-out", also called "unseen-events" here: the sites are all wells but
        `held_out`, which is the evaluation set. "pooled": all wells are sites; of every well with
        several recordings the later ones, `evaluation_share` of them and at least one, are the
        evaluation set; wells with a single recording are not judged.
    held_out : well that never takes part; "" is the last by name.
    evaluation_share : for "pooled", share of a well's recordings to judge by, in (0, 1).
    calibration_share : share of each run of equal labels in a recording kept for calibration.
    event : the event type, of ``threew.EVENT_NAMES`` but 0.
    channels : of ``threew.CHANNELS``.
    feature_spec : mean, standard deviation and change over five minutes, unless told otherwise.
    """

    reads_data_dir: ClassVar[bool] = True
    frozen_as_missing: ClassVar[bool] = True
    site_of = staticmethod(well_of)

    data_dir: Path
    protocol: str = "leave-one-site-out"
    held_out: str = ""
    evaluation_share: float = 0.3
    calibration_share: float = 0.2
    event: int = 2
    channels: tuple[str, ...] = DEFAULT_CHANNELS
    feature_spec: FeatureSpec = FIVE_MINUTES

    def __post_init__(self) -> None:
        if self.protocol not in _PROTOCOLS:
            raise ConfigError(f"threew: protocol {self.protocol!r}; expected one of {_PROTOCOLS}")
        if not 0 < self.evaluation_share < 1:
            raise ConfigError(
                f"threew: evaluation share {self.evaluation_share}; expected between 0 and 1"
            )

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Open it as the run config says."""
        refuse_partition(config)
        channels = tuple(c.strip() for c in config.data.channels.split(",") if c.strip())
        return cls(
            data_dir=resolve_data_dir(config.data.dir),
            protocol=config.data.protocol,
            held_out=config.data.held_out,
            event=config.data.event,
            channels=channels or DEFAULT_CHANNELS,
            calibration_share=config.data.calibration_share,
            feature_spec=chosen_features(config, FIVE_MINUTES),
        )

    @property
    def schema(self) -> Schema:
        """The chosen channels at 1 Hz."""
        return threew_schema(self.channels)

    def sites(self, k: int) -> list[str]:
        """Names of the wells; DataError unless `k` is their number: a well is not cut up."""
        return self._names(self._site_series(), k)

    def load_site(self, index: int, k: int) -> SiteData:
        """Load well `index` (0 to k - 1) of `k`, dead and impossible readings set to missing."""
        wells = self._site_series()
        name = self._names(wells, k)[index]
        series, quality = self._clean(name, wells[name])
        share = self.calibration_share
        return build_site(name, series, self.schema, self.feature_spec, share, quality)

    def describe(self, k: int) -> str:
        """Say in one line what the data is."""
        return f"3W, recordings of real oil wells, {self.protocol}"

    def load_evaluation(self, k: int) -> Features:
        """Load the labelled recordings that no site holds, whatever `k` is."""
        wells = self._evaluation_series()
        parts = [self._clean(name, series)[0] for name, series in wells.items()]
        return concat([make_features(part, self.schema, self.feature_spec) for part in parts])

    @property
    def site_schema(self) -> SiteSchema:
        """A published recording as a gateway reads it, without the event that it was cut for."""
        return SiteSchema(self.schema, time="timestamp", twin="recorded")

    def read_file(self, path: Path) -> pd.DataFrame:
        """Read recordings of wells, labelled by their event."""
        return read_threew(path, self.channels, events=(self.event,))

    @property
    def own_twin(self) -> OwnTwin:
        """The recordings simulated with OLGA: in one file, or in the published folders."""
        folder = self.data_dir / _FOLDER
        one = folder / f"class{self.event}_SIMULATED.parquet"
        return OwnTwin("recorded", recording=one if one.exists() else folder)

    def read_recording(self, path: Path) -> pd.DataFrame:
        """Read simulated recordings, labelled by their event."""
        return read_threew(path, self.channels, source="SIMULATED", events=(self.event,))

    def _names(self, wells: dict[str, pd.DataFrame], k: int) -> list[str]:
        if k != len(wells):
            raise DataError(
                f"threew: {k} sites asked for, but the data has {len(wells)} wells to train on "
                f"({', '.join(wells)}); set the number of sites to {len(wells)}"
            )
        return list(wells)

    def _clean(self, name: str, series: pd.DataFrame) -> tuple[pd.DataFrame, QualityReport]:
        cleaned, quality = clean(name, series, self.schema)
        self.schema.validate(cleaned, name)
        return cleaned, quality

    def _wells(self) -> dict[str, pd.DataFrame]:
        folder = self.data_dir / _FOLDER
        path = folder / f"class{self.event}_WELL.parquet"
        path = path if path.exists() else folder
        series = read_threew_raw(path, self.channels, events=(self.event,))
        self._require_readings(series, path)
        return by_column(series, well_of)

    def _require_readings(self, series: pd.DataFrame, path: Path) -> None:
        """Raise DataError for channels that no recording has a reading of."""
        empty = [name for name in self.channels if series[name].isna().all()]
        if empty:
            held = [name for name in CHANNELS if self._has_readings(path, name)]
            raise DataError(
                f"{path}: column {', '.join(map(repr, empty))}: no recording of event type "
                f"{self.event} has a reading there; choose data.channels of {', '.join(held)}"
            )

    def _has_readings(self, path: Path, channel: str) -> bool:
        try:
            series = read_threew_raw(path, (channel,), events=(self.event,))
        except DataError:  # no such column
            return False
        return bool(series[channel].notna().any())

    def _held_out(self, wells: dict[str, pd.DataFrame]) -> str:
        name = self.held_out or max(wells)
        if name not in wells:
            raise ConfigError(f"threew: held-out well {name!r}; expected one of {list(wells)}")
        return name

    def _site_series(self) -> dict[str, pd.DataFrame]:
        wells = self._wells()
        if self.protocol == "pooled":
            return {name: self._by_recording(series)[0] for name, series in wells.items()}
        del wells[self._held_out(wells)]
        return wells

    def _evaluation_series(self) -> dict[str, pd.DataFrame]:
        wells = self._wells()
        if self.protocol == "pooled":
            later = {name: self._by_recording(series)[1] for name, series in wells.items()}
            return {name: series for name, series in later.items() if len(series)}
        name = self._held_out(wells)
        return {name: wells[name]}

    def _by_recording(self, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Earlier and later recordings of one well; a single one is all earlier."""
        names = sorted(name for name, _ in iter_instances(series))
        count = max(1, round(self.evaluation_share * len(names))) if len(names) > 1 else 0
        later = series[INSTANCE].isin(names[len(names) - count :])
        return series[~later].reset_index(drop=True), series[later].reset_index(drop=True)
