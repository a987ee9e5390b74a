from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedMedian, FedTrimmedAvg, Krum, MultiKrum
from flwr.serverapp.strategy.multikrum import compute_distances
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from dtfl_app.core.errors import FederationError
from dtfl_app.core.sections import TrustSettings
from dtfl_app.rounds.aggregation import aggregate, shortfall
from dtfl_app.rounds.parameters import weighted_mean
from dtfl_app.rounds.rules import krum_order
from tests.support.in_process import identify

RULES = ["mean", "trimmed-mean", "median", "krum", "multi-krum"]
VALUES = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=2)


def rule(name: str, **shares: float) -> TrustSettings:
    return replace(TrustSettings(), aggregation=name, **shares)


def params(*values: float):
    return {"w": np.array(values, dtype=np.float32)}


def merged(settings: TrustSettings, values, weights=None) -> float:
    """The aggregate of replies of one parameter each."""
    weights = [1.0] * len(values) if weights is None else weights
    return float(aggregate([params(v) for v in values], weights, settings)["w"][0])


# --- by hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (rule("mean"), 21.4),  # (1 + 2 + 3 + 1 + 100) / 5
        (rule("trimmed-mean", trim=0.2), 2.0),  # one each: (1 + 2 + 3) / 3
        (rule("trimmed-mean", trim=0.4), 2.0),  # two each
        (rule("median"), 2.0),
        # f = 1, so 2 closest; squared distances: 1: 0, 1; 2: 1, 1; 3: 1, 4; 1: 0, 1; 100: 97^2, ...
        (rule("krum"), 1.0),
        (rule("multi-krum"), 1.75),  # all but 100: (1 + 2 + 3 + 1) / 4
    ],
)
def test_rules_by_hand(settings, expected):
    assert merged(settings, [1, 2, 3, 1, 100]) == pytest.approx(expected)


def test_each_parameter_has_its_own_median_but_krum_takes_whole_replies():
    """Medians 2 and 2. Krum with f = 0: (2, 9) and (3, 9) are 1 apart, and the first counts."""
    replies = [params(1, 2), params(2, 9), params(3, 9), params(1, 0), params(9, 0)]

    assert aggregate(replies, [1] * 5, rule("median"))["w"].tolist() == [2, 2]
    assert aggregate(replies[:3], [1] * 3, rule("krum"))["w"].tolist() == [2, 9]


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([1, 2, 9], [1, 1, 3], 9),  # 5 in all; half, 2.5, is passed within 9
        ([1, 2, 9], [1, 1, 2], 5.5),  # 4 in all; 2 reaches exactly half: between 2 and 9
        ([1, 2, 9], [3, 1, 1], 1),
        ([9, 1, 2], [0, 1, 1], 1.5),  # no weight, no part
        ([4], [7], 4),
    ],
)
def test_the_weighted_median_by_hand(values, weights, expected):
    assert merged(rule("median"), values, weights) == expected


def test_the_weighted_trimmed_mean_by_hand():
    """Weights 3, 1, 1, 1, 4 of 10; a fifth goes at each end: 1, 1, 1, 1, 2 are left of them.

    (1 * 1 + 2 + 3 + 4 + 2 * 10) / 6 = 5
    """
    assert merged(rule("trimmed-mean"), [1, 2, 3, 4, 10], [3, 1, 1, 1, 4]) == pytest.approx(5.0)


def test_krum_chooses_whatever_the_weights_and_multi_krum_weighs_the_chosen():
    """A site's count of rows is its own to claim. Chosen: 1, 2, 3 and 1; (3 + 2 + 3 + 1) / 6."""
    values, weights = [1, 2, 3, 1, 100], [3, 1, 1, 1, 1e9]

    assert merged(rule("krum"), values, weights) == 1.0
    assert merged(rule("multi-krum"), values, weights) == pytest.approx(1.5)


def test_krum_scores_by_hand():
    """0, 1, 2, 4, 10 with f = 1: sums of the two smallest squared distances.

    0: 1 + 4 = 5; 1: 1 + 1 = 2; 2: 1 + 4 = 5; 4: 4 + 9 = 13; 10: 36 + 64 = 100
    """
    assert krum_order([params(v) for v in (0, 1, 2, 4, 10)], 1) == [1, 0, 2, 3, 4]


def test_replies_may_be_of_some_layers_and_list_them_in_any_order():
    first = {"a": np.array([[1.0, 2.0]], np.float32), "b": np.array([3.0], np.float32)}
    second = {"b": np.array([5.0], np.float32), "a": np.array([[3.0, 6.0]], np.float32)}
    third = {"a": np.array([[9.0, 4.0]], np.float32), "b": np.array([9.0], np.float32)}

    for name in RULES:
        whole = aggregate([first, second, third], [1] * 3, rule(name))
        assert [(key, value.shape, value.dtype) for key, value in whole.items()] == [
            ("a", (1, 2), np.float32),
            ("b", (1,), np.float32),
        ]
    median = aggregate([first, second, third], [1] * 3, rule("median"))
    assert (median["a"].tolist(), median["b"].tolist()) == ([[3.0, 4.0]], [5.0])


@pytest.mark.parametrize("name", RULES)
def test_replies_may_hold_no_layer_at_all(name):
    """As where LPE takes all layers from the twin."""
    assert aggregate([{}, {}, {}], [1] * 3, rule(name)) == {}


def test_without_any_weight_there_is_no_aggregate():
    with pytest.raises(FederationError, match="all 2 replies have weight 0"):
        merged(rule("mean"), [1, 2], [0, 0])


# --- what Flower's own strategies say ------------------------------------------------------------


def by_flower(strategy, replies, examples=None):
    """What Flower's strategy makes of the same replies, given to it in float64."""
    identify()
    task = Message(RecordDict({}), message_type="train", dst_node_id=1)
    messages = [
        Message(
            RecordDict(
                {
                    "arrays": ArrayRecord({k: Array(v.astype(float)) for k, v in reply.items()}),
                    "metrics": MetricRecord({"num-examples": count}),
                }
            ),
            reply_to=task,
        )
        for reply, count in zip(replies, examples or [1] * len(replies), strict=True)
    ]
    arrays, _ = strategy.aggregate_train(1, messages)
    return {key: array.numpy().astype(np.float32) for key, array in arrays.items()}


def random_replies(count: int, seed: int):
    rng = np.random.default_rng(seed)
    shapes = {"w": (4, 7), "b": (4,), "s": ()}
    return [
        {k: np.asarray(rng.normal(size=s), dtype=np.float32) for k, s in shapes.items()}
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 2, 5, 10, 11])
@pytest.mark.parametrize(
    ("settings", "strategy"),
    [
        (rule("median"), lambda n: FedMedian()),
        (rule("trimmed-mean", trim=0.2), lambda n: FedTrimmedAvg(beta=0.2)),
        (rule("trimmed-mean", trim=0.45), lambda n: FedTrimmedAvg(beta=0.45)),
        (rule("trimmed-mean", trim=0.0), lambda n: FedTrimmedAvg(beta=0.0)),
    ],
)
def test_equal_weights_give_what_flower_gives(settings, strategy, count, seed):
    replies = random_replies(count, seed)

    ours = aggregate(replies, [0.1] * count, settings)

    for key, theirs in by_flower(strategy(count), replies).items():
        np.testing.assert_allclose(ours[key], theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("count", "malicious"), [(5, 1), (10, 2), (10, 3), (11, 4)])
def test_krum_and_multi_krum_choose_what_flower_chooses(count, malicious, seed):
    replies, share = random_replies(count, seed), malicious / count
    examples = list(range(1, count + 1))

    one = aggregate(replies, [1.0] * count, rule("krum", malicious=share))
    many = aggregate(replies, [float(n) for n in examples], rule("multi-krum", malicious=share))

    krum = by_flower(Krum(num_malicious_nodes=malicious), replies)
    assert all(np.array_equal(one[key], krum[key]) for key in krum)
    multi = MultiKrum(num_malicious_nodes=malicious, num_nodes_to_select=count - malicious)
    for key, theirs in by_flower(multi, replies, examples).items():
        np.testing.assert_allclose(many[key], theirs, rtol=1e-6, atol=1e-7)


def test_krum_sees_updates_that_float32_inner_products_lose():
    """1000 + k / 64 is exact in float32; its square, near 10^6, is a multiple of 1/16 only.

    Scores in units of 1/64, f = 1: 0: 1 + 4; 1: 1 + 1; 2: 1 + 4; 4: 4 + 9; 7: 9 + 25.
    Distances of up to 49 / 4096 are below half of 1/16, and Flower sees but zeros.
    """
    replies = [params(1000 + k / 64) for k in (0, 1, 2, 4, 7)]

    assert krum_order(replies, 1) == [1, 0, 2, 3, 4]
    assert not compute_distances([ArrayRecord({"w": Array(r["w"])}) for r in replies]).any()


# --- what they withstand -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "attackers"),
    [
        (rule("trimmed-mean", trim=0.2), 2),
        (rule("trimmed-mean", trim=0.4), 4),
        (rule("median"), 4),
        (rule("krum", malicious=0.3), 3),
        (rule("multi-krum", malicious=0.3), 3),
    ],
)
def test_up_to_its_breakdown_point_a_rule_stays_among_the_honest_replies(settings, attackers):
    rng = np.random.default_rng(3)
    honest = [params(*rng.normal(size=20)) for _ in range(10 - attackers)]
    low = np.min([reply["w"] for reply in honest], axis=0)
    high = np.max([reply["w"] for reply in honest], axis=0)
    hostile = [params(*rng.normal(size=20) * 1e5) for _ in range(attackers)]

    model = aggregate(honest + hostile, [1] * 10, settings)["w"]

    assert ((low <= model) & (model <= high)).all()
    plain = aggregate(honest + hostile, [1] * 10, rule("mean"))["w"]
    assert (np.abs(plain) > 1e3).any()


@pytest.mark.parametrize(("name", "attackers"), [("trimmed-mean", 3), ("median", 6)])
def test_beyond_its_breakdown_point_a_rule_follows_the_attackers(name, attackers):
    values = [0.0] * (10 - attackers) + [1e5] * attackers

    assert merged(rule(name), values) > 1e3


def test_a_claim_of_many_rows_owns_the_weighted_median():
    """Weights that sites claim move the breakdown point from replies to rows."""
    assert merged(rule("median"), [1, 2, 3, 100], [10, 10, 10, 1e6]) == 100


# --- too few replies -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "count", "said"),
    [
        (
            rule("krum", malicious=0.2),
            2,
            "krum needs 3 replies to withstand 0 malicious, and has 2",
        ),
        (rule("multi-krum", malicious=0.4), 10, "needs 11 replies to withstand 4 malicious"),
        (rule("multi-krum", malicious=0.2), 4, "multi-krum: a share of 0.2 of 4 replies is none"),
        (rule("trimmed-mean", trim=0.2), 4, "trimmed-mean: a share of 0.2 of 4 replies is none"),
        (rule("median"), 2, "the median of 2 replies is their mean"),
    ],
)
def test_too_few_replies_for_a_rule_are_said(settings, count, said):
    assert said in str(shortfall(count, settings))


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        (rule("mean"), 1),
        (rule("median"), 3),
        (rule("trimmed-mean", trim=0.2), 5),
        (rule("trimmed-mean", trim=0.0), 1),
        (rule("krum", malicious=0.2), 7),
        (rule("multi-krum", malicious=0.29), 100),  # 29, though 0.29 * 100 is less in binary
        (rule("multi-krum", malicious=0.0), 3),
    ],
)
def test_enough_replies_need_no_word(settings, count):
    assert shortfall(count, settings) is None


@pytest.mark.parametrize("name", ["krum", "multi-krum"])
def test_the_median_stands_in_for_krum(name):
    """Four of ten malicious would need 11 replies."""
    values = [5, 1, 2, 3, 100, 7, 8, 9, 4, 6]

    assert merged(rule(name, malicious=0.4), values) == 5.5


# --- whatever the numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
@given(models=st.lists(VALUES, min_size=1, max_size=7), seed=st.integers(0, 99))
def test_the_aggregate_lies_among_the_replies_and_does_not_depend_on_their_order(
    name, models, seed
):
    rng = np.random.default_rng(seed)
    replies = [params(*values) for values in models]
    weights = rng.uniform(0.1, 5, len(models))
    order = rng.permutation(len(models))

    model = aggregate(replies, list(weights), rule(name))["w"]
    turned = aggregate([replies[i] for i in order], list(weights[order]), rule(name))["w"]

    assert (model <= np.max(models, axis=0) + 1e-4).all()
    assert (model >= np.min(models, axis=0) - 1e-4).all()
    distinct = len({tuple(values) for values in models}) == len(models)
    if name not in ("krum", "multi-krum") or (distinct and scores_differ(replies)):
        np.testing.assert_allclose(turned, model, rtol=1e-5, atol=1e-4)


def scores_differ(replies) -> bool:
    """Tell whether Krum's order is the same however the replies are listed."""
    malicious = len(replies) // 5
    found = {
        tuple(order[i] for i in krum_order([replies[i] for i in order], malicious))
        for order in (range(len(replies)), range(len(replies))[::-1])
    }
    return len(found) == 1


@pytest.mark.parametrize("name", ["trimmed-mean", "median"])
def test_equal_replies_give_the_very_same_model_in_every_order(name):
    replies = [params(v, -v) for v in (1.5, 1.5, 2.5, 2.5, 7.0)]

    models = {
        aggregate(list(turned), [1.0] * 5, rule(name))["w"].tobytes()
        for turned in permutations(replies)
    }

    assert len(models) == 1


@given(models=st.lists(VALUES, min_size=1, max_size=7), seed=st.integers(0, 99))
def test_cutting_nothing_off_leaves_the_weighted_mean(models, seed):
    weights = np.random.default_rng(seed).uniform(0.1, 5, len(models)).tolist()
    replies = [params(*values) for values in models]

    cut = aggregate(replies, weights, rule("trimmed-mean", trim=0.0))["w"]

    np.testing.assert_array_equal(cut, weighted_mean(replies, weights)["w"])


@given(pairs=st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 5)), min_size=1, max_size=9))
def test_a_whole_weight_is_so_many_equal_replies(pairs):
    values, weights = [v for v, _ in pairs], [w for _, w in pairs]

    assert merged(rule("median"), values, weights) == np.median(np.repeat(values, weights))


@given(
    values=st.lists(st.integers(-50, 50), min_size=5, max_size=5),
    weights=st.lists(st.integers(1, 5), min_size=4, max_size=4),
)
def test_a_fifth_of_whole_weights_is_so_many_equal_replies(values, weights):
    """The fifth weight makes the sum a multiple of 5, so that a fifth of it is whole."""
    weights = [*weights, 5 + -sum(weights) % 5]

    cut = merged(rule("trimmed-mean", trim=0.2), values, weights)

    assert cut == pytest.approx(trim_mean(np.repeat(values, weights), 0.2), abs=1e-4)


@pytest.mark.parametrize("name", RULES)
def test_only_the_ratio_of_weights_counts(name):
    replies, weights = random_replies(8, 5), np.arange(1.0, 9.0)

    first = aggregate(replies, list(weights), rule(name))
    second = aggregate(replies, list(weights * 1e-6), rule(name))

    for key in first:
        np.testing.assert_allclose(second[key], first[key], rtol=1e-6, atol=1e-7)
