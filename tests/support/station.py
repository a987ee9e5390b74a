"""A booster station in a minute: a folder of files in one schema, as an operator exports them."""

from pathlib import Path

import numpy as np
import pandas as pd

from dtfl_app.sites.site_schema import SiteSchema, read_site_schema

__all__ = ["SITES", "STATION", "station_frame", "station_schema", "write_station"]

SITES = ("north", "south", "west")

STATION = """
name = "station"
period-s = 60
time = "when"
time-formats = ["%d/%m/%Y %H:%M"]

[[channel]]
name = "level"
column = "Tank 1 [m]"
unit = "m"
kind = "level"
low = 0
high = 12

[[channel]]
name = "flow"
column = "Q"
unit = "L/s"
kind = "flow"
low = -10
high = 80

[[channel]]
name = "pump"
column = "P1"
unit = "1"
kind = "status"
low = 0
high = 1

[labels]
column = "flag"
"""


def station_frame(place: int, rows: int = 400, surge: slice | None = None) -> pd.DataFrame:
    """A noisy wave, five times it as flow, and a pump that never runs; in `surge` 4 m more."""
    rng = np.random.default_rng([5, place])
    wave, flag = np.sin(np.arange(rows) / 9 + place), np.zeros(rows, dtype=int)
    if surge is not None:
        wave[surge] += 4
        flag[surge] = 1
    when = pd.date_range("2024-01-30 20:00", periods=rows, freq="min")
    return pd.DataFrame(
        {
            "when": when.strftime("%d/%m/%Y %H:%M"),
            "Tank 1 [m]": (4 + wave + 0.05 * rng.normal(size=rows)).round(3),
            "Q": (20 + 5 * wave + 0.2 * rng.normal(size=rows)).round(3),
            "P1": 0,
            "flag": flag,
        }
    )


def write_station(folder: Path, rows: int = 400, schema: str = STATION) -> Path:
    """Write schema.toml, a file per site, and judge.csv, which has one event of 40 minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.toml").write_text(schema)
    for place, name in enumerate(SITES):
        station_frame(place, rows).to_csv(folder / f"{name}.csv", index=False)
    judged = station_frame(9, 400, surge=slice(200, 240))
    judged.to_csv(folder / "judge.csv", index=False)
    return folder


def station_schema(folder: Path, text: str = STATION) -> SiteSchema:
    """The schema as `read_site_schema` reads it."""
    (folder / "schema.toml").write_text(text)
    return read_site_schema(folder / "schema.toml")
