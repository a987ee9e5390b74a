"""A site's large file: time and memory of `dtfl site draft`, `dtfl site check` and of training.

Run it from the repository: python -m benchmarks.site_check [--large]
Files of 60 and 250 MB with 20 channels, with --large one of 1,000 MB too, and one with 1,000
channels, are made in the folder for temporary files. Each command has a process of its own, whose
largest resident set is told by the system when it ends. Beside the commands: reading the file as
training does, before features are made. Writes benchmarks/results/site_check.md. About three
minutes on two cores, and 1.2 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.text_tables import markdown
from twin.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "site_check.md"
CHANNELS, SIZES_MB, LARGE_MB = 20, (60, 250), 1000
MANY_CHANNELS, MANY_MB = 1000, 40
# Rows that are made at a time.
BLOCK = 5000
TRAINING = (
    "import sys; from pathlib import Path; from dtfl_app.sites.own_files import load_own_file; "
    "from dtfl_app.sites.site_schema import read_site_schema; "
    "load_own_file(Path(sys.argv[1]), read_site_schema(Path(sys.argv[2])))"
)


@dataclass(frozen=True, slots=True)
class Run:
    """A process that has ended: its seconds, and its largest resident set in MB."""

    seconds: float
    peak_mb: float


def main() -> None:
    """Make the files, measure each command in a process of its own, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help=f"a file of {LARGE_MB} MB too")
    large = (LARGE_MB,) if parser.parse_args().large else ()
    origin = provenance_line(
        "python -m benchmarks.site_check", [Provenance.here(ROOT).to_mapping()]
    )
    files = [(size, CHANNELS) for size in SIZES_MB + large]
    rows = [row for file in [*files, (MANY_MB, MANY_CHANNELS)] for row in measured(*file)]
    text = f"{NOTES}\n\n{markdown(HEAD, rows)}\n\n{origin}\n"
    write_atomically(OUT, text.encode())
    print(text)


def measured(size_mb: int, channels: int) -> list[list[str]]:
    """Rows of the table on one file, which is there only as long."""
    with tempfile.TemporaryDirectory() as folder:
        path, schema = Path(folder) / "site.csv", Path(folder) / "schema.toml"
        rows = make_file(path, size_mb, channels)
        dtfl = [sys.executable, "-m", "dtfl_app.cli.main", "site"]
        runs = {
            "site draft": run([*dtfl, "draft", str(path)], schema),
            "site check": run([*dtfl, "check", str(path)], Path(os.devnull)),
            "read to train": run(
                [sys.executable, "-c", TRAINING, str(path), str(schema)], Path(os.devnull)
            ),
        }
    found = [
        [
            f"{size_mb}",
            f"{channels}",
            f"{rows}",
            what,
            f"{run.peak_mb:.0f}",
            f"{run.seconds:.1f}",
            f"{rows / run.seconds:.0f}",
        ]
        for what, run in runs.items()
    ]
    print(*found, sep="\n")
    return found


def make_file(path: Path, size_mb: int, channels: int) -> int:
    """Write a CSV file of about that size, a row a minute; return the number of its rows."""
    rng, rows = np.random.default_rng(0), 0
    mean = rng.uniform(15, 60, channels)
    with path.open("w") as file:
        file.write(",".join(["time", *(f"sensor-{i}" for i in range(channels))]) + "\n")
        while file.tell() < size_mb * 1e6:
            readings = mean + rng.normal(size=(BLOCK, channels))
            minutes = np.datetime64("2000-01-01T00:00:00") + 60 * np.arange(rows, rows + BLOCK)
            for minute, values in zip(minutes, readings, strict=True):
                file.write(f"{minute},{','.join(f'{value:.4f}' for value in values)}\n")
            rows += BLOCK
    return rows


def run(command: list[str], output: Path) -> Run:
    """Run a command to its end, with what it prints in a file."""
    started = time.perf_counter()
    with output.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # A check says with 1 that something is worth a look.
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{command} ended with exit code {process.returncode}")
    return Run(time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e6)


HEAD = ("MB", "channels", "rows", "what", "peak MB", "s", "rows per s")
NOTES = """\
# A site's large file

CSV files of random readings, each command in a process of its own; peak MB is its largest \
resident set, of which Python with pandas takes about 130. `site check` keeps times, labels and \
one channel of a file in memory, its readings in a temporary file. Training has all of them, \
8 bytes each, and once."""


if __name__ == "__main__":
    main()
