"""dtfl twin: simulate a twin, calibrate it to a plant's recording, compare the two."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dtfl_app.cli.asked_twin import CTOWN, AskedTwin, normal_operation
from dtfl_app.cli.terminal import clear_errors, plain_console
from dtfl_app.core.errors import ConfigError
from dtfl_app.inputs.twins import TWINS, twin_options
from dtfl_app.sites.known_schemas import KNOWN_SCHEMAS
from twin.base import Scenario, Twin
from twin.compare import exceptions, summarise
from twin.ctown.calibrate import calibrate
from twin.dataset import TwinDataset, build_dataset
from twin.recorded import RecordedTwin
from twin.schema import ABNORMAL, LABEL
from twin.verdict import JOINT_LIMIT, LIMIT, USE, Verdict, compared, joint_verdict

__all__ = ["twin_app"]

twin_app = typer.Typer(no_args_is_help=True, help=__doc__)

_CACHE = Path("~/.cache/dtfl")
_SHOWN = ["twin_mean", "plant_mean", "mean_error", "twin_sd", "plant_sd", "sd_error", "ks"]

Recording = Annotated[
    Path, typer.Argument(help="the plant's recording: a labelled series, or as --schema says")
]
Kind = Annotated[
    str,
    typer.Option(help="kind of twin, as `dtfl twin kinds` lists them, or pkg.module:Name"),
]
Options = Annotated[str, typer.Option(help="""what the kind is made of: 'file="plant.toml"'""")]
Sites = Annotated[
    str,
    typer.Option("--schema", help=f"site schema (TOML), or {' or '.join(KNOWN_SCHEMAS)}"),
]
Network = Annotated[
    str, typer.Option(help="ctown: EPANET file of C-Town; empty = the embedded one")
]
Plant = Annotated[
    Path | None, typer.Option(help="ctown: calibrated plant (JSON of 'twin calibrate')")
]
Seed = Annotated[int, typer.Option(min=0, help="seed of everything random")]


@twin_app.command("simulate")
def simulate_command(
    out: Annotated[Path, typer.Option(help=".parquet or .csv file for the labelled series")],
    scenarios: Annotated[int, typer.Option(min=1, help="how many")] = 10,
    hours: Annotated[int, typer.Option(min=1, help="hours per scenario")] = 384,
    seed: Seed = 0,
    families: Annotated[
        str, typer.Option(help='events, e.g. "attack,leak"; empty = normal operation only')
    ] = "",
    kind: Kind = CTOWN,
    options: Options = "",
    schema: Sites = "",
    network: Network = "",
    plant: Plant = None,
    workers: Annotated[int, typer.Option(min=0, help="processes; 0 = one per core")] = 0,
    cache: Annotated[Path, typer.Option(help="folder of simulated data")] = _CACHE,
) -> None:
    """Simulate scenarios into one labelled file."""
    with clear_errors():
        if out.suffix not in (".parquet", ".csv"):
            raise ConfigError(f"--out {out}: expected a name that ends in .parquet or .csv")
        _make_folder(out)
        twin = AskedTwin(kind, options, schema, network, plant).twin()
        events = [family.strip() for family in families.split(",") if family.strip()]
        plan = twin.plan(scenarios, hours, seed, events)
        built = _build(twin, plan, cache.expanduser(), workers or os.cpu_count() or 1)
        if out.suffix == ".csv":
            built.series.to_csv(out, index=False)
        else:
            built.series.to_parquet(out, index=False)
        _say_built(built, out)


@twin_app.command("calibrate")
def calibrate_command(
    file: Recording,
    out: Annotated[Path, typer.Option(help="file for the fitted plant; ctown: JSON")],
    kind: Kind = CTOWN,
    options: Options = "",
    schema: Sites = "",
    network: Network = "",
    plant: Plant = None,
) -> None:
    """Fit a twin to normal operation, where its kind can be fitted.

    ctown: demands, set-points, pumps, roughness, noise and PLC step.
    """
    with clear_errors():
        _make_folder(out)
        asked = AskedTwin(kind, options, schema, network, plant)
        if kind == CTOWN:
            fitted, report = calibrate(asked.read(file), asked.plant_model())
            out.write_text(fitted.to_json())
            _print_table(report.table(), "fitted numbers")
            _print_table(report.agreement.dropna().reset_index(), "rms of solved minus read")
        else:
            text, numbers = asked.fitted(file)
            out.write_text(text)
            _print_table(numbers, "fitted numbers")
        typer.echo(f"fitted plant: {out}")


@twin_app.command("compare")
def compare_command(
    file: Recording,
    kind: Kind = CTOWN,
    options: Options = "",
    schema: Sites = "",
    network: Network = "",
    plant: Plant = None,
    hours: Annotated[int, typer.Option(min=0, help="hours to simulate; 0 = as recorded")] = 0,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="CSV file for the table")] = None,
) -> None:
    """Show how far the twin is from the plant, channel by channel, and what to do about it.

    Rows labelled abnormal are left out; the twin simulates normal operation.
    """
    with clear_errors():
        asked = AskedTwin(kind, options, schema, network, plant)
        twin = asked.twin()
        recorded = asked.read(file)
        normal = recorded[recorded[LABEL] != ABNORMAL]
        simulated = normal_operation(twin, len(normal), hours, seed)
        table = compared(simulated, normal, twin.schema)
        if out is not None:
            _make_folder(out)
            table.to_csv(out, float_format="%.6g")
        _print_table(table[_SHOWN].reset_index(), "twin and plant, flows while running")
        distance = summarise(simulated, normal, twin.schema, seed)
        typer.echo(f"mean and sd not within 5%: {', '.join(exceptions(table).index) or 'none'}")
        typer.echo(f"mean Kolmogorov-Smirnov distance: {distance.mean_ks:.3f}")
        typer.echo(f"two-sample forest AUC: {distance.forest_auc:.3f} (0.5 = indistinguishable)")
        _say_verdicts(table, joint_verdict(table, distance))


@twin_app.command("kinds")
def kinds_command() -> None:
    """List the kinds of twin, those of installed packages among them, and their options."""
    with clear_errors():
        found = [(name, ", ".join(twin_options(name))) for name in TWINS.names()]
    _print_table(pd.DataFrame(found, columns=["kind", "options"]), "kinds of twin")


def _say_verdicts(table: pd.DataFrame, joint: Verdict) -> None:
    typer.echo(
        f"verdict: {joint.word} ({joint.reason}; limits of KS: {LIMIT:g} for a channel and for "
        f"its shape, {JOINT_LIMIT:g} for the mean of all)"
    )
    for channel, row in table[table["verdict"] != USE].iterrows():
        typer.echo(f"{row['verdict']}: {channel}: {row['reason']}")


def _make_folder(out: Path) -> None:
    """Fail before the work and not after it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: its folder cannot be made ({error})") from error


def _build(twin: Twin, plan: list[Scenario], cache: Path, workers: int) -> TwinDataset:
    # Replaying is quicker than handing the recording to another process.
    workers = 1 if isinstance(twin, RecordedTwin) else workers
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("simulating", total=len(plan))
        return build_dataset(
            twin, plan, cache, workers, lambda done, _: progress.update(task, completed=done)
        )


def _say_built(built: TwinDataset, out: Path) -> None:
    source = "read from the cache, simulated at" if built.from_cache else "simulated at"
    instances = built.series["instance"].nunique()
    typer.echo(
        f"{instances} scenarios, {len(built.series)} rows, {source} "
        f"{built.hours_per_second:.0f} simulated hours per second: {out}"
    )
    for name, reason in built.dropped.items():
        typer.echo(f"dropped: {name}: {reason}", err=True)
    for warning, count in built.solver_warnings.items():
        typer.echo(f"solver warning in {count} steps: {warning}", err=True)


def _print_table(frame: pd.DataFrame, title: str) -> None:
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for column, kind in frame.dtypes.items():
        numeric = pd.api.types.is_numeric_dtype(kind)
        table.add_column(str(column).replace("_", " "), justify="right" if numeric else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(c, v) for c, v in zip(frame.columns, row, strict=True)))
    plain_console().print(table)


def _cell(column: str, value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    if column.endswith("_error"):
        return f"{value:+.1%}"
    # Two digits keep small figures within the column.
    return f"{value:.4g}" if abs(value) >= 0.1 else f"{value:.2g}"
