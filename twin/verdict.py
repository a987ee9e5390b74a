"""What to do about the distance between a twin and a plant: use, recalibrate, leave out.

The limits come from C-Town twins of the BATADAL plant: one at a mean distance of 0.09 takes every
method to its goal, one at 0.15 takes none there until it is calibrated, to 0.03.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import ks_2samp

from twin.compare import Distance, compare, running
from twin.schema import Channel, Schema

__all__ = [
    "JOINT_LIMIT",
    "LEAVE_OUT",
    "LIMIT",
    "RECALIBRATE",
    "USE",
    "Verdict",
    "compared",
    "joint_verdict",
]

Floats = npt.NDArray[np.float64]

#: Kolmogorov-Smirnov distance up to which a channel's readings fit, and its shape does.
LIMIT = 0.15
#: The same of the mean over all channels.
JOINT_LIMIT = 0.1

USE, RECALIBRATE, LEAVE_OUT = "use", "recalibrate", "leave out"

# Accuracy class of a common transmitter, as a share of its range: less is no difference.
_ACCURACY = 1e-3
_TOLD_APART = 0.75


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why.

    Parameters
    ----------
    word : "use", "recalibrate" (its shape fits once its own mean and spread are taken out) or
        "leave out".
    reason : for a person.
    """

    word: str
    reason: str


def compared(twin: pd.DataFrame, plant: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the table of `compare` with a verdict on each channel.

    Columns besides: shape_ks, the Kolmogorov-Smirnov distance once each side's own mean and
    standard deviation are taken out, of flows while they run; verdict and reason (`Verdict`).
    """
    table = compare(twin, plant, schema)
    pairs = [(running(c, twin, schema), running(c, plant, schema)) for c in schema.channels]
    table["shape_ks"] = [
        _shape_ks(channel, *pair) for channel, pair in zip(schema.channels, pairs, strict=True)
    ]
    rows = (row for _, row in table.iterrows())
    found = [_verdict(channel, row) for channel, row in zip(schema.channels, rows, strict=True)]
    return table.assign(verdict=[v.word for v in found], reason=[v.reason for v in found])


def joint_verdict(table: pd.DataFrame, distance: Distance) -> Verdict:
    """Judge all channels together, from the table of `compared`."""
    ks, shape = distance.mean_ks, float(table["shape_ks"].mean())
    forest = (
        "a forest tells its rows from the plant's: channels hang together otherwise"
        if distance.forest_auc > _TOLD_APART
        else "a forest hardly tells its rows from the plant's"
    )
    if ks <= JOINT_LIMIT:
        return Verdict(USE, f"mean KS {ks:.2f}; {forest}")
    if shape <= JOINT_LIMIT:
        return Verdict(RECALIBRATE, f"mean KS {ks:.2f}, of shapes {shape:.2f}; {forest}")
    return Verdict(LEAVE_OUT, f"mean KS {ks:.2f}, of shapes {shape:.2f}; {forest}")


def _verdict(channel: Channel, row: pd.Series) -> Verdict:
    least = _ACCURACY * (channel.high - channel.low)
    told = [row[name] for name in ("twin_mean", "plant_mean", "twin_sd", "plant_sd")]
    ours, theirs, our_sd, their_sd = (float(value) for value in told)
    if row["ks"] <= LIMIT:
        return Verdict(USE, f"KS {row['ks']:.2f}")
    if abs(ours - theirs) <= least and our_sd <= least and their_sd <= least:
        return Verdict(USE, "the same within a thousandth of its range")
    means = (
        f"mean {ours:.4g} and not {theirs:.4g} {channel.unit}, spread {our_sd:.3g} and not "
        f"{their_sd:.3g}"
    )
    shape = f"KS {row['ks']:.2f}, {row['shape_ks']:.2f} once mean and spread are taken out"
    word = RECALIBRATE if row["shape_ks"] <= LIMIT else LEAVE_OUT
    return Verdict(word, f"{means}; {shape}")


def _shape_ks(channel: Channel, twin: Floats, plant: Floats) -> float:
    if not twin.size or not plant.size:
        # It never runs on one side: nothing that a calibration of it could go by.
        return float(twin.size != plant.size)
    least = _ACCURACY * (channel.high - channel.low)
    moves = [float(values.std()) > least for values in (twin, plant)]
    if moves[0] != moves[1]:
        return 1.0
    if not moves[0] or channel.kind == "status":
        return 0.0  # of what is on or off, the mean is all there is to know
    own = [(values - values.mean()) / values.std() for values in (twin, plant)]
    return float(ks_2samp(*own, method="asymp").statistic)
