"""BATADAL as a federation: K sites from one plant, judged on attacks none of them has seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.batadal import ATTACKS, DATASET03, DATASET04, SCADA, read_batadal
from dtfl_app.sites.batadal_attacks import family_of
from dtfl_app.sites.features import Features, FeatureSpec
from dtfl_app.sites.federation import (
    FederatedDataset,
    OwnTwin,
    SiteData,
    build_site,
    chosen_features,
    evaluation_features,
)
from dtfl_app.sites.folders import resolve_data_dir
from dtfl_app.sites.known_schemas import KNOWN_SCHEMAS
from dtfl_app.sites.partition import (
    attack_per_site,
    dirichlet,
    random_split,
    site_names,
    time_blocks,
)
from dtfl_app.sites.quality import assess
from dtfl_app.sites.site_schema import SiteSchema
from dtfl_app.sites.stretches import stretch_names
from twin.schema import EVENT, INSTANCE, TIME, Schema

__all__ = ["HOURLY", "BatadalDataset"]

HOURLY = FeatureSpec(window_s=3600, step_s=3600, statistics=("last",))

_FOLDER = "batadal"
_NETWORK = Path("ctown") / "ctown_map.inp"
_PROTOCOLS = ("unseen-events", "unseen-families", "random-split")
_PARTITIONS = ("time-blocks", "attack-per-site", "dirichlet")
_DATASET04_ATTACKS = ATTACKS[:7]


@dataclass(frozen=True, slots=True)
class BatadalDataset(FederatedDataset):
    """BATADAL cut into sites.

    Parameters
    ----------
    data_dir : folder that holds ``batadal/``, and ``ctown/`` for the twin.
    partition : "time-blocks", "attack-per-site" or "dirichlet" (see ``partition``).
    protocol : "unseen-events": the sites hold dataset03 and, if `known_attacks` is above 0, the
        hours of dataset04 up to midway between the last known attack and the next; the evaluation
        set is the rest of dataset04, or `evaluation_file`. "unseen-families": the same, without
        known attacks of the families in `unseen`. "random-split": half of dataset04's
        hours, drawn at random within each label, goes to the sites, the other half is the
        evaluation set; neighbouring hours leak.
    seed : of everything random here, >= 0.
    calibration_share : share of each site's rows kept for calibration, in [0, 1).
    dirichlet_alpha : skew of the dirichlet partition, > 0.
    known_attacks : how many of dataset04's attacks the sites may learn from, 0 to 6 (to 7 when
        another file is the evaluation set).
    evaluation_file : name of the evaluation file in ``batadal/``.
    unseen : families (see ``batadal_attacks.Attack``) whose attacks no site may hold.
    feature_spec : each hour as it is, unless told otherwise.
    """

    reads_data_dir: ClassVar[bool] = True
    scored: ClassVar[bool] = True
    site_schema: ClassVar[SiteSchema] = KNOWN_SCHEMAS["batadal"]
    family_of = staticmethod(family_of)

    data_dir: Path
    partition: str = "time-blocks"
    protocol: str = "unseen-events"
    seed: int = 0
    calibration_share: float = 0.2
    dirichlet_alpha: float = 0.5
    known_attacks: int = 0
    evaluation_file: str = DATASET04
    unseen: tuple[str, ...] = ()
    feature_spec: FeatureSpec = HOURLY

    def __post_init__(self) -> None:
        if self.protocol == "leave-one-site-out":
            raise ConfigError(
                "batadal: protocol 'leave-one-site-out' makes no sense here: all sites are parts "
                f"of one plant, so none can be new to the others; expected one of {_PROTOCOLS}, "
                "or dataset=plants or threew"
            )
        if self.protocol not in _PROTOCOLS:
            raise ConfigError(f"batadal: protocol {self.protocol!r}; expected one of {_PROTOCOLS}")
        if self.partition not in _PARTITIONS:
            raise ConfigError(
                f"batadal: partition {self.partition!r}; expected one of {_PARTITIONS}"
            )
        most = len(_DATASET04_ATTACKS) - (self.evaluation_file == DATASET04)
        if not 0 <= self.known_attacks <= most:
            raise ConfigError(
                f"batadal: known attacks {self.known_attacks}; expected 0 to {most}, so that "
                "unseen ones are left to judge by"
            )

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Open it as the run config says."""
        data = config.data
        return cls(
            data_dir=resolve_data_dir(data.dir),
            partition="time-blocks" if data.partition == "auto" else data.partition,
            protocol=data.protocol,
            seed=data.seed,
            calibration_share=data.calibration_share,
            dirichlet_alpha=data.dirichlet_alpha,
            known_attacks=data.known_attacks,
            evaluation_file=data.evaluation_file or DATASET04,
            unseen=data.unseen_kinds,
            feature_spec=chosen_features(config, HOURLY),
        )

    @property
    def schema(self) -> Schema:
        """The plant's 43 channels, hourly."""
        return SCADA

    def sites(self, k: int) -> list[str]:
        """Names of `k` sites."""
        if k < 1:
            raise DataError(f"batadal: {k} sites; expected at least 1")
        return site_names(k)

    def load_site(self, index: int, k: int) -> SiteData:
        """Load site `index` (0 to k - 1) of `k`."""
        name = self.sites(k)[index]
        series = self._partition(self._series()[0], k)[name]
        return build_site(
            name,
            series,
            SCADA,
            self.feature_spec,
            self.calibration_share,
            assess(name, series, SCADA),
            # Hours drawn at random are stretches of one or two rows, too short to have tails.
            per="label" if self.protocol == "random-split" else "stretch",
        )

    def load_evaluation(self, k: int) -> Features:
        """Load the labelled hours that no site holds, whatever `k` is."""
        name, series = self.evaluation_file, self._series()[1]
        return evaluation_features(name, series, SCADA, self.feature_spec)

    def describe(self, k: int) -> str:
        """Say in one line what the data is."""
        return f"BATADAL plant (public benchmark, simulated), {self.protocol}, {self.partition}"

    @property
    def own_twin(self) -> OwnTwin:
        """The plant's network; its PLC settings are its owner's to know, the file's differ."""
        return OwnTwin("ctown", network=self.data_dir / _NETWORK, published_rules=True)

    def read_file(self, path: Path) -> pd.DataFrame:
        """Read a file in the benchmark's layout, labelled from its attack table."""
        return read_batadal(path)

    def _rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose])

    def _read(self, name: str) -> pd.DataFrame:
        return read_batadal(self.data_dir / _FOLDER / name)

    def _series(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Series of all sites together, and evaluation series."""
        if self.protocol == "random-split":
            return random_split(self._read(DATASET04), 0.5, self._rng(0))
        training = self._read(DATASET03)
        evaluation = self._read(self.evaluation_file)
        if self.known_attacks:
            before = self._before_unknown_attacks()
            known = self._read(DATASET04)
            known = _without(known[known[TIME] < before], self.unseen)
            training = pd.concat([training, known], ignore_index=True)
            if self.evaluation_file == DATASET04:
                evaluation = evaluation[evaluation[TIME] >= before].reset_index(drop=True)
        return training, evaluation

    def _before_unknown_attacks(self) -> pd.Timestamp:
        if self.known_attacks == len(_DATASET04_ATTACKS):
            return pd.Timestamp.max
        last, following = _DATASET04_ATTACKS[self.known_attacks - 1 : self.known_attacks + 1]
        return last.end + (following.start - last.end) / 2

    def _partition(self, series: pd.DataFrame, k: int) -> dict[str, pd.DataFrame]:
        if self.partition == "attack-per-site":
            return attack_per_site(series, k)
        if self.partition == "dirichlet":
            return dirichlet(series, SCADA, k, self.dirichlet_alpha, self._rng(1))
        return time_blocks(series, k)


def _without(series: pd.DataFrame, families: tuple[str, ...]) -> pd.DataFrame:
    """Leave out the attacks of these families; what lies before and after are stretches apart."""
    left_out = [attack.event for attack in ATTACKS if attack.family in families]
    kept = series[~series[EVENT].isin(left_out)].reset_index(drop=True)
    kept[INSTANCE] = stretch_names(kept[TIME].to_numpy(), SCADA.period_s, Path(DATASET04).stem)
    return kept
