"""A client written from docs/protocol.md alone takes part in runs of ours, beside two sites."""

import ast
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

import client_app
import server_app
from dtfl_app.core.config import RunConfig
from dtfl_app.messages.training import TrainingTask
from dtfl_app.results.lines import read_lines
from dtfl_app.testing.grid import InProcessGrid
from tests.support import stranger
from tests.support.small_dataset import SmallDataset, small_series, use_small_dataset

SETTINGS = {
    "dataset": "small", "twin.kind": "recorded", "twin.steps": 4, "twin.warm-steps": 8,
    "detector.hidden": 6, "detector.latent": 2, "detector.smoothing": 3, "rounds": 3,
    "join-timeout": 0.0, "device": "cpu",
}  # fmt: skip
INT8 = {"wire.upload-precision": "int8", "wire.download-precision": "int8"}
RUNS = [
    ("fedavg", {}),
    ("fedavg", INT8),
    ("fedavg", {"detector.evidence": "instant,smoothed"}),
    ("fedprox", {}),
    ("lpe", INT8),
    ("dtkd", {"dtkd.precision": "int8"}),
]


def dispatch(message, context):
    """Nodes 0 and 1 are ours, node 2 is the stranger."""
    ours = context.node_config["partition-id"] < 2
    return client_app.app(message, context) if ours else stranger.answer(message, context)


@pytest.mark.parametrize(("strategy", "settings"), RUNS)
def test_a_stranger_is_admitted_in_every_round(tmp_path, monkeypatch, strategy, settings):
    use_small_dataset(monkeypatch, SmallDataset())
    small_series(50, 300).to_parquet(recording := tmp_path / "twin.parquet")
    places = {"results-dir": str(tmp_path), "twin.recording": str(recording)}
    own = {**SETTINGS, **settings, "strategy": strategy, **places}
    config = {**RunConfig.from_mapping({}).to_mapping(), **own, "run-name": "run"}
    grid = InProcessGrid(3, config, handler=dispatch)

    server_app.app(grid, Context(1, 0, {}, RecordDict(), config))

    lines = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert [line.sites for line in lines] == [0, 3, 3, 3]
    assert not (tmp_path / "run" / "events.jsonl").exists()
    assert {TrainingTask.unpack(task).site for task in grid.tasks()} >= {"stranger"}
    assert len(grid.tasks("query.calibrate")) == 3


def test_the_stranger_knows_nothing_of_ours():
    tree = ast.parse(Path(stranger.__file__).read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }

    assert imported <= {"flwr", "numpy", "torch", "hashlib", "json", "math"}
