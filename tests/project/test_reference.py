"""docs/reference.md is what the code says today."""

import importlib.util

from tests.support.places import REPOSITORY

SCRIPT = REPOSITORY / "docs" / "reference.py"


def written():
    spec = importlib.util.spec_from_file_location("reference", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page()


def test_the_page_is_what_its_script_writes():
    assert (REPOSITORY / "docs" / "reference.md").read_text() == written()


def test_everything_on_it_is_explained():
    empty = [line for line in written().splitlines() if line.endswith("|  |")]

    assert not empty
