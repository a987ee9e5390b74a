"""The page of one run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dtfl_app.core.config import PLACES
from dtfl_app.detector.metrics import WANTED_RATES
from dtfl_app.report.blocks import (
    Block,
    Cell,
    Code,
    Column,
    Details,
    Legend,
    Section,
    Sentences,
    Table,
    Tile,
)
from dtfl_app.report.event_outcomes import EventOutcome, event_outcomes
from dtfl_app.report.page import render_page
from dtfl_app.report.reading import NO_SITE, RunContents
from dtfl_app.report.run_log import log_blocks, privacy_blocks
from dtfl_app.report.run_pictures import (
    FalseAlarms,
    bytes_to_target,
    calibration_plot,
    distance_plot,
    learning_curves,
    twin_signals,
)
from dtfl_app.report.run_tables import (
    SettingReference,
    alarm_table,
    calibration_table,
    cost_table,
    distance_table,
    event_table,
    figure_table,
    file_table,
    group_table,
    quality_table,
    setting_tables,
)
from dtfl_app.report.timeline_pictures import timeline_pictures
from dtfl_app.report.words import (
    best_summary,
    describe_alarms,
    describe_shortfalls,
    describe_target,
    headline,
)
from dtfl_app.results.figures import FIGURES

__all__ = [
    "environment_blocks",
    "event_blocks",
    "run_page",
    "setting_blocks",
    "site_blocks",
    "twin_blocks",
]

_CALIBRATION_FACTOR = 2.0
_ONE_CLASS = (
    "The evaluation set has normal steps alone, or abnormal ones alone: balanced accuracy is not "
    "defined, so there is no curve to draw."
)


def run_page(run: RunContents, reference: Sequence[SettingReference]) -> str:
    """Return the HTML document on a run; `reference` says what each setting is."""
    outcomes = {name: event_outcomes(table) for name, table in run.alarms.items()}
    sections = [
        Section("summary", "Summary", tuple(_summary(run, outcomes))),
        Section("strategies", "Strategies", tuple(_strategies(run))),
        Section("curves", "Learning curves", tuple(_curves(run))),
        Section("bytes", "Bytes to the target", tuple(_bytes(run))),
        Section("sites", "Sites", tuple(site_blocks(run))),
        Section("calibration", "Threshold calibration", tuple(_calibration(run))),
        Section("events", "Events and alarms", tuple(event_blocks(run, outcomes))),
        Section("twin", "Twin and plant", tuple(twin_blocks(run))),
        Section("log", "What happened in the rounds", tuple(log_blocks(run.events))),
        Section("privacy", "Privacy", tuple(privacy_blocks(run.privacy))),
        Section("settings", "Settings", tuple(setting_blocks(run, reference))),
        Section(
            "provenance", "Environment and provenance", tuple(environment_blocks(run, reference))
        ),
    ]
    return render_page(f"Run {run.name}", headline(run), _tiles(run), sections)


def _tiles(run: RunContents) -> list[Tile]:
    tiles = []
    reached = [s for s in run.summaries if s["rounds_to_target"] is not None]
    if reached:
        first = min(reached, key=lambda s: (s["rounds_to_target"], s["megabytes_to_target"]))
        cheapest = min(reached, key=lambda s: s["megabytes_to_target"])
        note = f"{first['strategy']}; target {run.target:g}"
        tiles.append(Tile("Fewest rounds to the target", str(first["rounds_to_target"]), note))
        megabytes = FIGURES["megabytes"].measured(cheapest["megabytes_to_target"])
        tiles.append(Tile("Fewest bytes to the target", megabytes, cheapest["strategy"]))
    best = best_summary(run.summaries)
    if best is not None:
        final, name = best["final"], best["strategy"]
        figure = FIGURES["balanced_accuracy"].text(final["balanced_accuracy"])
        tiles.append(Tile("Best last balanced accuracy", figure, name))
        found = f"{final['events_found']} of {final['events']}"
        tiles.append(Tile("Events its alarms found", found, name))
    return tiles


def _summary(run: RunContents, outcomes: Mapping[str, list[EventOutcome]]) -> Iterator[Block]:
    if not run.summaries:
        yield Sentences(("This run holds no rounds yet.",), tone="warning")
        return
    yield Sentences(tuple(describe_target(run)), "Reaching the target")
    yield Sentences(tuple(describe_alarms(run, outcomes)), "Alarms")
    short = describe_shortfalls(run)
    if short:
        yield Sentences(tuple(short), "What fell short", tone="warning")


def _strategies(run: RunContents) -> Iterator[Block]:
    if not run.summaries:
        yield _nothing("no rounds")
        return
    yield cost_table(run.summaries)
    if any(summary["final"] for summary in run.summaries):
        yield figure_table(run.summaries, run.measures)
        yield alarm_table(run.summaries, run.promised, run.measures)
    if any(summary.get("groups") for summary in run.summaries):
        yield group_table(run.summaries, run.measures)


def _curves(run: RunContents) -> Iterator[Block]:
    judged = [line.metrics for line in run.lines if line.metrics]
    drawn = any(math.isfinite(metrics.balanced_accuracy) for metrics in judged)
    signals = twin_signals(run.lines)
    if drawn or signals is not None:
        yield Legend(tuple(dict.fromkeys(line.strategy for line in run.lines)))
    if drawn:
        yield learning_curves(run.lines, run.target)
    elif judged:
        yield Sentences((_ONE_CLASS,))
    else:
        yield _nothing("no judged models")
    if signals is not None:
        yield signals


def _bytes(run: RunContents) -> Iterator[Block]:
    if not run.summaries:
        yield _nothing("no rounds")
        return
    if all(s["rounds_to_target"] is None for s in run.summaries):
        yield Sentences(
            (f"No method reached balanced accuracy {run.target:g}, so there is nothing to draw.",)
        )
        return
    yield bytes_to_target(run.summaries, run.lines, run.target)


def site_blocks(run: RunContents) -> Iterator[Block]:
    """Soundness of each site's readings, and its false alarms where they are stored."""
    yield quality_table(run.quality) if run.quality else _nothing("no quality.json")
    sites = [entry for entry in run.calibration if entry.site != NO_SITE]
    if sites:
        yield calibration_table(sites, _CALIBRATION_FACTOR)


def _calibration(run: RunContents) -> Iterator[Block]:
    points = _false_alarms(run)
    if not points:
        yield _nothing("no observed false-alarm rates")
        return
    yield Legend(tuple(dict.fromkeys(point.strategy for point in points)))
    yield calibration_plot(points)
    whole = [entry for entry in run.calibration if entry.site == NO_SITE]
    if whole:
        caption = "False alarms where the readings belong to no single site"
        yield calibration_table(whole, _CALIBRATION_FACTOR, "whole-calibration", caption)


def _false_alarms(run: RunContents) -> list[FalseAlarms]:
    """Observed rates of the whole evaluation set, and of single sites where they are stored."""
    wanted = float(run.settings["detector.false-alarm-rate"])
    overall = [
        FalseAlarms(s["strategy"], rate, s["final"][key])
        for s in run.summaries
        for key, rate in _rates_of(s["final"], wanted).items()
    ]
    sites = [
        FalseAlarms(c.strategy, c.wanted, c.observed, c.site)
        for c in run.calibration
        if c.observed == c.observed  # NaN: a site without normal steps has no rate
    ]
    return [*overall, *sites]


def _rates_of(final: Mapping[str, Any], wanted: float) -> dict[str, float]:
    """Key of each observed rate and the wanted one; the run's own only if no other is stored."""
    stored = {key: rate for key, rate in WANTED_RATES.items() if final.get(key) is not None}
    own = {"false_alarm_rate": wanted} if final.get("false_alarm_rate") is not None else {}
    return stored or own


def event_blocks(run: RunContents, outcomes: Mapping[str, list[EventOutcome]]) -> Iterator[Block]:
    """What became of each event under each strategy, and the timelines."""
    if not run.alarms:
        yield _nothing("no alarms of a finished strategy")
        return
    best = best_summary([s for s in run.summaries if s["strategy"] in outcomes])
    for place, (name, found) in enumerate(outcomes.items()):
        table = event_table(f"events-{place}", name, found, run.measures.unit)
        hits = sum(outcome.first_alarm is not None for outcome in found)
        unfolded = best is not None and name == best["strategy"]
        yield Details(f"{name}: {hits} of {len(found)} events found", (table,), unfolded)
    yield Sentences(
        (
            "Shaded: an event is under way. Line: anomaly score, the largest of each stretch that "
            "is one point wide. Dashed: alarm threshold. Bar at the foot: alarms.",
        ),
        "Timeline",
    )
    pictures, left_out = timeline_pictures(run.alarms, run.measures.unit)
    for place, picture in enumerate(pictures):
        yield Details(picture.title, (picture,), unfolded=place == 0)
    if left_out:
        yield Sentences((f"{left_out} more stretches are not drawn; their alarms are in alarms/.",))


def twin_blocks(run: RunContents) -> Iterator[Block]:
    """How far the twin is from the plant, or how to find out."""
    if run.twin_kind == "none":
        yield Sentences(("This run had no twin.",))
    elif run.twin_distance is None and run.twin_kind != "ctown":
        yield _nothing("no comparison of twin and plant")
    elif run.twin_distance is None:
        yield Sentences(
            (
                "This run's folder holds no comparison of twin and plant. With a file of the "
                "plant's normal operation, this makes one:",
            )
        )
        yield Code(f"dtfl twin compare SCADA.csv --out {run.name}/twin_distance.csv")
    else:
        mean = float(run.twin_distance["ks"].mean())
        yield Sentences((f"Mean Kolmogorov-Smirnov distance over the channels: {mean:.3f}.",))
        yield distance_plot(run.twin_distance)
        yield Details("All channels", (distance_table(run.twin_distance),))


def setting_blocks(run: RunContents, reference: Sequence[SettingReference]) -> Iterator[Block]:
    """Every setting, section by section; those with a change unfolded."""
    yield Sentences(("Values that differ from their default are marked.",))
    for section, table in setting_tables(run.settings, reference):
        changed = sum(row[1].tone == "changed" for row in table.rows)
        title = f"{section} ({changed} changed)" if changed else section
        yield Details(title, (table,), unfolded=changed > 0)


def environment_blocks(run: RunContents, reference: Sequence[SettingReference]) -> Iterator[Block]:
    """What the run ran on, the command that repeats it, and the files of its folder."""
    yield _environment(run.about)
    yield Sentences(("This repeats the run:",))
    yield Code(_command(run.settings, reference))
    yield Details("What this page was made from", (file_table(run.files),))


def _environment(about: Mapping[str, Any]) -> Table:
    facts = {
        **{key: about.get(key, "not stored") for key in ("started", "hardware", "system")},
        "Python": about.get("python", "not stored"),
        **about.get("versions", {}),
    }
    rows = tuple((Cell(name), Cell(str(value))) for name, value in facts.items())
    columns = (Column("what", numeric=False), Column("value", numeric=False))
    return Table("environment", "What it ran on", columns, rows)


def _command(settings: Mapping[str, Any], reference: Sequence[SettingReference]) -> str:
    """Return the `dtfl run` command with the settings that differ from their defaults."""
    changed = [
        f"{entry.key}={str(settings[entry.key]).lower()}"
        if isinstance(entry.default, bool)
        else f"{entry.key}={settings[entry.key]}"
        for entry in reference
        if entry.key in settings
        and entry.key not in PLACES
        and settings[entry.key] != entry.default
    ]
    return shlex.join(["dtfl", "run", *changed])


def _nothing(what: str) -> Sentences:
    return Sentences((f"This run's folder holds {what}.",))
