"""Finished cells on disk, each a folder that is either whole or not there.

A cell's folder is the folder of a run with one strategy (`dtfl show` reads it), and has in
cell.json its settings, where it comes from, and figures per site. A baselines' folder has only
cell.json.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from dtfl_app.bench.by_site import site_figures
from dtfl_app.core.config import RunConfig
from dtfl_app.core.naming import file_name
from dtfl_app.core.renamed import modern
from dtfl_app.results.alarm_table import without_marks
from dtfl_app.results.lines import METRICS, TIMINGS, read_entries
from dtfl_app.results.promises import CALIBRATION
from dtfl_app.sites.catalogue import find_dataset
from twin.files import write_atomically

__all__ = ["Store", "finished_strategies"]


class Store:
    """The finished cells under one folder, by their digests."""

    def __init__(self, root: Path) -> None:
        self._root = root / "cells"

    def __contains__(self, digest: str) -> bool:
        return (self._root / digest / "cell.json").exists()

    def path(self, digest: str) -> Path:
        """Folder of a cell."""
        return self._root / digest

    def about(self, digest: str) -> dict[str, Any]:
        """Content of cell.json."""
        content: dict[str, Any] = json.loads((self._root / digest / "cell.json").read_text())
        return content

    def lines(self, digest: str) -> list[dict[str, Any]]:
        """Lines of metrics.jsonl with their wall times, from round 0."""
        return read_entries(self._root / digest / METRICS)

    def groups(self, digest: str) -> dict[str, dict[str, Any]]:
        """Figures by group of events; empty where the protocol has no groups."""
        path = self._root / digest / "groups.json"
        if not path.exists():
            return {}
        (groups,) = json.loads(path.read_text()).values()
        return dict(groups)

    def alarms(self, digest: str) -> pd.DataFrame:
        """Score and alarm per time step of the evaluation set; no rows where sites judge."""
        path = next((self._root / digest / "alarms").iterdir(), None)
        if path is None:
            return pd.DataFrame(columns=["event"])
        return without_marks(pd.read_csv(path, keep_default_na=False, na_values={"score": [""]}))

    def keep(self, digest: str, run: Path, strategy: str, about: Mapping[str, Any]) -> None:
        """Store what `strategy` left in the folder of a run."""
        with self._new(digest) as folder:
            _copy_run(run, strategy, folder)
            sites: dict[str, dict[str, Any]] = {}
            for alarms in (folder / "alarms").iterdir():
                table = without_marks(pd.read_csv(alarms, keep_default_na=False))
                sites = site_figures(table, _site_rule(run))
            _write_json(folder / "cell.json", {**about, "strategy": strategy, "sites": sites})

    def keep_baselines(
        self, digest: str, rows: Mapping[str, list[dict[str, Any]]], about: Mapping[str, Any]
    ) -> None:
        """Store the figures of the rows that do not federate."""
        with self._new(digest) as folder:
            _write_json(folder / "cell.json", {**about, "baselines": rows})

    @contextmanager
    def _new(self, digest: str) -> Iterator[Path]:
        """Yield a folder that takes the cell's name when it is whole."""
        self._root.mkdir(parents=True, exist_ok=True)
        aside = self._root / f".{digest}.{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            yield aside
            shutil.rmtree(self._root / digest, ignore_errors=True)
            aside.rename(self._root / digest)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def finished_strategies(run: Path, strategies: Iterable[str]) -> list[str]:
    """Those of `strategies` whose last model was judged and stored; that is written last.

    Of a model with layers that sites have of their own there are rates, and no alarms.
    """
    path = run / CALIBRATION
    rates = json.loads(path.read_text()) if path.exists() else []
    rated = {entry["strategy"] for entry in rates}
    return [name for name in strategies if name in rated or _alarms(run, name).exists()]


def _alarms(run: Path, strategy: str) -> Path:
    return run / "alarms" / f"{file_name(strategy)}.csv"


def _site_rule(run: Path) -> Callable[[str], str]:
    """How the run's data set names the site of an instance."""
    settings = json.loads((run / "config.json").read_text())["settings"]
    return find_dataset(RunConfig.from_mapping(modern(settings)).run.dataset).site_of


def _copy_run(run: Path, strategy: str, folder: Path) -> None:
    for kind in ("models", "alarms"):
        (folder / kind).mkdir()
    shutil.copy(run / "models" / f"{file_name(strategy)}.safetensors", folder / "models")
    if (alarms := _alarms(run, strategy)).exists():
        shutil.copy(alarms, folder / "alarms")
    for path in run.glob("*.json"):
        _write_json(folder / path.name, _of_strategy(json.loads(path.read_text()), strategy))
    for name in (METRICS, TIMINGS):
        lines = (run / name).read_text().splitlines()
        mine = [line for line in lines if json.loads(line)["strategy"] == strategy]
        write_atomically(folder / name, ("\n".join(mine) + "\n").encode())


def _of_strategy(content: Any, strategy: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Keep only one strategy's part of a list of entries, or of a mapping, of several."""
    if isinstance(content, dict):
        return {strategy: content[strategy]} if strategy in content else content
    if not isinstance(content, list):
        return content
    return [
        e for e in content if not isinstance(e, dict) or e.get("strategy", strategy) == strategy
    ]


def _write_json(path: Path, content: object) -> None:
    write_atomically(path, json.dumps(content, indent=1).encode())
