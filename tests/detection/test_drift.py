"""Drift is seen where scores of normal operation change."""

import numpy as np
import pytest

from dtfl_app.detection.drift import Drift
from dtfl_app.detection.threshold_table import ThresholdTable
from tests.support.calibrations import calibration_of


class TestDrift:
    def drift(self, window=200, limit=0.25):
        rng = np.random.default_rng(1)
        scores = [rng.gamma(2.0, size=2000), rng.gamma(2.0, size=500)]
        self.table = ThresholdTable(calibration_of(scores, 1), 0.005)
        return Drift(self.table, ["smoothed"], window, limit)

    def feed(self, drift, scores):
        verdicts = [self.table.verdict(np.array([score])) for score in scores]
        return [
            change for verdict in verdicts for change in drift.add(verdict.alarm, verdict.cells)
        ]

    def test_scores_like_those_of_the_calibration_never_drift(self):
        drift = self.drift()

        assert self.feed(drift, np.random.default_rng(2).gamma(2.0, size=5000)) == []
        assert drift.distances()["smoothed"] < 0.1

    @pytest.mark.parametrize(("factor", "higher"), [(2.0, True), (0.5, False)])
    def test_other_scores_begin_a_drift_once_and_usual_ones_end_it(self, factor, higher):
        drift, rng = self.drift(), np.random.default_rng(3)
        self.feed(drift, rng.gamma(2.0, size=200))

        begun = self.feed(drift, factor * rng.gamma(2.0, size=400))
        over = self.feed(drift, rng.gamma(2.0, size=400))

        assert [(c.kind, c.begins, c.higher) for c in begun] == [("smoothed", True, higher)]
        assert [c.begins for c in over] == [False]
        assert begun[0].distance > 0.25 > over[0].distance

    def test_nothing_is_said_before_the_window_is_full(self):
        drift = self.drift(window=200)

        assert self.feed(drift, np.full(199, 5.0)) == []
        assert [change.kind for change in self.feed(drift, [5.0])] == ["smoothed"]

    def test_alarms_all_the_time_are_said_to_be_a_drift(self):
        """A sensor that is far off leaves no step without alarm to look at."""
        drift = self.drift()
        self.feed(drift, np.random.default_rng(5).gamma(2.0, size=200))

        begun = self.feed(drift, np.full(200, 1e3))

        assert [(c.kind, c.begins, c.limit) for c in begun] == [("alarms", True, 0.5)]
        assert begun[0].distance == 101 / 200

    def test_ties_are_no_drift(self):
        """A contradiction is 0 in nearly every hour, of calibration and of operation."""
        zeros = np.zeros(500)
        table = ThresholdTable(calibration_of((zeros, zeros), 1), 0.005)
        drift = Drift(table, ["plc"], 200, 0.05)
        verdict = table.verdict(np.zeros(1))

        assert [
            change for _ in range(400) for change in drift.add(verdict.alarm, verdict.cells)
        ] == []
        assert drift.distances()["plc"] == 0.0

    def test_a_restored_state_goes_on_as_if_it_had_never_stopped(self):
        drift, rng = self.drift(), np.random.default_rng(4)
        scores = 1.6 * rng.gamma(2.0, size=600)
        whole = self.feed(drift, scores)

        first = self.drift()
        begun = self.feed(first, scores[:250])
        second = self.drift()
        second.restore(first.state())

        assert begun + self.feed(second, scores[250:]) == whole
        assert second.state() == drift.state()
