import math
import re
from pathlib import Path

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import (
    KINDS,
    MODEL_KINDS,
    LawEvidence,
    ModelEvidence,
    evidence_floors,
    evidence_kinds,
    kind_names,
    laws_among,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_kinds_come_in_the_order_they_are_named():
    assert evidence_kinds(" plc, smoothed ") == (KINDS["plc"], KINDS["smoothed"])


@pytest.mark.parametrize("setting", ["", " , ", "pressure", "plc,plc", "smoothed,Pump"])
def test_anything_else_is_refused_with_what_there_is(setting):
    with pytest.raises(ConfigError, match=r"evidence = .* expected .* instant, smoothed, plc"):
        evidence_kinds(setting)


def test_every_kind_is_the_models_or_a_law():
    assert kind_names(MODEL_KINDS) == "instant, smoothed"
    assert kind_names(laws_among(KINDS.values())) == "plc, pump, balance"


def test_only_physical_evidence_has_a_smallest_threshold():
    floors = evidence_floors(tuple(KINDS.values()))

    assert floors[:2].tolist() == [-math.inf, -math.inf]
    assert (floors[2:] > 0).all()


def test_the_channel_that_is_furthest_off_counts_in_a_row_and_in_a_recording():
    rows = np.array([[0.0, 2.0], [3.0, 1.0]])

    assert LawEvidence.total(rows).tolist() == [2.0, 3.0]
    assert LawEvidence.total(rows[1]) == 3.0


def test_a_feature_stands_out_over_what_is_usual_for_it_in_a_row_and_in_a_recording():
    """Usual 3 and 1, on average 2: shares of 10 are 10 / 5 and 10 / 3, those of 5 half of that."""
    usual, rows = np.array([3.0, 1.0]), np.array([[10.0, 10.0], [5.0, 5.0]])

    found = ModelEvidence.prominence(rows, usual)

    assert found.ravel().tolist() == pytest.approx([2.0, 10 / 3, 1.0, 5 / 3])
    assert ModelEvidence.prominence(rows[0], usual).tolist() == found[0].tolist()


def test_only_the_smoothed_residual_is_a_mean_of_several_steps():
    assert {kind.name: kind.steps(8) for kind in MODEL_KINDS} == {"instant": 1, "smoothed": 8}


def test_a_law_that_needs_the_demand_to_expect_gets_it_and_no_other():
    seen = []
    law = LawEvidence(
        "echo", "", "m", 0.0, ("a",),
        recording=lambda *given: seen.append(given) or np.array([[-1.0]]),
        hourly=lambda *given: seen.append(given) or (np.array([-1.0]), np.zeros((0, 1))),
    )  # fmt: skip

    assert law.on_recording("series", "plant", None).tolist() == [[1.0]]
    assert law.on_hour("laws", "hour", "kept", None)[0].tolist() == [-1.0]
    assert seen == [("series", "plant"), ("laws", "hour", "kept")]


def test_the_page_lists_every_kind_as_it_describes_itself():
    page = (DOCS / "detection.md").read_text().partition("## The detectors")[0]

    rows = re.findall(r"^\| `(\w+)`(?: \(default\))? \| (.*) \| (.*?) ?\|$", page, re.MULTILINE)

    assert rows == [(kind.name, kind.words, kind.unit) for kind in KINDS.values()]
