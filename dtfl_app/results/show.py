"""A finished run on the terminal: the table, what became of each event, and where things are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import DataError
from dtfl_app.core.naming import file_name, table_name
from dtfl_app.core.renamed import modern
from dtfl_app.detector.metrics import EventResult, event_results
from dtfl_app.results.alarm_table import without_marks
from dtfl_app.results.figures import Figure, figures
from dtfl_app.results.measures import measures_of
from dtfl_app.results.promises import Promise, read_promises
from dtfl_app.results.resuming import describe_unfinished
from dtfl_app.results.run_events import EVENTS, read_events
from dtfl_app.results.run_facts import RunFacts
from dtfl_app.results.spending import PRIVACY, read_spending
from dtfl_app.results.summary_tables import cost_cells, figure_cells

__all__ = ["show_run"]

_COSTS = figures("rounds", "megabytes")
_FIGURES = ("balanced_accuracy", "auc_pr", "s", "events_found")


def show_run(path: Path, console: Console) -> None:
    """Print the results in folder `path`; raises DataError when it holds no finished run."""
    summaries, settings, facts = _read(path)
    promised = read_promises(path, float(settings["detector.false-alarm-rate"]))
    wanted = f"false alarms ({100 * float(settings['detector.false-alarm-rate']):g}% wanted)"
    # No time is told in these tables, so it does not matter how long a step is.
    shown = measures_of(facts.scored, 0.0).figures(*_FIGURES)
    console.print(_summary_table(summaries, float(settings["target"]), promised, wanted, shown))
    if any(s.get("groups") for s in summaries):
        console.print(_group_table(summaries, shown))
    best = max(
        (s for s in summaries if s["final"]),
        key=lambda s: s["final"]["balanced_accuracy"] or 0.0,
        default=None,
    )
    if best is not None:
        _show_events(path, best["strategy"], console)
    for sentence in (*_happened(path), *_privacy(path)):
        console.print(sentence, highlight=False)
    console.print(f"\nresults in {path}")
    for name in sorted({_place(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}):
        console.print(f"  {name}", highlight=False)
    for name, promise in promised.items():
        if promise.broken:
            sentence = f"\n{name}: {promise.describe()}"
            console.print(sentence, style="yellow", highlight=False, markup=False)


def _place(file: Path) -> str:
    """A file's name; a deployable folder is one thing, whatever is in it."""
    return f"deploy/{file.parts[1]}/" if file.parts[0] == "deploy" else file.as_posix()


def _read(path: Path) -> tuple[list[dict[str, Any]], Mapping[str, Any], RunFacts]:
    if not (path / "config.json").exists():
        raise DataError(
            f"{path} holds no finished run, nor one under way (it has no config.json); expected a "
            "folder that `dtfl run` wrote, e.g. results/NAME"
        )
    if not (path / "summary.json").exists():
        raise DataError(describe_unfinished(path))
    try:
        config = json.loads((path / "config.json").read_text())
        settings = {**RunConfig.from_mapping({}).to_mapping(), **modern(config["settings"])}
        return json.loads((path / "summary.json").read_text()), settings, RunFacts.of(config)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} holds no finished run ({error})") from error


def _happened(path: Path) -> Iterator[str]:
    """What happened in the rounds, counted by kind."""
    counts = Counter(event.kind for event in read_events(path / EVENTS))
    if counts:
        listed = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
        yield f"\nin the rounds: {listed} ({EVENTS})"


def _privacy(path: Path) -> Iterator[str]:
    """Epsilon of the site that has spent most, by strategy."""
    spending = read_spending(path / PRIVACY)
    if spending is not None:
        listed = ", ".join(
            f"{name} {epsilon:.3g}" for name, (_, epsilon) in spending.worst().items()
        )
        yield f"\nepsilon at delta {spending.delta:g}, largest over the sites: {listed}"


def _summary_table(
    summaries: list[dict[str, Any]],
    target: float,
    promised: Mapping[str, Promise],
    wanted: str,
    shown: Sequence[Figure],
) -> Table:
    table = Table(title=f"what it took to reach balanced accuracy {target:g}, and where it ended")
    table.add_column("strategy")
    for figure in (*_COSTS, *shown):
        table.add_column(figure.title, justify="right")
    # What was wanted is in the head, so that a row is one line where a terminal has 80 columns.
    table.add_column(wanted, justify="right")
    costs = [cost.to("target") for cost in _COSTS]
    for s in summaries:
        cells = (*cost_cells(s, costs), *figure_cells(s["final"], shown))
        kept = promised.get(s["strategy"])
        table.add_row(table_name(s["strategy"]), *cells, kept.observed_text if kept else "-")
    return table


def _group_table(summaries: list[dict[str, Any]], shown: Sequence[Figure]) -> Table:
    table = Table(title="families of events: simulated by the twin, and held out from it")
    for title in ("strategy", "families"):
        table.add_column(title)
    for figure in shown:
        table.add_column(figure.title, justify="right")
    for s in summaries:
        for group, final in s["groups"].items():
            table.add_row(table_name(s["strategy"]), group, *figure_cells(final, shown))
    return table


def _show_events(path: Path, strategy: str, console: Console) -> None:
    stored = path / "alarms" / f"{file_name(strategy)}.csv"
    if not stored.exists():
        # Sites with layers of their own judge a model, and tell of scores, not of events.
        return
    alarms = without_marks(pd.read_csv(stored))
    known = alarms[alarms["label"] >= 0]
    events = known["event"].fillna("").to_numpy(dtype=str)
    results = event_results(known["alarm"].to_numpy(dtype=bool), events)
    table = Table(title=f"alarms of {table_name(strategy)} on each event")
    for title in ("event", "time steps", "first alarm", "channel"):
        table.add_column(title)
    for result in results:
        table.add_row(*_event_row(result, known[events == result.event]))
    console.print(table)


def _event_row(result: EventResult, rows: pd.DataFrame) -> list[str]:
    if result.delay is None:
        return [result.event, str(result.steps), "missed", ""]
    first = rows.iloc[result.delay]
    return [result.event, str(result.steps), f"step {result.delay + 1}", str(first["channel"])]
