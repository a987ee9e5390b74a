"""The tables of a run's page, as rows of cells that carry the stored number beside its text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from dtfl_app.detector.metrics import WANTED_RATES
from dtfl_app.report.blocks import Cell, Column, Table
from dtfl_app.report.event_outcomes import EventOutcome
from dtfl_app.report.reading import SiteCalibration, StoredFile
from dtfl_app.results.figures import FIGURES, Figure, figures
from dtfl_app.results.measures import HOURS, Measures, TimeUnit
from dtfl_app.results.promises import PROMISE_HEAD, Promise

__all__ = [
    "SettingReference",
    "alarm_table",
    "calibration_table",
    "cost_table",
    "distance_table",
    "event_table",
    "figure_cell",
    "figure_column",
    "figure_table",
    "file_table",
    "group_table",
    "number",
    "quality_table",
    "setting_tables",
]

#: Hourly data of C-Town's plant, on which every figure is defined.
BENCHMARK = Measures()


@dataclass(frozen=True, slots=True)
class SettingReference:
    """What a setting is: its key, the section it is in, its default and one line on it."""

    key: str
    section: str
    default: object
    doc: str


_TO_TARGET = tuple(
    cost.to("target")
    for cost in figures("rounds", "megabytes", "site_steps", "server_steps", "seconds")
)
_WHOLE_RUN = tuple(
    replace(cost, note="whole run")
    for cost in figures("rounds", "megabytes_up", "megabytes_down", "seconds")
)
_COSTS = (*_TO_TARGET, *_WHOLE_RUN, FIGURES["refused"])
_FIGURES = (
    "balanced_accuracy",
    "auc_pr",
    "roc_auc",
    "s",
    "s_ttd",
    "s_clf",
    "precision",
    "recall",
    "f1",
)
_ALARMS = (
    "events_found", "events", "hours_to_detection", "false_alarm_rate", "false_alarms_per_day",
    *WANTED_RATES, "threshold", "base_rate",
)  # fmt: skip


def cost_table(summaries: Sequence[Mapping[str, Any]]) -> Table:
    """What each strategy took to the target and in all; keys as in summary.json."""
    stored = [cost for cost in _COSTS if any(cost.key in s for s in summaries)]
    caption = "Cost until the target was first reached, and of the whole run"
    return _by_strategy("costs", caption, summaries, stored, "")


def figure_table(summaries: Sequence[Mapping[str, Any]], measures: Measures = BENCHMARK) -> Table:
    """How well each strategy's last model tells events from normal operation."""
    caption = "Figures of the last model on the evaluation set"
    shown = measures.figures(*_FIGURES)
    return _by_strategy("figures", caption, _finals(summaries), shown, "final.")


def alarm_table(
    summaries: Sequence[Mapping[str, Any]],
    promised: Mapping[str, Promise],
    measures: Measures = BENCHMARK,
) -> Table:
    """What each last model's alarms found, and every figure that has no name of its own here.

    `promised` says by strategy what became of the run's own false-alarm rate.
    """
    finals = _finals(summaries)
    stored = dict.fromkeys(key for final in finals for key in final)
    named = {"strategy", *_FIGURES, *_ALARMS}
    shown = [figure for figure in measures.figures(*_ALARMS) if figure.key in stored]
    shown += [Figure(key, key.replace("_", " "), digits=4) for key in stored if key not in named]
    table = _by_strategy("alarms", "Alarms of the last model", finals, shown, "final.")
    head = Column(PROMISE_HEAD, "of settled normal steps")
    rows = tuple(
        (*row, _promise_cell(promised.get(final["strategy"])))
        for row, final in zip(table.rows, finals, strict=True)
    )
    return replace(table, columns=(*table.columns, head), rows=rows)


def _promise_cell(promise: Promise | None) -> Cell:
    if promise is None:
        return Cell("-")
    return Cell(promise.text, promise.observed, tone="poor" if promise.broken else "")


def group_table(summaries: Sequence[Mapping[str, Any]], measures: Measures = BENCHMARK) -> Table:
    """Figures of each last model by group of events, where the protocol has groups."""
    shown = measures.figures(*_FIGURES, "events_found", "events")
    rows = tuple(
        (
            Cell(summary["strategy"]),
            Cell(group),
            *(
                figure_cell(figure, final.get(figure.key), f"groups.{group}.{figure.key}")
                for figure in shown
            ),
        )
        for summary in summaries
        for group, final in summary.get("groups", {}).items()
    )
    columns = (
        Column("strategy", numeric=False),
        Column("group of events", numeric=False),
        *map(figure_column, shown),
    )
    return Table("groups", "Figures by group of events", columns, rows)


def event_table(
    name: str, strategy: str, outcomes: Sequence[EventOutcome], unit: TimeUnit = HOURS
) -> Table:
    """What became of each event under one strategy, times in a unit."""
    columns = [
        Column("event", numeric=False),
        Column("begin", numeric=False),
        Column(unit.several),
        Column("first alarm", numeric=False),
        Column("delay", unit.several),
        Column("alarm", "share of its steps"),
        Column("episodes", "of alarms"),
        Column("channels that stood out", "steps", numeric=False),
    ]
    with_p = any(o.smallest_p is not None for o in outcomes)
    if with_p:
        columns.insert(7, Column("smallest p-value"))
    rows = tuple(_event_row(outcome, with_p, unit) for outcome in outcomes)
    return Table(name, f"Events under {strategy}", tuple(columns), rows)


def quality_table(quality: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """Readings missing, frozen and set to missing per site, and the channels concerned."""
    kinds = ("missing", "frozen", "removed")
    columns = (
        Column("site", numeric=False),
        Column("channels"),
        *(Column(kind, "mean share of rows") for kind in kinds),
        Column("findings", "share of rows", numeric=False),
    )
    rows = tuple(
        (
            Cell(site),
            Cell(str(len(channels)), len(channels)),
            *(_share(_mean(c.get(kind, 0.0) for c in channels.values())) for kind in kinds),
            Cell(_findings(channels, kinds)),
        )
        for site, channels in sorted(quality.items())
    )
    return Table("quality", "Soundness of each site's readings", columns, rows)


def calibration_table(
    entries: Sequence[SiteCalibration],
    factor: float,
    name: str = "site-calibration",
    caption: str = "False alarms per site",
) -> Table:
    """Wanted and observed false-alarm rate per strategy and site; off by over `factor` is poor."""
    columns = (
        Column("strategy", numeric=False),
        Column("site", numeric=False),
        Column("wanted", "% of normal steps"),
        Column("observed", "% of normal steps"),
        Column("observed / wanted"),
        Column("normal steps"),
        Column("what breaks it", numeric=False),
    )
    rows = []
    for e in entries:
        ratio = e.observed / e.wanted if e.wanted else math.nan
        poor = "" if 1 / factor <= ratio <= factor else "poor"
        rows.append(
            (
                Cell(e.strategy),
                Cell(e.site),
                figure_cell(FIGURES["false_alarm_rate"], e.wanted),
                figure_cell(FIGURES["false_alarm_rate"], e.observed),
                number(ratio, 2, tone=poor),
                number(e.normal_steps, 0),
                Cell(e.drift or "-"),
            )
        )
    return Table(name, caption, columns, tuple(rows))


def distance_table(table: pd.DataFrame) -> Table:
    """Mean, spread and Kolmogorov-Smirnov distance of every channel."""
    heads = {
        "twin_mean": Column("twin mean"),
        "plant_mean": Column("plant mean"),
        "twin_sd": Column("twin sd"),
        "plant_sd": Column("plant sd"),
        "ks": Column("KS distance", "0 = same distribution"),
    }
    rows = tuple(
        (
            Cell(str(row["channel"])),
            Cell(str(row.get("unit", "-"))),
            *(number(row[key], 3) for key in heads),
        )
        for row in table.to_dict("records")
    )
    columns = (Column("channel", numeric=False), Column("unit", numeric=False), *heads.values())
    return Table("distances", "Twin and plant, channel by channel", columns, rows)


def setting_tables(
    settings: Mapping[str, object], reference: Sequence[SettingReference]
) -> list[tuple[str, Table]]:
    """(section, table) of all settings, those changed from their default marked.

    A setting that the reference does not know, of an older run, is in a section of its own.
    """
    known = {entry.key for entry in reference}
    unknown = [SettingReference(k, "Other settings", None, "") for k in settings if k not in known]
    sections: dict[str, list[SettingReference]] = {}
    for entry in [*reference, *unknown]:
        if entry.key in settings:
            sections.setdefault(entry.section, []).append(entry)
    return [
        (section, _setting_table(f"settings-{place}", section, entries, settings))
        for place, (section, entries) in enumerate(sections.items())
    ]


def file_table(files: Sequence[StoredFile]) -> Table:
    """The files a page was made from."""
    columns = (
        Column("file", numeric=False),
        Column("bytes"),
        Column("SHA-256", "first 16 digits", numeric=False),
    )
    rows = tuple(
        (Cell(f.name), Cell(f"{f.size:,}", f.size), Cell(f.sha256[:16], tone="code")) for f in files
    )
    return Table("files", "Files of the folder", columns, rows)


def number(value: float | None, digits: int, tone: str = "") -> Cell:
    """Return a cell with a number that no catalogue describes; a dash where there is none."""
    return figure_cell(Figure("", "", digits=digits), value, tone=tone)


def figure_column(figure: Figure) -> Column:
    """Head of a figure's column."""
    return Column(figure.title, figure.note)


def figure_cell(figure: Figure, value: float | None, key: str = "", tone: str = "") -> Cell:
    """Return a cell with a figure as its catalogue writes it, the stored number beside it."""
    known = None if value is None or not math.isfinite(value) else value
    return Cell(figure.text(value, "\N{THIN SPACE}"), known, key, tone if known is not None else "")


def _by_strategy(
    name: str,
    caption: str,
    rows: Sequence[Mapping[str, Any]],
    shown: Sequence[Figure],
    prefix: str,
) -> Table:
    best = {f.key: _best((row.get(f.key) for row in rows), f.better) for f in shown}
    cells = tuple(
        (
            Cell(row["strategy"]),
            *(
                figure_cell(f, row.get(f.key), prefix + f.key, _tone(row.get(f.key), best[f.key]))
                for f in shown
            ),
        )
        for row in rows
    )
    columns = (Column("strategy", numeric=False), *map(figure_column, shown))
    return Table(name, caption, columns, cells)


def _finals(summaries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"strategy": s["strategy"], **s["final"]} for s in summaries]


def _best(values: Iterable[float | None], better: int) -> float | None:
    """The best of at least two different values; None where nothing is better than another."""
    found = [v for v in values if v is not None]
    if better == 0 or len(set(found)) < 2:
        return None
    return max(found) if better > 0 else min(found)


def _tone(value: float | None, best: float | None) -> str:
    return "best" if value is not None and value == best else ""


def _event_row(outcome: EventOutcome, with_p: bool, unit: TimeUnit) -> tuple[Cell, ...]:
    found = outcome.first_alarm is not None
    channels = ", ".join(f"{name}\N{NO-BREAK SPACE}{count}" for name, count in outcome.channels)
    cells = [
        Cell(outcome.event),
        Cell(f"{outcome.begin:%Y-%m-%d %H:%M}", tone="time"),
        number(unit.of_hours(outcome.hours), 1),
        _first_alarm(outcome),
        number(unit.of_hours(outcome.delay_hours), 1),
        Cell(f"{100 * outcome.alarm_share:.0f}%", outcome.alarm_share),
        number(outcome.episodes, 0),
        Cell(channels if found else f"no alarm; most often {channels}"),
    ]
    if with_p:
        cells.insert(7, number(outcome.smallest_p, 4))
    return tuple(cells)


def _first_alarm(outcome: EventOutcome) -> Cell:
    if outcome.first_alarm is None:
        return Cell("missed", tone="poor")
    return Cell(f"{outcome.first_alarm:%Y-%m-%d %H:%M}", tone="time")


def _findings(channels: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> str:
    """Name the channels of which more than a thousandth is missing, frozen or removed."""
    found = [
        f"{name} {kind} {100 * shares[kind]:.3g}%"
        for name, shares in channels.items()
        for kind in kinds
        if shares.get(kind, 0.0) > 0.001
    ]
    return "; ".join(found) or "none"


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _share(value: float) -> Cell:
    return Cell(f"{100 * value:.3g}%" if value else "0", value)


def _setting_table(
    name: str,
    section: str,
    entries: Sequence[SettingReference],
    settings: Mapping[str, object],
) -> Table:
    columns = (
        Column("setting", numeric=False),
        Column("value", numeric=False),
        Column("default", numeric=False),
        Column("what it does", numeric=False),
    )
    rows = []
    for e in entries:
        changed = "changed" if e.default is not None and settings[e.key] != e.default else ""
        rows.append(
            (
                Cell(e.key, tone="code"),
                Cell(_setting_text(settings[e.key]), tone=changed),
                Cell("-" if e.default is None else _setting_text(e.default)),
                Cell(e.doc),
            )
        )
    return Table(name, section, columns, tuple(rows))


def _setting_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "empty" if value == "" else str(value)
