import math
from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.detector.dense import Autoencoder
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.rounds.state import State
from dtfl_app.strategies.lpe import (
    ExchangeMap,
    exchange,
    static_map,
    twin_layers,
)
from tests.support.line_model import LAST, LINE, bias, line, line_twin
from tests.support.workbench import reply, strategy_on

KEYS = list(line(0))
KEYS_BY_LAYER = Autoencoder.layer_keys(KEYS)
LAYERS = [{f"layers.{i}.weight", f"layers.{i}.bias"} for i in (0, 2, 4, 6)]


@pytest.mark.parametrize(
    ("low", "high", "from_twin", "to_twin"),
    [
        (2, 2, {0, 1}, {2, 3}),
        (1, 3, {0}, {3}),  # layers 2 and 3 stay where they are
        (0, 0, set(), {0, 1, 2, 3}),
        (0, 4, set(), set()),
        (4, 4, {0, 1, 2, 3}, set()),
    ],
)
def test_low_layers_come_from_the_twin_and_high_ones_go_to_it(low, high, from_twin, to_twin):
    which = static_map(KEYS_BY_LAYER, low, high)

    assert which.from_twin == set().union(*(LAYERS[i] for i in from_twin))
    assert which.to_twin == set().union(*(LAYERS[i] for i in to_twin))


@pytest.mark.parametrize(("low", "high"), [(3, 2), (2, 5), (5, 5)])
def test_layers_that_do_not_exist_or_overlap_are_refused(low, high):
    with pytest.raises(ConfigError, match=f"lpe.low = {low}, lpe.high = {high}; expected .* 4"):
        static_map(KEYS_BY_LAYER, low, high)


def test_the_exchange_by_hand():
    """Layer 1 from the twin, layer 2 kept apart, layer 3 to the twin."""
    aggregate = {"l1": np.array([1.0]), "l2": np.array([2.0]), "l3": np.array([3.0])}
    twin = {"l1": np.array([10.0]), "l2": np.array([20.0]), "l3": np.array([30.0])}
    which = ExchangeMap(frozenset({"l1"}), frozenset({"l3"}))

    model, mixed = exchange(aggregate, twin, which)

    assert {k: v[0] for k, v in model.items()} == {"l1": 10, "l2": 2, "l3": 3}
    assert {k: v[0] for k, v in mixed.items()} == {"l1": 10, "l2": 20, "l3": 3}


def test_what_comes_from_the_twin_need_not_be_in_the_aggregate():
    aggregate = {"l2": np.array([2.0])}
    twin = {"l1": np.array([10.0]), "l2": np.array([20.0])}

    model, mixed = exchange(aggregate, twin, ExchangeMap(frozenset({"l1"}), frozenset({"l2"})))

    assert (model["l1"][0], model["l2"][0]) == (10, 2)
    assert (mixed["l1"][0], mixed["l2"][0]) == (10, 2)


@pytest.mark.parametrize(
    ("scores", "count"),
    [
        ([], 4),
        ([1.0], 4),
        ([1.0, 0.9], 4),  # a fall by exactly a tenth is no stall
        ([1.0, 0.91], 3),
        ([1.0, 0.5, 0.46, 0.4], 3),  # -50%, -8%, -13%
        ([1.0, 0.95, 0.94, 0.93], 2),  # three stalls, but two layers stay
        ([1.0, 1.2], 3),
        ([math.nan, math.nan], 3),
        ([0.0, 0.0], 4),
    ],
)
def test_each_round_without_a_fall_by_a_tenth_hands_one_layer_over(scores, count):
    assert twin_layers(scores, layers=4, low=2, stall=0.1) == count


def test_both_models_go_on_from_their_mixed_copies():
    """Twin and model begin as (layer 1 bias -1, last bias 0); one twin step adds 0.5 to the last.

    lpe.low = lpe.high = 2: layers 3 and 4 are the sites'.
    Round 1: sites say layer 1: -3, last: 1 and 3. Model: -1 from the twin, mean 2.
    The twin takes the 2 and goes on: round 2 trains it to 2.5, which the sites' mean 7 replaces.
    """
    lpe = strategy_on("lpe", line_twin(10.0), lpe__low=2, lpe__high=2)
    start = lpe.prepare(State(line(0, layers_0_bias=-1)))

    first = lpe.update(start, [reply("a", upper(1)), reply("b", upper(3))])
    second = lpe.update(first, [reply("a", upper(6)), reply("b", upper(8))])

    assert [bias(first.model), bias(second.model)] == [2.0, 7.0]
    assert [bias(first.twin), bias(second.twin)] == [2.0, 7.0]
    assert second.model["layers.0.bias"].tolist() == [-1]
    assert list(second.model) == KEYS


def test_layers_in_between_stay_with_their_model():
    """lpe.low = 0, lpe.high = 4: nothing moves; the twin trains on its own: 0.5, then 1.0."""
    lpe = strategy_on("lpe", line_twin(10.0), lpe__low=0, lpe__high=4)
    start = lpe.prepare(State(line(0)))

    first = lpe.update(start, [reply("a", line(5))])
    second = lpe.update(first, [reply("a", line(6))])

    assert [bias(first.model), bias(second.model)] == [5.0, 6.0]
    assert [bias(first.twin), bias(second.twin)] == pytest.approx([0.5, 1.0], abs=1e-6)


def test_a_layer_from_the_twin_is_the_twins_trained_one():
    """lpe.low = 4: the sites' 5 counts for nothing, the twin's 0.5 and 1.0 do."""
    lpe = strategy_on("lpe", line_twin(10.0), lpe__low=4, lpe__high=4)
    state = lpe.prepare(State(line(0)))

    said = []
    for _ in range(2):
        state = lpe.update(state, [reply("a", {})])
        said.append(bias(state.model))

    assert said == pytest.approx([0.5, 1.0], abs=1e-6)


@pytest.mark.parametrize("high", [0, 2, 4])
def test_static_with_no_layer_from_the_twin_is_fedavg(high):
    models = [get_params(build_model(LINE, seed)) for seed in (1, 2, 3)]
    replies = [reply(f"site-{i}", params) for i, params in enumerate(models)]
    lpe = strategy_on("lpe", line_twin(10.0), lpe__policy="static", lpe__low=0, lpe__high=high)

    exchanged = lpe.update(lpe.prepare(State(line(0))), replies)
    averaged = strategy_on("fedavg").update(State(line(0)), replies)

    for key, value in averaged.model.items():
        np.testing.assert_array_equal(exchanged.model[key], value)


def test_sites_upload_only_what_the_twin_does_not_overwrite():
    lpe = started("static", lpe__low=2, lpe__high=3)

    assert [lpe.upload_keys(r) for r in (1, 2)] == [KEYS[4:], KEYS[4:]]
    assert lpe.kept_keys() == KEYS


def test_adaptive_begins_with_all_layers_from_the_twin_and_uploads_nothing():
    lpe = started("adaptive", lpe__low=2, lpe__high=2)

    assert lpe.upload_keys(1) == []


def test_adaptive_hands_over_the_last_layer_when_the_sites_scores_stall():
    """Scores 1.0, 0.5, 0.49: the third round shows the stall, the fourth uploads layer 4.

    The twin adds 0.5 a round to the last bias and hands 1.5 over; then the sites' 7 counts, and the
    twin goes on from it.
    """
    lpe = started("adaptive", lpe__low=2, lpe__high=2)

    uploads, said = [], []
    for score in (1.0, 0.5, 0.49, 0.3):
        uploads.append(lpe.upload_keys(0))
        lpe.state = lpe.update(lpe.state, [scored({k: line(7)[k] for k in uploads[-1]}, score)])
        said.append(bias(lpe.state.model))

    assert uploads == [[], [], [], KEYS[6:]]
    assert said == pytest.approx([0.5, 1.0, 1.5, 7.0], abs=1e-5)
    assert bias(lpe.state.twin) == 7.0


def test_adaptive_ends_with_the_static_map():
    lpe = started("adaptive", lpe__low=2, lpe__high=3)

    for _ in range(6):
        part = {key: line(1)[key] for key in lpe.upload_keys(0)}
        lpe.state = lpe.update(lpe.state, [scored(part, 1.0)])

    assert lpe._map(lpe.state) == static_map(KEYS_BY_LAYER, 2, 3)


def test_adaptive_checks_the_layers_it_shall_end_with():
    with pytest.raises(ConfigError, match=r"lpe\.low = 3, lpe\.high = 2"):
        started("adaptive", lpe__low=3, lpe__high=2)


def test_a_new_run_begins_with_all_layers_again():
    lpe = started("adaptive", lpe__low=2, lpe__high=2)
    for _ in range(3):
        part = {key: line(1)[key] for key in lpe.upload_keys(0)}
        lpe.state = lpe.update(lpe.state, [scored(part, 1.0)])

    lpe.state = lpe.prepare(State(line(0)))

    assert lpe.upload_keys(1) == []


def scored(params, score: float):
    """A reply from a site whose calibration scores are all `score`."""
    sketch = Sketch(10, np.full(len(SKETCH_LEVELS), score))
    return replace(reply("a", params), sketches=(sketch,))


def upper(last: float):
    """Layers 3 and 4 of the line model, as sites return them when 1 and 2 come from the twin."""
    return {key: value for key, value in line(last).items() if key in KEYS[4:]}


def started(policy: str, **settings: int):
    lpe = strategy_on("lpe", line_twin(10.0), lpe__policy=policy, **settings)
    lpe.state = lpe.prepare(State(line(0)))
    assert LAST in lpe.state.model
    return lpe
