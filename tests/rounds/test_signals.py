"""What tells a good twin from a wrong one without an evaluation set."""

import math

import numpy as np
import pytest

from dtfl_app.detector.calibration import sketch_scores
from dtfl_app.rounds.signals import mean_shift, site_score
from tests.support.federation import Federation
from tests.support.line_model import line, line_twin


def test_the_median_site_speaks_for_all():
    """Medians 2, 5 and 100 of three sites; one without calibration rows says nothing."""
    scores = [[1.0, 2.0, 9.0], [5.0], [90.0, 100.0, 101.0], []]

    assert site_score([sketch_scores(np.array(s)) for s in scores]) == 5.0


def test_without_calibration_rows_there_is_no_site_score():
    assert math.isnan(site_score([sketch_scores(np.zeros(0))]))
    assert math.isnan(site_score([]))


def test_the_site_score_of_a_line_is_that_of_its_own_model():
    """The scripted sites' scores are the bias they were sent: 0, 2 and 4."""
    federation = Federation()

    federation.run(rounds=2)

    assert [line.site_score for line in federation.lines] == [0.0, 2.0, 4.0]


def test_the_twin_loss_is_that_of_the_aggregate_before_the_twins_step():
    """Twin data is 10. Round 1: the mean says 2, (10 - 2)^2 = 64; CWA's twin step adds 0.5.

    Round 2: the mean of 2.5 + (1, 2, 3) says 4.5, 5.5^2 = 30.25.
    """
    federation = Federation("cwa", line_twin(10.0))

    federation.run(rounds=2)

    assert math.isnan(federation.lines[0].twin_loss)
    losses = [line.twin_loss for line in federation.lines[1:]]
    assert losses == pytest.approx([64.0, 30.25], rel=1e-5)


def test_layers_that_were_not_uploaded_are_those_of_the_model():
    """LPE with all layers from the twin: no reply has a layer, the model says 0, then 0.5."""
    federation = Federation("lpe", line_twin(10.0), lpe__low=4, lpe__high=4)

    federation.run(rounds=2)

    losses = [line.twin_loss for line in federation.lines[1:]]
    assert losses == pytest.approx([100.0, 90.25], rel=1e-5)


def test_without_a_twin_there_is_no_twin_loss():
    federation = Federation()

    federation.run(rounds=1)

    assert math.isnan(federation.lines[1].twin_loss)


def test_asking_for_the_loss_changes_nothing_that_follows():
    asked, silent = line_twin(10.0), line_twin(10.0)
    asked.begin_round(1)
    silent.begin_round(1)

    asked.loss(line(3))

    assert asked.steps_done == 0
    trained = [twin.train(line(0)) for twin in (asked, silent)]
    assert all(np.array_equal(trained[0][key], trained[1][key]) for key in trained[0])


def test_the_shift_is_the_mean_distance_of_channel_means_from_zero():
    """Channel means 1, -2 and 0 (of 5 and -5): (1 + 2 + 0) / 3."""
    rows = np.array([[1.0, -1.0, 5.0], [1.0, -3.0, -5.0]], dtype=np.float32)

    assert mean_shift(rows) == pytest.approx(1.0)
