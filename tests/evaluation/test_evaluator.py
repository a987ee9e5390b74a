import math
from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.core.evidence import KINDS
from dtfl_app.detector.calibration import sketch_scores
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.metrics import EventResult
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.inputs.preparation import prepare
from dtfl_app.sites.features import Features
from dtfl_app.sites.scaling import Scaler
from dtfl_app.sites.threew_sites import ThreeWDataset
from tests.support.calibrations import calibrated_at, detector_settings
from tests.support.line_model import LINE, line

NORMAL = (sketch_scores(np.full(2000, 20.0)),)
PLAIN = Scaler(np.array([0.0]), np.array([1.0]), clip=100.0)


def evaluator(smoothing: int = 1) -> Evaluator:
    """Readings 0, 3, 1, 4, 9 of which the second is unlabelled; the last two are under attack.

    A model that says b scores (reading - b)^2.
    """
    features = Features(
        values=np.array([[0], [3], [1], [4], [9]], dtype=np.float32),
        names=("level",),
        label=np.array([0, -1, 0, 1, 1], dtype=np.int8),
        time=np.datetime64("2024-01-01", "ns") + np.arange(5) * np.timedelta64(1, "h"),
        instance=np.array(["run"] * 5),
        event=np.array(["", "attack", "", "attack", "attack"]),
    )
    settings = detector_settings(smoothing=smoothing)
    return Evaluator(build_model(LINE, 0), prepare(features, PLAIN, 1), settings, 3600.0)


def test_figures_by_hand():
    """b = 0: scores 0, (9), 1, 16, 81. Above 20 is the second hour of the attack alone."""
    metrics = evaluator()(line(0.0), calibrated_at(20.0))

    assert (metrics.roc_auc, metrics.recall, metrics.false_alarm_rate) == (1.0, 0.5, 0.0)
    assert (metrics.events_found, metrics.hours_to_detection) == (1, 1.0)
    assert metrics.s_ttd == pytest.approx(0.5)


def test_the_parameters_decide_the_scores():
    """b = 9: scores 81, (36), 64, 25, 0: the attack looks the most normal."""
    judge = evaluator()
    judge(line(0.0), calibrated_at(20.0))

    assert judge(line(9.0), calibrated_at(20.0)).roc_auc == 0.0


def test_alarms_say_when_where_and_how_much():
    table = evaluator().alarms(line(0.0), calibrated_at(8.0))

    assert list(table.columns) == [
        "instance", "time", "label", "event", "score", "threshold", "alarm", "p_value",
        "evidence", "channel",
    ]  # fmt: skip
    assert table["score"].tolist() == [0, 9, 1, 16, 81]
    assert table["alarm"].tolist() == [False, True, False, True, True]
    assert set(table["threshold"]) == {8.0}
    assert set(table["channel"]) == {"level"}


def test_the_foremost_channel_is_that_with_the_largest_error():
    features = Features(
        values=np.array([[1, 5], [6, 2]], dtype=np.float32),
        names=("level", "flow"),
        label=np.zeros(2, dtype=np.int8),
        time=np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h"),
        instance=np.array(["run"] * 2),
        event=np.array(["", ""]),
    )
    spec = ModelSpec("autoencoder", 2, hidden=1, latent=1)
    zero = {k: np.zeros_like(v) for k, v in get_params(build_model(spec, 0)).items()}
    scaler = Scaler(np.zeros(2), np.ones(2), clip=100.0)
    judge = Evaluator(
        build_model(spec, 0), prepare(features, scaler, 1), detector_settings(), 3600.0
    )

    assert judge.alarms(zero, calibrated_at(0.0))["channel"].tolist() == ["flow", "level"]


def test_scores_are_smoothed_before_they_are_judged():
    """Means over two steps: 0, 4.5, 5, 8.5, 48.5."""
    table = evaluator(smoothing=2).alarms(line(0.0), calibrated_at(8.0))

    assert table["score"].tolist() == [0, 4.5, 5, 8.5, 48.5]


def test_events_leave_unlabelled_steps_out():
    judge = evaluator()

    assert judge.events(judge.alarms(line(0.0), calibrated_at(20.0))) == [
        EventResult("attack", 2, 1)
    ]


def test_without_a_threshold_nothing_is_found():
    metrics = evaluator()(line(0.0), calibrated_at(math.nan))

    assert (metrics.roc_auc, metrics.recall, metrics.events_found) == (1.0, 0.0, 0)


def test_a_channel_that_is_always_noisy_does_not_explain_an_alarm():
    """Shares per row: flow 4, level 0; flow 9, level 4; flow 4, level 0.

    Medians: flow 4, level 0, their mean 2. Flow stands out by 4 / 6, 9 / 6, 4 / 6 of its usual,
    level by 0, 4 / 2, 0: in the second row it is level, although flow's share is larger.
    """
    features = Features(
        values=np.array([[2, 0], [3, 2], [2, 0]], dtype=np.float32),
        names=("flow", "level"),
        label=np.zeros(3, dtype=np.int8),
        time=np.datetime64("2024-01-01", "ns") + np.arange(3) * np.timedelta64(1, "h"),
        instance=np.array(["run"] * 3),
        event=np.array([""] * 3),
    )
    scaler = Scaler(np.zeros(2), np.ones(2), clip=100.0)
    model = build_model(ModelSpec("autoencoder", 2, hidden=4, latent=2), 0)
    zero = {key: np.zeros_like(value) for key, value in get_params(model).items()}
    judge = Evaluator(model, prepare(features, scaler, 1), detector_settings(), 3600.0)

    assert judge.alarms(zero, calibrated_at(0.0))["channel"].tolist() == ["flow", "level", "flow"]


class TestObservedRates:
    """1,000 settled normal steps at each of two sites; the model that says 0 scores reading^2."""

    def judge(self, readings, instances=("a/later", "b/later"), **rule):
        count = len(readings) // 2
        features = Features(
            values=np.array(readings, dtype=np.float32)[:, None],
            names=("level",),
            label=np.zeros(2 * count, dtype=np.int8),
            time=np.datetime64("2024-01-01", "ns") + np.arange(2 * count) * np.timedelta64(1, "h"),
            instance=np.repeat(instances, count),
            event=np.array([""] * 2 * count),
        )
        prepared = prepare(features, PLAIN, 1)
        return Evaluator(build_model(LINE, 0), prepared, detector_settings(), 3600.0, **rule)

    def test_a_promise_is_kept_within_a_factor_of_two(self):
        """At 1%, 8 alarms in 1,000 steps at site a keep it and 30 at b do not."""
        readings = np.zeros(2000)
        readings[:8], readings[1000:1030] = 9.0, 9.0
        calibration = replace(calibrated_at(20.0), sites=dict.fromkeys("ab", NORMAL))

        found = self.judge(readings).observed_rates(line(0.0), calibration)

        rates = {(rate.site, rate.wanted): rate for rate in found}
        assert (rates["a", 0.01].observed, rates["a", 0.01].kept) == (0.008, True)
        assert (rates["b", 0.01].observed, rates["b", 0.01].kept) == (0.03, False)
        assert rates["b", 0.01].drift == "30 of 30 alarms: smoothed evidence, level"
        assert rates["a", 0.01].normal_steps == 1000
        assert "b: 3.00% false alarms where 1.0% were wanted" in rates["b", 0.01].describe()

    def test_too_few_alarms_break_it_as_well(self):
        calibration = replace(calibrated_at(20.0), sites=dict.fromkeys("ab", NORMAL))

        found = self.judge(np.zeros(2000)).observed_rates(line(0.0), calibration)

        assert {(r.wanted, r.kept, r.drift) for r in found} == {
            (0.01, False, "too few alarms"),
            (0.005, False, "too few alarms"),
            (0.001, True, ""),
        }

    def test_a_rate_that_so_few_scores_cannot_tell_is_named_as_the_reason(self):
        """40 scores tell no rate below 1 / 41; at 1% it takes 99."""
        few = (sketch_scores(np.full(20, 20.0)),)
        readings = np.zeros(2000)
        readings[:500] = 9.0
        calibration = replace(calibrated_at(20.0), sites=dict.fromkeys("ab", few))

        found = self.judge(readings).observed_rates(line(0.0), calibration)

        assert found[0].drift == (
            "500 of 500 alarms: smoothed evidence, level; "
            "fewer than the 99 calibration scores it takes of smoothed"
        )

    def test_readings_of_no_site_are_those_of_the_evaluation(self):
        found = self.judge(np.zeros(2000)).observed_rates(line(0.0), calibrated_at(20.0))

        assert {rate.site for rate in found} == {"evaluation"}

    def test_a_data_set_may_name_sites_in_its_own_way(self):
        """3W's recordings begin with the number of an event, and go on with the well."""
        calibration = replace(calibrated_at(20.0), sites={"WELL-1": NORMAL, "WELL-2": NORMAL})
        recordings = ("2/WELL-1_2014", "2/WELL-2_2017")

        judge = self.judge(np.zeros(2000), recordings, site_of=ThreeWDataset.site_of)

        found = judge.observed_rates(line(0.0), calibration)
        assert {rate.site for rate in found} == {"WELL-1", "WELL-2"}

    def test_the_hours_after_an_event_are_counted_apart(self):
        judge = evaluator()

        rate = judge.observed_rates(line(0.0), calibrated_at(0.5))[0]

        assert (rate.normal_steps, rate.after_events) == (2, 0)


def test_physical_evidence_is_judged_beside_the_models():
    """Thresholds 20 for the residual and 0.5 m for the PLC, which is broken in the third row."""
    features = evaluator()._prepared.features
    broken = np.zeros((5, len(KINDS["plc"].channels)))
    broken[2, KINDS["plc"].channels.index("S_PU1")] = 2.0
    settings = detector_settings(evidence="instant,plc")
    prepared = prepare(features, PLAIN, 1, {"plc": broken})
    judge = Evaluator(build_model(LINE, 0), prepared, settings, 3600.0)

    table = judge.alarms(line(0.0), calibrated_at(20.0, 0.5))

    assert table["alarm"].tolist() == [False, False, True, False, True]
    assert table["score"].tolist() == pytest.approx([0.0, 0.45, 4.0, 0.8, 4.05])
    assert table["evidence"].tolist()[2:] == ["plc", "instant", "instant"]
    assert table["channel"].tolist()[2:] == ["S_PU1", "level", "level"]
    assert table["p_value"].iloc[2] == pytest.approx(2 / 2001)
