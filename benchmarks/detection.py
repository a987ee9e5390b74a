"""Detection at a gateway: time per step, memory and start, on one core.

Run it from the repository: python -m benchmarks.detection
A CWA model of ten sites with default settings, trained on BATADAL's year, scores dataset04 row by
row in processes that may use one core: once with the model's smoothed residual alone, once with all
five kinds of evidence, once as the file grows. Beside it the model alone, in onnxruntime and torch.
Writes benchmarks/results/detection.md. About four minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core import evidence
from dtfl_app.core.text_tables import markdown
from dtfl_app.engine.launch import simulate, superlink
from dtfl_app.sites.folders import resolve_data_dir
from twin.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "detection.md"
KINDS = {"smoothed": "smoothed", "all five": ",".join(evidence.KINDS)}
MOST_MB, MOST_MS = 200.0, 5.0


def main() -> None:
    """Train, measure each way of scoring in a process of its own, write the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    origin = provenance_line("python -m benchmarks.detection", [Provenance.here(ROOT).to_mapping()])
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: train(Path(folder), kinds) for name, kinds in KINDS.items()}
        data = data_file()
        rows = [
            figures(name, way, path, data)
            for name, way, path in (
                ("a row, smoothed", "gateway", runs["smoothed"] / "deploy" / "cwa"),
                ("a row, all five", "gateway", runs["all five"] / "deploy" / "cwa"),
                ("a row, all five, followed", "followed", runs["all five"] / "deploy" / "cwa"),
                ("the model alone, onnxruntime", "onnx", runs["smoothed"]),
                ("the model alone, torch", "torch", runs["smoothed"]),
            )
        ]
    text = f"{NOTES}\n\n{markdown(HEAD, rows)}\n\n{origin}\n"
    write_atomically(OUT, text.encode())
    print(text)


def train(folder: Path, kinds: str) -> Path:
    """Train CWA with ten sites; return the run's folder."""
    name = kinds.replace(",", "-")
    settings = {
        "dataset": "batadal",
        "data.dir": str(data_file().parents[1]),
        "cache-dir": str(folder / "cache"),
        "strategy": "cwa",
        "sites": 10,
        "rounds": 10,
        "detector.evidence": kinds,
        "results-dir": str(folder),
        "run-name": name,
    }
    with superlink() as link:
        for line in simulate(link, ROOT, settings, sites=10, actors=2):
            print(line)
    return folder / name


def data_file() -> Path:
    """Return the path of BATADAL's dataset04."""
    return resolve_data_dir("") / "batadal" / "BATADAL_dataset04.csv"


def figures(name: str, way: str, model: Path, data: Path) -> list[str]:
    """Measure in a fresh process; a row of the table."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.detection_probe",
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


HEAD = ("way of scoring", "ms per row, mean", "ms per row, 99%", "peak MB", "s to start")
NOTES = f"""\
# Detection at a gateway

One core (affinity set), one row at a time, dataset04. A row is a line of the file: read, checked, \
scaled, scored, judged, watched for drift. Followed, rows come one by one, and the time is that \
from a row's arrival until its outcome and all the scorer remembers are flushed to disk. The model \
alone is its score of a scaled row; there pandas has read the file. Peak MB is the largest \
resident set, and the start is that of the process, Python included. Wanted: below {MOST_MS:g} ms \
and {MOST_MB:g} MB."""


if __name__ == "__main__":
    main()
