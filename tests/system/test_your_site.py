"""The commands of docs/your-site.md, run as they stand on a small generated folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from flwr.common.config import parse_config_args

from dtfl_app.core.node_config import NodeConfig, OwnData
from dtfl_app.results.lines import read_lines
from tests.support.places import REPOSITORY
from tests.support.station import station_frame, write_station

PAGE = (REPOSITORY / "docs" / "your-site.md").read_text()


def blocks(mark: str) -> list[str]:
    return re.findall(rf"```sh {mark}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with `stations/` in it, whose pump runs now and then."""
    folder = tmp_path_factory.mktemp("site")
    stations = write_station(folder / "stations")
    (stations / "schema.toml").unlink()
    for place, name in enumerate(("north", "south", "west", "judge")):
        surge = slice(300, 340) if name == "judge" else None
        frame = station_frame(place, rows=1200, surge=surge)
        frame["P1"] = (frame.index % 7 < 4).astype(int)
        frame.to_csv(stations / f"{name}.csv", index=False)
    (folder / "bin").mkdir()
    dtfl = folder / "bin" / "dtfl"
    dtfl.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dtfl_app.cli.main "$@"\n')
    dtfl.chmod(0o755)
    return folder


def test_the_commands_of_the_page_work(folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    for block in blocks("run"):
        done = subprocess.run(
            ["sh", "-e", "-c", block],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"

    assert json.loads((folder / "north.json").read_text())["exit_code"] == 0
    lines = read_lines(folder / "results" / "stations" / "metrics.jsonl")
    assert [(line.round, line.sites) for line in lines[1:]] == [(1, 3), (2, 3), (3, 3)]
    alarms = pd.read_csv(folder / "judged" / "alarms.csv")
    assert alarms.loc[alarms["event"] == "flagged-1", "alarm"].any()


def test_the_node_config_of_the_page_is_one(tmp_path: Path) -> None:
    """Read by Flower's own parser, with a folder of this test for /data."""
    (command,) = blocks("node")
    words = shlex.split(command.replace("/data/", f"{tmp_path}/"))
    for name in ("north.csv", "schema.toml"):
        (tmp_path / name).write_text("x")

    node = NodeConfig.from_mapping(parse_config_args([words[words.index("--node-config") + 1]]))

    expected = OwnData("north", tmp_path / "north.csv", tmp_path / "schema.toml")
    assert node.data == expected
