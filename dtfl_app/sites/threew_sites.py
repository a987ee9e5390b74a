"""3W as a federation: every measured well is a site, or every recording of one."""

from __future__ import annotations

from collections.abc import Mapping
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
    EVENT_NAMES,
    read_threew,
    read_threew_raw,
    recording_name,
    threew_schema,
    well_of,
)
from dtfl_app.sites.threew_channels import REASON, held_channels
from twin.schema import INSTANCE, Schema, iter_instances

__all__ = ["FIVE_MINUTES", "ThreeWDataset"]

_FOLDER = "3w"
# The one whose channels are fixed, so that its results stay comparable.
_USUAL_EVENT = 2
_CHANNELS_FILE = "channels.txt"
_PARTITIONS = ("auto", "recordings")
_PROTOCOLS = ("leave-one-site-out", "unseen-attacks", "pooled")

# Five minutes are long enough for a pressure to show its trend. The step is the one the 3W
# project sets for this event; a longer one leaves a well of 10 normal minutes with 3 windows.
FIVE_MINUTES = FeatureSpec(window_s=300, step_s=15, statistics=("mean", "std", "change"))


@dataclass(frozen=True, slots=True)
class ThreeWDataset(FederatedDataset):
    """3W's measured wells, one site each, or one site for each recording of them.

    Parameters
    ----------
    data_dir : folder that holds ``3w/``: there either ``class2_WELL.parquet``, of event type 2, or
        the published folders, of which that of the event type is read.
    protocol : "leave-one-site-out", also called "unseen-attacks" here: the sites are all wells but
        `held_out`, which is the evaluation set. "pooled": all wells are sites; of every well with
        several recordings the later ones, `evaluation_share` of them and at least one, are the
        evaluation set; wells with a single recording are not judged.
    held_out : well that never takes part; "" is the last by name. Where recordings are sites it may
        be one of these, whose well's others take part.
    evaluation_share : for "pooled", share of a well's recordings to judge by, in (0, 1).
    calibration_share : share of each run of equal labels in a recording kept for calibration.
    event : the event type, of ``threew.EVENT_NAMES`` but 0.
    channels : of ``threew.CHANNELS``.
    why : why these channels, where nobody named them; "" otherwise.
    partition : "auto": a site per well; "recordings": a site per recording.
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
    why: str = ""
    partition: str = "auto"
    feature_spec: FeatureSpec = FIVE_MINUTES

    def __post_init__(self) -> None:
        if self.protocol not in _PROTOCOLS:
            raise ConfigError(f"threew: protocol {self.protocol!r}; expected one of {_PROTOCOLS}")
        if self.partition not in _PARTITIONS:
            raise ConfigError(
                f"threew: partition {self.partition!r}; expected one of {_PARTITIONS}: a site per "
                "well, or per recording"
            )
        if not 0 < self.evaluation_share < 1:
            raise ConfigError(
                f"threew: evaluation share {self.evaluation_share}; expected between 0 and 1"
            )

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Open it as the run config says.

        Recordings are read where the run config names no channels of an event type other than 2.
        """
        refuse_partition(config, _PARTITIONS)
        return cls._open(config, _channels_named(config) or _usual_channels(config))

    @classmethod
    def from_run(cls, config: RunConfig, folder: Path) -> Self:
        """Open it with the channels that the run kept, as its recordings need not be here."""
        kept = folder / _CHANNELS_FILE
        if _channels_named(config) or not kept.is_file():
            return cls.from_config(config)
        return cls._open(config, (tuple(kept.read_text().split()), REASON))

    @classmethod
    def _open(cls, config: RunConfig, channels: tuple[tuple[str, ...], str]) -> Self:
        data = config.data
        return cls(
            data_dir=resolve_data_dir(data.dir),
            protocol=data.protocol,
            held_out=data.held_out,
            event=data.event,
            channels=channels[0],
            why=channels[1],
            partition=data.partition,
            calibration_share=data.calibration_share,
            feature_spec=chosen_features(config, FIVE_MINUTES),
        )

    @property
    def schema(self) -> Schema:
        """The chosen channels at 1 Hz."""
        return threew_schema(self.channels)

    def sites(self, k: int) -> list[str]:
        """Names of the wells, or recordings; DataError unless `k` is their number."""
        return self._names(self._site_series(), k)

    def load_site(self, index: int, k: int) -> SiteData:
        """Load site `index` (0 to k - 1) of `k`, dead and impossible readings set to missing."""
        wells = self._site_series()
        name = self._names(wells, k)[index]
        series, quality = self._clean(name, wells[name])
        share = self.calibration_share
        return build_site(name, series, self.schema, self.feature_spec, share, quality)

    def describe(self, k: int) -> str:
        """Say in one line what the data is."""
        said = f"3W, recordings of real oil wells, {self.protocol}"
        if self.partition != "auto":
            said += ", a site per recording"
        if self.event != _USUAL_EVENT:
            said += f", event type {self.event} ({EVENT_NAMES[self.event]})"
        if self.why:
            said += f", channels {', '.join(self.channels)} ({self.why})"
        return said

    def documents(self) -> Mapping[str, bytes]:
        """The channels, where the recordings said which."""
        return {_CHANNELS_FILE: "\n".join(self.channels).encode()} if self.why else {}

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
        return OwnTwin("recorded", recording=_source(self.data_dir, self.event, "SIMULATED"))

    def read_recording(self, path: Path) -> pd.DataFrame:
        """Read simulated recordings, labelled by their event."""
        return read_threew(path, self.channels, source="SIMULATED", events=(self.event,))

    def _names(self, wells: dict[str, pd.DataFrame], k: int) -> list[str]:
        if k != len(wells):
            what = "wells" if self.partition == "auto" else "recordings"
            raise DataError(
                f"threew: {k} sites asked for, but the data has {len(wells)} {what} to train on "
                f"({', '.join(wells)}); set the number of sites to {len(wells)}"
            )
        return list(wells)

    def _clean(self, name: str, series: pd.DataFrame) -> tuple[pd.DataFrame, QualityReport]:
        cleaned, quality = clean(name, series, self.schema)
        self.schema.validate(cleaned, name)
        return cleaned, quality

    def _wells(self) -> dict[str, pd.DataFrame]:
        path = _source(self.data_dir, self.event, "WELL")
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
        known = [*wells] + ([] if self.partition == "auto" else [*self._recordings(wells)])
        if name not in known:
            raise ConfigError(f"threew: held-out well {name!r}; expected one of {known}")
        return name

    def _recordings(self, wells: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        return by_column(pd.concat(wells.values(), ignore_index=True), recording_name)

    def _site_series(self) -> dict[str, pd.DataFrame]:
        wells = self._wells()
        if self.protocol == "pooled":
            wells = {name: self._by_recording(series)[0] for name, series in wells.items()}
            return wells if self.partition == "auto" else self._recordings(wells)
        name = self._held_out(wells)
        others = {well: series for well, series in wells.items() if well != name}
        if self.partition == "auto":
            return others
        return {site: series for site, series in self._recordings(others).items() if site != name}

    def _evaluation_series(self) -> dict[str, pd.DataFrame]:
        wells = self._wells()
        if self.protocol == "pooled":
            later = {name: self._by_recording(series)[1] for name, series in wells.items()}
            return {name: series for name, series in later.items() if len(series)}
        name = self._held_out(wells)
        return {name: wells[name] if name in wells else self._recordings(wells)[name]}

    def _by_recording(self, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Earlier and later recordings of one well; a single one is all earlier."""
        names = sorted(name for name, _ in iter_instances(series))
        count = max(1, round(self.evaluation_share * len(names))) if len(names) > 1 else 0
        later = series[INSTANCE].isin(names[len(names) - count :])
        return series[~later].reset_index(drop=True), series[later].reset_index(drop=True)


def _source(data_dir: Path, event: int, source: str) -> Path:
    """One file of all recordings, if it is there, or the published folders."""
    folder = data_dir / _FOLDER
    one = folder / f"class{event}_{source}.parquet"
    return one if one.exists() else folder


def _channels_named(config: RunConfig) -> tuple[tuple[str, ...], str] | None:
    """The channels that the run config names, or that type 2 has always had."""
    named = tuple(c.strip() for c in config.data.channels.split(",") if c.strip())
    if named or config.data.event == _USUAL_EVENT:
        return named or DEFAULT_CHANNELS, ""
    return None


def _usual_channels(config: RunConfig) -> tuple[tuple[str, ...], str]:
    """The channels that the recordings of the event type hold."""
    data_dir, event = resolve_data_dir(config.data.dir), config.data.event
    simulated = _source(data_dir, event, "SIMULATED")
    there = simulated.is_file() or any((simulated / str(event)).glob("SIMULATED*"))
    measured = _source(data_dir, event, "WELL")
    return held_channels(measured, simulated if there else None, event), REASON
