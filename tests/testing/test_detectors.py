"""Our own detectors keep every promise, and one that breaks some is told which."""

import pytest

from dtfl_app.detector.models import DETECTORS
from dtfl_app.testing.detectors import check_detector


@pytest.mark.parametrize("name", DETECTORS.built_in)
def test_every_detector_of_ours_keeps_all_promises(name, tmp_path):
    assert len(check_detector(name, tmp_path)) == 8


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Unseeded", "two seeds give one model"),
        ("Stubborn", "training lowers its loss: its loss is"),
        ("Random", "a copy of its parameters scores otherwise"),
        ("Absent", "it can be built of features, window and options: .*cannot be imported"),
    ],
)
def test_a_broken_promise_is_named(name, told, tmp_path):
    with pytest.raises(AssertionError, match=told):
        check_detector(f"tests.testing.bad_detectors:{name}", tmp_path)
