"""A twin that replays what another simulator recorded: instances of a labelled series."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from twin.base import Scenario
from twin.errors import DataError, ScenarioError, SchemaError, TwinError
from twin.schema import EVENT, INSTANCE, LABEL, TIME, Schema, iter_instances

__all__ = ["RecordedTwin", "read_series"]


class RecordedTwin:
    """Replay a labelled series recorded by another tool (OLGA, Modelica, a plant simulator).

    One scenario is one recorded instance, or a window of it. The physics ran elsewhere, so
    nothing can be drawn that is not in the file. An instance may have gaps in time; they stay.

    Parameters
    ----------
    path : Parquet (``.parquet``) or CSV file with the columns of ``twin.schema``.
    schema : its channels, units, ranges and sampling period.

    Raises DataError when the file cannot be read, SchemaError when it does not fit the schema.
    """

    def __init__(self, path: Path | str, schema: Schema) -> None:
        self._hold(read_series(path, schema), schema, str(path))

    @classmethod
    def from_series(cls, series: pd.DataFrame, schema: Schema, name: str) -> RecordedTwin:
        """Wrap a labelled series already in memory; `name` stands for the file in messages."""
        twin = cls.__new__(cls)
        twin._hold(_normalised(series, schema, name), schema, name)
        return twin

    def _hold(self, series: pd.DataFrame, schema: Schema, name: str) -> None:
        self._schema, self._name = schema, name
        self._fingerprint = _content_digest(series, schema)
        self._instances = {
            instance: rows.reset_index(drop=True) for instance, rows in iter_instances(series)
        }

    @property
    def schema(self) -> Schema:
        """Channels, units and sampling period of the recording."""
        return self._schema

    @property
    def source(self) -> str:
        """File or folder of the recording."""
        return self._name

    @property
    def instances(self) -> list[str]:
        """Names of the recorded instances, in file order."""
        return list(self._instances)

    @property
    def recorded_rows(self) -> int:
        """Rows of all instances."""
        return sum(len(rows) for rows in self._instances.values())

    def fingerprint(self) -> str:
        """Digest of the schema and of every recorded value (not of the file's name)."""
        return self._fingerprint

    def plan(self, count: int, hours: int, seed: int, families: Sequence[str]) -> list[Scenario]:
        """Draw `count` instances without replacement.

        Parameters
        ----------
        count : number of instances, from 1 to the number that is eligible. A repeat would add no
            information, so asking for more is a TwinError and not a silent copy.
        hours : longest stretch to take of an instance, > 0; a longer instance is cropped to a
            window at a random position, a shorter one is taken whole.
        seed : seed of the draw and of the windows' positions.
        families : kinds of event that may occur; an instance with any other is left out, one with
            no event at all is always eligible. The kind is an event's name up to the first
            space, ":" or "#" ("leak" of "leak:J10#0"), for each part of one joined by "+".
        """
        if count < 1 or hours < 1:
            raise TwinError(f"{self._name}: count {count} and hours {hours} must be at least 1")
        eligible = self._eligible(families)
        if count > len(eligible):
            raise TwinError(
                f"{self._name}: {count} scenarios asked for, {len(eligible)} instances are "
                f"recorded with no event but {sorted(families)}; ask for at most that many, or "
                f"name more families (recorded: {self._recorded_kinds()})"
            )
        rng = np.random.default_rng(seed)
        drawn = rng.choice(len(eligible), size=count, replace=False)
        seeds = rng.integers(2**31, size=count)
        return [
            Scenario(eligible[i], min(hours, self._hours(eligible[i])), int(s))
            for i, s in zip(drawn, seeds, strict=True)
        ]

    def simulate(self, scenario: Scenario) -> pd.DataFrame:
        """Return the rows of the instance that `scenario` names, cropped to its hours.

        Raises ScenarioError when the instance is not recorded or events are asked for.
        """
        rows = self._instances.get(scenario.name)
        if rows is None:
            raise ScenarioError(
                f"{self._name}: instance {scenario.name!r} is not recorded; "
                f"use plan(), or one of {self.instances[:5]}..."
            )
        if scenario.events:
            raise ScenarioError(
                f"{self._name}: scenario {scenario.name!r} asks for events, but a recording can "
                "only replay its own; leave events empty"
            )
        length = max(1, round(scenario.hours * 3600 / self._schema.period_s))
        spare = max(0, len(rows) - length)
        first = int(np.random.default_rng(scenario.seed).integers(spare + 1))
        return rows.iloc[first : first + length].reset_index(drop=True)

    def _eligible(self, families: Sequence[str]) -> list[str]:
        allowed = set(families)
        return [name for name, rows in self._instances.items() if _kinds(rows) <= allowed]

    def _recorded_kinds(self) -> list[str]:
        return sorted({kind for rows in self._instances.values() for kind in _kinds(rows)})

    def _hours(self, instance: str) -> int:
        return math.ceil(len(self._instances[instance]) * self._schema.period_s / 3600)


def _kinds(rows: pd.DataFrame) -> set[str]:
    """Kinds of the events in these rows, see `RecordedTwin.plan`."""
    parts = (part for event in rows[EVENT].unique() for part in str(event).split("+"))
    return {re.split("[ :#]", part)[0] for part in parts} - {""}


def read_series(path: Path | str, schema: Schema) -> pd.DataFrame:
    """Read and validate a labelled series from a Parquet or CSV file.

    Returns the columns of `schema` in order, with the types of ``twin.schema``; other
    columns of the file are left out. An empty event reads as "", an empty channel as NaN.

    Raises DataError when the file cannot be read, SchemaError when it does not fit the schema.
    """
    path = Path(path)
    try:
        raw = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected a .parquet or .csv file in the "
            "labelled-series columns"
        ) from error
    return _normalised(raw, schema, str(path))


def _normalised(raw: pd.DataFrame, schema: Schema, where: str) -> pd.DataFrame:
    missing = [c for c in schema.columns if c not in raw.columns]
    if missing:
        raise SchemaError(
            f"{where}: columns {missing} are missing; schema {schema.name!r} expects "
            f"{schema.columns}"
        )
    series = raw[schema.columns].reset_index(drop=True)
    series[TIME] = _times(series[TIME], where)
    series[LABEL] = _labels(series[LABEL], where)
    for column in (INSTANCE, EVENT):
        series[column] = series[column].astype(object).where(series[column].notna(), "").astype(str)
    schema.validate(series, where)
    _check_period(series, schema, where)
    return series.astype(dict.fromkeys(schema.names, np.float64))


def _times(column: pd.Series, where: str) -> pd.Series:
    try:
        times = pd.to_datetime(column).astype("datetime64[ns]")
    except (ValueError, TypeError) as error:
        raise SchemaError(f"{where}: column 'time': {error}; expected ISO 8601 times") from error
    if times.isna().any():
        row = int(np.flatnonzero(times.isna())[0])
        raise SchemaError(f"{where}: row {row}, column 'time' is empty; every row needs its time")
    return times


def _labels(column: pd.Series, where: str) -> pd.Series:
    labels = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero(~labels.isin([-1, 0, 1]))
    if bad.size:
        row = int(bad[0])
        raise SchemaError(
            f"{where}: row {row}, column 'label' is {column.iloc[row]!r} ({bad.size} such rows); "
            "expected 0 (normal), 1 (abnormal) or -1 (unlabelled)"
        )
    return labels.astype(np.int8)


def _check_period(series: pd.DataFrame, schema: Schema, where: str) -> None:
    for instance, rows in iter_instances(series):
        steps = np.diff(rows[TIME].to_numpy()) / np.timedelta64(1, "s")
        if steps.size and not np.isclose(np.median(steps), schema.period_s):
            raise SchemaError(
                f"{where}: instance {instance!r} is sampled every {np.median(steps):g} s; schema "
                f"{schema.name!r} expects {schema.period_s:g} s. Resample it"
            )


def _content_digest(series: pd.DataFrame, schema: Schema) -> str:
    digest = hashlib.sha256(schema.digest().encode())
    digest.update(series[schema.names].to_numpy(np.float64).tobytes())
    digest.update(series[TIME].to_numpy().astype("datetime64[ns]").tobytes())
    digest.update(series[LABEL].to_numpy(np.int8).tobytes())
    for column in (INSTANCE, EVENT):
        digest.update("\0".join(series[column]).encode())
    return digest.hexdigest()[:16]
