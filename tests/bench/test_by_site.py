import pandas as pd
import pytest

from dtfl_app.bench.by_site import site_figures


def test_figures_per_site_by_hand():
    """plant-01: recall 1/2, one false alarm in two: (0.5 + 0.5) / 2 = 0.5.

    plant-02: recall 1, none in two: 1; the unlabelled step does not count. plant-03 has no attack.
    """
    alarms = pd.DataFrame(
        {
            "instance": ["plant-01/a"] * 4 + ["plant-02/a"] * 4 + ["plant-03_x"] * 2,
            "label": [1, 1, 0, 0, 1, 0, 0, -1, 0, 0],
            "alarm": [True, False, True, False, True, False, False, True, True, False],
        }
    )

    figures = site_figures(alarms)

    assert {k: f["balanced_accuracy"] for k, f in figures.items()} == {
        "plant-01": 0.5,
        "plant-02": 1.0,
        "plant-03": None,
    }
    assert figures["plant-03"] == {
        "balanced_accuracy": None,
        "false_alarm_rate": pytest.approx(0.5),
        "normal_steps": 2,
    }
