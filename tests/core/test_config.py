"""Run config: one typed object, or one clear error before any site is asked anything."""

from dataclasses import fields

import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import keys_of
from dtfl_app.server.session import open_session
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.strategies.registry import default_settings
from dtfl_app.testing.grid import InProcessGrid

# For each key with a range or choices: values that are just not allowed.
OUT_OF_RANGE = {
    "rounds": [0],
    "target": [0.0, 1.01],
    "round.fraction": [0.0, 1.5],
    "round.weighting": ["median"],
    "join-timeout": [-1.0],
    "round.timeout": [0.0],
    "seed": [-1],
    "device": ["tpu"],
    "sites": [-1],
    "data.partition": ["by-mood"],
    "data.dirichlet-alpha": [0.0],
    "data.protocol": ["leaky"],
    "data.seed": [-1],
    "data.calibration-share": [0.0, 0.95],
    "plants.gap": [-0.1],
    "data.clip": [0.0],
    "detector.window": [0],
    "detector.hidden": [0],
    "detector.latent": [0],
    "detector.smoothing": [0],
    "detector.false-alarm-rate": [0.0, 0.6],
    "train.epochs": [0],
    "train.lr": [0.0, -0.1],
    "train.optimizer": ["adamw"],
    "train.momentum": [-0.1, 1.0],
    "train.batch-size": [0],
    "twin.scenarios": [0],
    "twin.threshold-factor": [0.0],
    "twin.steps": [-1],
    "twin.lr": [0.0],
    "twin.warm-steps": [0],
    "twin.workers": [-1],
}


def refusal(**settings) -> str:
    """Why a run with these settings is not begun; no site was asked anything."""
    grid = InProcessGrid(2)
    with pytest.raises(ConfigError) as caught:
        open_session(grid, RunConfig.from_mapping(settings))
    assert grid.sent == []
    return str(caught.value)


def test_everything_has_a_default():
    config = RunConfig.from_mapping({})

    assert config.extra == {}
    assert RunConfig.from_mapping(config.to_mapping()) == config


def test_values_reach_their_section():
    config = RunConfig.from_mapping(
        {"rounds": 7, "dataset": "batadal", "detector.window": 3, "train.lr": 0.5, "twin.lr": 0.25}
    )

    assert (config.run.rounds, config.run.dataset, config.detector.window) == (7, "batadal", 3)
    assert (config.train.lr, config.twin.lr) == (0.5, 0.25)


def test_keys_of_strategies_are_kept_for_them():
    config = RunConfig.from_mapping({"fpf.gamma": 0.25})

    assert config.extra == {"fpf.gamma": 0.25}
    assert config.to_mapping()["fpf.gamma"] == 0.25


def test_no_key_occurs_in_two_sections():
    config = RunConfig.from_mapping({})
    keys = [k for f in fields(config)[:-1] for k in keys_of(type(getattr(config, f.name)))]

    assert len(keys) == len(set(keys)) == len(config.to_mapping())


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in OUT_OF_RANGE.items() for value in values]
)
def test_a_value_out_of_range_is_refused(key, value):
    with pytest.raises(ConfigError, match=f"run config: {key} = .*; expected "):
        RunConfig.from_mapping({key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [("rounds", "30"), ("rounds", 3.0), ("target", "0.8"), ("stop-at-target", 1), ("dataset", 3)],
)
def test_a_value_of_another_type_is_refused(key, value):
    with pytest.raises(ConfigError, match=f"run config: {key} = .* is .*, expected "):
        RunConfig.from_mapping({key: value})


def test_momentum_is_refused_where_adam_would_not_use_it():
    assert "momentum = 0.9 is sgd's alone and train.optimizer is adam" in refusal(
        **{"train.momentum": 0.9}
    )


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("round", "rounds"), ("twin-step", "twin.steps"), ("kd-lamda", "dtkd.lambda"), ("LR", None)],
)
def test_an_unknown_key_is_refused_with_the_nearest_of_all_keys(wrong, meant):
    hint = f"did you mean '{meant}'" if meant else "see docs/settings.md"

    assert f"unknown key '{wrong}'; {hint}" in refusal(**{wrong: 1})


def test_an_unknown_dataset_is_refused_with_those_there_are():
    message = refusal(dataset="batdal")

    assert "dataset = 'batdal' is unknown; expected one of" in message
    assert all(name in message for name in ("batadal", "plants", "threew"))


def test_an_unknown_strategy_is_refused_with_those_there_are():
    message = refusal(strategy="reptile")

    assert "strategy = 'reptile' is unknown" in message
    assert all(name in message for name in ("cwa", "dtkd", "dtml", "fedavg", "fpf", "lpe"))


def test_families_that_no_protocol_asks_for_are_refused():
    assert "unseen-families = 'leak' has no part in data.protocol" in refusal(
        **{"data.unseen-families": "leak"}
    )


def test_what_a_name_stands_for_is_of_the_kind_that_its_key_asks_for():
    strange = "json:JSONDecoder"
    found = {
        key: refusal(**{key: strange})
        for key in ("strategy", "dataset", "twin.kind", "trust.aggregation")
    }

    for key, message in found.items():
        assert f"{key} = {strange!r} is <class 'json.decoder.JSONDecoder'>, not a" in message


def test_a_name_of_no_twin_or_rule_is_refused_with_those_there_are():
    known = "expected one of ctown, epanet, fmi, function, recorded, or auto, none"
    assert f"twin.kind = 'matlab' is unknown; {known}" in refusal(**{"twin.kind": "matlab"})
    assert "'average' is unknown; expected one of krum, mean, median, multi-krum, trimmed" in (
        refusal(**{"trust.aggregation": "average"})
    )


def test_options_of_what_has_none_are_refused():
    assert "dataset-options: unknown option 'speed'; there is none" in refusal(
        **{"dataset-options": "speed=3"}
    )
    assert "twin.options = 'speed=3', but the twin 'ctown' has none" in refusal(
        **{"twin.options": "speed=3"}
    )
    assert "but this run has no twin" in refusal(**{"twin.options": "a=1", "twin.kind": "none"})
    assert "'krum' has none but trust.trim and trust.malicious" in refusal(
        **{"trust.options": "f=3", "trust.aggregation": "krum"}
    )


def test_settings_of_the_data_are_refused_by_the_data_set(tmp_path):
    config = RunConfig.from_mapping(
        {"dataset": "batadal", "data.protocol": "leave-one-site-out", "data.dir": str(tmp_path)}
    )

    with pytest.raises(ConfigError, match="batadal: protocol 'leave-one-site-out'"):
        open_dataset(config)


def test_the_data_set_has_its_own_feature_window_until_told_otherwise(tmp_path):
    data = {"dataset": "batadal", "data.dir": str(tmp_path)}

    own, told = (
        open_dataset(RunConfig.from_mapping({**data, **more})).feature_spec
        for more in ({}, {"features.window-s": 7200, "features.step-s": 10800})
    )

    assert (own.window_s, own.step_s) == (3600, 3600)
    assert (told.window_s, told.step_s) == (7200, 10800)


def test_every_setting_of_the_data_reaches_the_data_set(tmp_path):
    config = RunConfig.from_mapping(
        {
            "dataset": "batadal",
            "data.dir": str(tmp_path),
            "data.partition": "dirichlet",
            "data.dirichlet-alpha": 0.125,
            "data.seed": 4,
            "data.calibration-share": 0.25,
            "data.known-attacks": 2,
        }
    )

    made = open_dataset(config)

    assert (made.partition, made.dirichlet_alpha, made.seed) == ("dirichlet", 0.125, 4)
    assert (made.calibration_share, made.known_attacks) == (0.25, 2)
    assert made.data_dir == tmp_path


@pytest.mark.parametrize("dataset", ["plants", "threew"])
def test_sites_that_are_what_they_are_take_no_partition(dataset):
    message = refusal(dataset=dataset, **{"data.partition": "dirichlet"})

    assert f"partition = 'dirichlet', but the sites of {dataset} are what they are" in message


def test_every_strategy_key_is_apart_from_the_apps():
    assert not set(default_settings()) & set(RunConfig.from_mapping({}).to_mapping())


@pytest.mark.parametrize(
    ("quorum", "sites", "needed"), [(0.5, 3, 2), (0.7, 10, 7), (0.0, 4, 1), (1.0, 5, 5)]
)
def test_a_quorum_is_the_next_whole_number_of_sites_and_no_rounding_error_more(
    quorum, sites, needed
):
    """0.7 * 10 is 7.000000000000001 in binary."""
    config = RunConfig.from_mapping({"round.quorum": quorum})

    assert config.round.needed(sites) == needed
