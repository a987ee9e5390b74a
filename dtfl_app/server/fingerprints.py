"""Which data a run is on, told by what the server sees of it: sites' profiles, the evaluation set.

No reading leaves a site for it. Numbers count to nine digits, so that another machine, whose sums
differ in the last, has the same fingerprint for the same data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from dtfl_app.core.errors import CheckpointError
from dtfl_app.messages.profile import Profile
from dtfl_app.sites.features import Features
from dtfl_app.sites.scaling import ChannelSums

__all__ = ["EVALUATION", "of_evaluation", "of_site", "require_same_data"]

#: Stands for the evaluation set among the names of the sites.
EVALUATION = "(evaluation set)"


def of_site(profile: Profile, *, noisy: bool = False) -> str:
    """Digest of a site's schema, and of the moments and soundness of its readings.

    Moments that are `noisy`, and so others each time, do not count.
    """
    moments, quality = ChannelSums(*np.zeros((3, 0))) if noisy else profile.moments, profile.quality
    shares = [share for of in quality.values() for share in of.values()]
    sums = (float(x) for sums in (moments.n, moments.mean, moments.m2) for x in sums)
    return _digest([profile.schema, *quality], [*sums, *shares])


def of_evaluation(features: Features) -> str:
    """Digest of an evaluation set: its labels, its events, the sums of its features."""
    sums = np.nansum(features.values, axis=0, dtype=np.float64)
    words = [*features.names, *map(str, features.label), *features.event]
    return _digest(words, [float(x) for x in np.atleast_1d(sums)])


def require_same_data(then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise CheckpointError naming whose data is not what it was when the run began.

    Parameters
    ----------
    then, now : fingerprint by site. Who is not in both is not judged: a site may be away, and
        checkpoints of earlier versions have no fingerprints.
    """
    other = sorted(name for name in then.keys() & now.keys() if then[name] != now[name])
    if other:
        named = ", ".join(other[:8]) + (f" and {len(other) - 8} more" if len(other) > 8 else "")
        raise CheckpointError(
            f"resume: the data is not that of the run: {named} held other readings when it began. "
            "A folder that was moved is fine, other content is not: give data.dir and the nodes' "
            "files as they were, or start a new run. The run's folder is as it was"
        )


def _digest(words: Iterable[str], numbers: Iterable[float]) -> str:
    text = "\n".join([*words, *(f"{number:.9e}" for number in numbers)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
