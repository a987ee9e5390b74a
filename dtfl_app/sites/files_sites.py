"""Any folder of CSV or Parquet files as a federation: every file is a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, Self

import pandas as pd

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError, SchemaError
from dtfl_app.core.logs import log
from dtfl_app.core.node_config import OwnData
from dtfl_app.sites.features import Features, FeatureSpec
from dtfl_app.sites.federation import (
    FederatedDataset,
    OwnTwin,
    SiteData,
    build_site,
    chosen_features,
    evaluation_features,
    refuse_partition,
)
from dtfl_app.sites.folders import SCHEMA_FILE, file_in, own_schema, resolve_data_dir
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.quality import QualityReport
from dtfl_app.sites.site_schema import EventTable, SiteSchema, read_site_schema
from twin.schema import ABNORMAL, LABEL, NORMAL, Schema

__all__ = ["FilesDataset", "each_reading"]

_ENDINGS = (".csv", ".parquet")


def each_reading(schema: Schema) -> FeatureSpec:
    """Features that are the readings themselves, row by row."""
    return FeatureSpec(schema.period_s, schema.period_s, ("last",))


@dataclass(frozen=True, slots=True)
class FilesDataset(FederatedDataset):
    """Files in one schema, one site each.

    Parameters
    ----------
    site_schema : how the files are read.
    folder : holds the sites' files; None at the server of a deployment, where each node holds its
        own.
    evaluation : labelled file in the same schema to judge by; None without one.
    recording : what another simulator recorded, for the twin; None without one.
    calibration_share : share of each stretch of a site's rows kept for calibration, in [0, 1).
    feature_spec : how features are made; `each_reading` is the usual.
    excluded : names and patterns of files in the folder that are no sites.
    """

    reads_data_dir: ClassVar[bool] = True
    files_in_data_dir: ClassVar[bool] = True
    frozen_as_missing: ClassVar[bool] = True

    # field(), or the base class's property of that name would be taken for a default.
    site_schema: SiteSchema = field()
    folder: Path | None
    evaluation: Path | None
    recording: Path | None
    calibration_share: float
    feature_spec: FeatureSpec = field()
    excluded: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: RunConfig) -> Self:
        """Open the files that the run config names; only their schema is read.

        Raises ConfigError where the settings do not say enough, SchemaError for a wrong schema.
        """
        refuse_partition(config)
        if config.data.protocol != "unseen-events":
            raise ConfigError(
                f"run config: data.protocol = {config.data.protocol!r}, but files are judged by "
                "the file that data.evaluation-file names; leave protocol at 'unseen-events'"
            )
        if config.data.exclude and not config.data.dir:
            raise ConfigError(
                f"run config: data.exclude = {config.data.exclude!r} leaves files of data.dir out, "
                "which is empty; set data.dir, or leave data.exclude empty"
            )
        folder = resolve_data_dir(config.data.dir) if config.data.dir else None
        return cls._open(config, _schema_named(config), folder)

    @classmethod
    def from_run(cls, config: RunConfig, folder: Path) -> Self:
        """Read further files by the schema that the run kept; there are no sites."""
        return cls._open(config, folder / SCHEMA_FILE, None)

    @classmethod
    def from_own_file(cls, config: RunConfig, own: OwnData) -> tuple[Self, SiteData]:
        """Read a node's file by its own schema, or by the run's where that is at this node."""
        if own.schema is None and not Path(config.data.schema).is_file():
            raise ConfigError(
                f"node config: data.schema is missing, and the run's, {config.data.schema!r}, is "
                'no file at this node; name the site\'s own, e.g. data.schema="/data/schema.toml"'
            )
        dataset = cls._open(config, own.schema or Path(config.data.schema), None)
        return dataset, dataset.load_file(own.site, own.path)

    @classmethod
    def fixed_sites(cls, config: RunConfig) -> int:
        """As many as there are files."""
        dataset = cls.from_config(config)
        if dataset.folder is None:
            raise ConfigError(
                "run config: data.dir is empty; dtfl run simulates the sites from the files in a "
                "folder, e.g. data.dir=stations. Nodes with files of their own are for `flwr run`"
            )
        return len(dataset.sites(config.run.sites or len(dataset.files)))

    @classmethod
    def _open(cls, config: RunConfig, schema: Path, folder: Path | None) -> Self:
        data, found = config.data, read_site_schema(schema)
        recording = config.twin.recording
        return cls(
            site_schema=found,
            folder=folder,
            evaluation=file_in(config, data.evaluation_file) if data.evaluation_file else None,
            recording=file_in(config, recording) if recording else None,
            calibration_share=data.calibration_share,
            feature_spec=chosen_features(config, each_reading(found.schema)),
            excluded=data.excluded if folder is not None else (),
        )

    @property
    def schema(self) -> Schema:
        """What all sites agree on."""
        return self.site_schema.schema

    @property
    def files(self) -> dict[str, Path]:
        """Site name -> file, sorted by name; empty without a folder.

        Raises DataError when two files give one name, or the folder holds none, and ConfigError
        when a name to leave out is that of no file.
        """
        if self.folder is None:
            return {}
        apart = {path.resolve() for path in self._apart()} | self._left_out(self.folder)
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
        path = self.files[name]
        series, quality = load_own_file(path, self._schema_of(path), name)
        self._warn_of_labels(path, int((series[LABEL] == ABNORMAL).sum()))
        return self._site(name, series, quality)

    def load_file(self, name: str, path: Path) -> SiteData:
        """Load the site `name` from its own file, wherever that is."""
        return self._site(name, *load_own_file(path, self.site_schema, name))

    def read_file(self, path: Path) -> pd.DataFrame:
        """Read an unseen file as a labelled series, its readings treated as in training."""
        return load_own_file(path, self._schema_of(path))[0]

    def _schema_of(self, path: Path) -> SiteSchema:
        """How a file is read: by the schema of its own beside it, or as the others are."""
        own = own_schema(path)
        if own is None:
            return self.site_schema
        found = read_site_schema(own)
        if found.schema.digest() != self.schema.digest():
            raise SchemaError(
                f"{own}: what all sites agree on is another than in {SCHEMA_FILE}: "
                f"{_difference(found.schema, self.schema)}. Make it the same, or remove the file; "
                "only columns, clock, words, marks and labels are a site's own"
            )
        return found

    def _site(self, name: str, series: pd.DataFrame, quality: QualityReport) -> SiteData:
        spec, share = self.feature_spec, self.calibration_share
        return build_site(name, series, self.schema, spec, share, quality)

    def _warn_of_labels(self, path: Path, abnormal: int) -> None:
        """A file to judge by that nobody named looks like one more site."""
        if self.evaluation is None and abnormal:
            log.warning(
                "%s has %d rows labelled abnormal and is a site, since no file is named to judge "
                "by; name it in data.evaluation-file, or leave it out with data.exclude",
                path.name,
                abnormal,
            )

    def load_evaluation(self, k: int) -> Features | None:
        """Load the evaluation file; DataError when it has no window, or nothing is labelled."""
        if self.evaluation is None:
            return None
        path, series = self.evaluation, self.read_file(self.evaluation)
        features = evaluation_features(str(path), series, self.schema, self.feature_spec)
        if not (features.label >= 0).any():
            raise DataError(
                f"{self.evaluation}: no row is labelled, so nothing can be judged by it; expected "
                "labels as [labels] in the schema says, or leave data.evaluation-file empty"
            )
        _warn_of_one_class(path, features)
        return features

    def describe(self, k: int) -> str:
        """Say in one line what the data is."""
        where = "each node's own file" if self.folder is None else f"files in {self.folder}"
        judged = (
            "without an evaluation file"
            if self.evaluation is None
            else "judged by " + (self.evaluation.name)
        )
        return f"schema {self.schema.name!r}, {where}, {judged}"

    def documents(self) -> Mapping[str, bytes]:
        """The site schema as TOML, and its table of events where that is here."""
        found = {SCHEMA_FILE: self.site_schema.to_toml().encode()}
        labels = self.site_schema.labels
        if isinstance(labels, EventTable) and labels.path.is_file():
            found[labels.path.name] = labels.path.read_bytes()
        return found

    @property
    def own_twin(self) -> OwnTwin:
        """The twin that the site schema names."""
        return OwnTwin(self.site_schema.twin, recording=self.recording)

    def _left_out(self, folder: Path) -> set[Path]:
        """Files that the settings leave out; ConfigError where one is not there."""
        files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _ENDINGS]
        found: set[Path] = set()
        for pattern in self.excluded:
            fitting = {path.resolve() for path in files if fnmatchcase(path.name, pattern)}
            if not fitting:
                raise ConfigError(
                    f"run config: data.exclude: no file in {folder} is called {pattern!r}; "
                    f"expected names or patterns of {', '.join(path.name for path in files)}"
                )
            found |= fitting
        return found

    def _apart(self) -> list[Path]:
        """Files that may lie in the folder and are no sites."""
        labels = self.site_schema.labels
        table = labels.path if isinstance(labels, EventTable) else None
        return [path for path in (table, self.evaluation, self.recording) if path is not None]


def _warn_of_one_class(path: Path, features: Features) -> None:
    """Say which figures a file of normal or of abnormal rows alone leaves open."""
    for value, name, undefined in (
        (ABNORMAL, "abnormal", "no event can be found, and of the figures only false alarms count"),
        (NORMAL, "normal", "false alarms cannot be counted, nor what is made of both"),
    ):
        if not (features.label == value).any():
            log.warning("%s: no window is labelled %s, so %s", path.name, name, undefined)


def _difference(own: Schema, agreed: Schema) -> str:
    """The first thing in which two schemas differ, as found and as expected."""
    pairs = [
        ("name", own.name, agreed.name),
        ("period-s", own.period_s, agreed.period_s),
        ("channels", list(own.names), list(agreed.names)),
        *(
            (f"[[channel]] {there.name!r}", here, there)
            for here, there in zip(own.channels, agreed.channels, strict=False)
        ),
    ]
    what, found, expected = next(pair for pair in pairs if pair[1] != pair[2])
    return f"{what} is {found}, expected {expected}"


def _schema_named(config: RunConfig) -> Path:
    data = config.data
    if not data.schema and not data.dir:
        raise ConfigError(
            'run config: dataset = "files" needs data.dir, the folder of the sites\' files with '
            f"{SCHEMA_FILE} in it, or, where every node has its own file, data.schema, the path "
            "from the root of the site schema"
        )
    schema = file_in(config, data.schema or SCHEMA_FILE)
    if not schema.is_absolute():
        raise ConfigError(
            f"run config: data.schema = {data.schema!r}, data.dir = {data.dir!r}; the app runs in "
            "a folder of its own, so expected paths from the root"
        )
    return schema
