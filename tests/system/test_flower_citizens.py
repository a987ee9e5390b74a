"""The app of docs/flower-citizens.md, as the page has it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg

from dtfl_app.engine.launch import SuperLink, simulate
from dtfl_app.flower import CWA, DTKD, DTML, FPF, LPE, TorchTwin, read_teacher
from dtfl_app.testing.grid import InProcessGrid
from tests.support.places import REPOSITORY

PAGE = (REPOSITORY / "docs" / "flower-citizens.md").read_text()
FILES = dict(
    re.findall(r"^`(\w+\.\w+)`[^\n]*\n\n```\w+\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
)
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.partition("## The methods")[2], re.DOTALL)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The page's files in a folder."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def task(app: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's task.py; its client_app.py can be imported too."""
    monkeypatch.syspath_prepend(str(app))
    kept = {name: sys.modules.pop(name, None) for name in ("task", "client_app")}
    import task as imported  # noqa: PLC0415 - it is written above

    yield imported
    for name, module in kept.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


def accuracy(task: ModuleType, strategy: FedAvg, handler: object, rounds: int = 3) -> float:
    """Of the last model in Flower's loop, in process."""
    grid = InProcessGrid(3, handler=handler)  # type: ignore[arg-type]
    result = strategy.start(grid, ArrayRecord(task.network().state_dict()), num_rounds=rounds)
    return task.accuracy(result.arrays.to_torch_state_dict())


def twin(task: ModuleType) -> TorchTwin:
    images, digits = task.drawn()
    loader = list(zip(images.split(50), digits.split(50), strict=True))
    return TorchTwin(task.network, task.loss_of, loader, steps=20, lr=0.003, warm_steps=60)


def test_the_server_is_short() -> None:
    assert len([row for row in FILES["server_app.py"].splitlines() if row.strip()]) <= 20


def test_the_app_runs_under_flower(engine: SuperLink, app: Path) -> None:
    log = list(simulate(engine, app, {"rounds": 3}, sites=3, actors=2))

    (said,) = [line.partition("accuracy:")[2] for line in log if "accuracy:" in line]
    assert float(said) > 0.85


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (CWA, {}),
        (DTML, {"lr": 0.05, "steps": 10}),
        (FPF, {}),
        (LPE, {}),
        (DTKD, {"side": "server"}),
    ],
)
def test_its_client_serves_every_method(task, method, settings) -> None:
    import client_app  # noqa: PLC0415 - the page's

    strategy = method(twin(task), fraction_evaluate=0.0, **settings)

    assert accuracy(task, strategy, client_app.app) > 0.7


def test_a_client_with_the_lines_for_lpe_returns_what_is_wanted(task) -> None:
    text = FILES["client_app.py"].replace("ArrayRecord(model.state_dict())", "arrays")
    lines = "\n".join(f"    {line}" for line in SNIPPETS[0].splitlines())
    own = text.replace("    content =", f"{lines}\n    content =")
    scope: dict[str, object] = {}
    exec(own, scope)
    grid = InProcessGrid(3, handler=scope["app"])  # type: ignore[arg-type]

    start = ArrayRecord(task.network().state_dict())
    LPE(twin(task), fraction_evaluate=0.0).start(grid, start, num_rounds=1)

    assert [list(m.content["arrays"]) for m in grid.received] == [["4.weight", "4.bias"]] * 3


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_client_with_the_lines_for_dtkd_learns_from_the_teacher(task, precision) -> None:
    import client_app  # noqa: PLC0415 - the page's

    scope = {**vars(client_app), "read_teacher": read_teacher}
    exec(SNIPPETS[1], scope)
    strategy = DTKD(twin(task), fraction_evaluate=0.0, precision=precision)

    assert accuracy(task, strategy, scope["train"]) > 0.7
