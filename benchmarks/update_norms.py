"""How far honest sites' updates differ in length: what a limit on them must let through.

Run it from the repository: python -m benchmarks.update_norms
It needs batadal/ and threew/ in the folder that DTFL_DATA names (default ../shared/data), plays
every federation in this process, without attackers and without a limit, and measures each update
against the running median that `trust.norm-limit` is a multiple of. About 5 minutes on one core.
Writes benchmarks/results/update_norms.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median

from flwr.app import Context, RecordDict

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.settings import Value
from dtfl_app.core.text_tables import markdown
from dtfl_app.rounds import screen
from dtfl_app.rounds.norms import NormBound, typical_norm
from dtfl_app.server.app import app
from dtfl_app.testing.grid import InProcessGrid

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DTFL_DATA") or ROOT.parent / "shared" / "data")
OUT = ROOT / "benchmarks" / "results" / "update_norms.md"
ROUNDS = 12
STRATEGIES = "fedavg,cwa,lpe,dtml"
THREEW: dict[str, Value] = {
    "dataset": "threew",
    "detector.model": "classifier",
    "data.protocol": "leave-one-site-out",
}
# (title, sites, settings)
FEDERATIONS: tuple[tuple[str, int, dict[str, Value]], ...] = (
    ("plants", 10, {}),
    ("plants, plants.gap 1.0", 10, {"plants.gap": 1.0}),
    ("plants, 3 of 10 a round", 10, {"fraction": 0.3}),
    ("BATADAL, blocks of the year", 10, {"dataset": "batadal"}),
    ("BATADAL, dirichlet", 7, {"dataset": "batadal", "data.partition": "dirichlet"}),
    ("3W without WELL-00003", 5, {**THREEW, "held-out": "WELL-00003"}),
    ("3W without WELL-00013", 5, {**THREEW, "held-out": "WELL-00013"}),
)
HEAD = ("federation", "strategy", "updates", "longest", "above 3", "above 10", "above 30")


class Recorder(NormBound):
    """A bound that refuses nobody and keeps each update's multiple of the running median."""

    multiples: list[list[float]]  # one list per strategy, the last is being filled

    def __init__(self, limit: float, history: list[float] | tuple[float, ...] = ()) -> None:
        super().__init__(limit, history)
        self.multiples.append([])

    def refusals(self, norms: Mapping[str, float]) -> dict[str, str]:
        """Record, then remember the round as ever."""
        typical = median(self.history) if self.history else typical_norm(list(norms.values()))
        if typical:
            self.multiples[-1] += [norm / typical for norm in norms.values()]
        return super().refusals(norms)


def play(sites: int, settings: Mapping[str, Value], folder: Path) -> dict[str, list[float]]:
    """Run one federation; return strategy -> multiples."""
    config: dict[str, Value] = {
        "strategy": STRATEGIES,
        "rounds": ROUNDS,
        "sites": sites,
        "trust.norm-limit": 1e9,
        "twin.workers": 1,
        "join-timeout": 0.0,
        "data.dir": str(DATA),
        "cache-dir": str(folder / "cache"),
        "results-dir": str(folder),
        **settings,
    }
    Recorder.multiples = []
    nodes = InProcessGrid(sites, config)
    app(nodes, Context(1, 0, {}, RecordDict(), config))
    return dict(zip(STRATEGIES.split(","), Recorder.multiples, strict=True))


def rows(title: str, found: Mapping[str, list[float]]) -> Iterable[list[str]]:
    """Yield a row of the table per strategy."""
    for strategy, multiples in found.items():
        above = [str(sum(m > limit for m in multiples)) for limit in (3, 10, 30)]
        yield [title, strategy, str(len(multiples)), f"{max(multiples):.1f}", *above]


def main() -> None:
    """Play all federations and write the table."""
    vars(screen)["NormBound"] = Recorder
    table: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for title, sites, settings in FEDERATIONS:
            table += rows(title, play(sites, settings, Path(folder)))
            print(*table[-len(STRATEGIES.split(",")) :], sep="\n")
    origin = provenance_line(
        "python -m benchmarks.update_norms", [Provenance.here(ROOT).to_mapping()]
    )
    notes = (
        "# How far honest updates differ in length\n\n"
        f"{ROUNDS} rounds without attackers, seed 0. Each update's length as a multiple of the "
        "running median that `trust.norm-limit` multiplies: the longest, and how many are above 3, "
        "10 and 30 times."
    )
    OUT.write_text(f"{notes}\n\n{markdown(HEAD, table)}\n\n{origin}\n")


if __name__ == "__main__":
    main()
