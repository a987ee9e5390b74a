"""What became of false-alarm rates at sites that judge their models themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.judging import alarms_among
from dtfl_app.detector.metrics import WANTED_RATES
from dtfl_app.detector.samples import Judged
from dtfl_app.evaluation.evaluator import ObservedRate, is_kept

__all__ = ["rates_by_site"]

_WHY = "which channels are behind them the site alone can tell"


def rates_by_site(
    sites: Mapping[str, Judged], calibration: Calibration, own: float
) -> list[ObservedRate]:
    """Compare wanted and observed false-alarm rates, the run's `own` among them, by site."""
    return [
        _rate(site, sites[site], calibration, wanted)
        for wanted in dict.fromkeys((*WANTED_RATES.values(), own))
        for site in sorted(sites)
    ]


def _rate(site: str, judged: Judged, calibration: Calibration, wanted: float) -> ObservedRate:
    _, settled, recovering = judged
    count = round(alarms_among(site, settled, calibration, wanted))
    late = round(alarms_among(site, recovering, calibration, wanted))
    steps = settled.count
    kept = is_kept(wanted, count, steps)
    observed = count / steps if steps else math.nan
    return ObservedRate(site, wanted, observed, steps, late, kept, "" if kept else _WHY)
