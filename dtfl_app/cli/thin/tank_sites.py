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
        name, rows = self.sites(k)[index], np.arange(self.minutes)
        rng = np.random.default_rng([self.seed, index, leak])
        valves = np.random.default_rng([self.seed, index]).uniform(1.4, 1.6, size=2)
        leaking = leak & (abs(rows - self.minutes // 2) < 30)
        inflow = 3.0 + np.sin(rows / 230.0) + 0.1 * rng.normal(size=self.minutes)
        levels = np.full((self.minutes, 2), 4.0)
        for row in rows[1:]:
            out = valves * np.sqrt(levels[row - 1])
            into = np.array([inflow[row] - 2.0 * leaking[row], out[0]])
            levels[row] = np.clip(levels[row - 1] + 0.02 * (into - out), 0.0, 9.0)
        table = pd.DataFrame({"inflow": inflow, "upper": levels[:, 0], "lower": levels[:, 1]})
        table["time"] = pd.date_range("2024-01-01", periods=self.minutes, freq="min", unit="ns")
        table["instance"] = f"{name}/leak" if leak else f"{name}/normal"
        table["label"] = leaking.astype(np.int8)
        table["event"] = np.where(leaking, f"{name} leak", "")
        return table[SCHEMA.columns]
