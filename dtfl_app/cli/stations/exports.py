"""The stations' files, each as its own historian writes them, and what describes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from dtfl_app.cli.stations.plant import PERIOD_S, Fault, Station, readings

__all__ = ["FAULTS", "example_files"]

_ROWS = 14 * 24 * 3600 // PERIOD_S
_JUDGED_ROWS = _ROWS // 2
_BEGIN = datetime(2024, 1, 29)
_NORTH, _SOUTH = Station(0, 85.0, 24.0, 14.0), Station(1, 110.0, 23.6, 16.0)
_WEST, _EAST = Station(2, 70.0, 24.4, 12.0), Station(3, 95.0, 24.1, 15.0)
#: What breaks at the station that is judged.
FAULTS = (
    Fault("strainer blocked", 580, 675),
    Fault("burst main", 1010, 1081),
    Fault("check valve stuck open", 1500, 1571),
)
# West's link to the historian fails so often, for so many rows.
_LOSSES, _LOST_ROWS = 4, 3
_BESIDE = ("schema.toml", "south.toml", "west.toml", "README.txt")


def example_files() -> dict[str, bytes]:
    """Return file name -> content; the same bytes every time."""
    folder = files("dtfl_app.cli.stations")
    written = {
        "north.csv": "\n".join(_plain(readings(_NORTH, _ROWS))),
        "south.csv": "\r\n".join(_german(readings(_SOUTH, _ROWS))),
        "west.csv": "\n".join(_with_losses(readings(_WEST, _ROWS))),
        "judge.csv": "\n".join(_plain(readings(_EAST, _JUDGED_ROWS, FAULTS))),
        "incidents.csv": "\n".join(_incidents()),
    }
    encodings = {"south.csv": "cp1252"}
    made = {
        name: (text + ("\r\n" if name in encodings else "\n")).encode(encodings.get(name, "utf-8"))
        for name, text in written.items()
    }
    return made | {name: (folder / name).read_bytes() for name in _BESIDE}


def _time(row: int, form: str) -> str:
    return (_BEGIN + timedelta(seconds=PERIOD_S * row)).strftime(form)


def _plain(found: NDArray[np.float64]) -> Iterator[str]:
    """Commas, a day before its month, ON and OFF."""
    yield "when,Tank [m],Pump flow [L/s],Town [L/s],Pressure [bar],Power [kW],Pump 1"
    for row, (*numbers, pump) in enumerate(found):
        cells = [*(f"{x:.2f}" for x in numbers), "ON" if pump else "OFF"]
        yield ",".join([_time(row, "%d/%m/%Y %H:%M"), *cells])


def _german(found: NDArray[np.float64]) -> Iterator[str]:
    """Semicolons, decimal commas, umlauts in the encoding of Windows, EIN and AUS."""
    yield "Zeit;Behälter [m];Förderstrom [L/s];Abgabe [L/s];Druck [bar];Leistung [kW];Pumpe 1"
    for row, (*numbers, pump) in enumerate(found):
        cells = [*(f"{x:.2f}".replace(".", ",") for x in numbers), "EIN" if pump else "AUS"]
        yield ";".join([_time(row, "%d.%m.%Y %H:%M:%S"), *cells])


def _with_losses(found: NDArray[np.float64]) -> Iterator[str]:
    """Three lines before the header, and Bad Input where the link to the station was lost."""
    begins = np.random.default_rng([2024, 99]).integers(0, len(found), _LOSSES)
    lost = {row for begin in begins for row in range(begin, begin + _LOST_ROWS)}
    yield from ("Historian export", "Site: West", "Interpolated: 5 min")
    yield "Timestamp,LT-101,FT-101,FT-102,PT-101,JT-101,P-101"
    for row, (*numbers, pump) in enumerate(found):
        cells = [*(f"{x:.2f}" for x in numbers), str(int(pump))]
        cells = ["Bad Input"] * len(cells) if row in lost else cells
        yield ",".join([_time(row, "%Y-%m-%dT%H:%M:%S"), *cells])


def _incidents() -> Iterator[str]:
    yield "start,end,event,site"
    for fault in FAULTS:
        first, last = (_time(row, "%d/%m/%Y %H:%M") for row in (fault.first, fault.last))
        yield f"{first},{last},{fault.name},judge"
