"""The commands of docs/your-site.md, run as they stand in an empty folder, and what it shows."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from flwr.common.config import parse_config_args

from dtfl_app.core.node_config import NodeConfig, OwnData
from dtfl_app.results.lines import read_lines
from tests.support.places import REPOSITORY

PAGE = (REPOSITORY / "docs" / "your-site.md").read_text()


FENCED = re.findall(r"^```(.*?)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def blocks(mark: str) -> list[str]:
    return [text for found, text in FENCED if found == mark]


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> tuple[Path, str]:
    """The folder after all commands of the page, with fewer rounds, and what they printed."""
    folder, tools = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("bin")
    dtfl = tools / "dtfl"
    dtfl.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dtfl_app.cli.main "$@"\n')
    dtfl.chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    told = []
    for block in blocks("sh run"):
        done = subprocess.run(
            ["sh", "-e", "-c", block.replace("rounds=20", "rounds=5")],
            cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        told.append(done.stdout)
    return folder, "".join(told)


def test_the_commands_of_the_page_lead_from_files_to_alarms(printed) -> None:
    folder, _ = printed

    assert json.loads((folder / "north.json").read_text())["exit_code"] == 0
    lines = read_lines(folder / "results" / "stations" / "metrics.jsonl")
    assert [(line.round, line.sites) for line in lines[1:]] == [(n, 3) for n in range(1, 6)]
    alarms = pd.read_csv(folder / "judged" / "alarms.csv")
    found = set(alarms.loc[alarms["alarm"], "event"].dropna())
    assert found == {"strainer blocked", "burst main", "check valve stuck open"}
    detected = [json.loads(line) for line in (folder / "alarms.jsonl").read_text().splitlines()]
    first = next(line for line in detected if line.get("alarm") or line.get("event") == "alarm")
    assert pd.Timestamp(first["time"]) == pd.to_datetime(alarms.loc[alarms["alarm"], "time"]).min()
    assert first["channels"][0]["channel"] in ("pressure", "pump")
    assert (folder / "south.jsonl").exists()


def test_the_files_and_schemas_of_the_page_are_those_of_the_example(printed) -> None:
    folder, told = printed
    stations = folder / "stations"
    north, west, events = blocks("")[:3]

    assert (stations / "north.csv").read_text().startswith(north)
    assert (stations / "west.csv").read_text().startswith(west)
    assert (stations / "incidents.csv").read_text() == events
    drafted, schema = blocks("toml")[:2]
    for part in drafted.strip().split("\n\n"):
        assert part in (folder / "west.toml").read_text()
    assert tomllib.loads(schema) == tomllib.loads((stations / "schema.toml").read_text())
    (note,) = (block for block in blocks("") if block.startswith("note: "))
    assert note in told


def test_what_the_readme_of_the_example_says_to_run_is_on_the_page(printed) -> None:
    text = (printed[0] / "stations" / "README.txt").read_text()

    commands = [line.strip() for line in text.splitlines() if line.startswith("  dtfl ")]
    shown = " ".join(" ".join(blocks("sh run")).split())
    assert [command for command in commands if command not in shown] == []


def test_the_node_config_of_the_page_is_one(tmp_path: Path) -> None:
    """Read by Flower's own parser, with a folder of this test for /data."""
    (command,) = blocks("sh node")
    words = shlex.split(command.replace("/data/", f"{tmp_path}/"))
    for name in ("north.csv", "schema.toml"):
        (tmp_path / name).write_text("x")

    node = NodeConfig.from_mapping(parse_config_args([words[words.index("--node-config") + 1]]))

    expected = OwnData("north", tmp_path / "north.csv", tmp_path / "schema.toml")
    assert node.data == expected
