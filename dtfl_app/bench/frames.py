"""Stored cells as two tidy tables: one line per cell and round, one line per cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dtfl_app.bench.cells import BaselineCell, Cell
from dtfl_app.bench.store import Store
from dtfl_app.results.measures import defined
from dtfl_app.sites.catalogue import find_dataset

__all__ = ["COSTS", "PLACE", "cell_frame", "round_frame"]

# Where a line stands in the grid.
PLACE = ("row", "variant", "fold", "sweep", "point", "seed")
# What is summed up to a target and to the end.
COSTS = ("bytes_up", "bytes_down", "site_steps", "server_steps", "seconds")

_WORST = "site alone, worst"


def round_frame(cells: Iterable[Cell], store: Store) -> pd.DataFrame:
    """One line per finished cell and round: its place, and all that metrics.jsonl holds."""
    lines = [
        {**_place(cell), **line}
        for cell in cells
        if cell.digest in store
        for line in store.lines(cell.digest)
    ]
    return pd.DataFrame(lines, columns=None if lines else list(PLACE))


def cell_frame(
    cells: Iterable[Cell],
    baselines: Iterable[BaselineCell],
    store: Store,
    targets: Sequence[float],
) -> pd.DataFrame:
    """One line per finished cell, federated or not.

    Columns: place, kind ("federated", "baseline"), digest, commit, date, horizon; `rounds_to_T`
    and each of `COSTS` with `_to_T` for every target T (NaN when it was not reached), and without
    for the whole run; the last round's figures by their names in `Metrics`, those that the data
    set defines; worst_site and worst_site_balanced_accuracy where several sites are judged; where
    the protocol has groups of events, the figures of each with its name before them
    (simulated_auc_pr).
    """
    rows = [_federated(cell, store, targets) for cell in cells if cell.digest in store]
    for cell in baselines:
        if cell.digest in store:
            rows += _baselines(cell, store)
    return pd.DataFrame(rows, columns=None if rows else [*PLACE, "kind", "digest"])


def _place(cell: Cell) -> dict[str, Any]:
    return {key: getattr(cell, key) for key in PLACE}


def _federated(cell: Cell, store: Store, targets: Sequence[float]) -> dict[str, Any]:
    lines, about = store.lines(cell.digest), store.about(cell.digest)
    last = {k: v for k, v in lines[-1].items() if k not in (*COSTS, "round", "strategy")}
    scored = find_dataset(str(cell.common["dataset"])).scored
    row = {
        **_place(cell),
        "kind": "federated",
        "strategy": cell.strategy,
        **_origin(cell.digest, about),
        "horizon": int(cell.common["rounds"]),
        **defined(last, scored),
        **{cost: sum(line[cost] for line in lines) for cost in COSTS},
        **_worst_site(about["sites"]),
        **_by_group(store.groups(cell.digest), scored),
    }
    for target in targets:
        row |= _until(lines, target)
    return row


def _until(lines: Sequence[Mapping[str, Any]], target: float) -> dict[str, float]:
    """Rounds and costs up to the first model at the target, NaN when there is none."""
    accuracy = [line.get("balanced_accuracy") or math.nan for line in lines]
    hit = next((i for i, value in enumerate(accuracy) if value >= target), None)
    names = ["rounds", *COSTS]
    if hit is None:
        return {f"{name}_to_{target:g}": math.nan for name in names}
    spent = lines[: hit + 1]
    costs = {f"{cost}_to_{target:g}": float(sum(x[cost] for x in spent)) for cost in COSTS}
    return {f"rounds_to_{target:g}": float(lines[hit]["round"]), **costs}


def _worst_site(sites: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    known = {k: s["balanced_accuracy"] for k, s in sites.items()}
    judged = {k: value for k, value in known.items() if value is not None}
    if len(judged) < 2:
        return {}
    worst = min(judged, key=lambda k: judged[k])
    return {"worst_site": worst, "worst_site_balanced_accuracy": judged[worst]}


def _by_group(groups: Mapping[str, Mapping[str, Any]], scored: bool) -> dict[str, Any]:
    return {
        f"{group.replace('-', '_')}_{figure}": value
        for group, figures in groups.items()
        for figure, value in defined(figures, scored).items()
    }


def _baselines(cell: BaselineCell, store: Store) -> list[dict[str, Any]]:
    about = store.about(cell.digest)
    scored = find_dataset(str(cell.settings["dataset"])).scored
    place = {
        "variant": cell.variant,
        "fold": cell.fold,
        "sweep": "",
        "point": "",
        "seed": cell.seed,
    }
    rows = []
    for name, entries in about["baselines"].items():
        figures = [(name, _mean(entries))]
        if len(entries) > 1:
            figures.append((_WORST, min(entries, key=lambda m: m["balanced_accuracy"])))
        for label, values in figures:
            origin = _origin(cell.digest, about)
            told = defined(values, scored)
            rows.append({"row": label, **place, "kind": "baseline", **origin, **told})
    return rows


def _mean(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {str(k): v for k, v in pd.DataFrame(list(entries)).mean().items()}


def _origin(digest: str, about: Mapping[str, Any]) -> dict[str, Any]:
    return {"digest": digest, "commit": about["commit"], "date": about["date"]}
