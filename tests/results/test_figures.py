import math
from collections import Counter
from dataclasses import fields

import pytest

from dtfl_app.detector.metrics import Metrics
from dtfl_app.results.figures import FIGURES, Figure, figures
from dtfl_app.results.lines import Summary


def test_every_figure_of_a_model_is_described():
    assert {field.name for field in fields(Metrics)} <= FIGURES.keys()


def test_every_cost_of_a_summary_is_described():
    """Its costs of the target are costs to "target"; "final" and "groups" hold models' figures."""
    stored = {field.name.removesuffix("_to_target") for field in fields(Summary)}

    assert stored - {"strategy", "final", "groups"} <= FIGURES.keys()


def test_no_two_figures_are_called_the_same():
    """Bytes and megabytes are one figure in two units."""
    called = Counter((figure.title, figure.scale) for figure in FIGURES.values())

    assert max(called.values()) == 1


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("balanced_accuracy", 0.85, "0.850"),
        ("events_found", 5, "5"),
        ("events_found", 4.5, "4.5"),  # a mean over cells
        ("false_alarm_rate", 0.0125, "1.25"),  # in %
        ("bytes_up", 3_000_000, "3.00"),  # in MB
        ("s", None, "-"),
        ("s", math.nan, "-"),
    ],
)
def test_a_value_is_written_with_its_figures_digits_and_scale(key, value, text):
    assert FIGURES[key].text(value) == text


def test_groups_of_digits_can_be_set_apart():
    assert FIGURES["site_steps"].text(12345, " ") == "12 345"
    assert FIGURES["site_steps"].text(12345) == "12345"


def test_a_sentence_has_the_unit():
    assert FIGURES["megabytes"].measured(5.0) == "5.00 MB"
    assert FIGURES["s"].measured(0.5) == "0.500"


def test_a_cost_of_a_target_is_better_when_it_is_less():
    """How many rounds a run has is neither good nor bad."""
    (rounds,) = figures("rounds")

    assert rounds.better == 0
    assert rounds.to("0.8") == Figure("rounds_to_0.8", "rounds to 0.8", digits=0, better=-1)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([2.0], "2.0"),
        ([1.0, 3.0], "2.0 ± 1.4"),  # sample deviation: sqrt(((-1)^2 + 1^2) / 1)
        ([1.0, math.nan, 3.0], "2.0 ± 1.4 (2 of 3)"),
        ([4.0, math.nan], "4.0 (1 of 2)"),
        ([math.nan], "-"),
        ([], "-"),
    ],
)
def test_spread_says_how_many_it_is_over(values, text):
    assert Figure("x", "x", digits=1).spread(values) == text
