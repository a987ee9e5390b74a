"""The page on operation speaks of variables, options and anchors that exist."""

import re

from tests.support.places import REPOSITORY

PAGE = (REPOSITORY / "docs" / "operate.md").read_text()


def test_every_variable_of_the_page_is_read_by_a_script():
    scripts = "".join(path.read_text() for path in (REPOSITORY / "docker").glob("*.sh"))
    named = set(re.findall(r"DTFL_[A-Z_]*[A-Z]", PAGE))

    assert len(named) > 8 and {name for name in named if name not in scripts} == set()


def test_every_anchor_of_the_page_is_one_of_its_headings():
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in headings}

    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
