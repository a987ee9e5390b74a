"""Layouts of public data sets go from files to an alarm with what draft guessed and few edits."""

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flwr.app import Context, RecordDict

import server_app
from dtfl_app.bundle.folder import read_folder
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.following import Following, follow
from dtfl_app.detection.once import score_file
from dtfl_app.evaluation.saved_model import evaluate_file
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema, read_site_schema
from dtfl_app.testing.grid import InProcessGrid
from tests.support.public_layouts import (
    EVENT_ROWS,
    rig,
    water_distribution,
    water_treatment,
    well,
)
from tests.support.runs import SMALL

MOST_EDITS = 3


@dataclass(frozen=True)
class Layout:
    """A layout, and what a person changes in the schema that is drafted of it.

    Parameters
    ----------
    write : writes a recording to a path, by its number, with an event or without.
    period : seconds between rows.
    channels : that the schema has.
    labels : that the schema has.
    left_out : columns that draft does not take.
    edits : line of the draft -> what it becomes.
    """

    write: Callable[[Path, int, bool], None]
    period: float
    channels: int
    labels: LabelColumn
    left_out: tuple[str, ...] = ()
    edits: Mapping[str, str] = field(default_factory=dict)
    ending: str = ".csv"


WELL = Layout(
    well,
    period=1.0,
    channels=6,
    labels=LabelColumn("class", (0.0,), (1.0, 101.0)),
    left_out=("P-JUS-CKGL",),
    edits={'name = "files"': 'name = "well"'},
)
LAYOUTS = {
    "test rig": Layout(
        rig,
        period=1.0,
        channels=6,
        labels=LabelColumn("anomaly"),
        left_out=("changepoint",),
        edits={'name = "files"': 'name = "rig"'},
    ),
    "well": WELL,
    "well in parquet": Layout(**{**WELL.__dict__, "ending": ".parquet"}),
    "water treatment": Layout(
        water_treatment,
        period=1.0,
        channels=5,
        labels=LabelColumn("Normal/Attack", ("Normal",), ("Attack",), ()),
        edits={'name = "files"': 'name = "treatment"'},
    ),
    "water distribution": Layout(
        water_distribution,
        period=60.0,
        channels=4,
        labels=LabelColumn("Attack LABLE (1:No Attack, -1:Attack)", (1.0,), (-1.0,), ()),
        left_out=("Row", "LEAK_DIAG_001"),
        edits={'name = "files"': 'name = "distribution"'},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_it_goes_from_file_to_alarm_with_few_edits(name: str, tmp_path: Path) -> None:
    layout, folder = LAYOUTS[name], tmp_path / "files"
    folder.mkdir()
    paths = [folder / f"{site}{layout.ending}" for site in ("one", "two", "judge")]
    for number, path in enumerate(paths):
        layout.write(path, number, path.stem == "judge")

    site = edited(layout, paths)

    assert (site.schema.period_s, len(site.schema.channels)) == (layout.period, layout.channels)
    assert site.labels == layout.labels
    assert max(check_file(path, site).exit_code for path in paths) <= 1
    run = trained(folder, tmp_path)
    alarms = evaluate_file(run, run / "models" / "fedavg.safetensors", paths[-1]).alarms
    flagged = np.flatnonzero(alarms["label"] == 1)
    assert flagged.tolist() == list(range(EVENT_ROWS.start, EVENT_ROWS.stop))
    assert alarms.loc[flagged, "alarm"].mean() > 0.5
    times = alarms.loc[alarms["alarm"], "time"]
    assert detected(run, paths[-1]) == [f"{t:%Y-%m-%dT%H:%M:%S}" for t in pd.to_datetime(times)]


def edited(layout: Layout, paths: list[Path]) -> SiteSchema:
    """The schema that is drafted of all recordings, edited; it is kept beside them."""
    draft = draft_schema(*paths)
    assert [reason.split('"')[1] for reason in draft.left_out] == list(layout.left_out)
    lines = draft.toml.splitlines()
    for old, new in layout.edits.items():
        lines[lines.index(old)] = new
    diff = difflib.ndiff(draft.toml.splitlines(), lines)
    assert len([line for line in diff if line.startswith("+ ")]) <= MOST_EDITS
    schema = paths[0].with_name("schema.toml")
    schema.write_text("\n".join(lines) + "\n")
    return read_site_schema(schema)


def trained(folder: Path, results: Path) -> Path:
    """Folder of a run of ten rounds on the two sound recordings, judged by the third."""
    told = {
        **SMALL,
        "dataset": "files",
        "data.dir": str(folder),
        "data.evaluation-file": f"judge{next(folder.glob('judge.*')).suffix}",
        "twin.kind": "none",
        "strategy": "fedavg",
        "rounds": 10,
        "results-dir": str(results),
        "run-name": "run",
    }
    server_app.app(InProcessGrid(2, told), Context(1, 0, {}, RecordDict(), told))
    return results / "run"


def detected(run: Path, path: Path) -> list[str]:
    """Times of the steps with an alarm, the same once and, of a CSV, as it grows."""
    bundle, options = read_folder(run / "deploy" / "fedavg"), DetectionOptions(every_step=True)
    _, found = score_file(bundle, options, path)
    once = list(found)
    if path.suffix == ".csv":
        following = Following(path, path.with_suffix(".jsonl"), until_idle=1e-9)
        follow(bundle, options, following, lambda seconds: False)
        assert following.out.read_text().splitlines() == once
    return [line["time"] for line in map(json.loads, once) if line.get("alarm")]
