"""How far a twin's series are from a plant's: channel by channel and as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from twin.errors import DataError
from twin.schema import Channel, Schema

__all__ = ["Distance", "compare", "exceptions", "forest_auc", "running", "summarise"]

Floats = npt.NDArray[np.float64]

_WEEK_H = 168.0
_MIN_SAMPLES = 24  # below a day of running hours a mean and sd say nothing about a pump


@dataclass(frozen=True, slots=True)
class Distance:
    """Twin against plant over all channels.

    Parameters
    ----------
    mean_ks : mean over channels of the Kolmogorov-Smirnov distance, in [0, 1].
    forest_auc : two-sample ROC-AUC of a random forest, 0.5 = indistinguishable, 1 = told apart.
    """

    mean_ks: float
    forest_auc: float


def compare(twin: pd.DataFrame, plant: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Compare two labelled series channel by channel.

    Every row given is used: leave attacks out beforehand when they should not count.

    Returns
    -------
    One row per channel (index "channel"), with columns

    - kind, unit : as in the schema.
    - twin_n, plant_n : readings behind mean and sd. A flow counts only while its pump or valve
      runs, i.e. where the status channel of the same asset ("S_PU1" for "F_PU1") is on.
    - twin_mean, plant_mean, twin_sd, plant_sd : in the channel's unit; NaN below 2 readings.
    - mean_error, sd_error : ``twin / plant - 1``; 0 where both are 0 (a constant), NaN where there
      is nothing to compare.
    - ks : Kolmogorov-Smirnov distance of all readings, running or not,
      ``max_x |P_twin(X <= x) - P_plant(X <= x)|``, in [0, 1].

    Raises SchemaError when either is not in the schema, DataError when a channel has no reading.
    """
    schema.validate(twin, "twin series")
    schema.validate(plant, "plant series")
    rows = [_channel_row(channel, twin, plant, schema) for channel in schema.channels]
    return pd.DataFrame(rows).set_index("channel")


def exceptions(table: pd.DataFrame, tolerance: float = 0.05) -> pd.DataFrame:
    """Return the level, flow and pressure channels whose mean or sd is off by over `tolerance`.

    A channel with under 24 readings on either side counts as an exception, unless it never runs
    in both: too rare an event to have a mean is not agreement. Its sd is then not comparable.
    """
    judged = table[table["kind"].isin(["level", "flow", "pressure"])]
    never = (judged["twin_n"] == 0) & (judged["plant_n"] == 0)
    rare = judged[["twin_n", "plant_n"]].min(axis=1) < _MIN_SAMPLES
    worst = judged[["mean_error", "sd_error"]].abs().max(axis=1, skipna=False)
    return judged[~never & (rare | ~(worst <= tolerance))]


def summarise(twin: pd.DataFrame, plant: pd.DataFrame, schema: Schema, seed: int) -> Distance:
    """Return the mean Kolmogorov-Smirnov distance and the two-sample forest's AUC.

    The forest's blocks are weeks, and a quarter of the shorter series where it has not two weeks.
    """
    table = compare(twin, plant, schema)
    hours = min(len(twin), len(plant)) * schema.period_s / 3600
    block_h = _WEEK_H if hours >= 2 * _WEEK_H else hours / 4
    auc = forest_auc(twin, plant, schema, seed, block_h)
    return Distance(float(table["ks"].mean()), auc)


def forest_auc(
    twin: pd.DataFrame, plant: pd.DataFrame, schema: Schema, seed: int, block_h: float = _WEEK_H
) -> float:
    """ROC-AUC of a random forest (100 trees) that tells twin rows from plant rows.

    Classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017). It is trained on every other
    block of `block_h` hours and judged on the blocks between: neighbouring hours are alike, so
    rows split at random would be recognised by their neighbours and not by their source.
    Missing readings are told to the forest as they are.
    """
    parts = [_odd_blocks(series, schema, block_h) for series in (twin, plant)]
    x = np.concatenate([s[schema.names].to_numpy(np.float64) for s in (twin, plant)])
    y = np.repeat([1, 0], [len(twin), len(plant)])
    held_out = np.concatenate(parts)
    if len(np.unique(y[held_out])) < 2 or len(np.unique(y[~held_out])) < 2:
        raise DataError(
            f"twin ({len(twin)} rows) and plant ({len(plant)} rows) must each span two blocks of "
            f"{block_h:g} h; give longer series"
        )
    # Balanced weights: the prior of "twin" must not depend on how much was simulated.
    forest = RandomForestClassifier(100, class_weight="balanced", random_state=seed)
    forest.fit(x[~held_out], y[~held_out])
    return float(roc_auc_score(y[held_out], forest.predict_proba(x[held_out])[:, 1]))


def running(channel: Channel, series: pd.DataFrame, schema: Schema) -> Floats:
    """Readings of a channel that there are; of a flow only those while its pump or valve runs."""
    status = channel.name.replace("F_", "S_", 1)
    if channel.kind != "flow" or status not in schema.names or status == channel.name:
        return _readings(channel, series)
    return _finite(series.loc[series[status] > 0.5, channel.name])


def _odd_blocks(series: pd.DataFrame, schema: Schema, block_h: float) -> npt.NDArray[np.bool_]:
    rows_per_block = max(1, round(block_h * 3600 / schema.period_s))
    return (np.arange(len(series)) // rows_per_block % 2).astype(bool)


def _channel_row(
    channel: Channel, twin: pd.DataFrame, plant: pd.DataFrame, schema: Schema
) -> dict[str, object]:
    ours, theirs = running(channel, twin, schema), running(channel, plant, schema)
    return {
        "channel": channel.name,
        "kind": channel.kind,
        "unit": channel.unit,
        "twin_n": ours.size,
        "plant_n": theirs.size,
        "twin_mean": _mean(ours),
        "plant_mean": _mean(theirs),
        "mean_error": _relative(_mean(ours), _mean(theirs)),
        "twin_sd": _sd(ours),
        "plant_sd": _sd(theirs),
        "sd_error": _relative(_sd(ours), _sd(theirs)),
        "ks": float(
            ks_2samp(_readings(channel, twin), _readings(channel, plant), method="asymp").statistic
        ),
    }


def _readings(channel: Channel, series: pd.DataFrame) -> Floats:
    values = _finite(series[channel.name])
    if not values.size:
        raise DataError(
            f"channel {channel.name!r} has no reading at all; leave it out of the schema"
        )
    return values


def _finite(column: pd.Series) -> Floats:
    values: Floats = column.to_numpy(np.float64)
    return values[np.isfinite(values)]


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else float("nan")


def _sd(values: Floats) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _relative(ours: float, theirs: float) -> float:
    if ours == theirs:
        return 0.0
    return ours / theirs - 1 if theirs else float("inf")
