import math

import numpy as np
import pytest

from dtfl_app.detector.metrics import EventResult
from dtfl_app.detector.models import ModelSpec, build_model, get_params
from dtfl_app.evaluation import Evaluator
from dtfl_app.preparation import prepare
from dtfl_app.sites.features import Features
from dtfl_app.sites.scaling import Scaler
from tests.support.line_model import LINE, line

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
    return Evaluator(build_model(LINE, 0), prepare(features, PLAIN, 1), smoothing, step_s=3600.0)


def test_figures_by_hand():
    """b = 0: scores 0, (9), 1, 16, 81. Above 20 is the second hour of the attack alone."""
    metrics = evaluator()(line(0.0), threshold=20.0)

    assert (metrics.roc_auc, metrics.recall, metrics.false_alarm_rate) == (1.0, 0.5, 0.0)
    assert (metrics.events_found, metrics.hours_to_detection) == (1, 1.0)
    assert metrics.s_ttd == pytest.approx(0.5)


def test_the_parameters_decide_the_scores():
    """b = 9: scores 81, (36), 64, 25, 0: the attack looks the most normal."""
    judge = evaluator()
    judge(line(0.0), threshold=20.0)

    assert judge(line(9.0), threshold=20.0).roc_auc == 0.0


def test_alarms_say_when_where_and_how_much():
    table = evaluator().alarms(line(0.0), threshold=8.0)

    assert list(table.columns) == [
        "instance", "time", "label", "event", "score", "threshold", "alarm", "channel",
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
    judge = Evaluator(build_model(spec, 0), prepare(features, scaler, 1), 1, 3600.0)

    assert judge.alarms(zero, 0.0)["channel"].tolist() == ["flow", "level"]


def test_scores_are_smoothed_before_they_are_judged():
    """Means over two steps: 0, 4.5, 5, 8.5, 48.5."""
    table = evaluator(smoothing=2).alarms(line(0.0), threshold=8.0)

    assert table["score"].tolist() == [0, 4.5, 5, 8.5, 48.5]


def test_events_leave_unlabelled_steps_out():
    judge = evaluator()

    assert judge.events(judge.alarms(line(0.0), 20.0)) == [EventResult("attack", 2, 1)]


def test_without_a_threshold_nothing_is_found():
    metrics = evaluator()(line(0.0), math.nan)

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
    judge = Evaluator(model, prepare(features, scaler, 1), smoothing=1, step_s=3600.0)

    assert judge.alarms(zero, 0.0)["channel"].tolist() == ["flow", "level", "flow"]
