"""dtfl twin: simulate the C-Town twin, calibrate it to a plant's SCADA, compare the two."""

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

from dtfl_app.cli.terminal import clear_errors, plain_console
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.batadal import read_batadal
from twin.base import Scenario
from twin.compare import compare, exceptions, summarise
from twin.ctown.calibrate import calibrate
from twin.ctown.channels import SCADA
from twin.ctown.defaults import default_plant
from twin.ctown.plant import PlantModel
from twin.ctown.simulate import CTownTwin
from twin.dataset import TwinDataset, build_dataset
from twin.recorded import read_series
from twin.schema import ABNORMAL, LABEL

__all__ = ["twin_app"]

twin_app = typer.Typer(no_args_is_help=True, help=__doc__)

_CACHE = Path("~/.cache/dtfl")
_SHOWN = ["twin_mean", "plant_mean", "mean_error", "twin_sd", "plant_sd", "sd_error", "ks"]

ScadaFile = Annotated[
    Path, typer.Argument(help="SCADA of the plant: BATADAL-style CSV, or a labelled series")
]
Network = Annotated[str, typer.Option(help="EPANET file of C-Town; empty = the embedded one")]
Plant = Annotated[Path | None, typer.Option(help="calibrated plant (JSON of 'twin calibrate')")]
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
        twin = CTownTwin(_plant(network, plant))
        kinds = [kind.strip() for kind in families.split(",") if kind.strip()]
        plan = twin.plan(scenarios, hours, seed, kinds)
        built = _build(twin, plan, cache.expanduser(), workers or os.cpu_count() or 1)
        if out.suffix == ".csv":
            built.series.to_csv(out, index=False)
        else:
            built.series.to_parquet(out, index=False)
        _say_built(built, out)


@twin_app.command("calibrate")
def calibrate_command(
    file: ScadaFile,
    out: Annotated[Path, typer.Option(help="JSON file for the fitted plant")],
    network: Network = "",
    plant: Plant = None,
) -> None:
    """Fit the plant's demands, set-points, pumps, roughness, noise and PLC step to normal SCADA."""
    with clear_errors():
        _make_folder(out)
        base = _plant(network, plant)
        fitted, report = calibrate(_read_scada(file), base)
        out.write_text(fitted.to_json())
        _print_table(report.table(), "fitted numbers")
        _print_table(report.agreement.dropna().reset_index(), "rms of solved minus read")
        typer.echo(f"fitted plant: {out}")


@twin_app.command("compare")
def compare_command(
    file: ScadaFile,
    network: Network = "",
    plant: Plant = None,
    hours: Annotated[int, typer.Option(min=0, help="hours to simulate; 0 = as recorded")] = 0,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="CSV file for the table")] = None,
) -> None:
    """Show how far the twin is from the plant's SCADA, channel by channel.

    Rows labelled abnormal are left out; the twin simulates normal operation.
    """
    with clear_errors():
        twin = CTownTwin(_plant(network, plant))
        recorded = _read_scada(file)
        normal = recorded[recorded[LABEL] != ABNORMAL]
        scenario = Scenario("normal operation", hours or max(len(normal), 1), seed)
        simulated = twin.simulate(scenario)
        table = compare(simulated, normal, SCADA)
        if out is not None:
            _make_folder(out)
            table.to_csv(out, float_format="%.6g")
        _print_table(table[_SHOWN].reset_index(), "twin and plant, flows while running")
        distance = summarise(simulated, normal, SCADA, seed)
        typer.echo(f"mean and sd not within 5%: {', '.join(exceptions(table).index) or 'none'}")
        typer.echo(f"mean Kolmogorov-Smirnov distance: {distance.mean_ks:.3f}")
        typer.echo(f"two-sample forest AUC: {distance.forest_auc:.3f} (0.5 = indistinguishable)")


def _make_folder(out: Path) -> None:
    """Fail before the work and not after it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: its folder cannot be made ({error})") from error


def _plant(network: str, plant: Path | None) -> PlantModel:
    if plant is None:
        return default_plant(network)
    if network:
        raise ConfigError(
            f"--network {network} and --plant {plant}: a plant file names its own network; give one"
        )
    try:
        text = plant.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--plant {plant}: cannot be read ({error}); expected a JSON file of "
            "'dtfl twin calibrate'"
        ) from error
    return PlantModel.from_json(text, str(plant))


def _read_scada(file: Path) -> pd.DataFrame:
    """Read a labelled series, or a CSV file in BATADAL's layout."""
    if file.suffix == ".parquet":
        return read_series(file, SCADA)
    try:
        with file.open() as lines:
            header = lines.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: cannot be read ({error}); expected a CSV or Parquet file"
        ) from error
    return read_batadal(file) if "DATETIME" in header else read_series(file, SCADA)


def _build(twin: CTownTwin, plan: list[Scenario], cache: Path, workers: int) -> TwinDataset:
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
