"""Differential privacy at the sites: what accuracy is left, at which epsilon.

Run it from the repository: python -m benchmarks.privacy
Ten simulated plants, FedAvg, LPE and CWA one after the other on Flower's real engine, with the
default detector and a small one; each without privacy, clipped only, and with noise. Writes
benchmarks/results/privacy.md. About fifteen minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.poisoning import number
from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.sections import PrivacySettings
from dtfl_app.core.settings import Value
from dtfl_app.core.text_tables import markdown
from dtfl_app.engine.launch import SuperLink, simulate, superlink
from dtfl_app.messages.privacy import PrivacyLedger
from dtfl_app.results.figures import FIGURES
from dtfl_app.results.lines import read_lines, summarise
from twin.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "privacy.md"
SITES = 10
STRATEGIES = ("fedavg", "lpe", "cwa")
# Large enough that the noise is nothing beside a weight.
NO_NOISE = 1e9
MODELS: dict[str, dict[str, Value]] = {
    "default detector (256, 24)": {},
    "small detector (16, 4)": {"hidden": 16, "latent": 4},
}
# (privacy.clip, privacy.epsilon); the first is without privacy
CASES = (
    (0.0, 0.0),
    *((1.0, epsilon) for epsilon in (NO_NOISE, 1000.0, 50.0, 8.0)),
    *((0.1, epsilon) for epsilon in (NO_NOISE, 50.0, 8.0)),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One run: its privacy, and the figures of each method's last model, in their order."""

    clip: float
    epsilon: float
    accuracy: tuple[float, ...]
    ranking: tuple[float, ...]


def main() -> None:
    """Play all runs, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--actors", type=int, default=2, help="worker processes")
    chosen = parser.parse_args()
    parts = [NOTES.format(**vars(chosen))]
    with superlink() as link:
        for model, settings in MODELS.items():
            rows = list(play(link, settings, chosen))
            parts.append(f"## {model}\n\n{table(rows, chosen)}")
    origin = [Provenance.here(ROOT).to_mapping()]
    command = f"python -m benchmarks.privacy --rounds {chosen.rounds} --seed {chosen.seed}"
    parts.append(provenance_line(command, origin))
    write_atomically(OUT, ("\n\n".join(parts) + "\n").encode())
    print(OUT.read_text())


def play(link: SuperLink, model: dict[str, Value], chosen: argparse.Namespace) -> Iterator[Row]:
    """Run all methods under each kind of privacy."""
    known: dict[str, Value] = {
        "dataset": "plants",
        "sites": SITES,
        "rounds": chosen.rounds,
        "seed": chosen.seed,
        "strategy": ",".join(STRATEGIES),
        "run-name": "run",
    }
    for clip, epsilon in CASES:
        print(f"clip {clip:g}, epsilon {epsilon:g}", flush=True)
        privacy: dict[str, Value] = {
            "privacy.dp": True,
            "privacy.clip": clip,
            "privacy.epsilon": epsilon,
        }
        with tempfile.TemporaryDirectory() as folder:
            settings = {**known, **model, **(privacy if clip else {}), "results-dir": folder}
            for _ in simulate(link, ROOT, settings, SITES, chosen.actors):
                pass
            lines = read_lines(Path(folder) / "run" / "metrics.jsonl")
        finals = {s.strategy: s.final for s in summarise(lines, target=0.8)}
        ends = [end for end in (finals[strategy] for strategy in STRATEGIES) if end is not None]
        accuracy = tuple(end.balanced_accuracy for end in ends)
        yield Row(clip, epsilon, accuracy, tuple(end.auc_pr for end in ends))


def table(rows: list[Row], chosen: argparse.Namespace) -> str:
    """A row per kind of privacy: what it promises, then each method's figures."""
    titles = f"{FIGURES['balanced_accuracy'].title}, {FIGURES['auc_pr'].title}"
    head = (
        "clip",
        "privacy.epsilon",
        "noise",
        "kept in a round",
        f"in {chosen.rounds} rounds",
        *(f"{strategy}: {titles}" for strategy in STRATEGIES),
    )
    return markdown(head, [[*promise(row, chosen.rounds), *figures(row)] for row in rows])


def promise(row: Row, rounds: int) -> tuple[str, ...]:
    """Clip, epsilon asked for, noise on each weight; epsilon kept in one round and in all."""
    if not row.clip:
        return "-", "no privacy", "-", "-", "-"
    if row.epsilon == NO_NOISE:
        return f"{row.clip:g}", "clipped only", "-", "-", "-"
    ledger = PrivacyLedger(PrivacySettings(True, row.clip, row.epsilon))
    for _ in range(rounds):
        ledger.count("", ["site"])
    report = ledger.report()
    noise, one = report["noise_deviation"], report["epsilon_per_round"]
    kept = (f"{one:,.1f}", f"{ledger.total()['site']:,.1f}")
    return f"{row.clip:g}", f"{row.epsilon:g}", f"{noise:.4f}", *kept


def figures(row: Row) -> Iterator[str]:
    """Balanced accuracy and AUC-PR of each method's last model."""
    for accuracy, ranking in zip(row.accuracy, row.ranking, strict=True):
        yield f"{number(accuracy)}, {number(ranking)}"


NOTES = """\
# What differential privacy at the sites leaves

Ten simulated plants, {rounds} rounds, seed {seed}, delta 1e-5; the last model of each method. \
"privacy.epsilon" is what is asked of Flower's LocalDpMod for one round, "noise" the deviation \
that it puts on every uploaded weight, and "kept" the epsilon that the accountant finds for this \
noise and one site's uploads. One run per row; with noise a run does not repeat."""


if __name__ == "__main__":
    main()
