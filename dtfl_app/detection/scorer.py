"""From one row of readings after the other to scores, alarms and drift: the detector on line.

All that a row's outcome depends on is in `Scorer.state`: a scorer restored to it goes on as if it
had never stopped, wherever that was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.core.evidence import EvidenceKind, LawEvidence, ModelEvidence
from dtfl_app.detection.at_site import absent_channels, law_stream, own_table, require_known
from dtfl_app.detection.drift import DRIFT_LIMIT, DRIFT_WINDOW, Drift, DriftChange
from dtfl_app.detection.model import OnnxModel
from dtfl_app.detection.threshold_table import ThresholdTable, Verdict
from dtfl_app.detection.windows import FrozenChannels, InputWindows, TrailingMean
from dtfl_app.sites.stretches import fill_gaps, longest_step_ns, recording_of
from twin.schema import out_of_range

__all__ = ["Cause", "Counts", "Outcome", "Scorer", "Step"]

Floats = NDArray[np.float64]

# Channels that are named behind a step's evidence.
_CAUSES = 3


@dataclass(frozen=True, slots=True)
class Cause:
    """A channel behind the evidence of a step.

    Parameters
    ----------
    channel : its name; with statistics over a window the feature's, e.g. "P-TPT:mean".
    share : its part of the step's evidence, in (0, 1].
    reading : its value, in its unit; None where missing.
    expected : the value that model or law expects, in the same unit; None where none does.
    """

    channel: str
    share: float
    reading: float | None
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What the detector says of one time step.

    Parameters
    ----------
    time : end of the step, ns since 1970.
    verdict : score, threshold, p-value.
    evidence : kind of evidence that stands out most over its threshold.
    causes : channels behind that evidence, the one that stands out most first; at most 3.
    """

    time: int
    verdict: Verdict
    evidence: str
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row.

    Parameters
    ----------
    skipped : whether it was not later than the row before, and so was left out.
    gap : whether time is missing before it, and so a stretch begins with it.
    begins : whether a stretch begins with it, for whatever reason.
    impossible : channels whose reading was outside the physical range, and so taken as missing.
    step : the time step that ends with it, if one does.
    drift : drifts that begin or are over.
    baseline : whether it is of its recording's baseline, and so not scored.
    """

    skipped: bool = False
    gap: bool = False
    begins: bool = False
    impossible: tuple[str, ...] = ()
    step: Step | None = None
    drift: tuple[DriftChange, ...] = ()
    baseline: bool = False


@dataclass(slots=True)
class Counts:
    """What came in and what came out so far.

    Parameters
    ----------
    rows, skipped : rows taken in; rows left out, for whatever reason.
    missing : readings that were empty or not a number.
    impossible : readings outside the physical range.
    baseline : rows of recordings' baselines, those made up included; no step ends with one.
    stretches : uninterrupted stretches of rows.
    gaps : stretches that begin because time is missing, and not with a recording.
    filled : rows made up to fill gaps; they are among no other of these but what came out.
    longest_stretch : rows of the longest stretch, those made up included.
    steps, alarms, episodes : time steps, those with an alarm, and runs of these.
    """

    rows: int = 0
    skipped: int = 0
    missing: int = 0
    impossible: int = 0
    stretches: int = 0
    gaps: int = 0
    filled: int = 0
    longest_stretch: int = 0
    steps: int = 0
    alarms: int = 0
    episodes: int = 0
    baseline: int = 0


@dataclass(slots=True)
class _Place:
    """Where in the recording the scorer is; `readings` as delivered, of the last row."""

    last: int | None = None
    readings: Floats | None = None
    instance: str | None = None
    alarm: bool = False
    counts: Counts = field(default_factory=Counts)


class Scorer:
    """Scores rows in time order.

    Parameters
    ----------
    bundle : the trained detector.
    site : name of the site, where the model knows several plants.
    ignored : channels known to be broken, taken as missing.
    drift_window, drift_limit : see `drift.Drift`.

    `thresholds` and `drift` are attributes. Raises ConfigError for an unknown site or channel.
    """

    def __init__(
        self,
        bundle: Bundle,
        site: str = "",
        ignored: Collection[str] = (),
        drift_window: int = DRIFT_WINDOW,
        drift_limit: float = DRIFT_LIMIT,
    ) -> None:
        schema, plan = bundle.site_schema.schema, bundle.features
        self._bundle, self._kinds = bundle, bundle.kinds
        self._longest_step_ns = longest_step_ns(schema.period_s)
        self._schema, self._filling = schema, bundle.site_schema.gaps
        self._low = np.array([channel.low for channel in schema.channels])
        self._high = np.array([channel.high for channel in schema.channels])
        self._names, self._absent = schema.names, absent_channels(bundle, schema, ignored)
        self._model = OnnxModel(bundle.graph, plan.window, len(plan.names))
        require_known(bundle, site)
        self.thresholds = ThresholdTable(bundle.calibration.at(site), bundle.rate)
        self._own = own_table(bundle, site)
        self._frozen = FrozenChannels(schema) if plan.frozen_missing else None
        self._windows = InputWindows(plan, bundle.scaling.at(site), schema)
        self._means = {
            kind: TrailingMean(kind.steps(bundle.smoothing))
            for kind in bundle.kinds
            if isinstance(kind, ModelEvidence)
        }
        self._laws = law_stream(bundle, site)
        table = self._own or self.thresholds
        self.drift = Drift(table, [k.name for k in self._kinds], drift_window, drift_limit)
        self._place = _Place()

    @property
    def counts(self) -> Counts:
        """What came in and out so far."""
        return self._place.counts

    @property
    def window(self) -> int:
        """Rows that a time step takes."""
        return self._windows.samples

    @property
    def baseline(self) -> int:
        """Rows that a recording's baseline takes; 0 where it has none."""
        return self._bundle.features.spec.baseline

    @property
    def missing(self) -> list[str]:
        """Channels that are taken as missing from the start."""
        return [name for name, gone in zip(self._names, self._absent, strict=True) if gone]

    def missing_rows(
        self, time: int, readings: Floats, instance: str = ""
    ) -> list[tuple[int, Floats]]:
        """Return times and readings of the rows to take in before a row, to fill the gap there.

        Parameters as of `step`.
        """
        step_ns, before = self._step_ns(time, instance), self._place.readings
        if step_ns is None or step_ns <= self._longest_step_ns or before is None:
            return []
        times = np.array([time - step_ns, time])
        made = fill_gaps(times, np.stack([before, readings]), self._schema, self._filling)
        return list(zip(made.time.tolist(), made.values, strict=True))

    def step(
        self, time: int, readings: Floats, instance: str = "", *, filled: bool = False
    ) -> Outcome:
        """Take in a row.

        Parameters
        ----------
        time : ns since 1970.
        readings : in the schema's units and order, shape (c,); NaN = missing.
        instance : recording that it belongs to; another one than before begins a stretch.
        filled : whether it is one of the `missing_rows`.
        """
        place, counts = self._place, self._place.counts
        step_ns = self._step_ns(time, instance)
        if step_ns is not None and step_ns <= 0:
            counts.skipped += 1
            return Outcome(skipped=True)
        gap = step_ns is not None and step_ns > self._longest_step_ns
        begins = gap or step_ns is None
        if begins:
            self._restart(self._other_recording(instance))
        place.last, place.readings, place.instance = time, readings, instance
        counts.gaps += gap
        if filled:
            counts.filled += 1
        else:
            counts.rows += 1
            counts.missing += int(np.count_nonzero(np.isnan(readings)))
        impossible = out_of_range(readings, self._low, self._high)
        step, drift = self._score(time, np.where(impossible | self._absent, np.nan, readings))
        names: tuple[str, ...] = ()
        if impossible.any():
            names = tuple(self._names[i] for i in np.flatnonzero(impossible))
            counts.impossible += len(names)
        return Outcome(
            gap=gap,
            begins=begins,
            impossible=names,
            step=step,
            drift=drift,
            baseline=self._windows.in_baseline,
        )

    def state(self) -> dict[str, Any]:
        """All that later rows depend on, as plain values."""
        return {
            "last": self._place.last,
            "readings": None if self._place.readings is None else self._place.readings.tolist(),
            "instance": self._place.instance,
            "alarm": self._place.alarm,
            "counts": asdict(self._place.counts),
            "frozen": self._frozen.state() if self._frozen else None,
            "windows": self._windows.state(),
            "means": {kind.name: mean.state() for kind, mean in self._means.items()},
            "laws": self._laws.state() if self._laws else None,
            "drift": {**self.drift.state(), "own": self._own is not None},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state` of a scorer that was made alike."""
        # A state of before recordings were told apart names none, one of before gaps were filled
        # has no readings.
        instance, readings = state.get("instance"), state.get("readings")
        kept = None if readings is None else np.array(readings, dtype=np.float64)
        counts = Counts(**state["counts"])
        self._place = _Place(state["last"], kept, instance, state["alarm"], counts)
        self._windows.restore(state["windows"])
        for kind, mean in self._means.items():
            mean.restore(state["means"][kind.name])
        if self._frozen:
            self._frozen.restore(state["frozen"])
        if self._laws:
            self._laws.restore(state["laws"])
        drift = state["drift"]
        if drift.get("own", False) == (self._own is not None):
            self.drift.restore(drift)
        # Else it is of before a site was compared with itself: cells of another table.

    def _step_ns(self, time: int, instance: str) -> int | None:
        """Time since the row before; None where that is none of this recording."""
        place = self._place
        if place.last is None or (place.instance is not None and place.instance != instance):
            return None
        return time - place.last

    def _other_recording(self, instance: str) -> bool:
        before = self._place.instance
        return before is not None and recording_of(before) != recording_of(instance)

    def _restart(self, recording: bool) -> None:
        """Begin a stretch; `recording` says whether it is of another recording."""
        self._place.counts.stretches += 1
        self._place.alarm = False
        self._windows.restart(recording)
        for mean in self._means.values():
            mean.restart()
        if self._frozen:
            self._frozen.restart()
        if self._laws:
            self._laws.restart()

    def _score(self, time: int, readings: Floats) -> tuple[Step | None, tuple[DriftChange, ...]]:
        if self._frozen:
            readings = self._frozen.step(readings)
        made, counts = self._windows.step(readings), self._place.counts
        counts.baseline += self._windows.in_baseline
        counts.longest_stretch = max(counts.longest_stretch, self._windows.position)
        if made is None:
            return None, ()
        features, inputs = made
        found, expected = self._evidence(time, features.astype(np.float64), inputs)
        totals = np.array([found[kind.name][0] for kind in self._kinds])
        verdict = self.thresholds.verdict(totals)
        kind = self._kinds[verdict.foremost]
        causes = self._causes(kind, found[kind.name][1], features, expected)
        own = verdict if self._own is None else self._own.verdict(totals)
        return Step(time, verdict, kind.name, causes), self._account(verdict, own.cells)

    def _account(self, verdict: Verdict, cells: tuple[int, ...]) -> tuple[DriftChange, ...]:
        """Count a step, and watch for drift."""
        place, counts = self._place, self._place.counts
        counts.steps += 1
        if verdict.alarm:
            counts.alarms += 1
            counts.episodes += not place.alarm
        place.alarm = verdict.alarm
        return tuple(self.drift.add(verdict.alarm, cells))

    def _evidence(
        self, time: int, features: Floats, inputs: NDArray[np.float32]
    ) -> tuple[dict[str, tuple[float, Floats]], Floats | None]:
        """Each kind's evidence, in all and by feature or channel, and the features expected.

        A law's evidence by channel is signed.
        """
        laws = self._laws.step(time, features) if self._laws else {}
        found = {
            name: (float(LawEvidence.total(np.abs(missed))), missed)
            for name, missed in laws.items()
        }
        scores = self._model.score(inputs)
        row = np.concatenate([scores.total, scores.per_channel[0]])  # shape: (1 + d,)
        for kind, mean in self._means.items():
            smoothed = mean.step(row)
            found[kind.name] = float(smoothed[0]), smoothed[1:]
        if scores.expected is None:
            return found, None
        return found, self._windows.expected(scores.expected[0])

    def _causes(
        self,
        kind: EvidenceKind,
        missed: Floats,
        features: NDArray[np.float32],
        expected: Floats | None,
    ) -> tuple[Cause, ...]:
        names, shares = self._bundle.features.names, np.abs(missed)
        if isinstance(kind, LawEvidence):
            prominence, named = shares, kind.channels
        else:
            prominence = kind.prominence(shares, self._bundle.usual[kind.name])
            named = names
        whole = float(shares.sum())
        order = np.argsort(-prominence, kind="stable")[:_CAUSES]
        found = []
        for i in order[shares[order] > 0.0]:
            place = names.index(named[i])
            reading, wanted = _shortest(features[place]), None
            if isinstance(kind, ModelEvidence):
                wanted = None if expected is None else _shortest(np.float32(expected[place]))
            elif kind.expects is not None and reading is not None:
                wanted = _shortest(np.float32(kind.expects(reading, float(missed[i]))))
            found.append(Cause(named[i], float(shares[i]) / whole, reading, wanted))
        return tuple(found)


def _shortest(value: np.float32) -> float | None:
    # By way of its text: the shortest number that is this one, 33.44 and not 33.439998626708984.
    return None if np.isnan(value) else float(str(value))
