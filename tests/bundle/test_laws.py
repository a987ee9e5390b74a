"""A plant's laws row by row are those on whole recordings."""

import json

import numpy as np
import pandas as pd
import pytest

from dtfl_app.bundle.laws import LawStream, Physics
from dtfl_app.core.errors import ConfigError, TwinError
from dtfl_app.core.evidence import KINDS, laws_among
from dtfl_app.sites.batadal import read_batadal
from twin.ctown.channels import SCADA
from twin.ctown.defaults import default_plant
from twin.ctown.laws import PlantLaws
from twin.ctown.residuals import demand_sums

PLANT = default_plant()
LAWS = laws_among(KINDS.values())


@pytest.fixture(scope="module")
def scada(dataset04):
    """Thirty days with attacks; one cell in fifty is empty, a day missing, a row late."""
    rng = np.random.default_rng(2)
    rows = read_batadal(dataset04).iloc[1700:2420].reset_index(drop=True)
    for name in SCADA.names:
        rows.loc[rng.random(len(rows)) < 0.02, name] = np.nan
    rows = rows.drop(index=range(300, 324)).reset_index(drop=True)
    rows.loc[500, "time"] += pd.Timedelta(minutes=20)
    return rows


@pytest.fixture(scope="module")
def expected(scada):
    return demand_sums(scada, PLANT).mean()


def stream(expected) -> LawStream:
    laws = PlantLaws.from_mapping(json.loads(json.dumps(PlantLaws.of(PLANT).to_mapping())))
    return LawStream(laws, expected, LAWS, SCADA.names)


def rows_of(scada):
    times = scada["time"].to_numpy("datetime64[ns]").astype(np.int64)
    return list(zip(times.tolist(), scada[SCADA.names].to_numpy(np.float64), strict=True))


def test_each_law_finds_what_it_finds_in_the_whole_recording(scada, expected):
    laws = stream(expected)

    found = [laws.step(time, row) for time, row in rows_of(scada)]

    for law in LAWS:
        wanted = law.on_recording(scada, PLANT, expected)
        sizes = np.abs([one[law.name] for one in found])
        np.testing.assert_allclose(sizes, wanted, rtol=1e-9, atol=1e-9)
        assert wanted.max() > 0.5


def test_a_restored_state_goes_on_in_the_middle_of_a_contradiction(scada, expected):
    whole, first, second = (stream(expected) for _ in range(3))
    rows = rows_of(scada)
    wanted = [whole.step(time, row) for time, row in rows][150:]
    for time, row in rows[:150]:
        first.step(time, row)

    second.restore(json.loads(json.dumps(first.state())))

    for (time, row), one in zip(rows[150:], wanted, strict=True):
        found = second.step(time, row)
        assert set(found) == {law.name for law in LAWS}
        for name, residuals in found.items():
            np.testing.assert_array_equal(residuals, one[name])


def test_a_model_of_several_plants_asks_which(expected):
    laws = PlantLaws.of(PLANT)
    several = Physics({"plant-01": laws, "plant-02": laws}, expected)

    assert several.laws("plant-02") is laws
    for site in ("", "plant-03"):
        with pytest.raises(ConfigError, match="plant-01, plant-02"):
            several.laws(site)


def test_one_plant_is_that_of_every_site():
    laws = PlantLaws.of(PLANT)

    assert Physics({"": laws}, None).laws("anywhere") is laws


def test_laws_that_lack_something_are_refused():
    plain = PlantLaws.of(PLANT).to_mapping()
    del plain["noise"]

    with pytest.raises(TwinError, match="noise"):
        PlantLaws.from_mapping(plain)
