"""What a round costs in deployment whatever is learned in it, and where that goes.

Run it from the repository, on a machine that does nothing else: python -m benchmarks.round_cost
A SuperLink and three gateways on this host, over TLS, started by the scripts that images run; three
sites of 300 to 600 rows, so that training itself is next to nothing. Writes
benchmarks/results/round_cost.md. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.text_tables import markdown
from tests.support.fleet import LINK, Fleet, fleet
from tests.support.site_folder import SITES, SiteFolder, make_site_folder
from twin.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "round_cost.md"
APPS = Path(__file__).with_name("round_cost_apps")
TITLES = ["", "seconds a round", "slowest", "CPU seconds a round", "what it has"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to play rounds.

    Parameters
    ----------
    name, about : what it is, in the table.
    app : "ours", or the name of an app in ``round_cost_apps``.
    node : environment of the gateways' script.
    settings : run-config overrides.
    """

    name: str
    about: str
    app: str
    node: Mapping[str, object]
    settings: Mapping[str, object]


STOCK = {"DTFL_WARM": "off", "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "1"}
COLD = {"DTFL_WARM": "off"}
VARIANTS = (
    Variant(
        "stock",
        "Flower's FedAvg and its two messages a round, a fresh process for each, Flower's polls",
        "stock", STOCK, {},
    ),
    Variant("one message", "ours: evaluation rides in the training reply", "ours", STOCK, {}),
    Variant("and quick polls", "SuperExec looks for tasks every 0.1 s", "ours", COLD, {}),
    Variant("and forks (default)", "tasks are forks of a process with torch", "ours", {}, {}),
    Variant(
        "ten times the work", "the same with train.epochs = 20", "ours", {}, {"train.epochs": 20}
    ),
    Variant("floor", "an app that answers and does nothing, forks, quick polls", "floor", {}, {}),
)  # fmt: skip


def main() -> None:
    """Play all variants side by side and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = make_site_folder(Path(folder) / "data")
        for variant in VARIANTS:
            seconds, busy = measure(variant, Path(folder), data, chosen.rounds)
            rows.append(_row(variant, seconds, busy))
            print(rows[-1], flush=True)
    command = f"python -m benchmarks.round_cost --rounds {chosen.rounds}"
    origin = provenance_line(command, [Provenance.here(ROOT).to_mapping()])
    table = markdown(TITLES, rows)
    write_atomically(OUT, f"{NOTES}\n{table}\n\n{origin}\n".encode())


def measure(
    variant: Variant, folder: Path, data: SiteFolder, rounds: int
) -> tuple[list[float], float]:
    """Return the seconds of each round after the first, and CPU seconds a round of the machine."""
    with fleet(folder / variant.name.replace(" ", "-")) as made:
        made.superlink()
        for site in SITES:
            made.key(site)
            made.site(site, data.site(site), data.schema, **variant.node).says("SuperNode ID", 60)
        return _play(variant, made, data, rounds)


def _play(
    variant: Variant, made: Fleet, data: SiteFolder, rounds: int
) -> tuple[list[float], float]:
    results = made.results / "run"
    before = _busy()
    if variant.app == "ours":
        places = {
            "data.schema": data.schema,
            "strategy": "fedavg",
            "dataset": "files",
            "twin.kind": "none",
        }
        made.submit("run", rounds=rounds, sites=3, join_timeout=60, **places, **variant.settings)
        lines = (results / "timings.jsonl").read_text().splitlines()
        seconds = [json.loads(line)["seconds"] for line in lines][1:]
    else:
        app = _write_app(variant.app, made.folder, rounds, data, results)
        made.flwr("run", str(app), LINK, "--stream")
        seconds = json.loads((results / "seconds.json").read_text())
    # The first round's tasks are cold in every variant.
    return seconds[1:], (_busy() - before) / rounds


def _write_app(name: str, folder: Path, rounds: int, data: SiteFolder, results: Path) -> Path:
    app = folder / name
    shutil.copytree(APPS / name, app)
    results.mkdir(parents=True)
    config = {"rounds": rounds, "results": str(results), "schema": str(data.schema)}
    lines = [
        f'[project]\nname = "{name}"\nversion = "1.0.0"\ndependencies = []',
        '[tool.flwr.app]\npublisher = "dtfl"\n[tool.flwr.app.components]',
        'serverapp = "app:server"\nclientapp = "app:client"\n[tool.flwr.app.config]',
        *(f"{key} = {json.dumps(value)}" for key, value in config.items()),
    ]
    (app / "pyproject.toml").write_text("\n".join(lines) + "\n")
    return app


def _busy() -> float:
    """CPU seconds that this machine has worked since it started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait)


def _row(variant: Variant, seconds: list[float], busy: float) -> list[str]:
    middle, worst = statistics.median(seconds), max(seconds)
    return [variant.name, f"{middle:.1f}", f"{worst:.1f}", f"{busy:.1f}", variant.about]


NOTES = """# What a round costs in deployment

Median and slowest of the rounds after the first; CPU seconds of the whole machine, the start of the
run and its end included. Three gateways and the SuperLink share its cores.
"""

if __name__ == "__main__":
    main()
