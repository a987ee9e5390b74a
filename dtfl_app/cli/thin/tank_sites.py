"""tank_sites.py: sites of two tanks in a row, each with valves of its own."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dtfl_app.core.settings import setting
from dtfl_app.sites.features import FeatureSpec, concat, make_features
from dtfl_app.sites.federation import FederatedDataset, build_site, chosen_features
from dtfl_app.sites.quality import assess
from twin.schema import Channel, Schema

LEVELS = (Channel("upper", "m", "level", 0.0, 9.0), Channel("lower", "m", "level", 0.0, 9.0))
SCHEMA = Schema("two-tanks", (Channel("inflow", "L/s", "flow", 0.0, 9.0), *LEVELS), period_s=60.0)


@dataclass(frozen=True)
class TankSitesOptions:
    minutes: int = setting(1440, "length of each site's recording", low=120)


class TankSites(FederatedDataset):
    Options = TankSitesOptions
    schema = SCHEMA
    feature_spec = FeatureSpec(60.0, 60.0, ("last",))  # each minute as it is

    def __init__(self, config):
        self.minutes = self.options(config).minutes
        self.seed, self.share = config.data.seed, config.data.calibration_share
        self.feature_spec = chosen_features(config, self.feature_spec)

    @classmethod
    def from_config(cls, config):
        return cls(config)

    def sites(self, k):
        return [f"site-{index + 1:02d}" for index in range(k)]

    def load_site(self, index, k):
        name, series = self.sites(k)[index], self.recorded(index, k)
        quality = assess(name, series, SCHEMA)
        return build_site(name, series, SCHEMA, self.feature_spec, self.share, quality)

    def load_evaluation(self, k):
        later = [self.recorded(index, k, leak=True) for index in range(k)]
        return concat([make_features(series, SCHEMA, self.feature_spec) for series in later])

    def recorded(self, index, k, leak=False):
        rng, rows = np.random.default_rng([self.seed, index, leak]), np.arange(self.minutes)
        leaking = leak & (rows >= self.minutes // 2) & (rows < self.minutes // 2 + 60)
        inflow = 3.0 + np.sin(rows / 230.0) + 0.1 * rng.normal(size=self.minutes)
        valves = np.random.default_rng([self.seed, index]).uniform(1.4, 1.6, size=2)
        level, levels = np.array([4.0, 4.0]), []
        for supply, lost in zip(inflow, 2.0 * leaking, strict=True):
            out = valves * np.sqrt(level)
            level = np.clip(level + 0.02 * (np.array([supply - lost, out[0]]) - out), 0.0, 9.0)
            levels.append(level)
        table = {"instance": self.sites(k)[index] + ("/leak" if leak else "/normal")}
        table |= {"time": pd.date_range("2024-01-01", periods=self.minutes, freq="min", unit="ns")}
        table |= {
            "inflow": inflow,
            "upper": np.array(levels)[:, 0],
            "lower": np.array(levels)[:, 1],
        }
        label = leaking.astype(np.int8)
        return pd.DataFrame({**table, "label": label, "event": np.where(leaking, "leak", "")})
