"""How one labelled series becomes the data of K sites.

Every function returns {site name: labelled series} in the order of the sites. No row is lost and
none is given twice. Rows keep their order; where a recording is cut, each uninterrupted piece
becomes an instance of its own, ``name/part-1``, ``name/part-2``, so nothing computed on windows
reaches across a cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.recordings import Recordings
from dtfl_app.sites.stretches import run_lengths, run_numbers
from twin.schema import ABNORMAL, EVENT, INSTANCE, LABEL, Schema

__all__ = [
    "attack_per_site",
    "by_column",
    "calibration_rows",
    "dirichlet",
    "random_split",
    "site_names",
    "split_calibration",
    "time_blocks",
]


def site_names(k: int) -> list[str]:
    """Names of `k` sites, "site-01" and so on: sorting by name keeps their order."""
    width = max(2, len(str(k)))
    return [f"site-{i:0{width}d}" for i in range(1, k + 1)]


def time_blocks(series: pd.DataFrame, k: int) -> dict[str, pd.DataFrame]:
    """Cut the series, in row order, into `k` blocks whose sizes differ by at most one row.

    Raises DataError when there are more sites than rows, or k < 1.
    """
    _require(len(series), "rows", k)
    return _deal(series, _blocks(len(series), k), site_names(k))


def attack_per_site(series: pd.DataFrame, k: int) -> dict[str, pd.DataFrame]:
    """Give each site a block of the rows without an event, and attacks that no other site sees.

    Events, in order of first appearance, are dealt out in `k` groups of neighbours. BATADAL's
    neighbours in time are of the same kind, so the sites differ in what they know.

    Raises DataError when there are more sites than events.
    """
    code, events = pd.factorize(series[EVENT].where(series[EVENT] != ""))
    _require(len(events), "events", k)
    site = _blocks(len(events), k)[code]
    quiet = code < 0
    _require(int(quiet.sum()), "rows without an event", k)
    site[quiet] = _blocks(int(quiet.sum()), k)
    return _deal(series, site, site_names(k))


def dirichlet(
    series: pd.DataFrame,
    schema: Schema,
    k: int,
    alpha: float,
    rng: np.random.Generator,
    chunk: int = 168,
    regimes: int = 4,
) -> dict[str, pd.DataFrame]:
    """Deal contiguous chunks so that the sites differ in operating regime and in labels.

    The series is cut into chunks of `chunk` rows (the default is a week of hourly data) that do
    not cross recordings. The regime of a chunk is the quantile, of `regimes`, of the first
    principal component of the chunks' mean readings; chunks with an abnormal row form regimes of
    their own. Per regime, shares over the sites are drawn from a symmetric Dirichlet(alpha):
    small alpha, different sites (Hsu, Qi & Brown, arXiv 1909.06335, section 3, with regimes for
    classes). A site left with nothing takes a chunk from the one that has most.

    Raises DataError when there are more sites than chunks, ConfigError unless alpha > 0.
    """
    if not alpha > 0:
        raise ConfigError(f"dirichlet: alpha must be above 0, got {alpha}")
    instance = pd.factorize(series[INSTANCE])[0]
    position = pd.Series(instance).groupby(instance).cumcount().to_numpy()
    number = run_numbers(instance, position // chunk)  # chunk of each row
    count = int(number[-1]) + 1
    _require(count, f"chunks of {chunk} rows", k)
    regime = _regimes(series, schema, number, regimes)
    owner = np.empty(count, dtype=np.intp)
    for value in np.unique(regime):
        members = np.flatnonzero(regime == value)
        shares = rng.dirichlet(np.full(k, alpha))
        owner[members] = rng.choice(k, size=len(members), p=shares)
    return _deal(series, _fill_empty(owner, k)[number], site_names(k))


def by_column(
    series: pd.DataFrame, site_of: Callable[[str], str], column: str = INSTANCE
) -> dict[str, pd.DataFrame]:
    """Make one site of all rows for whose `column` the function `site_of` gives the same name.

    The sites are those the data names, in alphabetical order: for 3W, the wells.
    """
    code, values = pd.factorize(series[column])
    names = [site_of(str(value)) for value in values]
    sites = sorted(set(names))
    site = np.array([sites.index(name) for name in names], dtype=np.intp)[code]
    return _deal(series, site, sites)


def random_split(
    series: pd.DataFrame, share: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows at random, `share` of each label to the second part.

    Neighbouring rows land on both sides, so what is learned on one leaks into the other: only for
    comparison with figures published on such a split.
    """
    second = np.zeros(len(series), dtype=np.intp)
    labels = series[LABEL].to_numpy()
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        second[rows[: round(share * len(rows))]] = 1
    parts = _deal(series, second, ("first", "second"))
    return parts["first"], parts["second"]


def split_calibration(
    series: pd.DataFrame,
    share: float,
    per: Literal["stretch", "label"] = "stretch",
    least: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a site's series into training and calibration rows; the latter are contiguous tails.

    Rows are never drawn at random: neighbouring hours are alike, and a threshold calibrated on
    neighbours of training rows comes out too low.

    Parameters
    ----------
    share : wanted share of calibration rows, in [0, 1).
    per : "stretch" takes the tail of every run of one label within a recording, so that normal
        rows are calibrated on even where each recording ends in an event; "label" takes the tail
        of all rows of one label together, for a series without long stretches.
    least : smallest useful tail in rows (a feature window). A shorter tail is lengthened to it; a
        run too short to leave as many rows for training stays whole in training.
    """
    calibration = calibration_rows(series, share, per, least)
    parts = _deal(series, calibration, ("train", "calibration"))
    return parts["train"], parts["calibration"]


def calibration_rows(
    series: pd.DataFrame,
    share: float,
    per: Literal["stretch", "label"] = "stretch",
    least: int = 1,
) -> NDArray[np.bool_]:
    """Tell which rows `split_calibration` keeps for calibration; readings may be left out."""
    if not 0 <= share < 1:
        raise ConfigError(f"calibration share must be in [0, 1), got {share}")
    label = pd.factorize(series[LABEL])[0].astype(np.int8)
    if per == "stretch":
        length = run_lengths(Recordings.of(series[INSTANCE]).number, label)
        parts = _head_and_tail(length, share, least)
        return np.repeat(np.tile(np.array([False, True]), len(length)), parts.ravel())
    calibration = np.zeros(len(series), dtype=bool)
    for one, (head, _) in enumerate(_head_and_tail(np.bincount(label), share, least)):
        calibration[np.flatnonzero(label == one)[head:]] = True
    return calibration


def _head_and_tail(length: NDArray[np.intp], share: float, least: int) -> NDArray[np.intp]:
    """Rows to train and rows to calibrate on, of runs of given lengths; shape (runs, 2)."""
    tail = np.maximum(np.rint(share * length), least if share > 0 else 0).astype(np.intp)
    tail[length - tail < least] = 0
    return np.stack([length - tail, tail], axis=1)


def _require(available: int, what: str, k: int) -> None:
    if not 1 <= k <= available:
        raise DataError(
            f"{k} sites cannot be made of {available} {what}; expected between 1 and {available} "
            "sites. Change the number of sites, the partition or the data"
        )


def _blocks(n: int, k: int) -> NDArray[np.intp]:
    """Block number 0..k-1 of each of n rows, sizes as equal as can be."""
    return np.repeat(np.arange(k), [len(block) for block in np.array_split(np.arange(n), k)])


def _deal(
    series: pd.DataFrame, site: NDArray[np.intp] | NDArray[np.bool_], names: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Give each row to the site with its number, and rename the pieces of cut recordings."""
    pieces = series.reset_index(drop=True)
    pieces[INSTANCE] = _piece_names(series[INSTANCE], site)
    return {
        name: pieces[site == number].reset_index(drop=True) for number, name in enumerate(names)
    }


def _piece_names(
    instance: pd.Series[Any], site: NDArray[np.intp] | NDArray[np.bool_]
) -> pd.Series[Any]:
    length = run_lengths(Recordings.of(instance).number, site)
    names = instance.iloc[np.cumsum(length) - length].reset_index(drop=True)
    order = names.groupby(names).cumcount() + 1
    cut = names.groupby(names).transform("size") > 1
    renamed = names.where(~cut, names + "/part-" + order.astype(str))
    return renamed.iloc[np.repeat(np.arange(len(length)), length)].reset_index(drop=True)


def _regimes(
    series: pd.DataFrame, schema: Schema, number: NDArray[np.intp], regimes: int
) -> NDArray[np.intp]:
    """Regime of each chunk: quantile of its first principal component, apart if abnormal."""
    means = series[schema.names].groupby(number).mean()
    spread = means.std(ddof=0).replace(0.0, 1.0)
    standard = ((means - means.mean()) / spread).fillna(0.0).to_numpy()  # shape: (chunks, channels)
    direction = np.linalg.svd(standard, full_matrices=False)[2][0]
    # The sign of a principal direction is arbitrary; fixing it keeps the draw the same everywhere.
    direction *= np.sign(direction[np.argmax(np.abs(direction))]) or 1.0
    rank = np.argsort(np.argsort(standard @ direction, kind="stable"), kind="stable")
    quantile = rank * regimes // len(rank)
    abnormal = (series[LABEL] == ABNORMAL).groupby(number).any().to_numpy()
    return np.asarray(quantile + regimes * abnormal, dtype=np.intp)


def _fill_empty(owner: NDArray[np.intp], k: int) -> NDArray[np.intp]:
    filled = owner.copy()
    for site in range(k):
        counts = np.bincount(filled, minlength=k)
        if counts[site] == 0:
            filled[np.flatnonzero(filled == counts.argmax())[-1]] = site
    return filled
