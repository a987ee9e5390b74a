"""A whole federation in one process: the real ServerApp, ClientApp and data, without the engine."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from flwr.serverapp.strategy import Strategy

import client_app
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, FederationError
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.inputs.preparation import prepare, scaler_from_arrays
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.server.session import open_session
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.strategies.registry import default_settings
from dtfl_app.testing.grid import InProcessGrid
from tests.support.methods import WITH_ADAM
from tests.support.runs import Run

ALL = ",".join(WITH_ADAM)
SCALER_BYTES = (43 + 43 + 1) * 8  # mean, scale and clip, float64


@pytest.fixture(scope="module")
def everything(launcher) -> Run:
    """Three rounds of every method with three sites."""
    return launcher.run(strategy=ALL, lpe__low=2, lpe__high=2, dtkd__side="client")


def same_models(first: Run, second: Run, strategy: str, other: str = "") -> bool:
    one, two = first.model(strategy).params, second.model(other or strategy).params
    return one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one)


def timeless(run: Run):
    return [replace(line, seconds=0.0) for line in run.lines_of_all()]


@pytest.mark.parametrize("strategy", WITH_ADAM)
def test_every_method_plays_its_rounds_with_all_sites(everything, strategy):
    lines = everything.lines(strategy)

    assert [line.round for line in lines] == [0, 1, 2, 3]
    assert [(line.sites, line.refused) for line in lines[1:]] == [(3, 0)] * 3
    assert all(np.isfinite(line.loss) and line.site_steps > 0 for line in lines[1:])
    assert all(0 < line.metrics.auc_pr < 1 for line in lines)
    assert all(np.isfinite(line.metrics.threshold) for line in lines)


def test_every_method_begins_with_the_same_model_and_ends_with_another(everything):
    starts = {everything.lines(strategy)[0].metrics.auc_pr for strategy in WITH_ADAM}
    ends = {everything.model(strategy).params["layers.6.bias"].tobytes() for strategy in WITH_ADAM}

    assert len(starts) == 1
    assert len(ends) == len(WITH_ADAM)


@pytest.mark.parametrize("strategy", WITH_ADAM)
def test_flowers_own_loop_ends_in_the_same_model(launcher, everything, strategy):
    config = launcher.config(strategy=strategy, lpe__low=2, lpe__high=2, dtkd__side="client")
    grid = InProcessGrid(3, config)
    session = open_session(grid, RunConfig.from_mapping(config))
    method = session.create(strategy)

    first = to_record(session.first_model(method))
    result = Strategy.start(method, grid, first, num_rounds=3)

    saved = everything.model(strategy).params
    assert {key: array.tobytes() for key, array in to_arrays(result.arrays).items()} == {
        key: array.tobytes() for key, array in saved.items()
    }


def test_the_site_loss_falls(everything):
    losses = [line.loss for line in everything.lines("fedavg")[1:]]

    assert losses == sorted(losses, reverse=True)


def test_bytes_are_those_of_the_arrays_that_were_sent(everything):
    """Counted again from the messages themselves, strategy after strategy."""
    lines = [line for line in everything.lines_of_all() if line.round > 0]
    sent = everything.grid.tasks()
    replies = [m for m in everything.grid.received if m.metadata.message_type == "train"]

    for place, line in enumerate(lines):
        three = slice(3 * place, 3 * place + 3)
        assert line.bytes_down == sum(map(payload, sent[three]))
        assert line.bytes_up == sum(map(payload, replies[three]))


def payload(message) -> int:
    arrays = to_arrays(message.content.array_records["arrays"])
    return sum(array.nbytes for array in arrays.values())


def test_the_scaler_travels_once(everything):
    down = [line.bytes_down for line in everything.lines("fedavg")[1:]]

    whole = 3 * everything.model_bytes()
    assert down == [whole + 3 * SCALER_BYTES, whole, whole]


def test_lpe_uploads_only_the_layers_that_the_twin_does_not_overwrite(everything):
    """lpe.low = 2: layers 3 (4 -> 16) and 4 (16 -> 43), with 16 + 43 biases."""
    up = [line.bytes_up for line in everything.lines("lpe")[1:]]

    assert up == [3 * 4 * (4 * 16 + 16 + 16 * 43 + 43)] * 3
    assert up[0] < everything.lines("fedavg")[1].bytes_up


def test_the_teacher_travels_once(everything):
    """In round 1 DTKD sends one model more to each site than FedAvg, later none."""
    dtkd, fedavg = (
        [line.bytes_down for line in everything.lines(strategy)[1:]]
        for strategy in ("dtkd", "fedavg")
    )

    assert np.subtract(dtkd, fedavg).tolist() == [3 * everything.model_bytes(), 0, 0]


def test_server_steps_are_those_of_the_method(everything):
    """twin.steps = 4, dtml.steps = 2, twin.warm-steps = 10 for the teacher."""
    steps = {name: [line.server_steps for line in everything.lines(name)] for name in WITH_ADAM}

    assert steps == {
        "fedavg": [0, 0, 0, 0],
        "fedprox": [0, 0, 0, 0],
        "fedadam": [0, 0, 0, 0],
        "dtml": [0, 2, 2, 2],
        "fpf": [0, 4, 4, 4],
        "lpe": [0, 4, 4, 4],
        "cwa": [0, 4, 4, 4],
        "dtkd": [10, 0, 0, 0],
        "feddf": [0, 4, 4, 4],
    }


def test_the_config_of_a_run_has_every_setting(everything):
    settings = json.loads((everything.path / "config.json").read_text())["settings"]

    defaults = {**RunConfig.from_mapping({}).to_mapping(), **default_settings()}
    assert settings == {**defaults, **everything.grid.run_config}


def test_the_results_folder_is_complete(everything):
    names = {p.relative_to(everything.path).as_posix() for p in everything.path.rglob("*.*")}

    whole_run = {"config.json", "quality.json", "metrics.jsonl", "summary.json", "curves.png"}
    per_method = {f"models/{name}.safetensors" for name in WITH_ADAM}
    per_method |= {f"alarms/{name}.csv" for name in WITH_ADAM}
    deployed = ("model.onnx", "model.safetensors", "schema.toml", "card.md", "manifest.json")
    per_method |= {f"deploy/{name}/{file}" for name in WITH_ADAM for file in deployed}
    assert whole_run | per_method <= names
    assert not [name for name in names if name.split("/")[-1].startswith(".")]
    summaries = json.loads((everything.path / "summary.json").read_text())
    assert [s["strategy"] for s in summaries] == list(WITH_ADAM)


def test_the_quality_of_each_sites_readings_is_stored(everything):
    quality = json.loads((everything.path / "quality.json").read_text())

    assert sorted(quality) == ["site-01", "site-02", "site-03"]
    assert all(len(channels) == 43 for channels in quality.values())
    assert set(quality["site-01"]["L_T1"]) == {"missing", "frozen", "removed"}


@pytest.mark.parametrize("strategy", ["fedavg", "dtkd"])
def test_a_saved_model_gives_the_scores_and_figures_of_the_run(everything, strategy):
    saved = everything.model(strategy)
    config = RunConfig.from_mapping(everything.grid.run_config)
    dataset = open_dataset(config)
    scaler = scaler_from_arrays(dict(saved.scaler))
    rows = prepare(dataset.load_evaluation(3), scaler, saved.spec.window)
    judge = Evaluator(build_model(saved.spec, 0), rows, config.detector, 3600.0)

    alarms = judge.alarms(saved.params, saved.calibration)

    stored = pd.read_csv(everything.path / "alarms" / f"{strategy}.csv")
    assert len(stored) == 4177
    np.testing.assert_array_equal(stored["score"], alarms["score"])
    np.testing.assert_array_equal(stored["alarm"], alarms["alarm"])
    assert judge(saved.params, saved.calibration) == everything.lines(strategy)[-1].metrics
    assert saved.features == dataset.feature_spec.names(dataset.schema)
    assert saved.schema == dataset.schema.digest()


def test_node_ids_and_the_order_of_replies_do_not_matter(launcher, everything):
    again = launcher.run(
        grid={"ids_seed": 9, "backwards": True},
        strategy=ALL,
        lpe__low=2,
        lpe__high=2,
        dtkd__side="client",
    )

    assert again.grid.get_node_ids() != everything.grid.get_node_ids()
    assert all(same_models(everything, again, strategy) for strategy in WITH_ADAM)
    assert timeless(again) == timeless(everything)


def test_another_seed_gives_another_model(launcher, everything):
    other = launcher.run(strategy="fedavg", seed=1)

    assert not same_models(everything, other, "fedavg")


def test_every_method_at_its_neutral_setting_is_fedavg(launcher):
    """As each Settings docstring says; bit for bit, over three rounds. FedAdam only comes near."""
    exact = [name for name in WITH_ADAM if name != "fedadam"]
    run = launcher.run(
        strategy=ALL,
        fedprox__mu=0.0,
        fedadam__eta=1e6,
        fedadam__tau=1e6,
        fedadam__beta_1=0.0,
        fedadam__beta_2=0.0,
        dtml__lr=0.0,
        fpf__gamma=0.0,
        fpf__temperature=1e20,
        lpe__policy="static",
        lpe__low=0,
        lpe__high=2,
        cwa__schedule="sequential",
        twin__steps=0,
        dtkd__side="client",
        dtkd__lambda=0.0,
    )

    assert {name: same_models(run, run, "fedavg", name) for name in exact} == dict.fromkeys(
        exact, True
    )
    near, mean = (run.model(name).params for name in ("fedadam", "fedavg"))
    assert all(np.allclose(near[key], mean[key], atol=1e-4) for key in mean)


def test_the_run_goes_on_without_a_site_that_always_fails(launcher, everything, caplog):
    run = launcher.run(strategy="fedavg", grid={"failing": {1}})

    assert [(line.sites, line.refused) for line in run.lines("fedavg")[1:]] == [(2, 1)] * 3
    assert caplog.text.count('"site": "site-02", "reason": "site failed: the gateway is on f') == 3
    assert not same_models(run, everything, "fedavg")
    assert (run.path / "summary.json").exists()


def test_a_run_in_which_every_site_fails_fails(launcher):
    with pytest.raises(FederationError, match="round 1: 0 of 3 sites gave a usable reply"):
        launcher.run(strategy="fedavg", grid={"failing": {0, 1, 2}})


def test_a_site_that_restarts_misses_one_round_and_is_back(launcher):
    restarts = []

    def restarting(message, context):
        task = message.content.config_records.get("task", {})
        if task.get("site") == "site-03" and task.get("server-round") == 2 and not restarts:
            restarts.append(1)
            context.state.clear()
        return client_app.app(message, context)

    run = launcher.run(strategy="fedavg", grid={"handler": restarting})

    assert [line.sites for line in run.lines("fedavg")[1:]] == [3, 2, 3]
    assert run.lines("fedavg")[3].bytes_down == 3 * run.model_bytes() + SCALER_BYTES


def test_a_run_stops_with_the_model_that_reached_the_target(launcher):
    """Every model is above 0.1, so the first is kept: that of the seed, untrained."""
    run = launcher.run(strategy="fedavg", stop_at_target=True, target=0.1)

    saved = run.model("fedavg")
    first = get_params(build_model(saved.spec, seed=0))
    assert all(np.array_equal(saved.params[key], first[key]) for key in first)
    assert [line.round for line in run.lines("fedavg")] == [0]
    assert saved.calibration.thresholds(0.005)[0] == run.lines("fedavg")[0].metrics.threshold
    assert json.loads((run.path / "summary.json").read_text())[0]["rounds_to_target"] == 0


def test_partial_participation_draws_and_pays_for_a_part_of_the_sites(launcher):
    """Two of four sites a round; who takes part for the first time is sent the scaler too."""
    run = launcher.run(sites=4, strategy="fedavg", round__fraction=0.5, rounds=4)
    again = launcher.run(
        sites=4,
        strategy="fedavg",
        round__fraction=0.5,
        rounds=4,
        grid={"ids_seed": 3, "backwards": True},
    )

    lines = run.lines("fedavg")[1:]
    sites = [run.grid.partition(message) for message in run.grid.tasks()]
    news = [len(set(sites[: 2 * r]) - set(sites[: 2 * r - 2])) for r in range(1, 5)]
    assert [line.sites for line in lines] == [2] * 4
    assert [line.bytes_up for line in lines] == [2 * run.model_bytes()] * 4
    assert [line.bytes_down - 2 * run.model_bytes() for line in lines] == [
        new * SCALER_BYTES for new in news
    ]
    assert len({tuple(sites[i : i + 2]) for i in range(0, 8, 2)}) > 1
    assert same_models(run, again, "fedavg")


def test_a_warm_start_is_paid_for_at_the_server_and_shared_by_all_methods(launcher, everything):
    run = launcher.run(strategy="fedavg,cwa", twin__warm_start=True, rounds=1)

    assert [run.lines(name)[0].server_steps for name in ("fedavg", "cwa")] == [10, 10]
    warm = {run.lines(name)[0].metrics.auc_pr for name in ("fedavg", "cwa")}
    assert len(warm) == 1
    assert warm != {everything.lines("fedavg")[0].metrics.auc_pr}


def test_a_warm_start_without_a_twin_is_refused(launcher):
    with pytest.raises(ConfigError, match=r"twin\.warm-start needs a twin"):
        launcher.run(strategy="fedavg", twin__kind="none", twin__warm_start=True)


def test_fedavg_runs_without_a_twin_and_gives_the_same_model(launcher, everything):
    run = launcher.run(strategy="fedavg", twin__kind="none")

    assert same_models(run, everything, "fedavg")


def test_a_method_that_needs_a_twin_is_refused_without_one(launcher):
    with pytest.raises(ConfigError, match="strategy 'cwa' needs a digital twin"):
        launcher.run(strategy="cwa", twin__kind="none")


def test_windows_of_several_steps_go_all_the_way(launcher):
    run = launcher.run(strategy="cwa", detector__window=3)

    saved = run.model("cwa")
    assert saved.params["layers.0.weight"].shape == (16, 3 * 43)
    assert saved.spec.window == 3
    assert len(run.lines("cwa")) == 4


@pytest.mark.parametrize("kd_side", ["client", "server"])
def test_a_classifier_goes_all_the_way(launcher, kd_side):
    """The sites know normal hours only; what is abnormal they learn from the twin."""
    run = launcher.run(
        strategy="cwa,dtkd,lpe",
        detector__model="classifier",
        dtkd__side=kd_side,
        lpe__low=2,
        lpe__high=2,
    )

    assert run.model("cwa").params["layers.4.weight"].shape == (1, 4)
    for strategy in ("cwa", "dtkd", "lpe"):
        assert [line.sites for line in run.lines(strategy)[1:]] == [3, 3, 3]
        assert np.isfinite(run.lines(strategy)[-1].metrics.roc_auc)


def test_a_teacher_in_8_bits_takes_a_quarter_of_the_bytes(launcher, everything):
    run = launcher.run(strategy="dtkd", dtkd__side="client", dtkd__precision="int8")

    extra = run.lines("dtkd")[1].bytes_down - everything.lines("fedavg")[1].bytes_down
    scales = 8 * 4
    assert extra == 3 * (run.model_bytes() // 4 + scales)


def test_a_teacher_at_the_server_costs_no_bytes(launcher, everything):
    run = launcher.run(strategy="dtkd", dtkd__side="server")

    assert [line.bytes_down for line in run.lines("dtkd")] == [
        line.bytes_down for line in everything.lines("fedavg")
    ]
    assert [line.server_steps for line in run.lines("dtkd")] == [10, 4, 4, 4]


def test_adaptive_exchange_uploads_nothing_at_first_and_in_the_end_what_static_does(launcher):
    """At a stall share of 1 every fall is a stall; the first is known when two scores are in."""
    run = launcher.run(
        strategy="lpe", lpe__policy="adaptive", lpe__stall=1.0, lpe__low=2, lpe__high=2, rounds=5
    )

    last, third = 3 * 4 * (16 * 43 + 43), 3 * 4 * (4 * 16 + 16)
    up = [line.bytes_up for line in run.lines("lpe")[1:]]
    assert up == [0, 0, last, last + third, last + third]


def test_layers_that_did_not_change_are_not_sent_again(launcher):
    """Without twin steps the layers from the twin stay as they were, and LPE's sites keep them."""
    run = launcher.run(strategy="lpe", twin__steps=0, lpe__policy="static", lpe__low=2, lpe__high=2)

    down = [line.bytes_down for line in run.lines("lpe")[1:]]
    upper = 3 * 4 * (4 * 16 + 16 + 16 * 43 + 43)
    assert down == [3 * (run.model_bytes() + SCALER_BYTES), upper, upper]


def test_sites_of_unequal_size_weigh_by_their_rows_when_asked_to(launcher):
    uneven = {"strategy": "fedavg", "data.partition": "dirichlet", "rounds": 1}

    by_site, by_rows = (
        launcher.run(round__weighting=weighting, **uneven) for weighting in ("uniform", "examples")
    )

    assert not same_models(by_site, by_rows, "fedavg")


def test_the_plants_own_twin_takes_part(launcher):
    """Two simulated scenarios of two days each instead of the recording."""
    run = launcher.run(
        strategy="cwa",
        twin__kind="auto",
        twin__recording="",
        twin__scenarios=2,
        twin__hours=48,
        rounds=1,
    )

    assert run.lines("cwa")[1].server_steps == 4


def test_a_run_is_not_written_over(launcher, everything):
    with pytest.raises(ConfigError, match="already holds a run; choose another run-name"):
        launcher.run(strategy="fedavg", run_name=everything.path.name)
