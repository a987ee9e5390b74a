import math

import pytest

from dtfl_app.report.event_outcomes import event_outcomes
from dtfl_app.report.reading import SiteCalibration, read_run
from dtfl_app.report.run_tables import (
    SettingReference,
    alarm_table,
    calibration_table,
    cost_table,
    event_table,
    figure_table,
    group_table,
    number,
    quality_table,
    setting_tables,
)
from dtfl_app.results.measures import measures_of, time_unit
from dtfl_app.results.promises import Promise
from tests.support.figures import figures
from tests.support.run_folder import alarms_of, make_run

NBSP = "\N{NO-BREAK SPACE}"


@pytest.fixture
def summaries(tmp_path):
    return read_run(make_run(tmp_path / "first")).summaries


def cells(table, row: int) -> dict[str, object]:
    return {cell.key: cell for cell in table.rows[row] if cell.key}


def test_a_number_keeps_all_its_digits_beside_its_text():
    assert (number(0.1234567890123, 3).text, number(0.1234567890123, 3).exact) == (
        "0.123",
        "0.1234567890123",
    )
    assert number(12345, 0).text == "12\N{THIN SPACE}345"
    assert number(7, 0).exact == "7"


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_no_number_is_a_dash(value):
    assert (number(value, 3).text, number(value, 3).exact) == ("-", "")


def test_the_better_cost_is_marked_and_a_missing_one_is_not(summaries):
    costs = cost_table(summaries)

    assert cells(costs, 1)["rounds_to_target"].text == "1"
    assert cells(costs, 0)["rounds_to_target"].text == "-"
    # only one method reached it, and both sent the same
    assert {cell.tone for cell in cells(costs, 1).values()} == {""}


def test_the_better_figure_is_marked(summaries):
    table = figure_table(summaries)

    assert cells(table, 1)["final.balanced_accuracy"].tone == "best"
    assert cells(table, 0)["final.balanced_accuracy"].tone == ""
    assert cells(table, 0)["final.auc_pr"].tone == ""  # both the same


def test_a_figure_of_another_version_is_shown_by_its_key(summaries):
    table = alarm_table(summaries, {})

    assert "figure of tomorrow" in [column.title for column in table.columns]
    assert cells(table, 1)["final.figure_of_tomorrow"].value == 0.1234567890123
    assert cells(table, 0)["final.figure_of_tomorrow"].text == "-"


def test_false_alarms_stand_beside_what_was_wanted_and_a_broken_promise_is_marked(summaries):
    promised = {"fedavg": Promise(0.005, 0.0075, 2000), "cwa": Promise(0.005, 1.0, 2000)}

    table = alarm_table(summaries, promised)

    assert (table.columns[-1].title, table.columns[-1].note) == (
        "false alarms (wanted)",
        "of settled normal steps",
    )
    assert [(row[-1].text, row[-1].tone) for row in table.rows] == [
        ("0.75% (0.5%)", ""),
        ("100.00% (0.5%)", "poor"),
    ]


def test_groups_of_events_have_a_row_each():
    groups = {"simulated": figures(0.9).as_dict(), "held-out": figures(0.6).as_dict()}
    table = group_table([{"strategy": "cwa", "groups": groups}, {"strategy": "fedavg"}])

    assert [row[1].text for row in table.rows] == ["simulated", "held-out"]
    assert cells(table, 1)["groups.held-out.balanced_accuracy"].value == 0.6


def test_an_events_row_says_when_it_was_found_and_by_what():
    table = event_table("events", "cwa", event_outcomes(alarms_of(first_alarm=1)))

    assert [cell.text for cell in table.rows[0]] == [
        "leak", "2024-01-01 05:00", "5.0", "2024-01-01 06:00", "1.0", "80%", "1",
        f"L_T1{NBSP}3, F_PU1{NBSP}1",
    ]  # fmt: skip
    assert [cell.text for cell in table.rows[1]] == [
        "theft", "2024-01-01 15:00", "2.0", "missed", "-", "0%", "0",
        f"no alarm; most often F_PU2{NBSP}2",
    ]  # fmt: skip


def test_an_events_times_are_told_in_a_unit():
    """The leak lasts 5 hours and is found after one: 300 and 60 minutes."""
    outcomes = event_outcomes(alarms_of(first_alarm=1))

    table = event_table("events", "cwa", outcomes, time_unit(60.0))

    assert [column.title for column in table.columns][2] == "minutes"
    assert [cell.text for cell in table.rows[0]][2:5:2] == ["300.0", "60.0"]


def test_figures_are_those_that_the_data_set_defines(summaries):
    minutes = measures_of(False, 60.0)

    figures, alarms = figure_table(summaries, minutes), alarm_table(summaries, {}, minutes)

    titles = [column.title for table in (figures, alarms) for column in table.columns]
    assert not {"S", "S_TTD", "S_CLF", "s", "hours to detection"} & set(titles)
    assert "minutes to detection" in titles


def test_p_values_have_a_column_where_they_are_stored():
    table = event_table("events", "cwa", event_outcomes(alarms_of(1).assign(p_value=0.03125)))

    place = [column.title for column in table.columns].index("smallest p-value")
    assert table.rows[0][place].value == 0.03125
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_findings_name_the_channels_and_shares_are_means_over_channels():
    """A quarter of one of two channels is missing: an eighth of all readings."""
    quality = {
        "b": {"L_T1": {"missing": 0.0005, "frozen": 0.0, "removed": 0.0}},
        "a": {
            "L_T1": {"missing": 0.25, "frozen": 1.0, "removed": 0.0},
            "F_PU1": {"missing": 0.0, "frozen": 0.0, "removed": 0.0},
        },
    }

    first, second = quality_table(quality).rows

    assert [cell.text for cell in first] == [
        "a", "2", "12.5%", "50%", "0", "L_T1 missing 25%; L_T1 frozen 100%",
    ]  # fmt: skip
    assert second[-1].text == "none"


@pytest.mark.parametrize(
    ("observed", "tone"), [(0.01, ""), (0.02, ""), (0.005, ""), (0.021, "poor"), (0.004, "poor")]
)
def test_a_site_off_by_more_than_the_factor_is_poor(observed, tone):
    entry = SiteCalibration("cwa", "a", 0.01, observed, 1000)

    (row,) = calibration_table([entry], factor=2.0).rows

    assert row[4].value == pytest.approx(observed / 0.01)
    assert row[4].tone == tone


def test_settings_that_differ_from_their_default_are_marked():
    reference = [
        SettingReference("rounds", "The run", 30, "federated rounds"),
        SettingReference("stop", "The run", False, "stop early"),
        SettingReference("train.lr", "Training", 0.1, "step size"),
        SettingReference("new", "Training", 1, "not yet there in this run"),
    ]

    tables = dict(
        setting_tables({"rounds": 10, "stop": False, "train.lr": 0.1, "old": "x"}, reference)
    )

    assert list(tables) == ["The run", "Training", "Other settings"]
    rounds, stop = tables["The run"].rows
    assert [(cell.text, cell.tone) for cell in rounds[:3]] == [
        ("rounds", "code"),
        ("10", "changed"),
        ("30", ""),
    ]
    assert (stop[1].text, stop[1].tone) == ("false", "")
    assert len(tables["Training"].rows) == 1
    assert [cell.text for cell in tables["Other settings"].rows[0]] == ["old", "x", "-", ""]
