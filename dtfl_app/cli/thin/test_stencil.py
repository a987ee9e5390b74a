"""What the app asks of stencil.py."""

import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.testing.detectors import check_detector

NAME = "stencil:Stencil"


def test_it_keeps_all_that_the_app_promises_of_a_detector(tmp_path):
    check_detector(NAME, tmp_path, options="width=2", window=6)


def test_a_slip_in_its_options_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        build_model(ModelSpec(NAME, features=3, window=6, options="widht=2"), seed=0)
