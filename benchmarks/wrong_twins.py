"""What tells a wrong twin from a good one without labels, in the first rounds of a run.

Run it from the repository: python -m benchmarks.wrong_twins
For each twin: the shift of its channel means from the sites' (`dtfl_app.rounds.signals`), which
is known before round 1, and in rounds 1 to 3 of CWA the ratio that `trust.twin-limit` limits, the
median loss of the sites' models on twin data over that on their own. The folder that DTFL_DATA
names (default ../shared/data) must hold batadal/, ctown/ and 3w/. A quarter of an hour on one core,
plus simulating what is not cached. Writes benchmarks/results/wrong_twins.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.witness_spread import Federation, Round
from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.config import RunConfig
from dtfl_app.core.settings import Value
from dtfl_app.core.text_tables import markdown
from dtfl_app.evaluation.baselines import Material, gather
from dtfl_app.inputs.preparation import Prepared
from dtfl_app.rounds.signals import mean_shift
from dtfl_app.sites.batadal import DATASET03, read_batadal
from dtfl_app.sites.catalogue import open_dataset

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DTFL_DATA") or ROOT.parent / "shared" / "data")
OUT = ROOT / "benchmarks" / "results" / "wrong_twins.md"
ROUNDS = 3
WRONG: dict[str, dict[str, Value]] = {
    "demand -30%": {"twin.demand-factor": 0.7},
    "demand +10%": {"twin.demand-factor": 1.1},
    "demand +30%": {"twin.demand-factor": 1.3},
    "roughness -30%": {"twin.roughness-factor": 0.7},
    "roughness -10%": {"twin.roughness-factor": 0.9},
    "roughness +30%": {"twin.roughness-factor": 1.3},
    "set-points -30%": {"twin.threshold-factor": 0.7},
    "set-points -10%": {"twin.threshold-factor": 0.9},
    "set-points +30%": {"twin.threshold-factor": 1.3},
}
BATADAL: dict[str, Value] = {"dataset": "batadal"}
CLASSIFIER: dict[str, Value] = {"model": "classifier"}
HEAD = ("data", "twin", "shift", "of a site", *(f"ratio, round {n + 1}" for n in range(ROUNDS)))


def cells(folder: Path) -> Iterator[tuple[str, str, int, dict[str, Value]]]:
    """Yield (data, twin, sites, settings): good twins first, then wrong ones.

    Parameters
    ----------
    folder : where to write a recording that stands for an old one.
    """
    for gap in (0.0, 0.5, 1.0, 2.0):
        yield f"plants, plants.gap {gap}", "nominal", 10, {"plants.gap": gap}
    yield "BATADAL", "the plant's network", 10, BATADAL
    yield "BATADAL, dirichlet", "the plant's network", 7, {**BATADAL, "partition": "dirichlet"}
    threew: dict[str, Value] = {"dataset": "threew", **CLASSIFIER}
    yield "3W, six wells", "OLGA", 6, {**threew, "protocol": "pooled"}
    for well in ("WELL-00003", "WELL-00013"):
        left_out: dict[str, Value] = {"protocol": "leave-one-site-out", "held-out": well}
        yield f"3W without {well}", "OLGA", 5, {**threew, **left_out}
    random = {**BATADAL, **CLASSIFIER, "protocol": "random-split"}
    yield "BATADAL, random split, classifier", "the plant's network", 10, random
    old: dict[str, Value] = {"twin.kind": "recorded", "twin.recording": str(record_weeks(folder))}
    yield "BATADAL", "recording of its first four weeks", 10, {**BATADAL, **old}
    yield "BATADAL", "embedded network", 10, {**BATADAL, "twin.network": "embedded"}
    for name, settings in WRONG.items():
        yield "BATADAL", name, 10, {**BATADAL, **settings}
    for name, settings in WRONG.items():
        yield "plants, plants.gap 0.5", name, 10, settings


def record_weeks(folder: Path) -> Path:
    """Write the plant's own first four weeks, as a twin that was recorded and left alone."""
    series = read_batadal(DATA / "batadal" / DATASET03).iloc[: 4 * 168]
    series.to_parquet(path := folder / "weeks.parquet")
    return path


def normal(prepared: Prepared) -> np.ndarray:
    """Rows that are not known to be abnormal, from which the scaling is taken too."""
    return prepared.x[prepared.features.label < 1]


def shifts(material: Material) -> tuple[float, float]:
    """Shift of the twin, and of the median site, from all sites together."""
    assert material.twin is not None
    sites = [mean_shift(normal(training)) for training, _ in material.sites]
    return mean_shift(normal(material.twin)), median(sites)


def ratio(seen: Round) -> float:
    """What `trust.twin-limit` limits."""
    return median(seen.honest.values()) / median(seen.training.values())


def measured(sites: int, settings: Mapping[str, Value]) -> list[str]:
    """Figures of one cell."""
    config = RunConfig.from_mapping(settings)
    material = gather(config, open_dataset(config), sites)
    seen = Federation(config, material).play("cwa", ROUNDS, hostile=False)
    twin, site = shifts(material)
    return [f"{twin:.3f}", f"{site:.3f}", *(f"{ratio(r):.2f}" for r in seen)]


def main() -> None:
    """Measure all cells and write the page."""
    torch.set_num_threads(1)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for data, twin, sites, settings in cells(Path(folder)):
            table.append([data, twin, *measured(sites, settings)])
            print(*table[-1], sep=" | ", flush=True)
    command = "python -m benchmarks.wrong_twins"
    origin = provenance_line(command, [Provenance.here(ROOT).to_mapping()])
    OUT.write_text(f"{NOTES}\n\n{markdown(HEAD, table)}\n\n{origin}\n")
    print(OUT)


NOTES = """\
# What tells a wrong twin without labels

Seed 0, default settings, CWA. Shift: mean over features of how far the mean of the twin's normal \
rows lies from that of all sites' normal rows, in the sites' standard deviations; of a site: the \
same for the median site. Ratio: median loss of the sites' models on twin data over that on their \
own rows, which `trust.twin-limit` limits."""


if __name__ == "__main__":
    main()
