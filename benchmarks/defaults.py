"""How the defaults were found: one setting varied at a time, on the embedded plants alone.

Runs the whole app, server and sites, without Flower's processes: the same numbers as on the real
engine at a fraction of the time.
"""

from __future__ import annotations

import argparse

from benchmarks.runs import run_in_process, spread, write_table
from dtfl_app.settings import Value

SITES, ROUNDS = 10, 30
GENERAL: dict[str, tuple[Value, ...]] = {
    "hidden": (64, 128, 512),
    "latent": (8, 16, 32),
    "window": (2, 4),
    "smoothing": (4, 12),
    "clip": (5.0, 20.0),
    "lr": (0.0003, 0.003),
    "local-epochs": (1, 4),
    "twin-steps": (20, 50, 200),
    "twin-scenarios": (20, 120),
}
OF_ONE: list[tuple[str, dict[str, Value]]] = [
    ("cwa", {"cwa-schedule": "parallel"}),
    ("fpf", {"fusion-gamma": 0.3}),
    ("fpf", {"fusion-gamma": 0.7}),
    ("fpf", {"fusion-temperature": 0.1}),
    ("lpe", {"lpe-low": 1, "lpe-high": 1}),
    ("lpe", {"lpe-low": 2, "lpe-high": 2}),
    ("lpe", {"lpe-low": 2, "lpe-high": 3}),
    ("lpe", {"lpe-policy": "adaptive"}),
    ("dtml", {"meta-lr": 0.3}),
    ("dtml", {"meta-lr": 3.0}),
    ("dtml", {"meta-steps": 1}),
    ("dtml", {"meta-steps": 20}),
    ("dtkd", {"kd-lambda": 0.2}),
    ("dtkd", {"kd-lambda": 0.9}),
    ("dtkd", {"kd-side": "server"}),
]
HEAD = ("strategy", "changed", "rounds to 0.80", "balanced accuracy", "AUC-PR", "S")


def row(strategy: str, changed: dict[str, Value]) -> list[str]:
    """Cells of one variation."""
    _, _, summary = run_in_process({"strategy": strategy, "rounds": ROUNDS, **changed}, SITES)
    final, rounds = summary.final, summary.rounds_to_target
    assert final is not None
    cells = [
        strategy,
        ", ".join(f"{k}={v}" for k, v in changed.items()) or "nothing",
        f"not in {ROUNDS}" if rounds is None else str(rounds),
        *(spread([x]) for x in (final.balanced_accuracy, final.auc_pr, final.s)),
    ]
    print(*cells, sep="  ", flush=True)
    return cells


def main() -> None:
    """Run all variations and write the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    variations: list[tuple[str, dict[str, Value]]] = [
        (s, {}) for s in ("fedavg", "cwa", "fpf", "lpe", "dtml", "dtkd")
    ]
    for key, values in GENERAL.items():
        variations += [("cwa", {key: value}) for value in values]
    variations += OF_ONE
    rows = [row(strategy, changed) for strategy, changed in variations]
    notes = (
        f"Embedded plants, {SITES} sites, {ROUNDS} rounds, one seed; each row changes one thing "
        "against the defaults. Figures of the last round."
    )
    write_table("defaults", HEAD, rows, notes)


if __name__ == "__main__":
    main()
