"""How much the run's twin counts, settled before round 1 and told in the run's events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dtfl_app.core.logs import log
from dtfl_app.core.model_sections import TwinSettings
from dtfl_app.inputs.preparation import Prepared
from dtfl_app.results.run_directory import RunDirectory
from dtfl_app.results.run_events import RunEvent
from dtfl_app.rounds.twin_trust import TwinTrust, moment_distance, trust_in
from dtfl_app.server.enrolment import Enrolment
from dtfl_app.sites.scaling import ChannelSums

__all__ = ["trust_of", "with_twin_weight"]


def with_twin_weight(
    enrolment: Enrolment, settings: TwinSettings, twin: Prepared, results: RunDirectory
) -> Enrolment:
    """Settle the weight, by the settings or by what `trust_of` measures, and tell of it."""
    weight = settings.fixed_weight
    if weight == 1.0:
        return enrolment
    if weight is None:
        trust = trust_of(twin, enrolment)
        weight, why = trust.weight, trust.describe()
        figures = {"weight": weight, "distance": trust.distance}
    else:
        why, figures = "the twin counts for as much as twin.weight says", {"weight": weight}
    event = RunEvent("twin-weight", reason=why, figures=figures)
    log.info("%s", event.describe())
    results.note(event)
    return replace(enrolment, twin_weight=weight)


def trust_of(twin: Prepared, enrolment: Enrolment) -> TwinTrust:
    """Measure how much the twin's normal operation is like what the sites told of theirs.

    A twin without a row of normal operation, and sites that told nothing, leave it as it is asked.
    """
    names = twin.features.names
    rows = twin.x[twin.features.label < 1, -len(names) :]  # the last step of each window
    if not len(rows) or enrolment.moments is None or enrolment.usual is None:
        return TwinTrust(1.0, 0.0, {})
    seen = ChannelSums.of(rows)
    far: NDArray[np.float64] = moment_distance(
        seen.mean, seen.m2 / seen.n, *enrolment.scaler.moments(enrolment.moments)
    )
    return trust_in(np.where(enrolment.moments.n > 0, far, 0.0), enrolment.usual, names)
