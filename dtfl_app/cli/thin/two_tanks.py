"""two_tanks.py: two tanks in a row, solved by SciPy, and a leak in the upper one."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp

from twin.base import Event, Scenario
from twin.errors import ScenarioError
from twin.schema import Channel, Schema

LEVELS = (Channel("upper", "m", "level", 0.0, 9.0), Channel("lower", "m", "level", 0.0, 9.0))
SCHEMA = Schema("two-tanks", (Channel("inflow", "L/s", "flow", 0.0, 9.0), *LEVELS), period_s=60.0)
VERSION = 1  # of these equations: raise it when they change, or old data comes from the cache


@dataclass(frozen=True)
class TwoTanksOptions:
    valve: float = 1.5  # what flows out, in L/s per square root of a metre
    leak: float = 2.0  # what a leak loses, in L/s


class TwoTanks:
    Options = TwoTanksOptions
    kinds = ("leak",)

    def __init__(self, options):
        self.options = options

    @classmethod
    def from_options(cls, options, around):
        return cls(options)

    @property
    def schema(self):
        return SCHEMA

    def fingerprint(self):
        return hashlib.sha256(f"{VERSION} {asdict(self.options)}".encode()).hexdigest()[:16]

    def plan(self, count, hours, seed, families):
        events = (Event("leak", "upper", hours // 2, max(1, hours // 8), self.options.leak),)
        names = [f"two-tanks-{number:03d}" for number in range(count)]
        return [
            Scenario(name, hours, seed + number, events if families and number % 2 else ())
            for number, name in enumerate(names)
        ]

    def simulate(self, scenario):
        rows = np.arange(60 * scenario.hours)  # a row per minute
        inflow = 3.0 + np.sin(rows / 230.0)
        inflow += 0.1 * np.random.default_rng(scenario.seed).normal(size=len(rows))
        lost, event = np.zeros(len(rows)), np.full(len(rows), "", dtype=object)
        for leak in scenario.events:
            rows_of = slice(60 * leak.start_h, 60 * (leak.start_h + leak.hours))
            lost[rows_of], event[rows_of] = leak.strength, leak.kind

        def change(minute, level):
            row = min(int(minute), len(rows) - 1)
            upper, lower = self.options.valve * np.sqrt(np.maximum(level, 0.0))
            return 0.02 * np.array([inflow[row] - lost[row] - upper, upper - lower])

        found = solve_ivp(change, (0, len(rows)), [4.0, 4.0], t_eval=rows, max_step=1.0)
        if not found.success or found.y.max() > 9.0:
            raise ScenarioError(
                f"{scenario.name}: {found.message}, top level {found.y.max():.1f} m"
            )
        times = pd.date_range("2024-01-01", periods=len(rows), freq="min", unit="ns")
        upper, lower = np.maximum(found.y, 0.0)
        table = {"instance": scenario.name, "time": times, "inflow": inflow}
        table |= {"upper": upper, "lower": lower, "label": (event != "").astype(np.int8)}
        return pd.DataFrame({**table, "event": event.astype(str)})
