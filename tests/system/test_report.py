"""The page of a real run, in a real browser."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict
from playwright.sync_api import BrowserContext, Playwright, sync_playwright
from typer.testing import CliRunner

import server_app
from dtfl_app.cli.main import app
from dtfl_app.testing.grid import InProcessGrid
from tests.support.browser import Visit, chromium, open_browser, visit
from tests.support.places import SMALL

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CHANNELS = "element => getComputedStyle(element).backgroundColor.match(/[0-9]+/g).map(Number)"


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rounds of two methods on three small plants."""
    folder = tmp_path_factory.mktemp("report")
    config = {
        **SMALL,
        "strategy": "fedavg,cwa",
        "results-dir": str(folder),
        "run-name": "small",
        "cache-dir": str(cache),
        "join-timeout": 0.0,
        "device": "cpu",
    }
    server_app.app(InProcessGrid(3, config), Context(1, 0, {}, RecordDict(), config))
    return folder / "small"


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    result = CliRunner().invoke(app, ["report", str(run)])
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(run / "report.html")
    return run / "report.html"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    chromium()  # before the run is made, should there be none
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(
    playwright: Playwright, page: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrowserContext]:
    with open_browser(playwright, tmp_path_factory.mktemp("profile")) as context:
        yield context


@pytest.fixture
def seen(browser: BrowserContext, page: Path) -> Iterator[Visit]:
    opened = visit(browser, page)
    yield opened
    opened.page.close()


def test_the_page_opens_without_an_error_and_asks_for_nothing_but_itself(
    seen: Visit, page: Path
) -> None:
    seen.page.wait_for_load_state("networkidle")

    assert seen.page.title() == "Run small"
    assert (seen.console, seen.errors) == ([], [])
    assert seen.requests == [page.as_uri()]


def test_every_number_of_the_summary_is_in_the_tables_with_all_its_digits(
    seen: Visit, run: Path
) -> None:
    for summary in json.loads((run / "summary.json").read_text()):
        shown = numbers_of(seen, summary["strategy"])

        assert shown == numbers_in(summary)


def numbers_of(seen: Visit, strategy: str) -> dict[str, float]:
    """Key -> number of all cells in one strategy's rows."""
    rows = seen.page.locator("#strategies tbody tr").filter(
        has=seen.page.locator("td:first-child", has_text=strategy)
    )
    cells = rows.locator("td[data-key][data-value]").evaluate_all(
        "cells => cells.map(cell => [cell.dataset.key, cell.dataset.value])"
    )
    return {key: json.loads(value) for key, value in cells}


def numbers_in(stored: dict, prefix: str = "") -> dict[str, float]:
    """All numbers of nested mappings, by dotted keys."""
    found = {}
    for key, value in stored.items():
        if isinstance(value, dict):
            found |= numbers_in(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            found[prefix + key] = value
    return found


def test_the_contents_lead_to_every_section(seen: Visit) -> None:
    targets = seen.page.locator("nav a").evaluate_all("links => links.map(a => a.hash.slice(1))")
    sections = seen.page.locator("section").evaluate_all("all => all.map(s => s.id)")

    assert targets == sections
    assert len(targets) == len(set(targets)) >= 10
    seen.page.click("nav a[href='#provenance']")
    assert seen.page.evaluate("location.hash") == "#provenance"


def test_no_two_elements_share_an_id(seen: Visit) -> None:
    ids = seen.page.locator("[id]").evaluate_all("all => all.map(element => element.id)")

    assert len(ids) == len(set(ids))


def test_every_picture_is_drawn_when_all_is_unfolded(seen: Visit) -> None:
    seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")

    boxes = seen.page.locator("figure svg").evaluate_all(
        "all => all.map(svg => [svg.getBoundingClientRect().width, "
        "svg.getBoundingClientRect().height, svg.querySelectorAll('path').length])"
    )
    # curves, what the twin does and calibration, and a timeline per plant; in three rounds no
    # method reaches the target, so the costs of that are a sentence
    assert len(boxes) == 3 + 3
    assert seen.page.locator("text=so there is nothing to draw").count() == 1
    assert all(width > 300 and height > 50 and paths > 5 for width, height, paths in boxes)


def test_a_click_on_a_head_sorts_the_table_and_a_second_one_turns_it(seen: Visit) -> None:
    head = seen.page.locator("#figures th", has_text="balanced accuracy").locator("button")
    read = "cells => cells.map(cell => Number(cell.dataset.value))"
    cells = seen.page.locator("#figures td[data-key='final.balanced_accuracy']")

    head.click()
    rising = cells.evaluate_all(read)
    head.click()
    falling = cells.evaluate_all(read)

    assert rising == sorted(rising)
    assert falling == rising[::-1] != rising


def test_a_series_can_be_hidden(seen: Visit) -> None:
    curves = seen.page.locator("#curves figure").first.locator(".series[data-series='1']")
    assert curves.count() == 2
    assert curves.first.is_visible()

    seen.page.uncheck("#curves input[data-series='1']")

    assert not curves.first.is_visible()
    assert seen.page.locator("#curves .series[data-series='0']").first.is_visible()


@pytest.mark.parametrize("width", [1280, 400])
def test_no_width_makes_the_page_scroll_sideways(seen: Visit, width: int) -> None:
    seen.page.set_viewport_size({"width": width, "height": 800})
    seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")

    assert seen.page.evaluate(OVERFLOW) == 0


def test_the_dark_scheme_is_dark_and_its_text_is_light(seen: Visit) -> None:
    body = seen.page.locator("body")
    light = body.evaluate(CHANNELS)

    seen.page.emulate_media(color_scheme="dark")

    dark = body.evaluate(CHANNELS)
    text = seen.page.locator("#curves svg text").first.evaluate(
        "element => getComputedStyle(element).fill.match(/[0-9]+/g).map(Number)"
    )
    assert min(light) > 200
    assert max(dark) < 60
    assert min(text) > 150


def test_paper_shows_what_the_screen_folds(seen: Visit) -> None:
    folded = seen.page.locator("details:not([open])")
    assert folded.count() > 0

    seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded.count() == 0

    seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert folded.count() > 0
    seen.page.emulate_media(media="print", color_scheme="dark")
    assert not seen.page.locator("nav").is_visible()
    assert min(seen.page.locator("body").evaluate(CHANNELS)) > 200


def test_without_scripts_everything_is_there(
    playwright: Playwright, page: Path, tmp_path: Path
) -> None:
    with open_browser(playwright, tmp_path, java_script_enabled=False) as context:
        shown = context.new_page()
        shown.goto(page.as_uri())

        assert shown.locator("#figures tbody tr").count() == 2
        assert shown.locator("#curves svg .series").first.is_visible()
        shown.uncheck("#curves input[data-series='0']")
        assert not shown.locator("#curves .series[data-series='0']").first.is_visible()
        shown.locator("#settings summary").first.click()


def test_a_second_page_of_the_same_run_is_the_same_to_the_byte(
    run: Path, page: Path, tmp_path: Path
) -> None:
    again = tmp_path / "pages" / "again.html"

    result = CliRunner().invoke(app, ["report", str(run), "--out", str(again)])

    assert result.stdout.strip() == str(again)
    assert again.read_bytes() == page.read_bytes()


def test_a_folder_without_a_run_is_one_clear_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(tmp_path)])

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path}: not the folder of a run")
    assert not (tmp_path / "report.html").exists()


def test_a_page_that_cannot_be_written_is_one_clear_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    result = CliRunner().invoke(app, ["report", str(run), "--out", str(tmp_path / "file" / "x")])

    assert result.exit_code == 2
    assert "the page cannot be written" in result.stderr
    assert "--out" in result.stderr
