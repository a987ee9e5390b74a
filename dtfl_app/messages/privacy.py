"""Differential privacy at the sites: clipped, noisy updates, and what they have spent.

Flower's LocalDpMod shortens a site's update to length C and adds Gaussian noise to it before it
leaves; Flower's RdpAccountant adds up what that has cost. The neighbouring data sets are those in
which one site's whole data is replaced by any other. Both updates are at most C long, so they lie
at most 2 C apart: the sensitivity. The mod's noise has the deviation

``sigma = 2 C sqrt(2 ln(1.25 / delta)) / epsilon``,

which keeps (epsilon, delta) for epsilon <= 1 alone (Dwork and Roth 2014, theorem A.1). The
accountant knows the noise and not the formula, so what it reports holds for every epsilon.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.clientapp.mod import LocalDpMod
from flwr.serverapp import (
    GaussianPrivacyEvent,
    NeighboringRelation,
    PrivacyConfig,
    RdpAccountant,
    SamplingMethod,
)
from numpy.typing import NDArray

from dtfl_app.core.errors import SiteError
from dtfl_app.core.sections import PrivacySettings
from dtfl_app.detector.params import Params, as_params
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.sites.scaling import ChannelSums

__all__ = [
    "ENROLMENT",
    "MOMENT_ROWS",
    "NOT_COVERED",
    "PrivacyLedger",
    "blur_moments",
    "noise_multiplier",
    "privatise",
    "reseed",
]

#: What leaves a site besides its update, and no epsilon speaks of.
NOT_COVERED = (
    "count, mean and squared deviations of every channel, once at enrolment",
    "shares of missing, frozen and removed readings of every channel, once at enrolment",
    "sums of demand by district and hour of the week, once, where the balance is evidence",
    "order statistics of the calibration scores, every round",
    "mean training loss, number of rows and of steps, every round",
)

#: What noisy moments stand under in the account, beside the strategies.
ENROLMENT = "enrolment"
#: Readings that every site's noisy moments claim to be of: how many it has is not told.
MOMENT_ROWS = 1000

# Record of the message that Flower's mod sees; it never travels.
_LAYERS = "layers"


def noise_multiplier(settings: PrivacySettings) -> float:
    """Noise over sensitivity, ``z = sqrt(2 ln(1.25 / delta)) / epsilon``, as LocalDpMod has it."""
    return math.sqrt(2.0 * math.log(1.25 / settings.delta)) / settings.epsilon


def privatise(
    trained: Params,
    received: Params,
    settings: PrivacySettings,
    message: Message,
    context: Context,
) -> Params:
    """Return `trained` with its change from `received` clipped to `privacy.clip`, and noise on it.

    The layers of one upload are clipped together; an upload without layers releases nothing.

    Parameters
    ----------
    trained, received : the layers to upload, after and before training; the same keys.
    message, context : the task and its context, for Flower's mod.
    """
    if not trained:
        return {}
    clip = settings.clip
    mod = LocalDpMod(clip, 2.0 * clip, settings.epsilon, settings.delta)
    # The mod wants one record of arrays on each side; the task and its reply carry more.
    before = {key: received[key] for key in trained}
    inner = Message(RecordDict({_LAYERS: to_record(before)}), reply_to=message)
    result = Message(RecordDict({_LAYERS: to_record(_moved(trained, before))}), reply_to=message)
    reseed()
    noisy = mod(inner, context, lambda _message, _context: result)
    if noisy.has_error():
        raise SiteError(f"Flower's LocalDpMod refused the update: {noisy.error.reason}")
    return as_params(to_arrays(noisy.content.array_records[_LAYERS]))


def blur_moments(
    moments: ChannelSums, ranges: NDArray[np.float64], settings: PrivacySettings
) -> ChannelSums:
    """Return the moments of d features with Gaussian noise, as those of `MOMENT_ROWS` readings.

    In spans of the feature's range, mean m and deviation s obey ``s^2 <= m (1 - m)`` (Bhatia and
    Davis, Am. Math. Mon. 107(4), 2000, DOI 10.1080/00029890.2000.12005203): they lie in a half
    disc about (1/2, 0) of diameter 1, so the answers of any two data sets are at most sqrt(d)
    apart. The noise is sqrt(d) times `noise_multiplier`. Drawing the result into its range costs
    nothing. A feature without readings stands in the disc's centre: neither this nor a count
    leaves.

    Parameters
    ----------
    moments : of the site's readings; what lies outside its range counts as at its end.
    ranges : least and greatest value of each feature, shape (2, d), in its unit.
    """
    low, spans = ranges[0], ranges[1] - ranges[0]
    some = moments.n > 0
    deviation = np.sqrt(moments.m2 / np.maximum(moments.n, 1.0)) / spans
    point = np.stack([(moments.mean - low) / spans - 0.5, deviation])  # shape: (2, d)
    point = np.where(some, point / np.maximum(2.0 * np.linalg.norm(point, axis=0), 1.0), 0.0)
    reseed()
    sigma = math.sqrt(len(spans)) * noise_multiplier(settings)
    point += np.random.normal(0.0, sigma, point.shape)  # noqa: NPY002 - as the updates' noise
    mean = low + spans * np.clip(point[0] + 0.5, 0.0, 1.0)
    deviation = spans * np.clip(point[1], 0.0, 0.5)
    n = np.full(len(spans), float(MOMENT_ROWS))
    return ChannelSums(n, mean, n * deviation**2)


def reseed() -> None:
    """Seed NumPy's global generator, from which the mod draws, by the operating system's entropy.

    Neither the run's seed, which the server knows, nor what a library seeded gives the noise away.
    A test may put a known seed in this function's place; no setting can.
    """
    np.random.seed()  # noqa: NPY002 - the mod's own source of noise


def _moved(trained: Params, before: Params) -> Params:
    """`trained`; by a last bit of one weight off where nothing was learned at all.

    The mod divides by the update's length, and a reply without noise would tell that it is 0.
    """
    if any(np.linalg.norm(trained[key] - before[key]) != 0 for key in trained):
        return trained
    first = next(key for key in trained if trained[key].size)
    nudged = trained[first].copy()
    # 1e-12: the square of the smallest float32 is 0
    nudged.flat[0] += max(np.spacing(np.abs(nudged.flat[0])), np.float32(1e-12))
    return {**trained, first: nudged}


class PrivacyLedger:
    """What each site's updates have cost it, method by method.

    Parameters
    ----------
    settings : the noise.
    releases : strategy -> site -> updates so far, as `state` gave them.

    Count a site in every round in which it was asked for layers: an update that was refused, late
    or lost may have been seen all the same.
    """

    def __init__(
        self,
        settings: PrivacySettings,
        releases: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        self._settings = settings
        self._releases: dict[str, Counter[str]] = defaultdict(Counter)
        for strategy, sites in (releases or {}).items():
            self._releases[strategy].update(sites)

    def count(self, strategy: str, sites: Iterable[str]) -> None:
        """Add one release for each of `sites`."""
        self._releases[strategy].update(sites)

    def state(self) -> dict[str, dict[str, int]]:
        """Releases by strategy and site: plain JSON, for a checkpoint."""
        return {strategy: dict(sites) for strategy, sites in self._releases.items()}

    def spent(self) -> dict[str, dict[str, float]]:
        """Epsilon by strategy and site, at `privacy.delta`, each strategy on its own."""
        return {
            strategy: {site: self._epsilon(n) for site, n in sorted(sites.items())}
            for strategy, sites in self._releases.items()
        }

    def total(self) -> dict[str, float]:
        """Epsilon by site over all strategies of the run: they train on the same rows."""
        together: Counter[str] = Counter()
        for sites in self._releases.values():
            together.update(sites)
        return {site: self._epsilon(n) for site, n in sorted(together.items())}

    def report(self) -> dict[str, object]:
        """All there is to say, as plain JSON: the noise, epsilon, and what it does not cover."""
        s, multiplier = self._settings, noise_multiplier(self._settings)
        return {
            "neighbours": "one site's data replaced by any other",
            "clip": s.clip,
            "sensitivity": 2.0 * s.clip,
            "noise_multiplier": multiplier,
            "noise_deviation": 2.0 * s.clip * multiplier,
            "delta": s.delta,
            "epsilon_per_round_wanted": s.epsilon,
            "epsilon_per_round": self._epsilon(1),
            "accounting": "Renyi, Flower's RdpAccountant, no amplification by sampling",
            "releases": self.state(),
            "epsilon": self.spent(),
            "epsilon_all_strategies": self.total(),
            "not_covered": list(NOT_COVERED[1:] if s.moments else NOT_COVERED),
        }

    def _epsilon(self, releases: int) -> float:
        return _epsilon(noise_multiplier(self._settings), self._settings.delta, releases)


@cache
def _epsilon(multiplier: float, delta: float, releases: int) -> float:
    """Epsilon at `delta` of `releases` Gaussian releases, composed as Renyi divergences."""
    # Flower pairs "no amplification" with add-or-remove alone. Without sampling the relation does
    # not enter: the Gaussian's divergence alpha / (2 z^2) depends on noise over sensitivity.
    accountant = RdpAccountant(
        PrivacyConfig(
            target_delta=delta,
            population_size=1,
            neighboring_relation=NeighboringRelation.ADD_OR_REMOVE_ONE,
            sampling_method=SamplingMethod.NO_AMPLIFICATION,
        )
    )
    accountant.compose(GaussianPrivacyEvent(multiplier, sample_size=1, population_size=1), releases)
    return accountant.get_epsilon(delta)
