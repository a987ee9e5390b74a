"""Physical evidence from features: whose plant, which kinds, what is refused."""

import numpy as np
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.inputs.physics import open_physics
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.sites.features import concat, make_features
from tests.support.settings import keyed
from twin.base import Event, Scenario
from twin.ctown.defaults import default_plant
from twin.ctown.residuals import DMAS, SLOTS, STATIONS, plc_contradiction
from twin.ctown.scada import LINKS, SCADA
from twin.ctown.simulate import CTownTwin


def physics_of(**settings):
    config = RunConfig.from_mapping(keyed(**settings))
    dataset = open_dataset(config)
    return open_physics(config, dataset), dataset


def week(plant, name, *events):
    series = CTownTwin(plant).simulate(Scenario(name, 168, 3, events))
    return series, make_features(
        series, SCADA, open_dataset(RunConfig.from_mapping({})).feature_spec
    )


def test_without_physical_kinds_there_is_no_physics():
    assert physics_of(detector__evidence="instant,smoothed")[0] is None


def test_evidence_is_that_of_the_twins_functions(tmp_path):
    physics, dataset = physics_of(detector__evidence="plc,smoothed", cache_dir=str(tmp_path))
    plant = dataset.plant(1)
    series, features = week(plant, "plant-02/normal", Event("forced_pump", "PU3", 60, 40))

    found = physics.evidence(features, None)

    assert list(found) == ["plc"]
    direct = plc_contradiction(series, plant)
    # features are float32: a level of 5 m is known to a micrometre
    np.testing.assert_allclose(found["plc"], direct, atol=1e-5)
    assert found["plc"][70:95, LINKS.index("PU3")].min() >= 1.0


def test_each_plant_is_held_to_its_own_set_points(tmp_path):
    """Two plants whose set-points differ: joined or apart, the evidence is the same."""
    physics, dataset = physics_of(
        detector__evidence="plc,pump", cache_dir=str(tmp_path), plants__gap=1.0
    )
    parts = [week(dataset.plant(i), f"plant-0{i + 1}/normal")[1] for i in (0, 1)]

    joined = physics.evidence(concat(parts), None)

    apart = [physics.evidence(part, None) for part in parts]
    for kind in ("plc", "pump"):
        expected = np.concatenate([part[kind] for part in apart])
        np.testing.assert_array_equal(joined[kind], expected)
    strange = physics.evidence(week(dataset.plant(0), "plant-02/normal")[1], None)
    assert strange["plc"].sum() > apart[0]["plc"].sum()


def test_demands_of_several_weeks_add_up():
    physics, _ = physics_of(detector__evidence="balance")
    features = week(default_plant(), "plant-01/normal")[1]

    once, twice = physics.demand_sums(features), physics.demand_sums(concat([features, features]))

    assert physics.needs_demand
    assert once.count.sum() == len(DMAS) * (SLOTS - 1)  # the first row has no hour before it
    np.testing.assert_allclose(twice.total, 2 * once.total)


def test_no_rows_give_no_evidence():
    physics, _ = physics_of(detector__evidence="plc,pump,balance")
    nothing = week(default_plant(), "plant-01/normal")[1].take(np.zeros(168, bool))

    found = physics.evidence(nothing, np.ones((len(DMAS), SLOTS)))

    assert {name: part.shape for name, part in found.items()} == {
        "plc": (0, len(LINKS)),
        "pump": (0, len(STATIONS)),
        "balance": (0, len(DMAS)),
    }


@pytest.mark.parametrize(
    "settings", [{"dataset": "threew"}, {"dataset": "plants", "features.window-s": 7200}]
)
def test_other_data_than_hourly_c_town_readings_is_refused(settings, data_dir):
    config = RunConfig.from_mapping(
        {"detector.evidence": "plc", "data.dir": str(data_dir), **settings}
    )

    with pytest.raises(ConfigError, match="needs hourly readings of a C-Town plant"):
        open_physics(config, open_dataset(config))


def test_demands_of_a_plant_lie_in_what_its_readings_can_amount_to(tmp_path):
    """A week of plant 2, attacked: every hour's demand, and the range of 5 districts."""
    physics, dataset = physics_of(detector__evidence="balance", cache_dir=str(tmp_path))
    _, features = week(dataset.plant(1), "plant-02/normal", Event("forced_pump", "PU3", 60, 40))

    least, most = physics.demand_range("plant-02", SCADA)
    sums = physics.demand_sums(features)

    mean = sums.total.sum(axis=1) / sums.count.sum(axis=1)
    assert (sums.total >= least[:, None] * sums.count).all()
    assert (sums.total <= most[:, None] * sums.count).all()
    assert (most < 100 * mean).all()


@pytest.mark.parametrize(
    "name", ["plant-0", "plant-1", "plant-00", "plant-x", "east", "", "plant-²"]
)
def test_a_plant_that_nobody_knows_is_refused(tmp_path, name):
    physics, _ = physics_of(detector__evidence="balance", cache_dir=str(tmp_path))

    with pytest.raises(DataError, match="no plant is called"):
        physics.demand_range(name, SCADA)
