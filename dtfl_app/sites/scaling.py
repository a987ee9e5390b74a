"""Standardisation whose statistics the federation agrees on: moments travel, rows never do.

Each site sends, per feature, the count, the mean and the sum of squared deviations from that mean
(M2). The server pools them with the pairwise update of Chan, Golub & LeVeque (The American
Statistician 37(3), 1983, eq. 1.5), which gives the same result as pooling the rows. The textbook
sum and sum of squares would lose every digit for a pressure of 2e7 Pa that varies by 1 Pa.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.errors import ConfigError, DataError

__all__ = ["ACCURACY", "CLIP", "MOST_WEIGHT", "ChannelSums", "Scaler", "Scaling"]

#: Times the median site's number of readings that no site's moments count for more than.
MOST_WEIGHT = 3.0

# Accuracy class of a common industrial transmitter, as a share of its full scale. Variation below
# it is rounding or drift of the sensor, not operation, and must not be blown up to one unit.
ACCURACY = 1e-3
# Readings this far out are abnormal beyond doubt; farther would only swamp the gradient.
CLIP = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class ChannelSums:
    """Moments of each feature, over the rows in which it is present; all of shape (d,), float64.

    Parameters
    ----------
    n : number of readings, >= 0.
    mean : their mean, in the feature's unit; 0 where n is 0.
    m2 : sum of squared deviations from that mean, in the unit squared, >= 0.
    """

    n: NDArray[np.float64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = {self.n.shape, self.mean.shape, self.m2.shape}
        if len(shapes) != 1 or self.n.ndim != 1:
            raise DataError(f"moments must be vectors of one length, got shapes {sorted(shapes)}")
        stacked = np.stack([self.n, self.mean, self.m2])
        if not np.isfinite(stacked).all() or (self.n < 0).any() or (self.m2 < 0).any():
            raise DataError("moments must be finite, with counts and squared deviations >= 0")

    @classmethod
    def of(cls, values: NDArray[np.floating[Any]]) -> ChannelSums:
        """Moments of `values`, shape (n, d), NaN = missing."""
        exact = values.astype(np.float64)
        present = ~np.isnan(exact)
        n = present.sum(axis=0).astype(np.float64)
        count = np.maximum(n, 1.0)
        rough = np.where(present, exact, 0.0).sum(axis=0) / count
        centred = np.where(present, exact - rough, 0.0)
        # Summing the centred values again removes the rounding error of the first mean.
        shift = centred.sum(axis=0) / count
        m2 = ((centred - shift) ** 2 * present).sum(axis=0)
        return cls(n, np.where(n > 0, rough + shift, 0.0), m2)

    def without_few(self, least: int) -> ChannelSums:
        """Return the moments, none of a feature with fewer than `least` readings."""
        told = self.n >= least
        return ChannelSums(*(np.where(told, part, 0.0) for part in (self.n, self.mean, self.m2)))

    @classmethod
    def pool(cls, parts: Sequence[ChannelSums]) -> ChannelSums:
        """Moments of all rows of all parts together.

        ``n = a.n + b.n``, ``mean = a.mean + delta b.n / n`` and
        ``m2 = a.m2 + b.m2 + delta^2 a.n b.n / n`` with ``delta = b.mean - a.mean``.

        Raises DataError when there is no part or the parts differ in their number of features.
        """
        widths = sorted({part.n.size for part in parts})
        if len(widths) != 1:
            raise DataError(f"moments of {widths} features cannot be pooled; expected one width")
        return reduce(_merge, parts)

    def require_possible(self, ranges: NDArray[np.float64], most: int) -> None:
        """Raise DataError unless readings within `ranges` can have these moments.

        Counts are whole numbers up to `most`, a mean lies between the ends of its feature's range,
        and m2 is at most ``n (span / 2)^2`` (Popoviciu's inequality): where sites tell moments and
        no readings, no site can move the common scaling by more than such readings would.

        Parameters
        ----------
        ranges : least and greatest value of each feature, shape (2, d), in its unit.
        most : number of readings that no site has more of.
        """
        low, high = ranges
        # Features are float32: a reading at an end of its range may lie a rounding outside it.
        slack = np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(high))
        highest = self.n * ((high - low) / 2.0 + slack) ** 2
        rules = {
            f"the number of readings, expected a whole number up to {most}": (
                (self.n > most) | (self.n != np.floor(self.n))
            ),
            "the mean, expected one within the range of its channel": (
                (self.n > 0) & ((self.mean < low - slack) | (self.mean > high + slack))
            ),
            "the squared deviations, expected at most those of readings at either end of the "
            "range": self.m2 > highest * (1.0 + 1e-9),
        }
        for rule, broken in rules.items():
            if broken.any():
                place = int(np.flatnonzero(broken)[0])
                raise DataError(
                    f"feature {place + 1} of {self.n.size} has impossible moments "
                    f"(n {self.n[place]:g}, mean {self.mean[place]:g}, m2 {self.m2[place]:g}): "
                    f"it is {rule}"
                )

    @classmethod
    def pool_bounded(cls, parts: Sequence[ChannelSums]) -> ChannelSums:
        """Pool as `pool`, no part counting for more than `MOST_WEIGHT` times the median one.

        Feature by feature, the median being of the parts that have readings of it.
        """
        n = np.stack([part.n for part in parts])
        most = MOST_WEIGHT * _medians(np.where(n > 0, n, np.nan))
        bounded = []
        for part in parts:
            share = np.minimum(most / np.maximum(part.n, 1.0), 1.0)
            bounded.append(cls(part.n * share, part.mean, part.m2 * share))
        return cls.pool(bounded)

    @classmethod
    def pool_median(cls, parts: Sequence[ChannelSums]) -> ChannelSums:
        """Moments of a typical part, whatever fewer than half of the parts say of themselves.

        Per feature, over the parts that have readings of it, mean and variance are the medians of
        theirs, and to the variance comes that of the means, by 1.4826 times their median absolute
        deviation (Huber, Robust Statistics, 1981).
        """
        n = np.stack([part.n for part in parts])
        means = np.where(n > 0, np.stack([part.mean for part in parts]), np.nan)
        variances = np.stack([part.m2 for part in parts]) / np.maximum(n, 1.0)
        mean = _medians(means)
        spread = 1.4826 * _medians(np.abs(means - mean))
        variance = _medians(np.where(n > 0, variances, np.nan)) + spread**2
        total = n.sum(axis=0)
        return cls(total, mean, variance * total)

    def to_dict(self) -> dict[str, list[float]]:
        """Return plain lists, for a message or JSON."""
        return {"n": self.n.tolist(), "mean": self.mean.tolist(), "m2": self.m2.tolist()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Sequence[float]]) -> ChannelSums:
        """Inverse of `to_dict`; DataError when a key is missing or the numbers make no sense."""
        missing = {"n", "mean", "m2"} - set(plain)
        if missing:
            raise DataError(f"moments lack {sorted(missing)}; expected n, mean and m2")
        return cls(*(np.asarray(plain[key], dtype=np.float64) for key in ("n", "mean", "m2")))


def _medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each column's numbers; 0 where it has none."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = np.isfinite(values).sum(axis=0)
    middle = np.stack([np.maximum(count - 1, 0) // 2, count // 2])
    found = np.take_along_axis(ordered, np.minimum(middle, len(values) - 1), axis=0)
    return np.where(count > 0, found.mean(axis=0), 0.0)


def _merge(a: ChannelSums, b: ChannelSums) -> ChannelSums:
    n = a.n + b.n
    weight = b.n / np.maximum(n, 1.0)
    delta = b.mean - a.mean
    return ChannelSums(n, a.mean + delta * weight, a.m2 + b.m2 + delta**2 * a.n * weight)


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """``(x - mean) / scale``, clipped to ±clip; a missing reading becomes 0, the mean.

    Parameters
    ----------
    mean, scale : shape (d,), float64, in the feature's unit; scale > 0.
    clip : largest size of a scaled value, > 0, in standard deviations.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    clip: float = CLIP

    def __post_init__(self) -> None:
        if self.mean.shape != self.scale.shape or not (self.scale > 0).all():
            raise DataError("a scaler needs one mean and one scale above 0 per feature")
        if not self.clip > 0:
            raise ConfigError(f"clip must be above 0 standard deviations, got {self.clip}")

    @classmethod
    def from_sums(cls, sums: ChannelSums, spans: NDArray[np.float64], clip: float = CLIP) -> Scaler:
        """Scale by the pooled standard deviation ``sqrt(m2 / n)``, but never below ``ACCURACY``.

        A channel that never moved thus has the smallest scale its sensor can justify: a pump that
        never ran and now does reaches the clip.

        Parameters
        ----------
        sums : pooled moments.
        spans : width of each feature's physical range (``features.feature_spans``), shape (d,).
        clip : see the class.
        """
        if spans.shape != sums.n.shape:
            raise DataError(f"{spans.size} ranges do not fit moments of {sums.n.size} features")
        std = np.sqrt(sums.m2 / np.maximum(sums.n, 1.0))
        return cls(sums.mean.copy(), np.maximum(std, ACCURACY * spans), clip)

    def transform(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scale `values`, shape (n, d); the result has no NaN and lies in [-clip, clip]."""
        scaled = (values.astype(np.float64) - self.mean) / self.scale
        clipped = np.clip(np.nan_to_num(scaled, nan=0.0), -self.clip, self.clip)
        return clipped.astype(np.float32)

    def moments(self, sums: ChannelSums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance, each of shape (d,), that readings of these moments have scaled.

        Nothing is clipped here; both are 0 where there is no reading.
        """
        variance = sums.m2 / np.maximum(sums.n, 1.0) / self.scale**2
        mean = np.where(sums.n > 0, (sums.mean - self.mean) / self.scale, 0.0)
        return mean, variance

    def inverse(self, scaled: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Turn scaled values, shape (..., d), back to the features' units."""
        return np.asarray(scaled.astype(np.float64) * self.scale + self.mean)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, for a message or JSON."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist(), "clip": self.clip}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Scaler:
        """Inverse of `to_dict`; DataError when a key is missing."""
        missing = {"mean", "scale", "clip"} - set(plain)
        if missing:
            raise DataError(f"scaler lacks {sorted(missing)}; expected mean, scale and clip")
        mean, scale = (np.asarray(plain[key], dtype=np.float64) for key in ("mean", "scale"))
        return cls(mean, scale, float(plain["clip"]))


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """The scaler of a federation and, where these are wanted, those of single sites.

    Parameters
    ----------
    pooled : of all sites together; in force wherever a site has none of its own.
    own : site -> its own.
    """

    pooled: Scaler
    own: Mapping[str, Scaler] = field(default_factory=dict)

    @classmethod
    def by_site(
        cls, pooled: Scaler, sums: Mapping[str, ChannelSums], spans: NDArray[np.float64]
    ) -> Scaling:
        """Give each site a scaler of its own moments; of features that it has none of, the pooled.

        Parameters as of `Scaler.from_sums`, `sums` by site.
        """
        found = {}
        for site, moments in sorted(sums.items()):
            own, told = Scaler.from_sums(moments, spans, pooled.clip), moments.n > 0
            mean = np.where(told, own.mean, pooled.mean)
            found[site] = Scaler(mean, np.where(told, own.scale, pooled.scale), pooled.clip)
        return cls(pooled, found)

    def at(self, site: str) -> Scaler:
        """Return the scaler in force at a site."""
        return self.own.get(site, self.pooled)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers; the pooled scaler's, and "sites" where there are some."""
        sites = {"sites": {site: own.to_dict() for site, own in sorted(self.own.items())}}
        return {**self.pooled.to_dict(), **(sites if self.own else {})}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Scaling:
        """Inverse of `to_dict`; DataError when a key is missing."""
        own = {site: Scaler.from_dict(one) for site, one in plain.get("sites", {}).items()}
        return cls(Scaler.from_dict(plain), own)
