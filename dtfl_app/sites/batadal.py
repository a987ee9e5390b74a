"""The BATADAL benchmark: hourly SCADA of the C-Town water plant, labelled from the attack table.

Taormina et al., J. Water Resour. Plann. Manage. 144(8) 04018048, 2018; www.batadal.net. Its
authors made the data with a simulator (epanetCPA): a public benchmark, not measured data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import DataError
from dtfl_app.sites.batadal_attacks import ATTACKS, PERIODS, Attack
from dtfl_app.sites.readers import (
    assemble_series,
    flagged_events,
    parse_numbers,
    parse_times,
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
_FLAGS = {0.0: NORMAL, 1.0: ABNORMAL, -999.0: UNLABELLED}


def read_batadal(path: Path) -> pd.DataFrame:
    """Read one of the official files, or one in their layout, as a labelled series.

    DATETIME may be ``dd/mm/yy HH`` or ISO 8601; an unnamed leading column, a missing ATT_FLAG and
    spaces around names and values are accepted. Rows within the three official periods are
    labelled from `ATTACKS` alone, with events "attack-1" to "attack-14": the -999 of dataset04
    means unknown, not safe, and the table knows. Other rows take ATT_FLAG (1 abnormal, 0 normal,
    -999 or absent unlabelled), with events "flagged-1", "flagged-2", and so on.

    Raises DataError or SchemaError naming file, row and column.
    """
    frame = read_table(path)
    require_columns(frame, [_TIME, *SCADA.names], path)
    values = parse_numbers(frame, SCADA.names, path)
    require_readings(values, path)
    time = parse_times(frame[_TIME], path, formats=("%d/%m/%y %H", "ISO8601"))
    label, event = _from_flags(frame, path)
    _apply_attack_table(time, label, event)
    instance = stretch_names(time, SCADA.period_s, path.stem)
    series = assemble_series(time, values, instance, label, event)
    SCADA.validate(series, str(path))
    return series


def _from_flags(frame: pd.DataFrame, path: Path) -> tuple[NDArray[np.int8], NDArray[np.object_]]:
    if _FLAG not in frame:
        return np.full(len(frame), UNLABELLED, np.int8), np.full(len(frame), "", object)
    flags = parse_numbers(frame, [_FLAG], path)[_FLAG].fillna(-999.0)
    strange = np.flatnonzero(~flags.isin(_FLAGS))
    if strange.size:
        row = int(strange[0])
        raise DataError(
            f"{path}: data row {row + 1}, column {_FLAG!r}: {flags[row]:g} is no known flag; "
            "expected 1 (attack), 0 (normal) or -999 (unlabelled)"
        )
    label = np.asarray(flags.map(_FLAGS), dtype=np.int8)
    return label, flagged_events(label)


def _apply_attack_table(
    time: NDArray[np.datetime64], label: NDArray[np.int8], event: NDArray[np.object_]
) -> None:
    for first, last in PERIODS:
        official = _within(time, first, last)
        label[official] = NORMAL
        event[official] = ""
    for attack in ATTACKS:
        under_attack = _within(time, attack.start, attack.end)
        label[under_attack] = ABNORMAL
        event[under_attack] = attack.event


def _within(
    time: NDArray[np.datetime64], first: pd.Timestamp, last: pd.Timestamp
) -> NDArray[np.bool_]:
    return (time >= first.to_datetime64()) & (time <= last.to_datetime64())
