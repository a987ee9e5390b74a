import numpy as np
import pytest

from dtfl_app.detector.models import build_model, get_params
from dtfl_app.errors import ConfigError
from dtfl_app.strategies.base import State
from dtfl_app.strategies.lpe import (
    ExchangeMap,
    disagreement,
    exchange,
    most_disputed,
    static_map,
)
from tests.support.line_model import LAST, LINE, bias, line, line_twin
from tests.support.workbench import reply, strategy_on

KEYS = list(line(0))
LAYERS = [{f"layers.{i}.weight", f"layers.{i}.bias"} for i in (0, 2, 4, 6)]


def two_layers(first: float, second: float):
    return {
        "layers.0.weight": np.array([first], dtype=np.float32),
        "layers.2.weight": np.array([second], dtype=np.float32),
    }


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
    which = static_map(KEYS, low, high)

    assert which.from_twin == set().union(*(LAYERS[i] for i in from_twin))
    assert which.to_twin == set().union(*(LAYERS[i] for i in to_twin))


@pytest.mark.parametrize(("low", "high"), [(3, 2), (2, 5), (5, 5)])
def test_layers_that_do_not_exist_or_overlap_are_refused(low, high):
    with pytest.raises(ConfigError, match=f"lpe-low = {low}, lpe-high = {high}; expected .* 4"):
        static_map(KEYS, low, high)


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


def test_disagreement_by_hand():
    """Layer 1: replies 1 and 5 around 3, which moved by 3 from 0: spread 2 over 3.

    Layer 2: replies -1 and 1 around 0, which did not move from 0: 0 by definition.
    """
    replies = [two_layers(1, -1), two_layers(5, 1)]

    ratios = disagreement(replies, aggregate=two_layers(3, 0), start=two_layers(0, 0))

    assert ratios == pytest.approx([2 / 3, 0.0])


def test_sites_that_pull_apart_more_than_they_move_together_are_above_one():
    """Layer 1: 0 and 6 around 3, moved by 1 from 2: 3. Layer 2: 5 and 5, moved by 5: 0."""
    replies = [two_layers(0, 5), two_layers(6, 5)]

    ratios = disagreement(replies, aggregate=two_layers(3, 5), start=two_layers(2, 0))

    assert ratios == pytest.approx([3.0, 0.0])


def test_a_layer_is_measured_over_its_weight_and_bias_together():
    """Move (3, 4) is 5 long; replies lie at (3, 4) +- (0, 2): spread 2; 2 / 5."""
    origin, centre, up, down = (line(b, layers_6_weight=w) for w, b in
                                ((0, 0), (3, 4), (3, 6), (3, 2)))  # fmt: skip

    assert disagreement([up, down], centre, origin) == pytest.approx([0, 0, 0, 2 / 5])


def test_the_more_disputed_half_comes_from_the_twin():
    which = most_disputed([0.1, 0.9, 0.3, 0.8], KEYS)

    assert which.from_twin == LAYERS[1] | LAYERS[3]
    assert which.to_twin == LAYERS[0] | LAYERS[2]


def test_ties_go_to_the_lower_layer_and_an_odd_half_is_rounded_down():
    which = most_disputed([0.5, 0.5, 0.5], KEYS[:6])

    assert which.from_twin == LAYERS[0]


def test_both_models_go_on_from_their_mixed_copies():
    """Twin and model begin as (layer 1 bias -1, last bias 0); one twin step adds 0.5 to the last.

    lpe-low = lpe-high = 2: layers 3 and 4 are the sites'.
    Round 1: sites say layer 1: -3, last: 1 and 3. Model: -1 from the twin, mean 2.
    The twin takes the 2 and goes on: round 2 trains it to 2.5, which the sites' mean 7 replaces.
    """
    lpe = strategy_on("lpe", line_twin(10.0), lpe_low=2, lpe_high=2)
    start = lpe.prepare(State(line(0, layers_0_bias=-1)))

    first = lpe.update(start, [reply("a", upper(1)), reply("b", upper(3))])
    second = lpe.update(first, [reply("a", upper(6)), reply("b", upper(8))])

    assert [bias(first.model), bias(second.model)] == [2.0, 7.0]
    assert [bias(first.twin), bias(second.twin)] == [2.0, 7.0]
    assert second.model["layers.0.bias"].tolist() == [-1]
    assert list(second.model) == KEYS


def test_layers_in_between_stay_with_their_model():
    """lpe-low = 0, lpe-high = 4: nothing moves; the twin trains on its own: 0.5, then 1.0."""
    lpe = strategy_on("lpe", line_twin(10.0), lpe_low=0, lpe_high=4)
    start = lpe.prepare(State(line(0)))

    first = lpe.update(start, [reply("a", line(5))])
    second = lpe.update(first, [reply("a", line(6))])

    assert [bias(first.model), bias(second.model)] == [5.0, 6.0]
    assert [bias(first.twin), bias(second.twin)] == pytest.approx([0.5, 1.0], abs=1e-6)


def test_a_layer_from_the_twin_is_the_twins_trained_one():
    """lpe-low = 4: the sites' 5 counts for nothing, the twin's 0.5 and 1.0 do."""
    lpe = strategy_on("lpe", line_twin(10.0), lpe_low=4, lpe_high=4)
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
    lpe = strategy_on("lpe", line_twin(10.0), lpe_policy="static", lpe_low=0, lpe_high=high)

    exchanged = lpe.update(lpe.prepare(State(line(0))), replies)
    averaged = strategy_on("fedavg").update(State(line(0)), replies)

    for key, value in averaged.model.items():
        np.testing.assert_array_equal(exchanged.model[key], value)


def test_sites_upload_only_what_the_twin_does_not_overwrite():
    lpe = started("static", lpe_low=2, lpe_high=3)

    assert [lpe.upload_keys(r) for r in (1, 2)] == [KEYS[4:], KEYS[4:]]
    assert lpe.kept_keys() == KEYS


def test_adaptive_uploads_everything_in_every_probe_round():
    lpe = started("adaptive", lpe_low=2, lpe_high=2, lpe_probe=3)

    uploads = [len(lpe.upload_keys(server_round)) for server_round in range(1, 8)]

    assert uploads == [8, 4, 4, 8, 4, 4, 8]


def test_adaptive_takes_the_most_disputed_half_from_the_twin():
    """Layers 1 and 4 moved by 1 and are disputed by 2; 2 and 3 moved by 1 in agreement."""
    lpe = started("adaptive", lpe_low=2, lpe_high=2, lpe_probe=3)
    up, down = (line(1 + d, layers_0_bias=1 + d, layers_2_bias=1, layers_4_bias=1) for d in (2, -2))

    state = lpe.update(lpe.state, [reply("a", up), reply("b", down)])

    assert lpe.upload_keys(2) == KEYS[2:6]
    assert state.model["layers.2.bias"].tolist() == [1]
    assert state.model["layers.0.bias"].tolist() == [0]


def test_between_probes_the_map_stays():
    lpe = started("adaptive", lpe_low=2, lpe_high=2, lpe_probe=3)

    lpe.update(lpe.state, [reply("a", upper(3)), reply("b", upper(-3))])

    assert lpe.upload_keys(2) == KEYS[4:]


def upper(last: float):
    """Layers 3 and 4 of the line model, as sites return them when 1 and 2 come from the twin."""
    return {key: value for key, value in line(last).items() if key in KEYS[4:]}


def started(policy: str, **settings: int):
    lpe = strategy_on("lpe", line_twin(10.0), lpe_policy=policy, **settings)
    lpe.state = lpe.prepare(State(line(0)))
    assert LAST in lpe.state.model
    return lpe
