"""The page of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dtfl_app.report.bench_pictures import bench_bytes, bench_curves, false_alarms, worst_sites
from dtfl_app.report.bench_reading import BenchContents
from dtfl_app.report.bench_tables import (
    bench_alarm_table,
    bench_cost_table,
    bench_figure_table,
    sweep_tables,
)
from dtfl_app.report.blocks import Block, Code, Details, Legend, Section, Sentences, Tile
from dtfl_app.report.event_outcomes import event_outcomes
from dtfl_app.report.page import render_page
from dtfl_app.report.run_page import (
    environment_blocks,
    event_blocks,
    setting_blocks,
    site_blocks,
    twin_blocks,
)
from dtfl_app.report.run_pictures import calibration_plot
from dtfl_app.report.run_tables import SettingReference, file_table
from dtfl_app.results.figures import figures

__all__ = ["bench_page"]


def bench_page(bench: BenchContents, reference: Sequence[SettingReference]) -> str:
    """Return the HTML document on a benchmark; `reference` says what each setting is.

    Events, sites, twin and settings are those of its best method's first cell.
    """
    sections = [
        Section("summary", "Summary", tuple(_summary(bench))),
        Section("methods", "Methods", tuple(_methods(bench))),
        Section("curves", "Learning curves", tuple(_curves(bench))),
        Section("bytes", "Bytes to the target", (bench_bytes(bench),)),
        Section("worst", "Worst site", (worst_sites(bench) or _one_place(),)),
        Section("calibration", "Threshold calibration", tuple(_calibration(bench))),
        Section("sweeps", "What varies when a setting does", tuple(_sweeps(bench))),
        *_example(bench, reference),
        Section("provenance", "Provenance", tuple(_provenance(bench))),
    ]
    return render_page(bench.title, _subtitle(bench), _tiles(bench), sections)


def _subtitle(bench: BenchContents) -> str:
    methods, seeds = bench.main["method"].nunique(), bench.main["seed"].nunique()
    return f"Benchmark {bench.name}: {methods} methods, {seeds} seeds, {len(bench.cells)} cells"


def _tiles(bench: BenchContents) -> list[Tile]:
    target = bench.targets[0]
    groups = bench.main.groupby("method", sort=False)
    rounds = groups[f"rounds_to_{target}"].median()
    tiles = []
    if rounds.notna().any():
        note = f"{rounds.idxmin()}; median; target {target}"
        tiles.append(Tile("Fewest rounds to the target", f"{rounds.min():g}", note))
    for figure in (f for f in figures("balanced_accuracy", "s") if f.key in bench.main):
        means = groups[figure.key].mean()
        if means.notna().any():
            note = f"{means.idxmax()}; mean"
            tiles.append(Tile(f"Best {figure.title}", figure.text(means.max()), note))
    return tiles


def _summary(bench: BenchContents) -> Iterator[Block]:
    for note in bench.notes:
        yield Sentences((note,))
    if bench.main.empty:
        yield Sentences(("No federated cell is finished yet.",), tone="warning")
        return
    target = bench.targets[0]
    reached, missed = [], []
    for name, rounds in bench.main.groupby("method", sort=False)[f"rounds_to_{target}"]:
        hits = rounds.dropna()
        where = f"in {len(hits)} of {len(rounds)} cells"
        if hits.empty:
            missed.append(f"{name} did not reach {target} in any of {len(rounds)} cells.")
        else:
            span = f" in the median ({hits.min():.0f} to {hits.max():.0f})" if len(hits) > 1 else ""
            said = f"{name} reached {target} {where}, after {hits.median():g} rounds{span}."
            reached.append((hits.median(), said))
    yield Sentences(tuple([text for _, text in sorted(reached)] + missed), "Reaching the target")


def _methods(bench: BenchContents) -> Iterator[Block]:
    yield bench_cost_table(bench)
    yield bench_figure_table(bench)
    yield bench_alarm_table(bench)


def _curves(bench: BenchContents) -> Iterator[Block]:
    main = bench.rounds[bench.rounds["sweep"] == ""]
    yield Legend(tuple(dict.fromkeys(main["row"])))
    yield from bench_curves(bench)


def _calibration(bench: BenchContents) -> Iterator[Block]:
    points = false_alarms(bench.main)
    if not points:
        yield Sentences(("The cells hold no false-alarm rates at several wanted rates.",))
        return
    yield Legend(tuple(dict.fromkeys(point.strategy for point in points)))
    yield calibration_plot(points)


def _sweeps(bench: BenchContents) -> Iterator[Block]:
    if (bench.cells["sweep"] == "").all():
        yield Sentences(("Nothing was varied.",))
    for name, table in sweep_tables(bench):
        yield Details(name, (table,))


def _example(bench: BenchContents, reference: Sequence[SettingReference]) -> Iterator[Section]:
    """Sections on the best method's first cell."""
    run = bench.example
    if run is None:
        how = Code(f"dtfl report {bench.name}.parquet --cells results/bench")
        said = "Events, sites, twin and settings are in the cells' folder, which was not given:"
        yield Section("events", "Events and alarms", (Sentences((said,)), how))
        return
    outcomes = {name: event_outcomes(table) for name, table in run.alarms.items()}
    line = bench.main[bench.main["digest"] == run.name].iloc[0]
    which = Sentences((f"Of the best method's first cell: {line['method']}, seed {line['seed']}.",))
    yield Section("events", "Events and alarms", (which, *event_blocks(run, outcomes)))
    yield Section("sites", "Sites", (which, *site_blocks(run)))
    yield Section("twin", "Twin and plant", tuple(twin_blocks(run)))
    yield Section("settings", "Settings", (which, *setting_blocks(run, reference)))
    yield Section("environment", "Environment", tuple(environment_blocks(run, reference)))


def _provenance(bench: BenchContents) -> Iterator[Block]:
    yield Sentences((bench.origin,))
    yield Details("What this page was made from", (file_table(bench.files),))


def _one_place() -> Sentences:
    return Sentences(("The cells are judged at one site and have no folds.",))
