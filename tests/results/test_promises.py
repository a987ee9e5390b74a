import json

import pytest

from dtfl_app.results.promises import Promise, promises, read_promises

SITES = [
    {"strategy": "cwa", "site": "a", "wanted": 0.005, "observed": 0.5, "normal_steps": 100},
    {"strategy": "cwa", "site": "b", "wanted": 0.005, "observed": 0.0, "normal_steps": 300},
    {"strategy": "cwa", "site": "c", "wanted": 0.005, "observed": None, "normal_steps": 0},
    {"strategy": "cwa", "site": "a", "wanted": 0.01, "observed": 0.9, "normal_steps": 100},
    {"strategy": "lpe", "site": "c", "wanted": 0.005, "observed": None, "normal_steps": 0},
]


def test_sites_count_by_their_steps():
    """50 of 100 alarms and 0 of 300 are 50 of 400."""
    assert promises(SITES, 0.005) == {"cwa": Promise(0.005, 0.125, 400)}


def test_a_folder_without_rates_promises_nothing(tmp_path):
    assert read_promises(tmp_path, 0.005) == {}
    (tmp_path / "calibration.json").write_text(json.dumps(SITES))
    assert read_promises(tmp_path, 0.01) == {"cwa": Promise(0.01, 0.9, 100)}


@pytest.mark.parametrize(
    ("observed", "steps", "broken"),
    [
        (0.049, 1000, False),  # 9.8 times
        (0.06, 1000, True),  # 12 times
        (0.1, 10, False),  # one alarm in ten steps: chance
        (1.0, 100, True),
        (0.0, 1000, False),  # 5 were to be expected, a tenth of which is less than one
        (0.0, 4000, True),  # 20 were to be expected
    ],
)
def test_a_promise_is_broken_by_more_than_a_factor_of_ten(observed, steps, broken):
    assert Promise(0.005, observed, steps).broken is broken


def test_what_a_broken_promise_means_depends_on_its_direction():
    often, never = Promise(0.005, 1.0, 100), Promise(0.005, 0.0, 4000)

    assert "100.00% of 100 settled normal steps had an alarm, 0.5% were wanted" in often.describe()
    assert often.describe().endswith("most of its alarms may be false")
    assert never.describe().endswith("it may miss events")
