"""dtfl evaluate: a saved model on a file it has never seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from dtfl_app.cli.terminal import clear_errors
from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.metrics import Metrics
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.evaluation.saved_model import FileEvaluation, evaluate_file, find_model
from dtfl_app.results.lines import plain_figures
from twin.files import write_atomically

__all__ = ["evaluate"]

_FIGURES = {
    "s": "BATADAL score S",
    "s_ttd": "S_TTD",
    "s_clf": "S_CLF = balanced accuracy",
    "auc_pr": "AUC-PR",
    "base_rate": "base rate (AUC-PR of a random score)",
    "roc_auc": "ROC-AUC",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "false_alarm_rate": "false-alarm rate, all normal steps",
    "far_at_1pct": "false-alarm rate of settled operation at 1% wanted",
    "far_at_05pct": "false-alarm rate of settled operation at 0.5% wanted",
    "far_at_01pct": "false-alarm rate of settled operation at 0.1% wanted",
    "hours_to_detection": "hours to detection, mean",
    "false_alarms_per_day": "false alarms per day",
}


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
    console = Console()
    with clear_errors():
        run, chosen = find_model(model, strategy)
        found = evaluate_file(run, chosen, data, data_dir)
        folder = out or run / "evaluations" / f"{chosen.stem}-{data.stem}"
        _write(folder, found)
    _show(console, found, f"{chosen.stem} on {data.name}")
    console.print(f"written to {folder}", highlight=False)


def _write(folder: Path, found: FileEvaluation) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "alarms.csv", found.alarms.to_csv(index=False).encode())
        if found.metrics is not None:
            text = json.dumps(plain_figures(found.metrics), indent=1)
            write_atomically(folder / "metrics.json", text.encode())
    except OSError as error:
        raise ConfigError(
            f"{folder}: results cannot be written ({error}); name another folder with --out"
        ) from error


def _show(console: Console, found: FileEvaluation, title: str) -> None:
    steps, alarms = len(found.alarms), int(found.alarms["alarm"].sum())
    console.print(f"{steps} time steps, {alarms} with an alarm", highlight=False)
    if found.metrics is None:
        console.print("no time step is labelled, so there are no figures", highlight=False)
        return
    console.print(_figures(found.metrics, title))
    console.print(_events(found.alarms))


def _figures(metrics: Metrics, title: str) -> Table:
    table = Table("figure", title=title)
    table.add_column("value", justify="right")
    for name, words in _FIGURES.items():
        value = metrics.as_dict()[name]
        table.add_row(words, "-" if pd.isna(value) else f"{value:.4f}")
    table.add_row("events found", f"{metrics.events_found} of {metrics.events}")
    return table


def _events(alarms: pd.DataFrame) -> Table:
    table = Table("event", title="each event")
    for name in ("time steps", "first alarm", "steps with an alarm"):
        table.add_column(name, justify="right")
    table.add_column("foremost")
    for result in Evaluator.events(alarms):
        rows = alarms[(alarms["event"] == result.event) & alarms["alarm"]]
        late = "missed" if result.delay is None else f"step {result.delay + 1}"
        foremost = f"{rows['evidence'].iloc[0]}, {rows['channel'].iloc[0]}" if len(rows) else ""
        share = f"{len(rows) / result.steps:.0%}"
        table.add_row(result.event, str(result.steps), late, share, foremost)
    return table
