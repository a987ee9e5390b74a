import json
import re

import pandas as pd
import pytest

from dtfl_app.report.reading import read_run
from dtfl_app.report.run_page import run_page
from dtfl_app.report.run_tables import SettingReference
from tests.support.run_folder import make_run

REFERENCE = [
    SettingReference("strategy", "The run", "cwa", "method"),
    SettingReference("rounds", "The run", 30, "federated rounds"),
    SettingReference("sites", "Data", 0, "number of sites"),
    SettingReference("detector.false-alarm-rate", "Detector", 0.005, "wanted false alarms"),
]


@pytest.fixture
def path(tmp_path):
    return make_run(tmp_path / "first")


def page_of(path) -> str:
    return run_page(read_run(path), REFERENCE)


def test_every_part_of_a_run_has_its_section(path):
    page = page_of(path)

    assert re.findall(r'<section id="([^"]+)"', page) == [
        "summary", "strategies", "curves", "bytes", "sites", "calibration", "events", "twin", "log",
        "privacy", "settings", "provenance",
    ]  # fmt: skip


def test_the_page_refers_to_nothing_outside_itself(path):
    page = page_of(path)

    links = re.findall(r'(?:src|href|action|data)="([^"]*)"', page)
    assert {link for link in links if not link.startswith("#")} == {"data:,"}
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_the_same_run_gives_the_same_bytes(path):
    assert page_of(path) == page_of(path)


def test_names_from_the_run_cannot_become_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    path = make_run(tmp_path / "first")
    for name in ("metrics.jsonl", "summary.json"):
        text = (path / name).read_text()
        (path / name).write_text(text.replace('"fedavg"', json.dumps(evil)))
    alarms = pd.read_csv(path / "alarms" / "cwa.csv")
    alarms["event"] = alarms["event"].replace("leak", evil)
    alarms.assign(instance=evil).to_csv(path / "alarms" / "cwa.csv", index=False)

    page = page_of(path)

    assert evil not in page
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_unfinished_run_is_shown_as_far_as_it_went(tmp_path):
    page = page_of(make_run(tmp_path / "first", finished=False))

    assert "The run did not finish" in page
    assert 'data-key="rounds_to_target"' in page


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    settings = {"target": 0.8, "detector.false-alarm-rate": 0.005, "rounds": 3}
    (tmp_path / "config.json").write_text(json.dumps({"settings": settings}))

    page = page_of(tmp_path)

    assert "This run holds no rounds yet." in page
    assert "<figure>" not in page


def test_the_command_that_repeats_the_run_has_what_differs_from_the_defaults(path):
    assert "<code>dtfl run strategy=fedavg,cwa rounds=2 sites=3</code>" in page_of(path)


def test_without_a_twin_comparison_the_page_says_how_to_make_one(path):
    assert "dtfl twin compare SCADA.csv --out first/twin_distance.csv" in page_of(path)


def test_a_run_without_a_twin_asks_for_no_comparison(tmp_path):
    page = page_of(make_run(tmp_path / "first", twin="none"))

    assert "This run had no twin." in page
    assert "dtfl twin compare" not in page


@pytest.mark.parametrize(
    ("settings", "twin", "asked"),
    [
        ({"dataset": "threew"}, "", False),
        ({"dataset": "mine:Mine"}, "", False),
        ({"dataset": "mine:Mine", "twin.kind": "ctown"}, "", True),
        ({"dataset": "mine:Mine"}, "mine:Twin", False),
        ({"dataset": "files"}, "recorded", False),
        ({"dataset": "files"}, "ctown", True),
    ],
)
def test_only_a_c_town_twin_is_compared_by_the_command_for_it(tmp_path, settings, twin, asked):
    path = make_run(tmp_path / "first", **settings)
    if twin:
        about = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**about, "twin": twin}))

    assert ("dtfl twin compare" in page_of(path)) is asked
    assert "holds no comparison of twin and plant" in page_of(path)


def test_axes_that_nothing_could_be_drawn_in_are_a_sentence(path):
    summaries = json.loads((path / "summary.json").read_text())
    for summary in summaries:
        summary |= {"rounds_to_target": None, "megabytes_to_target": None}
    (path / "summary.json").write_text(json.dumps(summaries))
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    unjudged = [json.dumps({**line, "balanced_accuracy": None}) for line in lines]
    (path / "metrics.jsonl").write_text("\n".join(unjudged))

    page = page_of(path)

    assert 'id="bytes-title"' not in page
    assert "No method reached balanced accuracy 0.8, so there is nothing to draw." in page
    assert 'id="curves-title"' not in page
    assert "balanced accuracy is not defined, so there is no curve to draw" in page


def test_rates_of_no_single_site_are_no_table_per_site(path):
    entry = {"strategy": "cwa", "site": "evaluation", "wanted": 0.01, "observed": 0.03}
    (path / "calibration.json").write_text(json.dumps([{**entry, "normal_steps": 500}]))

    page = page_of(path)

    assert "False alarms per site" not in page
    assert '<table id="whole-calibration">' in page


def test_a_twin_comparison_is_drawn_and_listed(path):
    """Two channels at 0.25 and 0.75: 0.500 on average, the second named as the worst."""
    row = {"unit": "m", "twin_mean": 2.0, "plant_mean": 2.5, "twin_sd": 1.0, "plant_sd": 1.1}
    rows = [{"channel": "L_T1", **row, "ks": 0.25}, {"channel": "L_T2", **row, "ks": 0.75}]
    pd.DataFrame(rows).to_csv(path / "twin_distance.csv", index=False)

    page = page_of(path)

    assert "Mean Kolmogorov-Smirnov distance over the channels: 0.500." in page
    assert "Largest: channel L_T2, 0.750." in page
    assert '<table id="distances">' in page


def test_calibration_per_site_is_listed_and_drawn(path):
    entry = {"strategy": "cwa", "wanted": 0.01, "observed": 0.03, "normal_steps": 500}
    entries = [{**entry, "site": "plant-01", "drift": "L_T1 rose"}]
    before = page_of(path).count("<use")
    (path / "calibration.json").write_text(json.dumps(entries))

    page = page_of(path)

    assert '<table id="site-calibration">' in page
    assert "L_T1 rose" in page
    assert page.count("<use") > before


def test_rates_at_several_wanted_ones_are_drawn_instead_of_the_runs_own(path):
    text = (path / "summary.json").read_text()
    assert "wanted 0.5%" in page_of(path)
    summaries = json.loads(text)
    for summary in summaries:
        summary["final"] |= {"far_at_1pct": 0.02, "far_at_05pct": 0.004, "far_at_01pct": 0.0}
    (path / "summary.json").write_text(json.dumps(summaries))

    page = page_of(path)

    for said in ("cwa: wanted 1%, observed 2%", "cwa: wanted 0.1%, observed 0%"):
        assert said in page


def test_what_the_twin_does_to_the_sites_is_drawn_where_it_was_measured(path):
    assert 'id="signals-title"' not in page_of(path)
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    measured = [json.dumps({**line, "site_score": 0.5, "twin_loss": 0.25}) for line in lines]
    (path / "metrics.jsonl").write_text("\n".join(measured))

    assert "cwa: score 0.5, twin loss 0.25" in page_of(path)


def test_without_twin_data_the_loss_on_it_is_not_drawn(path):
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    measured = [json.dumps({**line, "site_score": 0.5}) for line in lines]
    (path / "metrics.jsonl").write_text("\n".join(measured))

    page = page_of(path)

    assert 'id="signals-title"' in page
    assert "Nothing was trained on twin data, so there is no loss on it to draw." in page
