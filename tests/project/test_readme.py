"""The README's tables are the stored ones, and the files that pages name are there."""

import re

import pytest

from tests.support.places import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
RESULTS = REPOSITORY / "benchmarks" / "results"


@pytest.mark.parametrize("name", ["batadal_summary", "batadal_physics_summary"])
def test_the_readme_s_tables_are_those_that_a_benchmark_stored(name):
    readme = (REPOSITORY / "README.md").read_text().splitlines()
    stored = [line for line in (RESULTS / f"{name}.md").read_text().splitlines() if line[:1] == "|"]

    assert len(stored) > 10
    assert [line for line in stored if line not in readme] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_file_that_a_page_links_is_there(page):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_calls_the_command_dtfl_and_nothing_before_it(page):
    """Where an environment is made, a page says how it is put on the path."""
    text = page.read_text()

    assert ".venv/bin/dtfl" not in text and "dtfl_app.cli.main" not in text
    assert "-m venv" not in text or 'export PATH="$PWD/.venv/bin:$PATH"' in text
