"""Drift: how often does it cry on normal operation, and what does it flag?

Run it from the repository: python -m benchmarks.drift
BATADAL's year without attacks (dataset03) alone: CWA is trained on the first, then on the last six
tenths of it and its bundle scores the rest, as it is and altered. Dataset04 and the test
file play no part. Writes benchmarks/results/drift.md. About six minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.bundle.bundle import Bundle
from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.config import RunConfig
from dtfl_app.core.evidence import KINDS
from dtfl_app.core.text_tables import markdown
from dtfl_app.detection.drift import DRIFT_LIMIT, DRIFT_WINDOW, Drift
from dtfl_app.detection.scorer import Scorer
from dtfl_app.detection.threshold_table import ThresholdTable, Verdict
from dtfl_app.engine.launch import SuperLink, simulate, superlink
from dtfl_app.inputs.twins import own_plant
from dtfl_app.sites.batadal import DATASET03, read_batadal
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.sites.folders import resolve_data_dir
from twin.ctown.channels import SCADA
from twin.ctown.simulate import CTownTwin
from twin.dataset import build_dataset
from twin.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "drift.md"
EVIDENCE = tuple(KINDS)
WINDOWS = (250, 500, 1000)
PARTS = {"first 60%": (0.0, 0.6), "last 60%": (0.4, 1.0)}
# One channel per kind of sensor and level; its offset is 1% of its physical range.
OFFSETS = ("L_T1", "L_T2", "L_T3", "L_T4", "L_T5", "L_T6", "L_T7", "F_PU1", "P_J280", "P_J422")
HOURS = 1500


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model trained on a part of the year.

    Parameters
    ----------
    part : which part.
    bundle : the model.
    rest : the hours it was not trained on.
    config : its run's settings.
    """

    part: str
    bundle: Bundle
    rest: pd.DataFrame
    config: RunConfig


def main() -> None:
    """Train on either part, score the rest as it is and altered, write the tables."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    origin = provenance_line("python -m benchmarks.drift", [Provenance.here(ROOT).to_mapping()])
    with superlink() as link, tempfile.TemporaryDirectory() as folder:
        models = [train(link, Path(folder), part) for part in PARTS]
        normal = [row for model in models for row in normal_rows(model)]
        altered = [row for model in models for row in altered_rows(model, Path(folder))]
    head = ("trained on", "steps N", *EVIDENCE, "drifts begun")
    changes = ("trained on", "change", "steps with an alarm", "drifts begun, after how many steps")
    text = "\n\n".join(
        [
            NOTES.format(limit=DRIFT_LIMIT, window=DRIFT_WINDOW, hours=HOURS),
            markdown(head, normal),
            CHANGES.format(limit=DRIFT_LIMIT, window=DRIFT_WINDOW, hours=HOURS),
            markdown(changes, altered),
            origin,
        ]
    )
    write_atomically(OUT, f"{text}\n".encode())
    print(text)


def train(link: SuperLink, folder: Path, part: str) -> Trained:
    """Train CWA with ten sites and every kind of evidence on a part of dataset03."""
    source = resolve_data_dir("")
    data = folder / part.replace("%", "").replace(" ", "-")
    (data / "batadal").mkdir(parents=True)
    shutil.copytree(source / "ctown", data / "ctown")
    year = pd.read_csv(source / "batadal" / DATASET03, dtype=str)
    begin, end = (round(share * len(year)) for share in PARTS[part])
    kept = (year.index >= begin) & (year.index < end)
    year[kept].to_csv(data / "batadal" / DATASET03, index=False)
    year[~kept].to_csv(data / "batadal" / "rest.csv", index=False)
    settings = {
        "dataset": "batadal",
        "data.dir": str(data),
        "cache-dir": str(folder / "cache"),
        "data.evaluation-file": "rest.csv",
        "strategy": "cwa",
        "sites": 10,
        "rounds": 15,
        "detector.evidence": ",".join(EVIDENCE),
        "results-dir": str(folder),
        "run-name": data.name + "-run",
    }
    for line in simulate(link, ROOT, settings, sites=10, actors=2):
        print(line)
    run = folder / (data.name + "-run")
    return Trained(
        part,
        read_folder(run / "deploy" / "cwa"),
        read_batadal(data / "batadal" / "rest.csv"),
        RunConfig.from_mapping(json.loads((run / "config.json").read_text())["settings"]),
    )


def normal_rows(model: Trained) -> Iterator[list[str]]:
    """Per window, the largest distance of each kind of evidence, and the drifts that begin."""
    table, verdicts = verdicts_of(model.bundle, model.rest)
    for window in WINDOWS:
        drift, largest, begun = Drift(table, EVIDENCE, window), dict.fromkeys(EVIDENCE, 0.0), 0
        for step, verdict in enumerate(verdicts):
            begun += sum(change.begins for change in drift.add(verdict.alarm, verdict.cells))
            if step >= window + 50 and step % 5 == 0:
                found = drift.distances()
                largest = {kind: max(largest[kind], found[kind]) for kind in EVIDENCE}
        yield [model.part, str(window), *(f"{largest[k]:.2f}" for k in EVIDENCE), str(begun)]


def altered_rows(model: Trained, folder: Path) -> Iterator[list[str]]:
    """What each change of operation begins, with the default window and limit."""
    for name, series in {**offsets(model.rest), **demands(model, folder)}.items():
        table, verdicts = verdicts_of(model.bundle, series)
        drift, begun = Drift(table, EVIDENCE), []
        for step, verdict in enumerate(verdicts, start=1):
            begun += [
                f"{c.kind} after {step}"
                for c in drift.add(verdict.alarm, verdict.cells)
                if c.begins
            ]
        share = np.mean([verdict.alarm for verdict in verdicts])
        yield [model.part, name, f"{share:.1%}", ", ".join(begun) or "none"]


def offsets(rest: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The first hours of the rest, as they are and with one sensor off by 1% of its range."""
    found = {"none": rest.iloc[:HOURS]}
    for channel in SCADA.channels:
        if channel.name in OFFSETS:
            offset = 0.01 * (channel.high - channel.low)
            series = rest.iloc[:HOURS].copy()
            series[channel.name] += offset
            found[f"{channel.name} + {offset:.3g} {channel.unit}"] = series
    return found


def demands(model: Trained, folder: Path) -> dict[str, pd.DataFrame]:
    """The plant simulated by its twin, with the demand it has and with more."""
    found = {}
    plant = own_plant(model.config, open_dataset(model.config).own_twin)
    for factor in (1.0, 1.1, 1.3):
        twin = CTownTwin(plant.scaled(demand=factor))
        scenario = twin.plan(1, HOURS, 7, ())[0]
        series = build_dataset(twin, [scenario], folder / "cache").series
        found[f"simulated, demand x {factor:g}"] = series
    return found


def verdicts_of(bundle: Bundle, series: pd.DataFrame) -> tuple[ThresholdTable, list[Verdict]]:
    """Score a labelled series row by row."""
    scorer = Scorer(bundle)
    times = series["time"].to_numpy("datetime64[ns]").astype(np.int64)
    rows = series[SCADA.names].to_numpy(dtype=np.float64)
    outcomes = [scorer.step(int(time), row) for time, row in zip(times, rows, strict=True)]
    return scorer.thresholds, [outcome.step.verdict for outcome in outcomes if outcome.step]


NOTES = """\
# Drift from the calibration

CWA with ten sites and all kinds of evidence, 15 rounds, trained on a part of BATADAL's year \
without attacks; the model scores the other hours of that year. Largest Kolmogorov-Smirnov \
distance in them, per kind of evidence and number of steps that are looked at together, and how \
many drifts begin with the limit {limit:g}. The default is {window} steps."""

CHANGES = """\
The same hours altered: the first {hours} with one sensor off by 1% of its physical range, and \
{hours} hours simulated by the plant's twin. {window} steps, limit {limit:g}; "alarms": most steps \
raise an alarm, so that there is no normal operation left to compare."""


if __name__ == "__main__":
    main()
