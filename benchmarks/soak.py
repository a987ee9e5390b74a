"""A soak: does a long run keep its memory?

Run it from the repository: python -m benchmarks.soak
Two hundred rounds of CWA with ten plants on Flower's real engine; every third round a site fails,
answers with NaN or sends more than was asked, and once a worker process dies. The private memory of
every process that lives long enough is read after each round. Writes benchmarks/results/soak.md.
About five minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
from scipy import stats

from benchmarks.altered_app import write_altered_app
from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.logs import read_line
from dtfl_app.core.text_tables import markdown
from dtfl_app.engine.launch import simulate, superlink
from dtfl_app.results.lines import read_lines
from twin.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "soak.md"
FAULTS = ROOT / "tests" / "support" / "faults.py"
SITES = 10
FAILURES = ("fail", "nan", "extra-layer")
# Until then Python and its libraries still fill their caches.
WARM_UP = 0.25
# What a process's command line says, and what the process is.
ROLES = {
    "flwr-simulation": "server and engine",
    "ray::ClientAppActor": "worker",
    "flower-superlink": "SuperLink",
    "raylet/raylet": "Ray's scheduler",
    "gcs_server": "Ray's directory",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """Private memory of one process after a round, in MB."""

    round: int
    role: str
    pid: int
    megabytes: float


def main() -> None:
    """Play the rounds, read the memory, fit a line per process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    chosen = parser.parse_args()
    with superlink() as link, tempfile.TemporaryDirectory() as folder:
        app = write_altered_app(Path(folder) / "app", FAULTS, "faults")
        settings = {
            "strategy": "cwa",
            "sites": SITES,
            "rounds": chosen.rounds,
            "faults": plan_text(chosen.rounds),
            "results-dir": folder,
            "run-name": "soak",
        }
        log = simulate(link, app, settings, SITES, actors=2)
        samples = pd.DataFrame(list(samples_of(log)))
        lines = read_lines(Path(folder) / "soak" / "metrics.jsonl")
    refused, asked = sum(line.refused for line in lines), SITES * chosen.rounds
    seconds = sum(line.seconds for line in lines)
    head = NOTES.format(rounds=chosen.rounds, refused=refused, asked=asked, seconds=seconds)
    command = f"python -m benchmarks.soak --rounds {chosen.rounds}"
    origin = provenance_line(command, [Provenance.here(ROOT).to_mapping()])
    text = f"{head}\n\n{slopes_table(samples, chosen.rounds)}\n\n{origin}\n"
    write_atomically(OUT, text.encode())
    print(text)


def plan_text(rounds: int) -> str:
    """Every third round one site misbehaves, each time another; halfway a worker process dies."""
    places = {number: (number // 3) % SITES + 1 for number in range(3, rounds + 1, 3)}
    faults = {number: FAILURES[(number // 3) % len(FAILURES)] for number in places}
    faults[min(places, key=lambda number: abs(number - rounds // 2))] = "exit"
    return ",".join(f"{n}:plant-{places[n]:02d}:{faults[n]}" for n in places)


def samples_of(log: Iterator[str]) -> Iterator[Sample]:
    """Yield the memory of all processes whenever a round's line comes by."""
    for line in log:
        told = read_line(line)
        if told is not None and told.kind == "round":
            yield from memory_now(told.event["round"])


def memory_now(number: int) -> Iterator[Sample]:
    """Yield the private memory of all that this process started and that has a role."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            role = next((role for text, role in ROLES.items() if text in command), "")
            if role:
                megabytes = process.memory_full_info().uss / 2**20
                yield Sample(number, role, process.pid, megabytes)


def slopes_table(samples: pd.DataFrame, rounds: int) -> str:
    """A row per process that was there for a quarter of the rounds after the warm-up."""
    settled = samples[samples["round"] > WARM_UP * rounds]
    head = ("process", "rounds", "MB at first", "MB at last", "MB per 100 rounds", "95% interval")
    rows = []
    for (role, _), part in settled.groupby(["role", "pid"], sort=False):
        if len(part) < rounds / 8:
            continue
        fit = stats.linregress(part["round"], part["megabytes"])
        reach = stats.t.ppf(0.975, len(part) - 2) * fit.stderr
        ends = part["megabytes"].iloc[[0, -1]]
        first, last = part["round"].iloc[[0, -1]]
        interval = f"{100 * (fit.slope - reach):+.2f} to {100 * (fit.slope + reach):+.2f}"
        megabytes = [f"{value:.1f}" for value in ends]
        rows.append(
            [str(role), f"{first} to {last}", *megabytes, f"{100 * fit.slope:+.2f}", interval]
        )
    return markdown(head, rows)


NOTES = """\
# Memory over a long run

CWA, ten plants, {rounds} rounds on Flower's engine with two workers; {refused} of {asked} replies \
refused or missing, as planned: sites that fail, answer with NaN or send a layer too many, and one \
worker process that dies halfway and is replaced. {seconds:.0f} seconds of rounds. Private memory \
(USS) of each process after each round; a line is fitted to what comes after the first quarter."""


if __name__ == "__main__":
    main()
