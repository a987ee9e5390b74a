"""Small files in the layouts of public data sets, none of whose readings they hold."""

from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["EVENT_ROWS", "rig", "water_distribution", "water_treatment", "well"]

#: Rows of the event in a recording that has one.
EVENT_ROWS = slice(400, 460)
_ROWS = 600


def _readings(number: int, columns: list[str], event: bool) -> pd.DataFrame:
    """Noisy waves of which each column has its own height; in the event all are far off."""
    rng, place = np.random.default_rng([11, number]), np.arange(_ROWS)
    height = 3.0 + 2.0 * np.arange(len(columns))
    wave = np.sin(place / 15 + number)[:, None] * height / 10
    found = height + wave + 0.01 * rng.normal(size=(_ROWS, len(columns)))
    if event:
        found[EVENT_ROWS] *= 1.6
    return pd.DataFrame(found.round(4), columns=columns)


def _flags(event: bool) -> np.ndarray:
    flags = np.zeros(_ROWS, dtype=bool)
    if event:
        flags[EVENT_ROWS] = True
    return flags


def rig(path: Path, number: int, event: bool) -> None:
    """A test rig: semicolons, a label for the anomaly and one for where it changes."""
    columns = ["Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature"]
    frame = _readings(number, [*columns, "Volume Flow RateRMS"], event)
    when = pd.date_range(f"2020-03-{9 + number:02} 10:14:33", periods=_ROWS, freq="s")
    frame.insert(0, "datetime", when.strftime("%Y-%m-%d %H:%M:%S"))
    frame["anomaly"] = _flags(event).astype(float)
    frame["changepoint"] = np.abs(np.diff(frame["anomaly"], prepend=0.0))
    frame.to_csv(path, sep=";", index=False)


def well(path: Path, number: int, event: bool) -> None:
    """An oil well: class 0, 101, then 1 as an event comes and stays; a state, and a dead tag."""
    frame = _readings(number, ["P-PDG", "P-TPT", "T-TPT", "P-MON-CKP", "T-JUS-CKP"], event)
    frame *= [1e6, 1e6, 10.0, 1e6, 10.0]
    frame["P-JUS-CKGL"] = np.nan
    flags = _flags(event)
    frame["class"] = pd.array(np.where(flags, 1, 0), dtype="Int16")
    frame.loc[400:429, "class"] = 101 if event else 0
    frame.loc[:9, "class"] = pd.NA
    frame["state"] = pd.array(np.zeros(_ROWS), dtype="Int16")
    when = pd.date_range(f"2014-0{1 + number}-24 09:33:03", periods=_ROWS, freq="s")
    frame.index = pd.Index(when, name="timestamp")
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path)


def water_treatment(path: Path, number: int, event: bool) -> None:
    """A treatment plant: a line of stages above the header, spaces, half days, labels in words."""
    columns = ["FIT101", "LIT101", " MV101", "P101", "AIT201"]
    frame = _readings(number, columns, event)
    frame[" MV101"], frame["P101"] = np.where(np.arange(_ROWS) % 90 < 40, 2, 1), 2
    begin = ("2015-12-28 10:00", "2016-01-02 10:00", "2015-12-30 11:56")[number]
    when = pd.date_range(begin, periods=_ROWS, freq="s")
    frame.insert(0, " Timestamp", [f" {t.day}/{t.month}/{t:%Y} {_clock(t)}" for t in when])
    flags = _flags(event)
    word = np.where(flags, "Attack", "Normal").astype(object)
    word[EVENT_ROWS.stop - 5 : EVENT_ROWS.stop] = "A ttack" if event else "Normal"
    frame["Normal/Attack"] = word
    stages = ",P1,P1,P1,P1,P2,\n"
    path.write_text(stages + frame.to_csv(index=False))


def water_distribution(path: Path, number: int, event: bool) -> None:
    """A distribution network: the month before the day, and no zero before either."""
    columns = ["1_AIT_001_PV", "1_FIT_001_PV", "2_LT_001_PV", "2_P_003_STATUS"]
    frame = _readings(number, columns, event)
    frame["2_P_003_STATUS"] = np.where(np.arange(_ROWS) % 50 < 20, 2, 1)
    frame["LEAK_DIAG_001"] = np.nan
    when = pd.date_range(f"2024-01-{3 + number:02}", periods=_ROWS, freq="min")
    frame.insert(0, "Date", [f"{t.month}/{t.day}/{t:%Y} {_clock(t)}" for t in when])
    frame.insert(0, "Row", np.arange(1, _ROWS + 1))
    frame["Attack LABLE (1:No Attack, -1:Attack)"] = np.where(_flags(event), -1, 1)
    frame.to_csv(path, index=False)


def _clock(time: pd.Timestamp) -> str:
    """12:00:00 AM and the like, without a zero before the hour."""
    return time.strftime("%I:%M:%S %p").removeprefix("0")
