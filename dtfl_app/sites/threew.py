"""3W: offshore oil wells at 1 Hz, the same event measured in real wells and simulated with OLGA.

Vargas et al., J. Petroleum Science and Engineering 181, 2019, 106223 (data CC BY 4.0). Read in
three forms: one Parquet file of many recordings with an `instance` column; a single published
recording, CSV (3W 1.x) or Parquet with the time as index (3W 2.x); the published folder, in
which each event type is a folder of recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.columns import parse_numbers, parse_times
from dtfl_app.sites.quality import clean
from dtfl_app.sites.readers import assemble_series, read_table, require_columns
from dtfl_app.sites.stretches import recording_of
from twin.schema import ABNORMAL, NORMAL, UNLABELLED, Channel, Schema

__all__ = [
    "CHANNELS",
    "DEFAULT_CHANNELS",
    "EVENT_NAMES",
    "read_threew",
    "read_threew_raw",
    "recording_name",
    "threew_schema",
    "well_of",
]


def _pressure(name: str) -> Channel:
    # Nothing in a well is below one bar: 0 Pa means "not connected", and readings in bar, psi or
    # kPa fall below the range too.
    return Channel(name, "Pa", "pressure", 1e5, 1e8)


def _temperature(name: str) -> Channel:
    return Channel(name, "°C", "temperature", -10.0, 200.0)


CHANNELS: dict[str, Channel] = {
    channel.name: channel
    for channel in (
        _pressure("P-PDG"),
        _pressure("P-TPT"),
        _temperature("T-TPT"),
        _pressure("P-MON-CKP"),
        _temperature("T-JUS-CKP"),
        _pressure("P-JUS-CKGL"),
        _temperature("T-JUS-CKGL"),
        Channel("QGL", "m3/s", "flow", 0.0, 100.0),
    )
}

#: Of event type 2: filled and alive in measured and simulated wells; P-PDG is dead in some wells.
DEFAULT_CHANNELS = ("P-TPT", "T-TPT")

EVENT_NAMES: dict[int, str] = {
    0: "normal",
    1: "increase-of-bsw",
    2: "spurious-closure-of-dhsv",
    3: "severe-slugging",
    4: "flow-instability",
    5: "productivity-loss",
    6: "restriction-in-pck",
    7: "scaling-in-pck",
    8: "hydrate-in-production-line",
    9: "hydrate-in-service-line",
}
# A row on its way into event 2 is of class 102, and so on.
_TRANSIENT = 100

_TIME, _CLASS, _INSTANCE = "timestamp", "class", "instance"


def threew_schema(channels: Sequence[str] = DEFAULT_CHANNELS) -> Schema:
    """Return the 1 Hz schema of the chosen channels, in the order given."""
    unknown = [name for name in channels if name not in CHANNELS]
    if unknown:
        raise ConfigError(f"3w: unknown channels {unknown}; expected some of {list(CHANNELS)}")
    return Schema("3w", tuple(CHANNELS[name] for name in channels), period_s=1.0)


def recording_name(instance: str) -> str:
    """Return the name of a recording, or of that which a part is of, without its event type.

    "2/WELL-00011_20140929170028/part-2" is of "WELL-00011_20140929170028".
    """
    return recording_of(instance).rsplit("/", 1)[-1]


def well_of(instance: str) -> str:
    """Return the well of a recording, or of a part of one.

    "2/WELL-00011_20140929170028/part-2" is of "WELL-00011".
    """
    return recording_name(instance).split("_", 1)[0]


def read_threew(
    path: Path,
    channels: Sequence[str] = DEFAULT_CHANNELS,
    source: str = "WELL",
    events: Sequence[int] = (2,),
) -> pd.DataFrame:
    """Read 3W recordings as a labelled series, dead and impossible readings set to missing.

    Parameters
    ----------
    path : a Parquet file of recordings, one published recording, or the published folder.
    channels : of `CHANNELS`, in the order wanted.
    source, events : in the published folder, recordings whose file name begins with `source`
        ("WELL" measured, "SIMULATED" from OLGA), of these event types.

    Returns
    -------
    Labelled series: class 0 is label 0, an event and the transient to it (2 and 102) 1, missing
    -1. Instances are called as in "2/WELL-00011_20140929170028"; the event of a row is its kind and
    recording, "spurious-closure-of-dhsv WELL-00011_20140929170028", so every occurrence counts.

    Raises DataError or SchemaError naming file, row and column.
    """
    schema = threew_schema(channels)
    series, _ = clean(str(path), read_threew_raw(path, channels, source, events), schema)
    schema.validate(series, str(path))
    return series


def read_threew_raw(
    path: Path,
    channels: Sequence[str] = DEFAULT_CHANNELS,
    source: str = "WELL",
    events: Sequence[int] = (2,),
    optional: bool = False,
) -> pd.DataFrame:
    """As `read_threew`, with all readings as delivered, so that a site can report on them.

    `optional` : a channel that a file has no column of is missing throughout, and no error.
    """
    if not path.is_dir():
        return _read_file(path, channels, optional)
    files = [
        file
        for event in events
        for file in sorted((path / str(event)).glob(f"{source}*"))
        if file.suffix in (".csv", ".parquet")
    ]
    if not files:
        folders = [f"{event}/" for event in events]
        raise DataError(
            f"{path}: no recording {source}*.csv or {source}*.parquet in {folders}; expected the "
            "published 3W folder, one folder per event type"
        )
    return pd.concat([_read_file(file, channels, optional) for file in files], ignore_index=True)


def _read_file(path: Path, channels: Sequence[str], optional: bool) -> pd.DataFrame:
    names = threew_schema(channels).names
    frame = read_table(path)
    if optional:
        frame = frame.assign(**{name: np.nan for name in names if name not in frame})
    require_columns(frame, [_TIME, *names, _CLASS], path)
    classes = parse_numbers(frame, [_CLASS], path)[_CLASS]
    instance = _instances(frame, path)
    return assemble_series(
        parse_times(frame[_TIME], path),
        parse_numbers(frame, names, path),
        instance,
        _labels(classes),
        _events(classes, instance, path),
    )


def _instances(frame: pd.DataFrame, path: Path) -> pd.Series[Any]:
    if _INSTANCE in frame:
        return frame[_INSTANCE].astype("str")
    return pd.Series(f"{path.parent.name}/{path.stem}", index=frame.index, dtype="str")


def _labels(classes: pd.Series[Any]) -> NDArray[np.int8]:
    label = np.where(classes == 0, NORMAL, ABNORMAL)
    return np.where(classes.isna(), UNLABELLED, label).astype(np.int8)


def _events(classes: pd.Series[Any], instance: pd.Series[Any], path: Path) -> pd.Series[Any]:
    kind = classes.mod(_TRANSIENT).map(EVENT_NAMES)
    strange = np.flatnonzero((kind.isna() & classes.notna()).to_numpy())
    if strange.size:
        row = int(strange[0])
        raise DataError(
            f"{path}: data row {row + 1}, column {_CLASS!r}: {classes[row]:g} is no event type; "
            f"expected {list(EVENT_NAMES)}, or {_TRANSIENT} more while in transient, or empty"
        )
    recording = instance.map({name: name.rsplit("/", 1)[-1] for name in instance.unique()})
    return (kind + " " + recording).where(classes > 0, "")
