"""docs/architecture.md is held against the code: its picture, its rooms, and both of its ways."""

import importlib
import re
import runpy
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType

import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.following import Following, follow
from tests.support.places import REPOSITORY

PAGE = (REPOSITORY / "docs" / "architecture.md").read_text()


@pytest.fixture(scope="module")
def drawing() -> dict[str, object]:
    """What docs/rooms.py defines."""
    return runpy.run_path(str(REPOSITORY / "docs" / "rooms.py"))


def listed(head: str) -> list[str]:
    """Dotted names in the numbered list below a headline, in order."""
    section = PAGE.partition(f"## {head}")[2].partition("\n## ")[0]
    return re.findall(r"`(dtfl_app(?:\.\w+){2,})`", section)


def code_of(name: str) -> CodeType:
    """Byte code of the function that a dotted name stands for."""
    parts = name.split(".")
    depth = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules)
    found: object = sys.modules[".".join(parts[:depth])]
    for part in parts[depth:]:
        found = getattr(found, part)
    return found.__code__  # type: ignore[attr-defined]


@contextmanager
def calls(names: list[str]) -> Iterator[list[str]]:
    """Note which of the functions are called, in the order of their first calls."""
    for name in names:
        module = ".".join(p for p in name.split(".") if p.islower() and not p.startswith("_"))
        while module.count(".") > 2:
            module = module.rpartition(".")[0]
        importlib.import_module(module)
    wanted, called = {code_of(name): name for name in names}, []

    def note(frame, event, _):
        name = wanted.get(frame.f_code) if event == "call" else None
        # Enrolment uses some of them too, before the way begins.
        if name is not None and name not in called and (called or name == names[0]):
            called.append(name)

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


def test_the_way_of_a_row_is_the_one_that_a_row_goes(model, dataset04, tmp_path):
    names = listed("The way of one SCADA row")
    head = dataset04.read_text().splitlines(keepends=True)[:60]
    (tmp_path / "live.csv").write_text("".join(head))
    following = Following(tmp_path / "live.csv", tmp_path / "alarms.jsonl")
    looks = iter([False, True])

    with calls(names) as called:
        follow(
            read_folder(model), DetectionOptions(every_step=True), following, lambda _: next(looks)
        )

    assert called == names


def test_the_way_of_a_weight_is_the_one_that_a_weight_goes(launcher):
    names = listed("The way of one weight")

    with calls(names) as called:
        launcher.run(strategy="cwa", rounds=1, sites=2, wire__upload_precision="int8")

    assert called == names


def test_the_picture_shows_the_rooms_and_arrows_of_the_code(drawing):
    fresh = ET.fromstring(drawing["draw"](drawing["rooms"]()))
    stored = ET.fromstring((REPOSITORY / "docs" / "rooms.svg").read_text())

    assert told(stored) == told(fresh)


def test_every_room_is_in_the_table_and_no_other(drawing):
    table = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)

    assert sorted(table) == sorted(drawing["rooms"]().nodes)


def test_nothing_stands_loose_in_the_hall():
    """A module of `dtfl_app` or of the tests belongs to a room."""
    loose = [path.name for path in (REPOSITORY / "dtfl_app").glob("*.py")]
    tests = [path.name for path in (REPOSITORY / "tests").glob("*.py")]

    assert loose == ["__init__.py"]
    assert sorted(tests) == ["__init__.py", "conftest.py"]


def told(picture: ET.Element) -> set[str]:
    """Names of rooms, and arrows without the number of imports they stand for."""
    texts = [element.text or "" for element in picture.iter() if element.text]
    return {text.partition(":")[0] for text in texts if "k lines" not in text and text.strip()}
