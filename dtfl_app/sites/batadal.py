"""The BATADAL benchmark: hourly SCADA of the C-Town water plant, labelled from the attack table.

Taormina et al., J. Water Resour. Plann. Manage. 144(8) 04018048, 2018; www.batadal.net. Its
authors made the data with a simulator (epanetCPA): a public benchmark, not measured data.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError
from dtfl_app.core.logs import log
from dtfl_app.sites.batadal_attacks import ATTACKS, PERIODS, Attack
from dtfl_app.sites.cells import CellGrammar
from dtfl_app.sites.columns import parse_numbers, parse_times
from dtfl_app.sites.label_column import LabelColumn, LabelReader
from dtfl_app.sites.own_labels import label_cells, shown
from dtfl_app.sites.readers import (
    assemble_series,
    flagged_events,
    read_table,
    require_columns,
    require_readings,
)
from dtfl_app.sites.stretches import stretch_names
from twin.ctown.channels import SCADA
from twin.schema import ABNORMAL, NORMAL, UNLABELLED

__all__ = ["ATTACKS", "DATASET03", "DATASET04", "SCADA", "TEST_FILE", "Attack", "read_batadal"]

DATASET03 = "BATADAL_dataset03.csv"
DATASET04 = "BATADAL_dataset04.csv"
TEST_FILE = "BATADAL_test_dataset.csv"

_TIME, _FLAG = "DATETIME", "ATT_FLAG"
_OFFICIAL_FLAGS = LabelColumn(_FLAG, unlabelled=(-999.0,))
# And words that copies of the files have for them.
_FLAGS = LabelColumn(_FLAG, (0.0, "benign", "normal"), (1.0, "attack*", "anomal*"), (-999.0,))


def read_batadal(path: Path) -> pd.DataFrame:
    """Read one of the official files, or one in their layout, as a labelled series.

    DATETIME may be ``dd/mm/yy HH`` or ISO 8601; an unnamed leading column, a missing ATT_FLAG and
    spaces around names and values are accepted. Rows within the three official periods are
    labelled from `ATTACKS` alone, with events "attack-1" to "attack-14": the -999 of dataset04
    means unknown, not safe, and the table knows. Other rows take ATT_FLAG (1 abnormal, 0 normal,
    -999 or absent unlabelled; or words, "benign" or "normal", "attack8" or "anomaly"), with events
    "flagged-1", "flagged-2", and so on. Flags of official rows may be anything: if they are others
    than the official ones, it is told once that they do not count.

    Raises DataError or SchemaError naming file, row and column.
    """
    frame = read_table(path)
    require_columns(frame, [_TIME, *SCADA.names], path)
    values = parse_numbers(frame, SCADA.names, path)
    require_readings(values, path)
    time = parse_times(frame[_TIME], path, formats=("%d/%m/%y %H", "ISO8601"))
    label, event = _from_flags(frame, _official(time), path)
    _apply_attack_table(time, label, event)
    instance = stretch_names(time, SCADA.period_s, path.stem)
    series = assemble_series(time, values, instance, label, event)
    SCADA.validate(series, str(path))
    return series


def _from_flags(
    frame: pd.DataFrame, official: NDArray[np.bool_], path: Path
) -> tuple[NDArray[np.int8], NDArray[np.object_]]:
    """Labels and events by the flags of the rows that the table does not decide."""
    label = np.full(len(frame), UNLABELLED, np.int8)
    if _FLAG in frame:
        column = frame[_FLAG]
        found, strange = label_cells(column, LabelReader(_FLAGS, CellGrammar()))
        _, unofficial = label_cells(column, LabelReader(_OFFICIAL_FLAGS, CellGrammar()))
        ignored = np.flatnonzero(unofficial & official)
        if ignored.size:
            _tell_ignored(str(path), str(column.iloc[ignored[0]]), int(ignored.size))
        _require_known(column, strange & ~official, path)
        label[~official] = found[~official]
    return label, flagged_events(label)


def _require_known(column: pd.Series[Any], strange: NDArray[np.bool_], path: Path) -> None:
    if strange.any():
        row = int(np.flatnonzero(strange)[0])
        raise DataError(
            f"{path}: data row {row + 1}, column {_FLAG!r}: {shown(column.iloc[row])} is no known "
            f"flag; expected 1 (attack), 0 (normal) or -999 (unlabelled), or one of the words "
            f"{[word for word, _ in _FLAGS.meanings if isinstance(word, str)]}"
        )


@cache
def _tell_ignored(path: str, flag: str, rows: int) -> None:
    log.info(
        "%s: column %s is ignored, as BATADAL's table of attacks decides: it has %r, for example, "
        "and %d such rows",
        path,
        _FLAG,
        flag,
        rows,
    )


def _apply_attack_table(
    time: NDArray[np.datetime64], label: NDArray[np.int8], event: NDArray[np.object_]
) -> None:
    official = _official(time)
    label[official] = NORMAL
    event[official] = ""
    for attack in ATTACKS:
        under_attack = _within(time, attack.start, attack.end)
        label[under_attack] = ABNORMAL
        event[under_attack] = attack.event


def _official(time: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    official = np.zeros(len(time), bool)
    for first, last in PERIODS:
        official |= _within(time, first, last)
    return official


def _within(
    time: NDArray[np.datetime64], first: pd.Timestamp, last: pd.Timestamp
) -> NDArray[np.bool_]:
    return (time >= first.to_datetime64()) & (time <= last.to_datetime64())
