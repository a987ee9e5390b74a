"""A folder as a person would have it: three sites' files, their schema, a twin's recording."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from tests.support.small_dataset import SMALL, small_series

__all__ = ["SITES", "SiteFolder", "make_site_folder"]

SITES = ("east", "north", "west")
_COLUMNS = {"level": "Tank level [m]", "flow": "Outflow"}
_SCHEMA = SiteSchema(SMALL, _COLUMNS, time="stamp", labels=LabelColumn("fault"), twin="recorded")


@dataclass(frozen=True)
class SiteFolder:
    """Where its files are."""

    folder: Path

    @property
    def schema(self) -> Path:
        return self.folder / "schema.toml"

    def site(self, name: str) -> Path:
        """File of a site."""
        return self.folder / f"{name}.csv"

    @property
    def evaluation(self) -> Path:
        """Labelled file that no site holds."""
        return self.folder / "judged.csv"

    @property
    def recording(self) -> Path:
        """What the twin recorded."""
        return self.folder / "twin.csv"


def make_site_folder(folder: Path, rows: int = 300) -> SiteFolder:
    """Write sites of `rows`, 1.5 and 2 times `rows` rows, and the files beside them."""
    made = SiteFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made.schema.write_text(_SCHEMA.to_toml())
    for place, name in enumerate(SITES):
        _write(made.site(name), small_series(place, rows * (place + 2) // 2))
    _write(made.evaluation, small_series(99, 200, event=slice(120, 150)))
    _write(made.recording, small_series(50, 2 * rows))
    return made


def _write(path: Path, series: pd.DataFrame) -> None:
    named = {"time": "stamp", "label": "fault", **_COLUMNS}
    series.rename(columns=named)[list(named.values())].to_csv(path, index=False)
