"""Judging a model at the server, on a labelled set that no site holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dtfl_app.core.evidence import EvidenceKind, LawEvidence, evidence_kinds, kind_names
from dtfl_app.core.model_sections import DetectorSettings
from dtfl_app.detector.calibration import Alarm, Calibration
from dtfl_app.detector.detector import Detector
from dtfl_app.detector.metrics import (
    WANTED_RATES,
    EventResult,
    Metrics,
    evaluate_scores,
    event_results,
    settled_steps,
    share,
)
from dtfl_app.detector.params import Params, set_params
from dtfl_app.inputs.preparation import Prepared
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset

__all__ = ["Evaluator", "ObservedRate", "evidence_metrics", "is_kept"]


def evidence_metrics(
    evidence: NDArray[np.float64],
    calibration: Calibration,
    settings: DetectorSettings,
    features: Features,
    step_s: float,
    sites: NDArray[np.str_] | None = None,
) -> Metrics:
    """Return all figures of evidence of shape (n, k) at the settings' false-alarm rate.

    `features` has the n steps' labels and events, `step_s` the seconds between them; `sites` is
    whose steps they are, where that counts for their thresholds.
    """
    alarm = calibration.judge(evidence, settings.false_alarm_rate, sites)
    metrics = evaluate_scores(alarm.score, alarm.threshold, features.label, features.event, step_s)
    settled = settled_steps(features.label, features.instance, settings.settling)
    rates = {
        name: share(calibration.exceeds(evidence, wanted, sites)[settled])
        for name, wanted in WANTED_RATES.items()
    }
    return replace(metrics, **rates)  # type: ignore[arg-type] # all of them are floats


@dataclass(frozen=True, slots=True)
class ObservedRate:
    """What became of a promised false-alarm rate at one site.

    Parameters
    ----------
    site : whose readings; "evaluation" where they belong to no single site.
    wanted, observed : false-alarm rates, observed over the settled normal steps.
    normal_steps : how many those are.
    after_events : alarms in the normal steps right after an event, which are not counted.
    kept : whether observed is within a factor of two of wanted, or as near as so few steps can
        tell: fewer alarms than 2 * wanted * steps + 1, and more than wanted * steps / 2 - 1.
    drift : the evidence and channel behind most of the alarms where it is not, else "".
    """

    site: str
    wanted: float
    observed: float
    normal_steps: int
    after_events: int
    kept: bool
    drift: str

    def to_mapping(self) -> dict[str, object]:
        """Plain JSON values; undefined ones become None."""
        plain = asdict(self)
        return {**plain, "observed": None if math.isnan(self.observed) else self.observed}

    def describe(self) -> str:
        """Say in one line what broke the promise."""
        return (
            f"{self.site}: {self.observed:.2%} false alarms where {self.wanted:.1%} were wanted; "
            f"{self.drift}"
        )


class Evaluator:
    """Scores the evaluation set with given parameters.

    Parameters
    ----------
    model : a detector of the federation's architecture; its weights are scratch space.
    prepared : the evaluation set, scaled with the federation's scaler.
    settings : evidence, smoothing, wanted false-alarm rate and settling.
    step_s : seconds between time steps.
    site_of : instance -> the site where it was recorded.
    """

    def __init__(
        self,
        model: Detector,
        prepared: Prepared,
        settings: DetectorSettings,
        step_s: float,
        site_of: Callable[[str], str] = FederatedDataset.site_of,
    ) -> None:
        self._model = model
        self._prepared = prepared
        self._settings = settings
        self._step_s = step_s
        self._site_of = site_of
        features = prepared.features
        self._settled = settled_steps(features.label, features.instance, settings.settling)

    def __call__(self, params: Params, calibration: Calibration) -> Metrics:
        """Return all figures of these parameters with this calibration."""
        features, evidence = self._prepared.features, self.evidence(params)
        owners = self._owners(calibration)
        return evidence_metrics(
            evidence, calibration, self._settings, features, self._step_s, owners
        )

    def alarms(self, params: Params, calibration: Calibration) -> pd.DataFrame:
        """Per time step: instance, time, label, event, score, alarm, p-value and what stands out.

        `evidence` is the kind that is furthest over its threshold, `channel` the channel behind it;
        for the model's evidence the feature whose share stands out most from its own median over
        the set, so that a noisy sensor does not explain everything. They say why, they have no
        part in the score.
        """
        evidence = self.evidence(params)
        owners = self._owners(calibration)
        alarm = calibration.judge(evidence, self._settings.false_alarm_rate, owners)
        features, names = self._prepared.features, np.array([kind.name for kind in self._kinds])
        return pd.DataFrame(
            {
                "instance": features.instance,
                "time": features.time,
                "label": features.label,
                "event": features.event,
                "score": alarm.score,
                "threshold": alarm.threshold,
                "alarm": alarm.score > alarm.threshold,
                "p_value": alarm.p_value,
                "evidence": names[alarm.foremost],
                "channel": self._channels(alarm.foremost),
            }
        )

    def observed_rates(self, params: Params, calibration: Calibration) -> list[ObservedRate]:
        """Compare wanted and observed false-alarm rates, the run's own among them, by site."""
        evidence, features = self.evidence(params), self._prepared.features
        owners, own = self._owners(calibration), self._settings.false_alarm_rate
        sources = self._sources(calibration.judge(evidence, own, owners))
        found = []
        for wanted in dict.fromkeys((*WANTED_RATES.values(), own)):
            raised = calibration.exceeds(evidence, wanted, owners)
            for site in dict.fromkeys(owners.tolist()):
                here = owners == site
                late = raised & here & (features.label == 0) & ~self._settled
                settled = self._settled & here
                reasons = _reasons(raised[settled], sources[settled])
                reasons += self._too_few(calibration, wanted)
                found.append(_observed(site, wanted, raised[settled], int(late.sum()), reasons))
        return found

    @staticmethod
    def events(alarms: pd.DataFrame) -> list[EventResult]:
        """Return what became of each event, from the table of `alarms`."""
        known = alarms[alarms["label"] >= 0]
        return event_results(known["alarm"].to_numpy(), known["event"].to_numpy(dtype=str))

    @property
    def _kinds(self) -> tuple[EvidenceKind, ...]:
        return evidence_kinds(self._settings.evidence)

    def evidence(self, params: Params) -> NDArray[np.float64]:
        """Return all evidence of these parameters, shape (n, k), kinds in the setting's order."""
        set_params(self._model, params)
        return self._prepared.evidence(self._model, self._settings)

    def _channels(self, foremost: NDArray[np.intp]) -> list[str]:
        """Name the channel behind the foremost evidence of each step."""
        features = self._prepared.features
        named = np.empty((len(features), len(self._kinds)), dtype=object)
        for column, kind in enumerate(self._kinds):
            if isinstance(kind, LawEvidence):
                names, prominence = kind.channels, self._prepared.physics[kind.name]
            else:
                steps = kind.steps(self._settings.smoothing)
                shares = self._prepared.score(self._model, steps).per_channel
                usual = np.median(shares, axis=0)
                names, prominence = features.names, kind.prominence(shares, usual)
            named[:, column] = np.array(names)[prominence.argmax(axis=1)]
        return [str(name) for name in named[np.arange(len(features)), foremost]]

    def _owners(self, calibration: Calibration) -> NDArray[np.str_]:
        """Whose steps the set's are, shape (n,)."""
        names, place = np.unique(self._prepared.features.instance, return_inverse=True)
        return np.array([self._owner(str(name), calibration) for name in names], str)[place]

    def _owner(self, instance: str, calibration: Calibration) -> str:
        """The site that an instance was recorded at, if its calibration counts."""
        name = self._site_of(instance)
        return name if name in calibration.sites else "evaluation"

    def _too_few(self, calibration: Calibration, wanted: float) -> list[str]:
        short = [self._kinds[kind] for kind in calibration.too_few(wanted)]
        if not short:
            return []
        needed = len(self._kinds) / wanted - 1
        return [f"fewer than the {needed:.0f} calibration scores it takes of {kind_names(short)}"]

    def _sources(self, alarm: Alarm) -> NDArray[np.object_]:
        """Say of each step which evidence stands out, and at which channel."""
        kinds = [self._kinds[i].name for i in alarm.foremost]
        channels = self._channels(alarm.foremost)
        return np.array(
            [f"{k} evidence, {c}" for k, c in zip(kinds, channels, strict=True)], object
        )


def is_kept(wanted: float, count: int, steps: int) -> bool:
    """Tell whether `count` alarms in `steps` normal steps keep a rate, as `ObservedRate` has it."""
    return wanted * steps / 2 - 1 < count < 2 * wanted * steps + 1


def _observed(
    site: str,
    wanted: float,
    raised: NDArray[np.bool_],
    after_events: int,
    reasons: list[str],
) -> ObservedRate:
    """Judge the alarms in one site's settled steps; `raised` has shape (steps,)."""
    count, steps = int(raised.sum()), len(raised)
    kept = is_kept(wanted, count, steps)
    drift = "" if kept else "; ".join(reasons)
    return ObservedRate(site, wanted, share(raised), steps, after_events, kept, drift)


def _reasons(raised: NDArray[np.bool_], sources: NDArray[np.object_]) -> list[str]:
    """Say what most of the alarms come from."""
    if not raised.any():
        return ["too few alarms"]
    most = pd.Series(sources[raised]).value_counts()
    return [f"{most.iloc[0]} of {int(raised.sum())} alarms: {most.index[0]}"]
