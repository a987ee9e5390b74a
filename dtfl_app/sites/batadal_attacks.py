"""The 14 official attacks of BATADAL: seven in dataset04, seven in the test file.

Public facts from the benchmark (Taormina et al., J. Water Resour. Plann. Manage. 144(8)
04018048, 2018, Tables 1 and 2; www.batadal.net).
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

__all__ = ["ATTACKS", "PERIODS", "Attack", "family_of"]


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack on the plant.

    Parameters
    ----------
    number : 1 to 14, the benchmark's own numbering.
    start, end : first and last hour under attack, both included.
    target : the channel or pump that is attacked.
    family : kind of event under which a twin of the plant simulates such attacks.
    kind : what the attacker does.
    concealment : how the recorded channels are rewritten to hide it; "" for not at all.
    """

    number: int
    start: pd.Timestamp
    end: pd.Timestamp
    target: str
    family: str
    kind: str
    concealment: str

    @property
    def event(self) -> str:
        """Name of the attack in a labelled series."""
        return f"attack-{self.number}"


_THRESHOLDS_T7 = "control thresholds of PU10/PU11 altered: low level in T7"
_LOW_T1 = "L_T1 reading sent to PLC1 altered to a constant low level: PU1/PU2 stay on, T1 overflows"
_REPLAY_T1 = "replay of L_T1 and PU1/PU2 flow and status"

_ALTERED, _FALSIFIED = "altered_thresholds", "falsified_level"
_SPEED, _FORCED = "pump_speed", "forced_pump"

_ROWS = (
    (1, "2016-09-13 23:00", "2016-09-16 00:00", "L_T7", _ALTERED, _THRESHOLDS_T7, "replay of L_T7"),
    (
        2,
        "2016-09-26 11:00",
        "2016-09-27 10:00",
        "L_T7",
        _ALTERED,
        _THRESHOLDS_T7,
        "replay of L_T7 and PU10/PU11 flow and status",
    ),
    (3, "2016-10-09 09:00", "2016-10-11 20:00", "L_T1", _FALSIFIED, _LOW_T1, "offset on L_T1"),
    (
        4,
        "2016-10-29 19:00",
        "2016-11-02 16:00",
        "L_T1",
        _FALSIFIED,
        _LOW_T1,
        f"{_REPLAY_T1} and outlet pressure",
    ),
    (
        5,
        "2016-11-26 17:00",
        "2016-11-29 04:00",
        "PU7",
        _SPEED,
        "speed of PU7 reduced to 0.9 of nominal: lower level in T4",
        "",
    ),
    (
        6,
        "2016-12-06 07:00",
        "2016-12-10 04:00",
        "PU7",
        _SPEED,
        "speed of PU7 reduced to 0.7 of nominal: lower level in T4",
        "replay of L_T4",
    ),
    (
        7,
        "2016-12-14 15:00",
        "2016-12-19 04:00",
        "L_T1",
        _FALSIFIED,
        "L_T1 reading sent to PLC1 altered: PU1/PU2 stay on",
        _REPLAY_T1,
    ),
    (
        8,
        "2017-01-16 09:00",
        "2017-01-19 06:00",
        "L_T3",
        _ALTERED,
        "control thresholds of PU4/PU5 altered: low level in T3",
        "replay of L_T3 and PU4/PU5 flow and status",
    ),
    (
        9,
        "2017-01-30 08:00",
        "2017-02-02 00:00",
        "L_T2",
        _FALSIFIED,
        "L_T2 reading arriving at PLC3 altered to low: valve V2 stays open and T2 overflows",
        "offset on L_T2",
    ),
    (10, "2017-02-09 03:00", "2017-02-10 09:00", "PU3", _FORCED, "malicious activation of PU3", ""),
    (11, "2017-02-12 01:00", "2017-02-13 07:00", "PU3", _FORCED, "malicious activation of PU3", ""),
    (
        12,
        "2017-02-24 05:00",
        "2017-02-28 08:00",
        "L_T2",
        _FALSIFIED,
        "L_T2 reading arriving at PLC3 altered to low: valve V2 stays open",
        "replay of L_T2 and V2 flow and status and pressures P_J14 and P_J422",
    ),
    (
        13,
        "2017-03-10 14:00",
        "2017-03-13 21:00",
        "L_T7",
        "collapsed_thresholds",
        "control thresholds of PU10/PU11 altered: pumps switch continuously",
        "replay of L_T7 and PU10/PU11 flow and status and inlet and outlet pressure",
    ),
    (
        14,
        "2017-03-25 20:00",
        "2017-03-27 01:00",
        "L_T4",
        "signal_altered",
        "L_T4 signal arriving at PLC6 altered: T6 overflows",
        "",
    ),
)

ATTACKS: tuple[Attack, ...] = tuple(
    Attack(number, pd.Timestamp(start), pd.Timestamp(end), target, family, kind, concealment)
    for number, start, end, target, family, kind, concealment in _ROWS
)

_FAMILIES = {attack.event: attack.family for attack in ATTACKS}

# First and last hour of dataset03, dataset04 and the test file: inside them the table above is
# the whole truth, outside only the file's own flag can tell.
PERIODS: tuple[tuple[pd.Timestamp, pd.Timestamp], ...] = (
    (pd.Timestamp("2014-01-06 00:00"), pd.Timestamp("2015-01-06 00:00")),
    (pd.Timestamp("2016-07-04 00:00"), pd.Timestamp("2016-12-25 00:00")),
    (pd.Timestamp("2017-01-04 00:00"), pd.Timestamp("2017-04-01 00:00")),
)


def family_of(event: str) -> str:
    """Family of an event of a labelled series; "" for one that the table does not hold."""
    return _FAMILIES.get(event, "")
