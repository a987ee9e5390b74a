"""Simulated plants as sites."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.features import Features
from dtfl_app.sites.plants import PlantsDataset, vary_plant
from twin.ctown.defaults import default_plant

K = 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PlantsDataset:
    dataset = PlantsDataset(tmp_path_factory.mktemp("cache"), days=8, workers=2)
    dataset.prepare(K, lambda done, total: None)
    return dataset


@pytest.fixture(scope="module")
def evaluation(dataset: PlantsDataset) -> Features:
    return dataset.load_evaluation(K)


def test_a_site_holds_its_days_of_normal_operation_and_nothing_else(dataset):
    site = dataset.load_site(0, K)

    assert len(site.features_train) + len(site.features_cal) == 8 * 24
    assert not site.features_train.label.any()
    assert site.features_cal.time.min() > site.features_train.time.max()


def test_evaluation_holds_three_attacks_per_plant_each_an_event_of_its_own(evaluation):
    events = set(evaluation.event) - {""}

    assert len(evaluation) == K * 504
    for plant in ("plant-01", "plant-02"):
        assert sum(event.startswith(plant) for event in events) == 3
    assert np.array_equal(evaluation.label == 1, evaluation.event != "")


def test_plants_differ_from_each_other_and_from_the_twin(dataset):
    first, second, nominal = dataset.plant(0), dataset.plant(1), default_plant()

    assert first != second
    assert first.demands["DMA1"].mean_lps != nominal.demands["DMA1"].mean_lps


def test_without_a_gap_only_the_randomness_of_demands_differs():
    plant = vary_plant(default_plant(), 0.0, np.random.default_rng(0))

    nominal = default_plant()
    assert plant.setpoints == dict(nominal.setpoints)
    assert plant.pump_curves == dict(nominal.pump_curves)
    for name, demand in plant.demands.items():
        assert demand.mean_lps == pytest.approx(nominal.demands[name].mean_lps, rel=1e-12)
        assert demand.pattern == pytest.approx(nominal.demands[name].pattern, rel=1e-12)


def test_a_wider_gap_is_a_wider_distance(dataset, tmp_path):
    wide = PlantsDataset(tmp_path, days=8, gap=2.0, workers=2)
    wide.prepare(K, lambda done, total: None)

    def distance(text: str) -> float:
        return float(text.split("twin ")[1].split(" ", maxsplit=1)[0])

    assert distance(wide.describe(K)) > distance(dataset.describe(K))


def test_a_second_load_reads_the_cache(dataset, monkeypatch):
    before = {path.name: path.stat().st_mtime_ns for path in Path(dataset.cache).iterdir()}

    dataset.prepare(K, lambda done, total: pytest.fail("simulated again"))
    dataset.load_site(1, K)

    after = {path.name: path.stat().st_mtime_ns for path in Path(dataset.cache).iterdir()}
    assert {name: after[name] for name in before} == before


def test_a_held_out_plant_is_judged_and_takes_no_part(tmp_path):
    """Two sites of three plants: the one in the middle is simulated beside them."""
    left_out = PlantsDataset(
        tmp_path, days=7, workers=2, protocol="leave-one-site-out", held_out="plant-02"
    )
    left_out.prepare(2, lambda done, total: None)

    evaluation = left_out.load_evaluation(2)
    sites = [left_out.load_site(index, 2) for index in range(2)]

    assert left_out.sites(2) == [site.name for site in sites] == ["plant-01", "plant-03"]
    assert set(evaluation.instance) == {"plant-02/attacked"}
    assert len(evaluation) == 504
    held = {name.split("/")[0] for site in sites for name in site.features_train.instance}
    assert held == {"plant-01", "plant-03"}
    assert "judged on plant-02, which takes no part" in left_out.describe(2)


def test_a_plant_is_the_same_whether_others_are_held_out_or_not():
    everyone, left_out = (
        PlantsDataset(Path(), protocol=protocol)
        for protocol in ("unseen-events", "leave-one-site-out")
    )

    assert left_out.sites(3) == everyone.sites(3) == ["plant-01", "plant-02", "plant-03"]
    assert left_out.plant(1) == everyone.plant(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"held_out": "plant-04"},
            r"'plant-04'; with 2 sites expected one of .*'plant-03'\]",
        ),
        ({"held_out": "WELL-00009"}, r"'WELL-00009'; with 2 sites expected one of"),
    ],
)
def test_a_held_out_plant_that_is_not_there_is_a_clear_error(options, message):
    with pytest.raises(ConfigError, match=message):
        PlantsDataset(Path(), protocol="leave-one-site-out", **options).sites(2)


def test_no_plant_is_held_out_where_all_take_part():
    with pytest.raises(ConfigError, match=r"'plant-01' with protocol 'unseen-events'; every plant"):
        PlantsDataset(Path(), held_out="plant-01")


def test_with_unseen_families_sites_and_evaluation_are_those_of_unseen_attacks(dataset, evaluation):
    apart = replace(dataset, protocol="unseen-families")

    assert np.array_equal(apart.load_evaluation(K).values, evaluation.values)
    assert apart.sites(K) == dataset.sites(K)


def test_an_unknown_protocol_and_too_many_plants_are_clear_errors(dataset):
    with pytest.raises(ConfigError, match="protocol 'pooled'"):
        PlantsDataset(Path(), protocol="pooled")
    with pytest.raises(DataError, match="101 sites; expected 1 to 100"):
        dataset.sites(101)
    with pytest.raises(DataError, match="100 sites; expected 1 to 99"):
        replace(dataset, protocol="leave-one-site-out").sites(100)
