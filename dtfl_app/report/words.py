"""A run in sentences: who reached the target when, what the alarms found, what fell short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dtfl_app.report.event_outcomes import EventOutcome
from dtfl_app.report.reading import RunContents
from dtfl_app.results.figures import FIGURES
from dtfl_app.results.measures import Measures

__all__ = ["best_summary", "describe_alarms", "describe_shortfalls", "describe_target", "headline"]

# Beyond this the promise of the threshold does not hold; within it, it is the chance of few steps.
_FALSE_ALARM_FACTOR = 2.0
_NAMED = 4


def headline(run: RunContents) -> str:
    """Say what was run: methods, sites, data, rounds."""
    get = run.settings.get
    twin = get("twin.kind", "auto")
    return (
        f"{_count(len(run.strategies), 'method')} on {get('sites') or 'all'} sites of data set "
        f"{get('dataset')}, {get('rounds')} rounds, twin {twin}, seed {get('seed')}"
    )


def best_summary(summaries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the summary with the best final balanced accuracy; None when none was judged."""
    judged = [s for s in summaries if _accuracy(s) is not None]
    return max(judged, key=lambda s: float(s["final"]["balanced_accuracy"]), default=None)


def describe_target(run: RunContents) -> list[str]:
    """Say which method reached the target in which round and at what cost, the soonest first."""
    reached = [s for s in run.summaries if s["rounds_to_target"] is not None]
    reached.sort(key=lambda s: (s["rounds_to_target"], s["megabytes_to_target"]))
    missed = [s for s in run.summaries if s["rounds_to_target"] is None]
    sentences = [
        f"{s['strategy']} reached balanced accuracy {run.target:g} {_after(s['rounds_to_target'])} "
        f"and {FIGURES['megabytes'].measured(s['megabytes_to_target'])}."
        for s in reached
    ]
    return sentences + [
        f"{s['strategy']} did not reach {run.target:g} in {_count(s['rounds'], 'round')}"
        f"{_ended_at(s)}."
        for s in missed
    ]


def describe_alarms(run: RunContents, outcomes: Mapping[str, list[EventOutcome]]) -> list[str]:
    """Say what the alarms of the best last model found, and how many false ones there were."""
    best = best_summary(run.summaries)
    if best is None:
        return ["No model was judged: there was no labelled evaluation set."]
    name, final = best["strategy"], best["final"]
    sentences = [
        f"The best last model is that of {name}: balanced accuracy "
        f"{FIGURES['balanced_accuracy'].text(final['balanced_accuracy'])}; its alarms found "
        f"{final['events_found']} of "
        f"{_count(final['events'], 'event')}{_delay(final, run.measures)}."
    ]
    if final.get("false_alarm_rate") is not None:
        sentences.append(
            f"{100 * final['false_alarm_rate']:.3g}% of the normal time steps had an alarm; "
            f"{100 * float(run.settings['detector.false-alarm-rate']):.3g}% were wanted."
        )
    missed = [o.event for o in outcomes.get(name, []) if o.first_alarm is None]
    if missed:
        sentences.append(f"It missed {_listed(missed)}.")
    return sentences


def describe_shortfalls(run: RunContents) -> list[str]:
    """Say what did not come out as wanted; empty when nothing fell short."""
    return [
        *_unfinished(run),
        *_false_alarms(run),
        *(f"{name}: {p.describe()}." for name, p in run.promised.items() if p.broken),
        *(
            f"{_count(s['refused'], 'reply', 'replies')} of {s['strategy']} refused."
            for s in run.summaries
            if s["refused"]
        ),
        *_drifts(run),
        *_spoiled_sites(run),
    ]


def _unfinished(run: RunContents) -> list[str]:
    if run.finished:
        return []
    done = f"{len(run.lines)} lines of {_count(len(run.strategies), 'method')}"
    return [f"The run did not finish (there is no summary.json); it had written {done}."]


def _false_alarms(run: RunContents) -> list[str]:
    wanted = float(run.settings["detector.false-alarm-rate"])
    above = [
        f"{s['strategy']} {100 * s['final']['false_alarm_rate']:.3g}%"
        for s in run.summaries
        if s["final"] and (s["final"].get("false_alarm_rate") or 0.0) > _FALSE_ALARM_FACTOR * wanted
    ]
    if not above:
        return []
    return [
        f"False alarms are more than twice the wanted {100 * wanted:.3g}%: {_listed(above, 8)}."
    ]


def _drifts(run: RunContents) -> list[str]:
    named = [f"{c.strategy} at {c.site}: {c.drift}" for c in run.calibration if c.drift]
    return [f"Calibration does not hold everywhere: {_listed(named)}."] if named else []


def _spoiled_sites(run: RunContents) -> list[str]:
    spoiled = [
        site
        for site, channels in sorted(run.quality.items())
        if any(shares.get("removed", 0.0) > 0 for shares in channels.values())
    ]
    return [f"Readings were set to missing at {_listed(spoiled)}."] if spoiled else []


def _after(rounds: int) -> str:
    return "before the first round" if rounds == 0 else f"after {_count(rounds, 'round')}"


def _ended_at(summary: Mapping[str, Any]) -> str:
    accuracy = _accuracy(summary)
    if accuracy is None:
        return ""
    return f"; it ended at {FIGURES['balanced_accuracy'].text(accuracy)}"


def _accuracy(summary: Mapping[str, Any]) -> float | None:
    """Final balanced accuracy; None without an evaluation set, or where it is undefined."""
    accuracy: float | None = summary["final"].get("balanced_accuracy")
    return accuracy


def _delay(final: Mapping[str, Any], measures: Measures) -> str:
    hours = final.get("hours_to_detection")
    if hours is None:
        return ""
    told = measures.told(FIGURES["hours_to_detection"]).text(hours)
    return f", {told} {measures.unit.several} after they begin on average"


def _listed(names: Sequence[str], most: int = _NAMED) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
