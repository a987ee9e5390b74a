import pandas as pd
import pytest

from dtfl_app.bench.by_site import site_figures
from dtfl_app.sites.federation import FederatedDataset


def test_figures_per_site_by_hand():
    """plant-01: recall 1/2, one false alarm in two: (0.5 + 0.5) / 2 = 0.5.

    plant-02: recall 1, none in two: 1; the unlabelled step does not count. plant-03 has no attack.
    """
    alarms = pd.DataFrame(
        {
            "instance": ["plant-01/a"] * 4 + ["plant-02/a"] * 4 + ["plant-03"] * 2,
            "label": [1, 1, 0, 0, 1, 0, 0, -1, 0, 0],
            "alarm": [True, False, True, False, True, False, False, True, True, False],
        }
    )

    figures = site_figures(alarms, FederatedDataset.site_of)

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


def test_sites_whose_names_begin_alike_are_judged_apart():
    """north_1 raises one false alarm in two steps, north_2 none in two."""
    alarms = pd.DataFrame(
        {
            "instance": ["north_1", "north_1/part-2", "north_2", "north_2"],
            "label": [0] * 4,
            "alarm": [True, False, False, False],
        }
    )

    figures = site_figures(alarms, FederatedDataset.site_of)

    rates = {site: found["false_alarm_rate"] for site, found in figures.items()}
    assert rates == {"north_1": 0.5, "north_2": 0.0}
