"""Any folder of CSV or Parquet files as a federation: every file is a site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.features import Features, FeatureSpec, make_features
from dtfl_app.sites.federation import SiteData, build_site
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_schema import EventTable, SiteSchema
from twin.schema import Schema

__all__ = ["FilesDataset", "each_reading"]

_ENDINGS = (".csv", ".parquet")


def each_reading(schema: Schema) -> FeatureSpec:
    """Features that are the readings themselves, row by row."""
    return FeatureSpec(schema.period_s, schema.period_s, ("last",))


@dataclass(frozen=True, slots=True)
class FilesDataset:
    """Files in one schema, one site each.

    Parameters
    ----------
    site_schema : how the files are read.
    folder : holds the sites' files; None at the server of a deployment, where each node holds its
        own.
    evaluation : labelled file in the same schema to judge by; None without one.
    apart : further files that are no sites, such as a twin's recording.
    calibration_share : share of each stretch of a site's rows kept for calibration, in [0, 1).
    feature_spec : how features are made; `each_reading` is the usual.
    """

    site_schema: SiteSchema
    folder: Path | None
    evaluation: Path | None
    apart: tuple[Path, ...]
    calibration_share: float
    feature_spec: FeatureSpec

    @property
    def schema(self) -> Schema:
        """What all sites agree on."""
        return self.site_schema.schema

    @property
    def files(self) -> dict[str, Path]:
        """Site name -> file, sorted by name; empty without a folder.

        Raises DataError when two files give one name, or the folder holds none.
        """
        if self.folder is None:
            return {}
        apart = {path.resolve() for path in self._apart()}
        found: dict[str, Path] = {}
        for path in sorted(self.folder.iterdir()):
            if path.suffix.lower() not in _ENDINGS or path.resolve() in apart:
                continue
            if path.stem in found:
                raise DataError(
                    f"{self.folder}: {found[path.stem].name} and {path.name} would both be site "
                    f"{path.stem!r}; rename or remove one of them"
                )
            found[path.stem] = path
        if not found:
            raise DataError(
                f"{self.folder}: no file for a site; expected one .csv or .parquet file per site "
                "directly in data.dir"
            )
        return dict(sorted(found.items()))

    def sites(self, k: int) -> list[str]:
        """Names of the `k` sites; none without a folder, where the nodes say who they are.

        Raises DataError unless `k` is the number of files.
        """
        names = list(self.files)
        if self.folder is not None and k != len(names):
            raise DataError(
                f"files: {k} sites asked for, but {self.folder} holds {len(names)} files of sites "
                f"({', '.join(names)}); set the number of sites to {len(names)}"
            )
        return names

    def load_site(self, index: int, k: int) -> SiteData:
        """Load file `index` (0 to k - 1) of `k`, dead and impossible readings set to missing.

        Raises ConfigError without a folder.
        """
        if self.folder is None:
            raise ConfigError(
                "files: this node is to hold a part of a folder, but no data.dir is set; set it, "
                "or give the node a file of its own: data-path and site-name in its node config"
            )
        name = self.sites(k)[index]
        return self.load_file(name, self.files[name])

    def load_file(self, name: str, path: Path) -> SiteData:
        """Load the site `name` from its own file, wherever that is."""
        series, quality = load_own_file(path, self.site_schema, name)
        spec, share = self.feature_spec, self.calibration_share
        return build_site(name, series, self.schema, spec, share, quality)

    def load_series(self, path: Path) -> pd.DataFrame:
        """Read a file in the schema as a labelled series, bad readings set to missing."""
        return load_own_file(path, self.site_schema)[0]

    def load_evaluation(self, k: int) -> Features | None:
        """Load the evaluation file; DataError when nothing in it is labelled."""
        if self.evaluation is None:
            return None
        features = make_features(self.load_series(self.evaluation), self.schema, self.feature_spec)
        if not (features.label >= 0).any():
            raise DataError(
                f"{self.evaluation}: no row is labelled, so nothing can be judged by it; expected "
                "labels as [labels] in the schema says, or leave data.evaluation-file empty"
            )
        return features

    def prepare(self, k: int, on_progress: Callable[[int, int], None]) -> None:
        """Do nothing: sites read the files."""

    def describe(self, k: int) -> str:
        """Say in one line what the data is."""
        where = "each node's own file" if self.folder is None else f"files in {self.folder}"
        judged = (
            "without an evaluation file"
            if self.evaluation is None
            else "judged by " + (self.evaluation.name)
        )
        return f"schema {self.schema.name!r}, {where}, {judged}"

    def document(self) -> bytes:
        """The site schema as TOML, for whoever reads further files of this kind."""
        return self.site_schema.to_toml().encode()

    def event_table(self) -> dict[str, bytes]:
        """Name and content of the schema's table of events; empty where none is here."""
        labels = self.site_schema.labels
        if not isinstance(labels, EventTable) or not labels.path.is_file():
            return {}
        return {labels.path.name: labels.path.read_bytes()}

    def _apart(self) -> list[Path]:
        """Files that may lie in the folder and are no sites."""
        labels = self.site_schema.labels
        table = [labels.path] if isinstance(labels, EventTable) else []
        judged = [] if self.evaluation is None else [self.evaluation]
        return [*table, *judged, *self.apart]
