"""Which column a draft takes for the label, and what it takes its values for."""

import pandas as pd
import pytest

from dtfl_app.sites.cells import CellGrammar
from dtfl_app.sites.label_column import LabelColumn
from dtfl_app.sites.label_guess import guess_labels

USUAL = ("attack*", "anomal*", "abnormal*", "fault*")


def guess(**columns):
    return guess_labels(
        [pd.Series(cells, name=name) for name, cells in columns.items()], CellGrammar()
    )


@pytest.mark.parametrize(
    ("name", "cells", "lists"),
    [
        ("Normal/Attack", ["Normal", "Attack", "A ttack"], (("Normal",), ("Attack",), ())),
        ("ATT_FLAG", ["benign", "attack8", "attack11"], (("benign",), ("attack*",), ())),
        ("what", ["Normal", "Attack"], (("Normal",), ("Attack",), ())),
        ("flag", ["N", "P", "N"], (("N",), ("P",), ())),
        ("flag", ["NO", "YES", "NO"], (("NO",), ("YES",), ())),
        ("label", ["Normal", "Normal"], (("Normal",), USUAL, ())),
        ("label", ["OK", "leak", "unknown"], (("OK",), ("leak",), ("unknown",))),
        ("label", ["0", "leak", "0"], ((0.0,), (1.0, "leak"), (-1.0,))),
        ("attack", [None, "pump forced", None], (("",), ("pump forced",), ())),
        ("class", [1, 1, 1, 2, 5], ((1.0,), (2.0, 5.0), ())),
        ("Attack (1:no, -1:yes)", [1, 1, -1], ((1.0,), (-1.0,), ())),
        ("ATT_FLAG", [-999, -999, 1], ((0.0,), (1.0,), (-999.0,))),
        ("fault", [True, False, False], ((0.0,), (1.0,), (-1.0,))),
    ],
)
def test_values_mean_what_they_say(name, cells, lists):
    assert guess(**{name: cells}).taken == LabelColumn(name, *lists)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("what", ["N", "P"]),
        ("what", ["Normal", "Eco"]),
        ("what", [0, 1]),
        ("class", ["A", "B"]),
        ("fault", [0.5, 1.0]),
        ("target temperature", [60, 70]),
        ("flag", [None, None]),
    ],
)
def test_what_does_not_say_so_is_no_label(name, cells):
    assert guess(**{name: cells}).taken is None


def test_a_second_label_is_no_input_and_says_why():
    found = guess(
        changepoint=[0, 0, 0, 1],
        attack_p1=[0, 0, 1, 0],
        anomaly=[0, 0, 1, 1],
        class_of=[1, 2, 3, 4],
    )

    assert found.taken == LabelColumn("anomaly")
    assert set(found.also) == {"changepoint", "attack_p1"}
    assert "second label beside 'anomaly'" in found.also["changepoint"]
