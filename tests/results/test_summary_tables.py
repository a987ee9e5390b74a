import math
from dataclasses import replace

from dtfl_app.results.figures import FIGURES
from dtfl_app.results.figures import figures as chosen
from dtfl_app.results.lines import summarise
from dtfl_app.results.measures import Measures
from dtfl_app.results.promises import Promise
from dtfl_app.results.summary_tables import (
    cost_cells,
    figure_cells,
    group_head,
    group_rows,
    summary_head,
    summary_rows,
)
from tests.support.figures import figures, line_of

REACHED = summarise([line_of("cwa", n, a) for n, a in enumerate((0.5, 0.85))], 0.8)
MISSED = summarise([line_of("fedavg", n, a) for n, a in enumerate((0.5, 0.6))], 0.8)
UNJUDGED = summarise([line_of("lpe", n, None) for n in range(2)], 0.8)


def test_a_row_says_what_the_target_cost_and_what_came_out():
    (row,) = summary_rows(REACHED, {"cwa": Promise(0.005, 0.0625, 800)}, Measures())

    assert dict(zip(summary_head(Measures()), row, strict=True)) == {
        "strategy": "cwa",
        "rounds to target": "1",
        "MB to target": "5.00",
        "site steps to target": "10",
        "server steps to target": "104",
        "seconds to target": "0.5",
        "balanced accuracy": "0.850",
        "AUC-PR": "0.610",
        "ROC-AUC": "0.720",
        "S": "0.850",
        "found": "5/7",
        "false alarms/day": "0.12",
        "false alarms (wanted)": "6.25% (0.5%)",
    }


def test_a_target_that_was_missed_says_for_how_long():
    (row,) = summary_rows(MISSED, {}, Measures())

    assert row[:6] == ["fedavg", "not in 1", "-", "-", "-", "-"]
    assert row[6] == "0.600"


def test_a_run_without_an_evaluation_has_dashes():
    assert summary_rows(UNJUDGED, {}, Measures()) == [["lpe", "not in 1", *["-"] * 11]]


def test_an_undefined_figure_is_a_dash():
    lines = [replace(line_of("cwa", 0, 0.9), metrics=figures(0.9, auc_pr=math.nan))]

    (row,) = summary_rows(summarise(lines, 0.8), {}, Measures())

    assert dict(zip(summary_head(Measures()), row, strict=True))["AUC-PR"] == "-"


def test_groups_of_events_have_a_row_each():
    groups = {"simulated": figures(0.9), "held-out": figures(0.6)}

    rows = group_rows([replace(REACHED[0], groups=groups), *MISSED], Measures())

    assert [row[:3] for row in rows] == [
        ["cwa", "simulated", "0.900"],
        ["cwa", "held-out", "0.600"],
    ]
    assert all(len(row) == len(group_head(Measures())) for row in rows)


def test_batadal_s_score_has_no_column_where_it_is_not_defined():
    elsewhere = Measures(scored=False)
    groups = {"simulated": figures(0.9)}

    rows = summary_rows(REACHED, {}, elsewhere)
    grouped = group_rows([replace(REACHED[0], groups=groups)], elsewhere)

    assert "S" in summary_head(Measures())
    assert "S" not in (*summary_head(elsewhere), *group_head(elsewhere))
    assert len(rows[0]) == len(summary_head(elsewhere))
    assert len(grouped[0]) == len(group_head(elsewhere))


def test_a_few_figures_of_a_stored_summary_can_be_chosen():
    (summary,) = (s.to_mapping() for s in REACHED)

    assert cost_cells(summary, [FIGURES["megabytes"].to("target")]) == ["5.00"]
    assert figure_cells(summary["final"], chosen("s", "events_found")) == ["0.850", "5/7"]
    assert figure_cells({}, chosen("s", "events_found")) == ["-", "-"]
