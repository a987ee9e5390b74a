"""What one site does, through the real ClientApp, with every number checked from outside."""

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

import client_app
from dtfl_app.client import site as own_site
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, ReplyError, SiteError
from dtfl_app.core.settings import to_mapping
from dtfl_app.detector.calibration import sketch_scores
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params, set_params
from dtfl_app.inputs.preparation import prepare, scaler_to_arrays
from dtfl_app.messages.admission import admit, admit_calibration
from dtfl_app.messages.profile import profile_query
from dtfl_app.messages.quantise import quantise
from dtfl_app.messages.training import Expected, ProximalTerm, TeacherTerm, TrainingTask
from dtfl_app.messages.wire import Ledger, prefixed, to_arrays
from dtfl_app.sites.scaling import ChannelSums, Scaler
from dtfl_app.testing.grid import identify
from tests.support.one_site import SCALER, SETTINGS, SPEC, START, admitted, ask, node
from tests.support.small_dataset import SmallDataset


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[key], second[key]) for key in first
    )


def calibration_scores(dataset, params, place: int = 0) -> np.ndarray:
    model = build_model(SPEC, seed=0)
    set_params(model, params)
    rows = prepare(dataset.load_site(place, 2).features_cal, SCALER, window=1)
    return rows.score(model, smoothing=3).total


def test_a_site_says_who_it_is_and_what_its_channels_are_like(dataset):
    identify()
    message = Message(RecordDict({}), message_type="query.profile", dst_node_id=7)

    content = client_app.app(message, node(place=1)).content

    site = dataset.load_site(1, 2)
    moments = ChannelSums.of(site.features_train.values)
    identity = content.config_records["identity"]
    assert dict(identity) == {"site": "site-1", "schema": dataset.schema.digest()}
    arrays = to_arrays(content.array_records["arrays"])
    np.testing.assert_array_equal(arrays["mean"], moments.mean)
    np.testing.assert_array_equal(arrays["m2"], moments.m2)
    assert arrays["n"].tolist() == [80, 80]


def test_what_leaves_a_site_is_no_longer_than_a_model_and_a_sketch(dataset):
    """No array of the reply has a row per time step, and no metric but the sketch is a list."""
    content = ask(node()).content

    arrays = content.array_records["arrays"]
    metrics = content.metric_records["metrics"]
    shapes = {f"model/{k}": v.shape for k, v in START.items()}
    assert {k: v.shape for k, v in arrays.items()} == shapes
    assert {k for k, v in metrics.items() if isinstance(v, list)} == {
        "calibration-counts",
        "calibration-scores",
    }


def test_a_training_reply_is_what_the_server_admits(dataset):
    """80 rows in batches of 16 are 5 steps a pass, 10 in two."""
    reply = admitted(ask(node()))

    assert (reply.examples, reply.steps) == (80, 10)
    assert 0 < reply.loss < 10
    assert not same(reply.params, START)


def test_a_site_scores_the_model_it_received_and_not_the_one_it_trained(dataset):
    reply = admitted(ask(node()))

    expected = sketch_scores(calibration_scores(dataset, START))
    assert reply.sketches[0].count == expected.count == 20
    np.testing.assert_allclose(reply.sketches[0].values, expected.values, rtol=1e-12)
    trained = sketch_scores(calibration_scores(dataset, reply.params))
    assert not np.allclose(reply.sketches[0].values, trained.values)


def test_the_closing_query_scores_the_same_rows(dataset):
    (sketch,) = admit_calibration(ask(node(), closing=True), kinds=1).sketches

    expected = sketch_scores(calibration_scores(dataset, START))
    np.testing.assert_allclose(sketch.values, expected.values, rtol=1e-12)


def test_a_site_trains_alike_whatever_its_node_is_called(dataset):
    first, again = (admitted(ask(node(node_id=i))) for i in (7, 8))

    assert same(first.params, again.params)


def test_rounds_sites_and_seeds_draw_other_batches(dataset):
    base = admitted(ask(node())).params
    others = [
        admitted(ask(node(), server_round=2), server_round=2),
        admitted(ask(node(seed=6))),
        admitted(ask(node(place=1)), place=1),
    ]

    assert not any(same(base, other.params) for other in others)


def test_only_the_wanted_layers_are_returned(dataset):
    wanted = tuple(START)[4:]

    whole = admitted(ask(node()))
    part = admitted(ask(node(), upload=wanted), start={key: START[key] for key in wanted})

    assert tuple(part.params) == wanted
    assert same(part.params, {key: whole.params[key] for key in wanted})


def test_an_upload_as_changes_is_the_trained_model_up_to_rounding(dataset):
    """Half a step of a change of at most d is d / 254; the site keeps what is missing."""
    context = node()
    shapes = {key: value.shape for key, value in START.items()}

    exact = admitted(ask(node())).params
    reply = admit(ask(context, tag="cwa/1"), Expected("site-0", 1, shapes, START))

    lost = to_arrays(context.state.array_records["upload-errors"])
    for key, value in exact.items():
        half_step = np.abs(value - START[key]).max() / 254
        assert np.abs(reply.params[key] - value).max() <= half_step * 1.001 + 1e-7
        np.testing.assert_allclose(reply.params[key] + lost[key], value, atol=1e-6)
    assert not same(reply.params, exact)
    assert reply.payload == sum(value.size + 4 for value in START.values())


def test_without_weight_a_teacher_changes_nothing(dataset):
    teacher = prefixed("teacher", get_params(build_model(SPEC, seed=9)))
    off = to_mapping(TeacherTerm(0.0, 2.0))

    plain, taught = admitted(ask(node())), admitted(ask(node(), extra=teacher, settings=off))

    assert same(plain.params, taught.params)


def test_a_teacher_pulls_a_site_towards_its_own_outputs(dataset):
    """With full weight the loss is half the mean squared distance to the teacher's outputs."""
    params = get_params(build_model(SPEC, seed=9))
    teacher = prefixed("teacher", params)
    full = to_mapping(TeacherTerm(1.0, 1.0))

    taught = admitted(ask(node(train__epochs=40), extra=teacher, settings=full))

    rows = prepare(dataset.load_site(0, 2).features_train, SCALER, 1).x
    before, after = (distance(p, params, rows) for p in (START, taught.params))
    assert after < 0.1 * before


def test_a_teacher_in_8_bits_is_unpacked(dataset):
    params = get_params(build_model(SPEC, seed=9))
    told = to_mapping(TeacherTerm(0.5, 1.0))

    exact, rounded = (
        admitted(ask(node(), extra=prefixed("teacher", teacher), settings=told)).params
        for teacher in (params, quantise(params))
    )

    assert not same(exact, rounded)
    assert all(np.allclose(exact[key], rounded[key], atol=0.01) for key in exact)


def test_a_pull_towards_the_global_model_keeps_a_site_nearer(dataset):
    pulls = [to_mapping(ProximalTerm(mu)) for mu in (0.0, 100.0)]

    free, held = (admitted(ask(node(), settings=pull)).params for pull in pulls)

    assert move(held) < move(free)


def test_a_site_that_lost_what_it_held_refuses_the_task(dataset):
    identify()
    context, ledger = node(), Ledger()
    arrays = {**prefixed("model", START), **prefixed("scaler", scaler_to_arrays(SCALER))}
    kept = [name for name in arrays if name.startswith("scaler/")]
    ledger.pack(7, arrays, kept)
    message = TrainingTask("site-0", 2, "", tuple(START)).pack(7, ledger.pack(7, arrays, kept))

    with pytest.raises(ReplyError, match="this site's state was lost"):
        client_app.app(message, context)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"detector__model": "nowhere:Mine"},
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
        ),
        (
            {"detector__options": "depth=3"},
            "detector.options: unknown option 'depth'; there is none",
        ),
    ],
)
def test_a_site_refuses_a_detector_that_it_cannot_have(dataset, settings, text):
    identify()
    message = Message(RecordDict({}), message_type="query.profile", dst_node_id=7)

    with pytest.raises(ConfigError, match=text):
        client_app.app(message, node(**settings))


def test_a_site_whose_scores_are_no_numbers_says_so(dataset):
    """Weights of 1e38 are finite, and their products are not."""
    wild = {key: np.full_like(value, 1e38) for key, value in START.items()}

    with pytest.raises(SiteError, match="calibration scores \\(smoothed\\) are not numbers"):
        ask(node(), start=wild)


@pytest.mark.parametrize("place", [{}, {"partition-id": 0}, {"num-partitions": 2}])
def test_a_node_that_does_not_know_its_place_says_what_is_missing(dataset, place):
    context = Context(1, 7, place, RecordDict(), SETTINGS)

    with pytest.raises(ConfigError, match=r"node config: partition-id = .*num-partitions = "):
        own_site.open_site(context)


def test_a_site_is_read_once_for_many_tasks(dataset, monkeypatch):
    loads = []
    load = SmallDataset.load_site
    monkeypatch.setattr(
        SmallDataset, "load_site", lambda self, i, k: loads.append(i) or load(self, i, k)
    )
    context = node()

    for _ in range(3):
        ask(context)

    assert loads == [0]


def test_another_scaling_is_applied_to_the_rows_already_read(dataset):
    site = own_site.Site(RunConfig.from_mapping(SETTINGS), dataset.load_site(0, 2), None)
    scaling, doubled = (
        prefixed("scaler", scaler_to_arrays(Scaler(SCALER.mean, SCALER.scale * factor, clip=10.0)))
        for factor in (1, 2)
    )
    first, _ = site.prepared(scaling)
    other, _ = site.prepared(doubled)

    np.testing.assert_allclose(other.x * 2, first.x, rtol=1e-6)
    assert site.prepared(doubled)[0] is other


def distance(first, second, rows) -> float:
    return float(((forward(first, rows) - forward(second, rows)) ** 2).mean())


def forward(params, x: np.ndarray) -> np.ndarray:
    for layer in (0, 2, 4, 6):
        x = x @ params[f"layers.{layer}.weight"].T + params[f"layers.{layer}.bias"]
        x = x if layer == 6 else np.maximum(x, 0)
    return x


def move(params) -> float:
    return float(sum(((params[key] - START[key]) ** 2).sum() for key in START))


def test_a_site_refuses_a_run_that_its_policy_does_not_allow(dataset, tmp_path):
    identify()
    policy = tmp_path / "policy.toml"
    policy.write_text('strategies = ["lpe"]\n')
    context = node(strategy="cwa")
    context.node_config["policy"] = str(policy)

    with pytest.raises(ConfigError, match="policy refuses this run: strategy = cwa, allowed: lpe"):
        client_app.app(profile_query(7), context)
