"""Poisoning: how much attackers among the sites spoil, and what each defence saves.

Run it from the repository: python -m benchmarks.poisoning
Each attack, by a fifth and by two fifths of ten sites, meets each defence; one run of Flower's real
engine plays all six methods one after the other. A finished run is kept in results/bench/poisoning
and not repeated. Label flip needs labels, so it and a clean row beside it take BATADAL, random
split, with the classifier; the others take the embedded plants. Writes
benchmarks/results/poisoning.md and .parquet. About two hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import adversaries
from benchmarks.adversaries import ATTACKS, attack_text
from benchmarks.altered_app import write_altered_app
from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.bench.store import finished_strategies
from dtfl_app.core.errors import FederationError
from dtfl_app.core.settings import Value
from dtfl_app.core.text_tables import markdown
from dtfl_app.engine.launch import SuperLink, simulate, superlink
from dtfl_app.results.figures import figures
from dtfl_app.results.lines import read_lines, summarise
from twin.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "poisoning"
KEY = "adversary"
SITES = 10
SHARES = (0.2, 0.4)
# The classifier learns more slowly than the autoencoder.
ROUNDS = {"plants": 12, "batadal": 40}
STRATEGIES = ("fedavg", "dtml", "fpf", "lpe", "cwa", "dtkd")
MEANS = figures("balanced_accuracy", "auc_pr", "s")
DEFENCES = (
    "mean",
    "norm-limit",
    "clip-updates",
    "trimmed-mean",
    "median",
    "multi-krum",
    "witness weighs",
    "witness refuses",
)
# Krum needs n >= 2 f + 3.
_MOST_KRUM = (SITES - 3) // 2 / SITES


@dataclass(frozen=True, slots=True)
class Cell:
    """One attack by a share of the sites against one defence.

    Parameters
    ----------
    data : "plants" or "batadal".
    attack : one of `ATTACKS`; "" = all sites are honest.
    share : of the sites that attack, in [0, 0.5).
    defence : one of `DEFENCES`.
    """

    data: str
    attack: str
    share: float
    defence: str

    @property
    def name(self) -> str:
        """Its place in the grid, for people, for `--only` and as a file name."""
        who = f"{self.attack} {self.share:.0%}" if self.attack else "honest"
        return f"{self.data}, {who}, {self.defence}"


def main() -> None:
    """Play the cells that are missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="play only cells whose name contains this")
    parser.add_argument("--rounds", type=int, default=0, help="0 = those of the data set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--actors", type=int, default=2, help="worker processes")
    parser.add_argument("--work", type=Path, default=ROOT / "results" / "bench" / "poisoning")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    rounds = {data: chosen.rounds or own for data, own in ROUNDS.items()}
    every = {cell: settings_of(cell, rounds[cell.data], chosen.seed) for cell in cells()}
    missing = [c for c in every if chosen.only in c.name and stored(c, every[c], chosen.work) == {}]
    if missing:
        with superlink() as link, tempfile.TemporaryDirectory() as folder:
            app = write_altered_app(Path(folder) / "app", Path(adversaries.__file__), KEY)
            for place, cell in enumerate(missing, start=1):
                print(f"{place} of {len(missing)}: {cell.name}", flush=True)
                content = play(link, app, every[cell], chosen.actors)
                write_atomically(path_of(cell, chosen.work), json.dumps(content, indent=1).encode())
    found = {cell: stored(cell, every[cell], chosen.work) for cell in every}
    notes = NOTES.format(**rounds, seed=chosen.seed)
    write_page({cell: content for cell, content in found.items() if content}, notes)


def cells() -> Iterator[Cell]:
    """Yield the whole grid: per data set the clean rows first."""
    for data in ("plants", "batadal"):
        attacks = [a for a in ATTACKS if (a == "label-flip") == (data == "batadal")]
        places = [("", 0.0), *((attack, share) for attack in attacks for share in SHARES)]
        for attack, share in places:
            for defence in DEFENCES:
                yield Cell(data, attack, share, defence)


def settings_of(cell: Cell, rounds: int, seed: int) -> dict[str, Value]:
    """Run-config of a cell."""
    known: dict[str, Value] = {"dataset": cell.data, "sites": SITES, "rounds": rounds, "seed": seed}
    if cell.data == "batadal":
        known |= {"data.protocol": "random-split", "detector.model": "classifier"}
    text = attack_text(cell.attack, attackers_of(cell.share, seed), SITES)
    return {**known, **defence_settings(cell), KEY: text}


def attackers_of(share: float, seed: int) -> list[int]:
    """Places of the sites that attack; those of a smaller share are among those of a larger."""
    order = np.random.default_rng([seed, SITES]).permutation(SITES)
    return sorted(int(place) for place in order[: round(share * SITES)])


def defence_settings(cell: Cell) -> dict[str, Value]:
    """Settings of a cell's defence, which knows the attackers' share, 20% where none attack."""
    share = cell.share or SHARES[0]
    alone: dict[str, Value] = {"trust.norm-limit": 0.0}
    settings: dict[str, dict[str, Value]] = {
        "mean": {},
        "norm-limit": {"trust.norm-limit": 10.0},
        "clip-updates": {"trust.clip": 1.0},
        "trimmed-mean": {"trust.aggregation": "trimmed-mean", "trust.trim": share},
        "median": {"trust.aggregation": "median"},
        "multi-krum": {
            "trust.aggregation": "multi-krum",
            "trust.malicious": min(share, _MOST_KRUM),
        },
        # The sites of either data set are alike, for which docs/trust.md advises a limit of 2.
        "witness weighs": {"trust.witness": "weigh", "trust.witness-limit": 2.0},
        "witness refuses": {"trust.witness": "refuse", "trust.witness-limit": 2.0},
    }
    return {**alone, **settings[cell.defence]}


def path_of(cell: Cell, work: Path) -> Path:
    """File of a finished cell."""
    return work / f"{cell.name}.json"


def stored(cell: Cell, settings: dict[str, Value], work: Path) -> dict[str, Any]:
    """Content of a finished cell; empty if there is none with these settings."""
    path = path_of(cell, work)
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content if content.get("settings") == settings else {}


def play(link: SuperLink, app: Path, settings: dict[str, Value], actors: int) -> dict[str, Any]:
    """Run all methods; one that ends its run is noted, and the next ones get a run of their own.

    A run that ends before the method's first line was not ended by the method: that is raised.
    """
    attackers = (
        [int(p) for p in str(settings[KEY]).split(":")[1].split("+")] if settings[KEY] else []
    )
    rows: list[dict[str, Any]] = []
    left = list(STRATEGIES)
    while left:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            where = {"results-dir": folder, "run-name": "run", "strategy": ",".join(left)}
            try:
                for _ in simulate(link, app, {**settings, **where}, SITES, actors):
                    pass
                done, ended = left, []
            except FederationError as error:
                done = finished_strategies(run, left)
                ended = left[len(done) : len(done) + 1]
                if not ended or not played(run, ended[0]):
                    raise
                rows.append({"strategy": ended[0], "failure": str(error)[:300]})
            rows += rows_of(run, done, attackers)
        left = left[len(done) + len(ended) :]
    return {"settings": settings, "rows": rows, "origin": Provenance.here(ROOT).to_mapping()}


def played(run: Path, strategy: str) -> bool:
    """Whether a method got as far as its first line."""
    lines = run / "metrics.jsonl"
    return lines.exists() and any(line.strategy == strategy for line in read_lines(lines))


def rows_of(run: Path, strategies: list[str], attackers: list[int]) -> list[dict[str, Any]]:
    """Figures of the last model of each finished method, and whose replies were refused."""
    if not strategies:
        return []
    lines = read_lines(run / "metrics.jsonl")
    finals = {s.strategy: s for s in summarise(lines, target=0.8)}
    sites = sorted(json.loads((run / "quality.json").read_text()))
    malicious = {sites[place] for place in attackers}
    refused = refusals(run / "events.jsonl", malicious)
    rows = []
    for name in strategies:
        final = finals[name].final
        assert final is not None
        rounds = finals[name].rounds
        rows.append(
            {
                "strategy": name,
                "balanced_accuracy": final.balanced_accuracy,
                "s": final.s,
                "auc_pr": final.auc_pr,
                "refused_attackers": refused[name, True],
                "attackers": rounds * len(malicious),
                "refused_honest": refused[name, False],
                "honest": rounds * (SITES - len(malicious)),
            }
        )
    return rows


def refusals(events: Path, malicious: set[str]) -> Counter[tuple[str, bool]]:
    """Count refused replies by (strategy, whether the site attacks)."""
    text = events.read_text() if events.exists() else ""
    told = [json.loads(line) for line in text.splitlines()]
    refused = [event for event in told if event["event"] == "refused"]
    return Counter((event["strategy"], event["site"] in malicious) for event in refused)


# --- the page ---------------------------------------------------------------------------------


def write_page(found: dict[Cell, dict[str, Any]], notes: str) -> None:
    """Write what there is as Markdown and Parquet."""
    table = pd.DataFrame(
        [{**asdict(cell), **row} for cell, content in found.items() for row in content["rows"]]
    )
    if table.empty:
        return
    table.to_parquet(OUT.with_suffix(".parquet"))
    parts = [notes]
    for (data, attack, share), group in table.groupby(["data", "attack", "share"], sort=False):
        who = f"{attack}, {share:.0%} of the sites" if attack else "all sites honest"
        parts.append(f"## {TITLES[str(data)]}: {who}\n\n{scenario_table(group)}")
    command = "python -m benchmarks.poisoning"
    parts.append(provenance_line(command, [content["origin"] for content in found.values()]))
    OUT.with_suffix(".md").write_text("\n\n".join(parts) + "\n")
    print(OUT.with_suffix(".md"))


def scenario_table(group: pd.DataFrame) -> str:
    """A row per defence: balanced accuracy of each method, means over them, and who was refused."""
    means = ("mean", *(figure.title for figure in MEANS[1:]))
    head = ("defence", *STRATEGIES, *means, "attackers refused", "honest refused")
    rows = []
    for defence, part in group.groupby("defence", sort=False):
        by_strategy = part.set_index("strategy")["balanced_accuracy"]
        accuracy = [number(by_strategy.get(name, np.nan)) for name in STRATEGIES]
        over_methods = [number(part[figure.key].mean()) for figure in MEANS]
        rows.append([str(defence), *accuracy, *over_methods, *shares_refused(part)])
    return markdown(head, rows)


def shares_refused(part: pd.DataFrame) -> Iterable[str]:
    """Share of the attackers' and of the honest sites' replies that were refused."""
    for who in ("attackers", "honest"):
        asked = part[who].sum()
        yield f"{part[f'refused_{who}'].sum() / asked:.0%}" if asked else "-"


def number(value: float) -> str:
    """A figure of the last models; "failed" where the run did not get there."""
    return MEANS[0].text(value) if np.isfinite(value) else "failed"


TITLES = {"plants": "Plants, autoencoder", "batadal": "BATADAL, random split, classifier"}
NOTES = """\
# Poisoned updates and what stands against them

Ten sites, {plants} rounds (BATADAL {batadal}), seed {seed}, default settings but for the \
defence named; balanced accuracy of the last model of each method, then means over the methods. \
The limit on norms is off except in the row of its name. The defences that are told how many \
attack are told the truth; multi-Krum, which needs n >= 2f + 3, is told 3 of 10 where 4 attack.

Attacks on a site's update u: sign-flip sends -4 u, scaling 10 u, gaussian u plus noise of 10 \
times its root mean square, little-is-enough (Baruch et al. 2019) the attackers' mean minus z of \
their standard deviations, all attackers the same; z is the published bound (0.43 for 4 of 10, 0 \
for 2 of 10) but at least 1 (ours). Label-flip trains on inverted labels."""


if __name__ == "__main__":
    main()
