"""A small plant to check with: a tank's level and outflow at three sites, and its twin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dtfl_app.core.settings import Value
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from twin.schema import Channel, Schema

__all__ = ["SITES", "SmallPlant"]

SITES = ("east", "north", "west")
_PERIOD_S = 60.0
_SCHEMA = Schema(
    "small-plant",
    (
        Channel("level", "m", "level", -50.0, 50.0),
        Channel("inflow", "L/s", "flow", -50.0, 50.0),
        Channel("outflow", "L/s", "flow", -50.0, 50.0),
    ),
    period_s=_PERIOD_S,
)


@dataclass(frozen=True, slots=True)
class SmallPlant:
    """The files of three sites, a labelled file to judge by and a twin's recording.

    Parameters
    ----------
    folder : holds them.
    """

    folder: Path

    @classmethod
    def write(cls, folder: Path, rows: int = 120) -> SmallPlant:
        """Write sites of `rows`, 1.5 and 2 times `rows` rows of a minute each."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "schema.toml").write_text(
            SiteSchema(_SCHEMA, labels=LabelColumn("label"), twin="recorded").to_toml()
        )
        for place, name in enumerate(SITES):
            _series(place, rows * (place + 2) // 2).to_csv(folder / f"{name}.csv", index=False)
        _series(98, rows, attacked=True).to_parquet(folder / "judged.parquet")
        twin = [_series(50 + part, rows, f"run-{part}", attacked=part == 1) for part in range(2)]
        pd.concat(twin).to_parquet(folder / "twin.parquet")
        return cls(folder)

    def settings(self) -> dict[str, Value]:
        """Run config of a federation of its sites that takes a second."""
        return {
            "dataset": "files",
            "data.dir": str(self.folder),
            "data.schema": str(self.folder / "schema.toml"),
            "data.exclude": "judged.parquet, twin.parquet",
            "data.evaluation-file": str(self.folder / "judged.parquet"),
            "twin.recording": str(self.folder / "twin.parquet"),
            "twin.steps": 3,
            "twin.warm-steps": 3,
            "detector.hidden": 8,
            "detector.latent": 2,
            "train.epochs": 1,
            "cache-dir": str(self.folder / "cache"),
            "join-timeout": 0.0,
            "device": "cpu",
        }


def _series(seed: int, rows: int, instance: str = "run", attacked: bool = False) -> pd.DataFrame:
    """What comes in leaves a little later; in an attack the level reads 20 m too high."""
    rng = np.random.default_rng([23, seed])
    inflow = 5 * np.sin(np.arange(rows) / 7 + seed) + 0.2 * rng.normal(size=rows)
    outflow = np.concatenate([inflow[:1], inflow[:-1]])
    level = np.cumsum(inflow - outflow) + 0.1 * rng.normal(size=rows)
    label, event = np.zeros(rows, np.int8), np.full(rows, "", dtype=object)
    if attacked:
        during = slice(rows // 2, rows // 2 + rows // 6)
        level[during] += 20.0
        label[during], event[during] = 1, "level-too-high"
    return pd.DataFrame(
        {
            "instance": pd.Series([instance] * rows, dtype="str"),
            "time": np.datetime64("2024-01-01", "ns") + np.arange(rows) * np.timedelta64(60, "s"),
            "level": level,
            "inflow": inflow,
            "outflow": outflow,
            "label": label,
            "event": pd.Series(event, dtype="str"),
        }
    )
