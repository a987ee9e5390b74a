"""dtfl evaluate: a saved model on a file it has never seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from dtfl_app.cli.app_folder import find_own_modules
from dtfl_app.cli.terminal import clear_errors, plain_console
from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.metrics import Metrics
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.evaluation.saved_model import FileEvaluation, evaluate_file, find_model
from dtfl_app.results.alarm_table import alarm_csv
from dtfl_app.results.episodes import AlarmEpisode, alarm_episodes
from dtfl_app.results.lines import plain_figures
from dtfl_app.results.measures import Measures
from twin.files import write_atomically

__all__ = ["evaluate"]

_FIGURES = (
    "s", "s_ttd", "s_clf", "auc_pr", "base_rate", "roc_auc", "precision", "recall", "f1",
    "false_alarm_rate", "far_at_1pct", "far_at_05pct", "far_at_01pct", "hours_to_detection",
    "false_alarms_per_day",
)  # fmt: skip

# Alarms that are listed.
_LISTED = 10


def evaluate(
    model: Annotated[Path, typer.Option(help="folder of a run, or a file in its models/")],
    data: Annotated[Path, typer.Option(help="file to score, e.g. BATADAL_test_dataset.csv")],
    strategy: Annotated[str, typer.Option(help="which model, where the run has several")] = "",
    out: Annotated[
        Path | None, typer.Option(help="folder for alarms.csv, metrics.json; in RUN by default")
    ] = None,
    data_dir: Annotated[str, typer.Option(help="public data sets, if not where the run ran")] = "",
) -> None:
    """Score a file with a saved model and its calibrated threshold; nothing is fitted to it.

    Labels are read where the file has them, and for the official BATADAL periods from the interval
    table. Every score, p-value and alarm goes to alarms.csv.
    """
    console = plain_console()
    with clear_errors():
        find_own_modules()
        run, chosen = find_model(model, strategy)
        found = evaluate_file(run, chosen, data, data_dir)
        folder = out or run / "evaluations" / f"{chosen.stem}-{data.stem}"
        _write(folder, found)
    _show(console, found, f"{chosen.stem} on {data.name}")
    console.print(f"written to {folder}", highlight=False)


def _write(folder: Path, found: FileEvaluation) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "alarms.csv", alarm_csv(found.alarms))
        if found.metrics is not None:
            text = json.dumps(plain_figures(found.metrics), indent=1)
            write_atomically(folder / "metrics.json", text.encode())
    except OSError as error:
        raise ConfigError(
            f"{folder}: results cannot be written ({error}); name another folder with --out"
        ) from error


def _show(console: Console, found: FileEvaluation, title: str) -> None:
    steps, alarms = len(found.alarms), int(found.alarms["alarm"].sum())
    episodes = alarm_episodes(found.alarms)
    told = f"{steps} time steps, {alarms} with an alarm in {len(episodes)} episodes"
    console.print(told, highlight=False)
    if found.metrics is None:
        console.print("no time step is labelled, so there are no figures", highlight=False)
    else:
        console.print(_figures(found.metrics, found.measures, title))
        console.print(_events(found.alarms))
    if episodes:
        console.print(_episodes(episodes))


def _figures(metrics: Metrics, measures: Measures, title: str) -> Table:
    table = Table("figure", title=title)
    table.add_column("value", justify="right")
    for figure in measures.figures(*_FIGURES):
        value = metrics.as_dict()[figure.key]
        if figure.key == "hours_to_detection":
            value *= figure.scale
        table.add_row(figure.name or figure.title, "-" if pd.isna(value) else f"{value:.4f}")
    table.add_row("events found", f"{metrics.events_found} of {metrics.events}")
    return table


def _events(alarms: pd.DataFrame) -> Table:
    table = Table("event", title="each event")
    for name in ("time steps", "first alarm", "alarm", "episodes"):
        table.add_column(name, justify="right")
    table.add_column("foremost")
    for result in Evaluator.events(alarms):
        rows = alarms[(alarms["event"] == result.event) & alarms["alarm"]]
        late = "missed" if result.delay is None else f"step {result.delay + 1}"
        foremost = f"{rows['evidence'].iloc[0]}, {rows['channel'].iloc[0]}" if len(rows) else ""
        share = f"{len(rows) / result.steps:.0%}"
        episodes = str(len(alarm_episodes(alarms[alarms["event"] == result.event])))
        table.add_row(result.event, str(result.steps), late, share, episodes, foremost)
    return table


def _episodes(episodes: Sequence[AlarmEpisode]) -> Table:
    """The strongest alarms, the strongest first, and in what event each is."""
    strongest = sorted(episodes, key=lambda episode: -episode.peak)[:_LISTED]
    more = f", the strongest {len(strongest)} of {len(episodes)}"
    title = f"alarms{more if len(episodes) > len(strongest) else ''}; peak: times the threshold"
    table = Table(title=title)
    for name in ("begin", "end"):
        table.add_column(name, no_wrap=True)
    for name in ("steps", "peak"):
        table.add_column(name, justify="right")
    for name in ("channel", "event"):
        table.add_column(name)
    for episode in strongest:
        times = [_time(time) for time in (episode.begin, episode.end)]
        cells = (str(episode.steps), f"{episode.peak:.3g}", episode.channel)
        table.add_row(*times, *cells, episode.event or "-")
    return table


def _time(time: pd.Timestamp) -> str:
    """A time to the minute, or to the second where it has some."""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"
