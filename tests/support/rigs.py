"""Five pump rigs that run at points of their own, as files, and recordings of a fault at each."""

from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["RIGS", "rig_frame", "write_rigs"]

RIGS = ("rig-1", "rig-2", "rig-3", "rig-4", "rig-5")
_SCHEMA = """
name = "rigs"
period-s = 1
time = "when"

[[channel]]
name = "pressure"
unit = "bar"
kind = "pressure"
low = 0
high = 200

[[channel]]
name = "flow"
unit = "L/s"
kind = "flow"
low = 0
high = 2000

[[channel]]
name = "current"
unit = "A"
kind = "other"
low = 0
high = 400

[labels]
column = "flag"
"""


def rig_frame(rig: int, take: int, rows: int, fault: slice | None = None) -> pd.DataFrame:
    """A recording of a rig: its load wanders, pressure, flow and current follow; `take` numbers it.

    Rigs are 10 deviations of their own apart or more, takes of one rig up to one. In a `fault` the
    current is 6 deviations above what belongs to the load.
    """
    rng = np.random.default_rng([7, rig, take])
    load = np.sin(np.arange(rows) / 15 + rng.uniform(0, 6)) + 0.2 * rng.normal(size=rows)
    places = np.array([20.0, 300.0, 50.0]) * (1 + rig) + rng.uniform(-1, 1, 3) * [1, 15, 3]
    sizes = np.array([1.0, 15.0, 3.0]) * (1 + rig / 4)
    readings = places + sizes * (load[:, None] * [1, 1, 1] + 0.2 * rng.normal(size=(rows, 3)))
    flag = np.zeros(rows, dtype=int)
    if fault is not None:
        readings[fault, 2] += 6 * sizes[2]
        flag[fault] = 1
    begin = pd.Timestamp("2024-05-01") + pd.Timedelta(hours=take)
    found = pd.DataFrame(readings.round(3), columns=["pressure", "flow", "current"])
    found.insert(0, "when", pd.date_range(begin, periods=rows, freq="s").astype(str))
    return found.assign(instance=f"{RIGS[rig]}/take-{take}", flag=flag)


def write_rigs(folder: Path) -> Path:
    """Write schema.toml, two takes for each rig, and a third of each with a fault in judge.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.toml").write_text(_SCHEMA)
    for rig, name in enumerate(RIGS):
        takes = [rig_frame(rig, take, 300) for take in (1, 2)]
        pd.concat(takes).to_csv(folder / f"{name}.csv", index=False)
    faults = [rig_frame(rig, 3, 260, fault=slice(200, 230)) for rig in range(len(RIGS))]
    pd.concat(faults).to_csv(folder / "judge.csv", index=False)
    return folder
