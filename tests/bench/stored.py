"""Cells as a finished run would have stored them, with made-up figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from dtfl_app.bench.cells import Cell
from dtfl_app.bench.store import Store
from tests.support.figures import figures, line_of

__all__ = ["ORIGIN", "made_run", "store_baselines", "store_cell"]

ORIGIN = {
    "commit": "abc1234",
    "versions": {"python": "3.11"},
    "hardware": "2 cores",
    "date": "2026-01-02",
}

ALARMS = """instance,time,label,event,score,threshold,alarm,channel
one/x,0,0,,0.1,1.0,False,L_T1
one/x,1,1,break,2.0,1.0,True,L_T1
two/x,0,0,,3.0,1.0,True,L_T2
two/x,1,1,leak,0.2,1.0,False,L_T2
"""


def made_run(folder: Path, curves: Mapping[str, Sequence[float]]) -> Path:
    """Write the folder of a run whose strategies have these balanced accuracies, from round 0."""
    for kind in ("models", "alarms"):
        (folder / kind).mkdir(parents=True)
    lines = []
    for strategy, curve in curves.items():
        (folder / "models" / f"{strategy}.safetensors").write_bytes(b"weights")
        (folder / "alarms" / f"{strategy}.csv").write_text(ALARMS)
        lines += [line_of(strategy, n, value) for n, value in enumerate(curve)]
    (folder / "metrics.jsonl").write_text("".join(line.to_json() + "\n" for line in lines))
    (folder / "timings.jsonl").write_text("".join(line.timing_json() + "\n" for line in lines))
    (folder / "config.json").write_text(json.dumps({"settings": {}}))
    (folder / "summary.json").write_text(json.dumps([{"strategy": s} for s in curves]))
    return folder


def store_cell(store: Store, cell: Cell, curve: Sequence[float], folder: Path) -> None:
    """Store `cell` with the balanced accuracies of `curve`."""
    run = made_run(folder / cell.digest, {cell.strategy: curve})
    store.keep(cell.digest, run, cell.strategy, ORIGIN)


def store_baselines(store: Store, digest: str) -> None:
    """Store a random score of 0.5 and two sites that learn alone, of 0.6 and 0.8."""
    rows = {"random score": [figures(0.5)], "site alone": [figures(0.6), figures(0.8)]}
    plain = {name: [m.as_dict() for m in entries] for name, entries in rows.items()}
    store.keep_baselines(digest, plain, ORIGIN)
