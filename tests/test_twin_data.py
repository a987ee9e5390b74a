"""Which twin a run has."""

from pathlib import Path

import pandas as pd
import pytest

from dtfl_app.config import RunConfig
from dtfl_app.ctown_scada import SCADA
from dtfl_app.datasets import open_dataset
from dtfl_app.errors import ConfigError
from dtfl_app.sites.threew import threew_schema
from dtfl_app.twin_data import make_twin, make_twin_data
from twin.ctown.defaults import SETPOINTS
from twin.ctown.simulate import CTownTwin
from twin.recorded import RecordedTwin


def config(**settings: object) -> RunConfig:
    return RunConfig.from_mapping({k.replace("_", "-"): v for k, v in settings.items()})  # type: ignore[misc]


def test_plants_have_the_embedded_plant_as_twin():
    twin = make_twin(config(), SCADA)

    assert isinstance(twin, CTownTwin)
    assert twin.plant.network == ""


def test_batadals_twin_is_its_network_with_the_plants_own_set_points(data_dir: Path):
    twin = make_twin(config(dataset="batadal", data_dir=str(data_dir)), SCADA)

    assert isinstance(twin, CTownTwin)
    assert twin.plant.network.endswith("ctown_map.inp")
    assert twin.plant.setpoints == SETPOINTS


def test_batadal_without_its_network_is_a_clear_error(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"ctown_map\.inp is missing; name one with twin-network"):
        make_twin(config(dataset="batadal", data_dir=str(tmp_path)), SCADA)


def test_a_twin_can_be_wrong_by_a_known_factor():
    right = make_twin(config(), SCADA)
    wrong = make_twin(config(twin_demand_factor=1.15, twin_roughness_factor=0.85), SCADA)

    assert isinstance(right, CTownTwin) and isinstance(wrong, CTownTwin)
    for name, demand in right.plant.demands.items():
        assert wrong.plant.demands[name].mean_lps == pytest.approx(1.15 * demand.mean_lps)
        assert wrong.plant.roughness[name] == pytest.approx(0.85 * right.plant.roughness[name])


def test_threews_twin_reads_the_one_file_and_the_published_folders_alike(
    data_dir: Path, tmp_path: Path
):
    recorded = pd.read_parquet(data_dir / "3w" / "class2_SIMULATED.parquet")
    one = recorded[recorded["instance"] == recorded["instance"].iloc[0]].drop(
        columns=["event", "source", "instance"]
    )
    folder = tmp_path / "3w" / "2"
    folder.mkdir(parents=True)
    one.to_csv(folder / "SIMULATED_00001.csv", index=False)
    schema = threew_schema()

    whole = make_twin(config(dataset="threew", data_dir=str(data_dir)), schema)
    published = make_twin(config(dataset="threew", data_dir=str(tmp_path)), schema)

    assert isinstance(whole, RecordedTwin) and isinstance(published, RecordedTwin)
    assert len(whole.instances) == 16
    assert published.instances == ["2/SIMULATED_00001"]


def test_no_twin_is_no_data(tmp_path: Path):
    settings = config(twin="none", cache_dir=str(tmp_path))

    assert make_twin_data(settings, open_dataset(settings)) is None


def test_a_twin_of_another_plant_is_a_clear_error(data_dir: Path):
    with pytest.raises(ConfigError, match="choose the twin that belongs to the dataset"):
        make_twin(config(dataset="threew", twin="ctown", data_dir=str(data_dir)), threew_schema())


def test_a_calibrated_plant_that_cannot_be_read_is_a_clear_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="expected a JSON file of 'dtfl twin calibrate'"):
        make_twin(config(twin_plant=str(tmp_path / "none.json")), SCADA)
