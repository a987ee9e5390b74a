"""A small grid as text, to be read from a file of the test's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dtfl_app.bench.grid import Grid, read_grid

TOP = """
name = "small"
title = "Small"
sites = 3
seeds = [0, 1]
targets = [0.8, 0.9]

[settings]
dataset = "plants"
rounds = 4

[[row]]
name = "FedAvg"
settings = { strategy = "fedavg" }

[[row]]
name = "CWA"
paper = "33"
settings = { strategy = "cwa" }
"""


@pytest.fixture
def grid_of(tmp_path: Path) -> Callable[..., Grid]:
    def read(more: str = "", top: str = TOP) -> Grid:
        path = tmp_path / "small.toml"
        path.write_text(top + more)
        return read_grid(path)

    return read
