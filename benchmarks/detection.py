"""Detection at a gateway: time per step, memory and start, on one core.

Run it from the repository: python -m benchmarks.detection
A CWA model of ten sites with default settings, trained on BATADAL's year, scores dataset04 row by
row in processes that may use one core: once with the model's smoothed residual alone, once with all
five kinds of evidence. Beside it the same model in torch, a row at a time. Writes
benchmarks/results/detection.md. About four minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.files import write_atomically
from dtfl_app.results.tables import markdown

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "detection.md"
KINDS = {"smoothed": "smoothed", "all five": "instant,smoothed,plc,pump,balance"}
# Steps before the first are timed: caches fill, and a gateway runs for months.
WARM_UP = 100
MOST_MB, MOST_MS = 200.0, 5.0


def main() -> None:
    """Train, measure each way of scoring in a process of its own, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(*chosen.measure)))
        return
    origin = provenance_line("python -m benchmarks.detection", [Provenance.here(ROOT).to_mapping()])
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: train(Path(folder), kinds) for name, kinds in KINDS.items()}
        data = data_file()
        rows = [
            figures(f"onnxruntime, {name}", "gateway", run / "deploy" / "cwa", data)
            for name, run in runs.items()
        ]
        rows.append(figures("torch, smoothed", "torch", runs["smoothed"], data))
    text = f"{NOTES}\n\n{markdown(HEAD, rows)}\n\n{origin}\n"
    write_atomically(OUT, text.encode())
    print(text)


def train(folder: Path, kinds: str) -> Path:
    """Train CWA with ten sites; return the run's folder."""
    # Here only: what is measured must not have loaded any of it.
    from dtfl_app.launch import simulate, superlink  # noqa: PLC0415 - see above

    name = kinds.replace(",", "-")
    settings = {
        "dataset": "batadal",
        "data-dir": str(data_file().parents[1]),
        "cache-dir": str(folder / "cache"),
        "strategy": "cwa",
        "sites": 10,
        "rounds": 10,
        "evidence": kinds,
        "results-dir": str(folder),
        "run-name": name,
    }
    with superlink() as link:
        for line in simulate(link, ROOT, settings, sites=10, actors=2):
            print(line)
    return folder / name


def data_file() -> Path:
    """Return the path of BATADAL's dataset04."""
    from dtfl_app.sites.federation import resolve_data_dir  # noqa: PLC0415 - see `train`

    return resolve_data_dir("") / "batadal" / "BATADAL_dataset04.csv"


def figures(name: str, way: str, model: Path, data: Path) -> list[str]:
    """Measure in a fresh process; a row of the table."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.detection",
        "--measure",
        way,
        str(model),
        str(data),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(name, found)
    return [
        name,
        f"{found['mean_ms']:.2f}",
        f"{found['p99_ms']:.2f}",
        f"{found['peak_mb']:.0f}",
        f"{found['start_s']:.2f}",
    ]


def measure(way: str, model: str, data: str) -> dict[str, float]:
    """Score a file on one core; return ms per row (mean, 99th percentile), MB and s to start."""
    began = time.perf_counter()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    times = (gateway_times if way == "gateway" else torch_times)(Path(model), Path(data), began)
    start, steps = times[0], sorted(times[1 + WARM_UP :])
    return {
        "start_s": start,
        "mean_ms": 1000 * sum(steps) / len(steps),
        "p99_ms": 1000 * steps[int(0.99 * len(steps))],
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    """Return this process's largest resident set; getrusage would count its parent's, too."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def gateway_times(model: Path, data: Path, began: float) -> list[float]:
    """Seconds until ready for the first line, then per line, its text included."""
    from dtfl_app.detection.detection import (  # noqa: PLC0415 - see `train`
        Detection,
        DetectionOptions,
    )
    from dtfl_app.detection.folder import read_folder  # noqa: PLC0415 - see `train`

    detection = Detection(read_folder(model), DetectionOptions(), str(data))
    times = [time.perf_counter() - began]
    with data.open("rb") as file:
        detection.lines([file.readline()])
        for line in file:
            started = time.perf_counter()
            detection.lines([line])
            times.append(time.perf_counter() - started)
    return times


def torch_times(run: Path, data: Path, began: float) -> list[float]:
    """Seconds until torch has the model and the rows, then per row: the model's score alone."""
    import torch  # noqa: PLC0415 - see `train`

    from dtfl_app.detector.models import build_model, set_params  # noqa: PLC0415 - see `train`
    from dtfl_app.detector.scoring import score  # noqa: PLC0415 - see `train`
    from dtfl_app.preparation import scaler_from_arrays  # noqa: PLC0415 - see `train`
    from dtfl_app.results.models import load_model  # noqa: PLC0415 - see `train`
    from dtfl_app.sites.batadal import SCADA, read_batadal  # noqa: PLC0415 - see `train`

    torch.set_num_threads(1)
    saved = load_model(run / "models" / "cwa.safetensors")
    model = build_model(saved.spec, 0)
    set_params(model, saved.params)
    series = read_batadal(data)
    inputs = scaler_from_arrays(dict(saved.scaler)).transform(series[SCADA.names].to_numpy())
    instance = series["instance"].to_numpy(dtype=str)
    times = [time.perf_counter() - began]
    for row in range(len(inputs)):
        started = time.perf_counter()
        score(model, inputs[row : row + 1], instance[row : row + 1], 1)
        times.append(time.perf_counter() - started)
    return times


HEAD = ("way of scoring", "ms per row, mean", "ms per row, 99%", "peak MB", "s to start")
NOTES = f"""\
# Detection at a gateway

One core (affinity set), one row at a time, dataset04. A row is a line of the file: read, checked, \
scaled, scored, judged, watched for drift. The last line is torch's share of that alone, the \
model's score, with pandas reading the file. Peak MB is the largest resident set. Wanted: below \
{MOST_MS:g} ms and {MOST_MB:g} MB."""


if __name__ == "__main__":
    main()
