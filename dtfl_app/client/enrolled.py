"""What a site told of its moments before: two answers must not differ by a few readings.

Whoever subtracts the sums of one enrolment from those of the next learns the sums of the rows that
came between, and of one row its readings. A site with a state folder therefore keeps its last
answer and hashes of the rows it was of, and gives it again until as many rows are others as moments
must be of to leave at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dtfl_app.core.logs import log
from dtfl_app.messages.profile import Profile
from dtfl_app.sites.scaling import ChannelSums
from twin.ctown.residuals import DemandSums
from twin.files import write_atomically

__all__ = ["as_told"]

Hashes = NDArray[np.uint64]
# Readings of each feature that an answer was of, which it tells where it has no noise.
Counts = NDArray[np.float64]


def as_told(
    profile: Profile,
    rows: NDArray[np.float32],
    home: Path,
    least: int,
    noisy: Callable[[Profile], Profile] | None = None,
    noise: str = "",
) -> Profile:
    """Return what a site tells: `profile`, or what it told before, where they differ by too little.

    Parameters
    ----------
    profile : of the site's data as it is now.
    rows : that its moments are of, shape (n, d).
    home : the site's folder of states.
    least : rows, and readings of each channel, by which two answers differ if they do, >= 1.
    noisy : adds noise to a profile; None = it is told as it is. The same data has the same answer:
        the mean of many noisy ones would be the true one.
    noise : names how much, for answers with different noise are remembered each by itself.
    """
    path = home / f"enrolment{noise and '-'}{noise}.safetensors"
    hashes = np.sort(_hashes(rows))
    before = _read(path, profile)
    if before is not None:
        told, known, readings = before
        others = len(np.setxor1d(hashes, known))
        if others == 0 or _too_close(profile, readings, others, least):
            if others:
                log.info(
                    "site %s: enrols with the moments that it told before; %d rows are others "
                    "since, fewer than %d or of a channel with fewer readings in them",
                    profile.site, others, least,
                )  # fmt: skip
            return told
    told = profile if noisy is None else noisy(profile)
    try:
        home.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _packed(told, hashes, profile.moments.n))
    except OSError as error:
        log.warning("site %s: %s cannot be written: %s", profile.site, path, error)
    return told


def _hashes(rows: NDArray[np.float32]) -> Hashes:
    found = pd.util.hash_pandas_object(pd.DataFrame(rows), index=False)
    return np.asarray(found.to_numpy(), dtype=np.uint64)


def _too_close(profile: Profile, readings: Counts, others: int, least: int) -> bool:
    """Whether two answers are apart by fewer rows than `least`, or a channel by fewer readings."""
    change = np.abs(profile.moments.n - readings)
    return others < least or bool(((change > 0) & (change < least)).any())


def _packed(profile: Profile, hashes: Hashes, readings: Counts) -> bytes:
    demand = profile.demand or DemandSums.none()
    arrays = {
        "rows": hashes,
        "readings": readings,
        **{name: getattr(profile.moments, name) for name in ("n", "mean", "m2")},
        **{f"demand-{name}": getattr(demand, name) for name in ("count", "total")},
    }
    about = {
        "schema": profile.schema,
        "quality": {channel: dict(shares) for channel, shares in profile.quality.items()},
        "with-demand": profile.demand is not None,
    }
    return save(arrays, metadata={"about": json.dumps(about)})


def _read(path: Path, now: Profile) -> tuple[Profile, Hashes, Counts] | None:
    """The last answer, the rows and readings it was of; None without one to the same question."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            about: dict[str, Any] = json.loads(file.metadata()["about"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        moments = ChannelSums(*(arrays[name] for name in ("n", "mean", "m2")))
        sums = DemandSums(arrays["demand-count"], arrays["demand-total"])
        if about["schema"] != now.schema or moments.n.shape != now.moments.n.shape:
            return None
        if about["with-demand"] != (now.demand is not None):
            return None
        demand = sums if about["with-demand"] else None
        told = replace(now, moments=moments, quality=about["quality"], demand=demand)
        return told, arrays["rows"], arrays.get("readings", moments.n)
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s): the site enrols anew", path, error)
        return None
