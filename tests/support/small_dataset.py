"""A data set of two channels in a minute: sites that a test can make in milliseconds."""

import sys
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import pytest

from dtfl_app.client import site
from dtfl_app.core.config import RunConfig
from dtfl_app.sites import catalogue
from dtfl_app.sites.features import Features, FeatureSpec, make_features
from dtfl_app.sites.federation import FederatedDataset, SiteData, build_site
from dtfl_app.sites.quality import assess
from twin.schema import Channel, Schema

__all__ = ["SMALL", "SmallDataset", "small_series", "use_small_dataset"]

SMALL = Schema(
    "small",
    (Channel("level", "m", "level", -50.0, 50.0), Channel("flow", "L/s", "flow", -50.0, 50.0)),
    period_s=60.0,
)
EACH_MINUTE = FeatureSpec(60, 60, ("last",))


def small_series(
    seed: int, rows: int, label: int = 0, event: slice | None = None, instance: str = "run"
) -> pd.DataFrame:
    """A noisy wave and its double; in `event` both channels lie 20 higher, with label 1."""
    rng = np.random.default_rng([17, seed])
    wave = np.sin(np.arange(rows) / 5 + seed)
    labels, names = np.full(rows, label, dtype=np.int8), np.full(rows, "", dtype=object)
    if event is not None:
        wave[event] += 20.0
        labels[event], names[event] = 1, "surge"
    return pd.DataFrame(
        {
            "instance": pd.Series([instance] * rows, dtype="str"),
            "time": np.datetime64("2024-01-01", "ns") + np.arange(rows) * np.timedelta64(60, "s"),
            "level": wave + 0.1 * rng.normal(size=rows),
            "flow": 2 * wave + 0.1 * rng.normal(size=rows),
            "label": labels,
            "event": pd.Series(names, dtype="str"),
        }
    )


@dataclass(frozen=True)
class SmallDataset(FederatedDataset):
    """K sites of `rows` rows each and an evaluation set of 60 rows with one event of 10.

    Parameters
    ----------
    label : label of all rows at the sites.
    names : site names, when they shall not be "site-0", "site-1", and so on.
    """

    rows: int = 100
    calibration_share: float = 0.2
    label: int = 0
    names: tuple[str, ...] = ()
    schema: Schema = SMALL
    feature_spec: FeatureSpec = EACH_MINUTE

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        return cls()

    def sites(self, k: int) -> list[str]:
        return list(self.names or (f"site-{i}" for i in range(k)))

    def load_site(self, index: int, k: int) -> SiteData:
        name, series = self.sites(k)[index], small_series(index, self.rows, self.label)
        quality = assess(name, series, self.schema)
        return build_site(
            name, series, self.schema, self.feature_spec, self.calibration_share, quality
        )

    def load_evaluation(self, k: int) -> Features:
        return make_features(self.attacked(), self.schema, self.feature_spec)

    def attacked(self) -> pd.DataFrame:
        return small_series(99, 60, event=slice(30, 40))


def use_small_dataset(monkeypatch: pytest.MonkeyPatch, dataset: SmallDataset) -> None:
    """Let ``dataset = "small"`` stand for `dataset`, at the server and at all sites."""
    always = {"from_config": classmethod(lambda cls, config: dataset)}
    chosen = type("Small", (type(dataset),), always)
    monkeypatch.setattr(sys.modules[__name__], "Chosen", chosen, raising=False)
    monkeypatch.setitem(catalogue.DATASETS.built_in, "small", f"{__name__}:Chosen")  # type: ignore[arg-type]
    site._open_site.cache_clear()
