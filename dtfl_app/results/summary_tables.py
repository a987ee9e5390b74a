"""What each strategy took and reached, as rows of text for a log or a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dtfl_app.core.naming import table_name
from dtfl_app.results.figures import Figure, figures
from dtfl_app.results.lines import Summary
from dtfl_app.results.measures import Measures
from dtfl_app.results.promises import PROMISE_HEAD, Promise

__all__ = [
    "cost_cells",
    "figure_cells",
    "group_head",
    "group_rows",
    "promise_cell",
    "summary_head",
    "summary_rows",
]

_COSTS = tuple(
    cost.to("target")
    for cost in figures("rounds", "megabytes", "site_steps", "server_steps", "seconds")
)
_FIGURES = ("balanced_accuracy", "auc_pr", "roc_auc", "s", "events_found", "false_alarms_per_day")


def summary_head(measures: Measures) -> tuple[str, ...]:
    """Heads of the columns of `summary_rows`."""
    shown = (*_COSTS, *measures.figures(*_FIGURES))
    return ("strategy", *(figure.title for figure in shown), PROMISE_HEAD)


def group_head(measures: Measures) -> tuple[str, ...]:
    """Heads of the columns of `group_rows`."""
    return ("strategy", "families", *(figure.title for figure in measures.figures(*_FIGURES)))


def summary_rows(
    summaries: Iterable[Summary], promised: Mapping[str, Promise], measures: Measures
) -> list[list[str]]:
    """One row of text per strategy, under `summary_head`; `promised` by strategy."""
    stored = [summary.to_mapping() for summary in summaries]
    return [
        [
            table_name(s["strategy"]),
            *cost_cells(s, _COSTS),
            *figure_cells(s["final"], measures.figures(*_FIGURES)),
            promise_cell(promised, s["strategy"]),
        ]
        for s in stored
    ]


def group_rows(summaries: Iterable[Summary], measures: Measures) -> list[list[str]]:
    """One row of text per strategy and group of events, under `group_head`."""
    return [
        [
            table_name(s.strategy),
            group,
            *figure_cells(metrics.as_dict(), measures.figures(*_FIGURES)),
        ]
        for s in summaries
        for group, metrics in s.groups.items()
    ]


def cost_cells(summary: Mapping[str, Any], costs: Iterable[Figure]) -> list[str]:
    """Costs of the target out of an entry of summary.json; a missed one says for how long."""
    missed = f"not in {summary['rounds']}"
    return [
        missed
        if cost.key == "rounds_to_target" and summary[cost.key] is None
        else cost.text(summary[cost.key])
        for cost in costs
    ]


def figure_cells(final: Mapping[str, Any], chosen: Iterable[Figure]) -> list[str]:
    """Figures of a model, dashes where there are none; events found are told out of how many."""
    return [
        f"{final['events_found']}/{final['events']}"
        if figure.key == "events_found" and final
        else figure.text(final.get(figure.key))
        for figure in chosen
    ]


def promise_cell(promised: Mapping[str, Promise], strategy: str) -> str:
    """False alarms observed and wanted; a dash where nothing was observed."""
    return promised[strategy].text if strategy in promised else "-"
