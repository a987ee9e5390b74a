"""Figures and times in the words of their data set."""

import pandas as pd
import pytest

from dtfl_app.results.measures import HOURS, Measures, measures_of, step_seconds, time_unit
from dtfl_app.sites.catalogue import find_dataset
from tests.support.run_folder import alarms_of


@pytest.mark.parametrize(
    ("step_s", "name"),
    [
        (3600.0, "hours"),
        (86400.0, "hours"),
        (900.0, "minutes"),
        (60.0, "minutes"),
        (15.0, "seconds"),
        (0.1, "seconds"),
        (0.0, "hours"),  # not known
    ],
)
def test_times_are_told_in_the_unit_of_their_steps(step_s, name):
    assert time_unit(step_s).several == name


def test_a_time_stored_in_hours_is_told_in_minutes():
    """0.05 h are 3 min."""
    (figure,) = measures_of(False, 60.0).figures("hours_to_detection")

    assert (figure.title, figure.text(0.05)) == ("minutes to detection", "3.0")
    assert figure.name == "minutes to detection, mean"
    assert time_unit(60.0).of_hours(0.05) == pytest.approx(3.0)
    assert HOURS.of_hours(None) is None


def test_batadal_s_score_is_told_of_its_plant_alone():
    titles = {
        name: [
            figure.title
            for figure in measures_of(find_dataset(name).scored, 3600.0).figures(
                "s", "s_ttd", "s_clf", "f1"
            )
        ]
        for name in ("batadal", "plants", "files", "threew")
    }

    assert titles["batadal"] == titles["plants"] == ["S", "S_TTD", "S_CLF", "F1"]
    assert titles["files"] == titles["threew"] == ["F1"]
    assert Measures().figures("hours_to_detection")[0].title == "hours to detection"


def test_the_time_step_is_that_within_recordings():
    """Hourly, and a year between two recordings; a single row has none."""
    later = alarms_of(1).assign(instance="next", time=lambda t: t["time"] + pd.Timedelta(days=365))

    assert step_seconds(pd.concat([alarms_of(1), later])) == 3600.0
    assert step_seconds(alarms_of(1).head(1)) == 0.0
    assert step_seconds(alarms_of(1).astype({"time": str})) == 3600.0
