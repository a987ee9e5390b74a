import math

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import KINDS, PhysicalEvidence, evidence_floors, evidence_kinds


def test_kinds_come_in_the_order_they_are_named():
    assert evidence_kinds(" plc, smoothed ") == ("plc", "smoothed")


@pytest.mark.parametrize("setting", ["", " , ", "pressure", "plc,plc", "smoothed,Pump"])
def test_anything_else_is_refused_with_what_there_is(setting):
    with pytest.raises(ConfigError, match=r"evidence = .* expected .* instant, smoothed, plc"):
        evidence_kinds(setting)


def test_only_physical_evidence_has_a_smallest_threshold():
    floors = evidence_floors(tuple(KINDS))

    assert floors[:2].tolist() == [-math.inf, -math.inf]
    assert (floors[2:] > 0).all()


def test_the_channel_that_is_furthest_off_counts():
    evidence = PhysicalEvidence(np.array([[0.0, 2.0], [3.0, 1.0]]), ("S_PU1", "S_PU2"))

    assert evidence.total.tolist() == [2.0, 3.0]
