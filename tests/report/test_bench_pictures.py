import pandas as pd
import pytest

from dtfl_app.report.bench_pictures import bars_to_target, false_alarms, means_and_worst
from dtfl_app.report.run_pictures import Bar, FalseAlarms

# FedAvg reached 0.8 in one of two cells, with 3 MB up and 2 MB down; CWA in both.
CELLS = pd.DataFrame(
    {
        "method": ["FedAvg", "FedAvg", "CWA", "CWA"],
        "fold": "",
        "rounds_to_0.8": [3.0, None, 1.0, 2.0],
        "bytes_up_to_0.8": [3e6, None, 1e6, 2e6],
        "bytes_down_to_0.8": [2e6, None, 1e6, 2e6],
        "balanced_accuracy": [0.7, 0.6, 0.9, 0.8],
        "false_alarm_rate": [0.01, 0.03, 0.0, 0.0],
    }
)


def test_bars_are_means_over_the_cells_that_reached_the_target():
    assert bars_to_target(CELLS, "0.8") == [
        Bar("FedAvg", "5.00 MB (1 of 2 cells)", True, 3.0, 2.0),
        Bar("CWA", "3.00 MB", True, 1.5, 1.5),
    ]


def test_a_method_that_never_reached_the_target_has_no_bar():
    cells = CELLS[:2].assign(**{"rounds_to_0.8": None})

    assert bars_to_target(cells, "0.8") == [Bar("FedAvg", "not reached in 2 cells", False)]


def test_the_worst_is_the_fold_s_where_there_are_folds():
    cells = CELLS.assign(fold=["a", "b", "a", "b"])

    assert means_and_worst(cells) == {
        "FedAvg": pytest.approx((0.65, 0.6)),
        "CWA": pytest.approx((0.85, 0.8)),
    }


def test_without_folds_the_worst_is_the_site_s_and_one_place_has_none():
    """Only CWA's cells were judged at several sites."""
    cells = CELLS.assign(worst_site_balanced_accuracy=[None, None, 0.5, 0.7])

    assert means_and_worst(cells) == {"CWA": pytest.approx((0.85, 0.6))}
    assert means_and_worst(CELLS) == {}


def test_false_alarms_are_compared_at_the_wanted_rates_the_cells_have():
    cells = CELLS.assign(far_at_1pct=[0.02, 0.04, 0.01, 0.01], far_at_01pct=None)

    assert false_alarms(cells, own=0.005) == [
        FalseAlarms("FedAvg", 0.01, 0.03),
        FalseAlarms("CWA", 0.01, 0.01),
    ]


def test_without_such_rates_the_runs_own_one_is_compared_if_it_is_known():
    assert false_alarms(CELLS, own=0.005) == [
        FalseAlarms("FedAvg", 0.005, 0.02),
        FalseAlarms("CWA", 0.005, 0.0),
    ]
    assert false_alarms(CELLS) == []
