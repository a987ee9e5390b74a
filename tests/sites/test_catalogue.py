"""All that the app asks of a data set, for each that the setting `dataset` can name."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, SchemaError
from dtfl_app.core.node_config import OwnData
from dtfl_app.sites.catalogue import DATASETS, find_dataset, open_dataset
from dtfl_app.sites.features import FeatureSpec
from dtfl_app.sites.federation import FederatedDataset, OwnTwin, SiteData
from tests.sites.demo_series import DEMO, make_series
from tests.support.settings import keyed
from tests.support.station import write_station
from twin.schema import Schema

EACH_MINUTE = FeatureSpec(60, 60, ("last",))


@dataclass(frozen=True, slots=True)
class Demo(FederatedDataset):
    """As short as a data set can be."""

    feature_spec: FeatureSpec = EACH_MINUTE
    schema: Schema = DEMO

    @classmethod
    def from_config(cls, config: RunConfig) -> "Demo":
        return cls()

    def sites(self, k: int) -> list[str]:
        return [f"site-{index}" for index in range(k)]

    def load_site(self, index: int, k: int) -> SiteData:
        raise NotImplementedError


def config(**settings: object) -> RunConfig:
    return RunConfig.from_mapping(keyed(**settings))


def opened(name: str, folder: Path, **settings: object) -> FederatedDataset:
    return open_dataset(config(dataset=name, data__dir=str(folder), **settings))


def test_an_unknown_data_set_is_refused_with_those_there_are():
    with pytest.raises(
        ConfigError,
        match=r"dataset = 'batdal' is unknown; expected one of batadal, files, .*mean 'batadal'",
    ):
        open_dataset(config(dataset="batdal"))


def test_a_data_set_that_leaves_out_what_it_must_say_is_refused():
    class Silent(FederatedDataset):
        pass

    with pytest.raises(TypeError, match=r"feature_spec.*from_config.*load_site.*schema.*sites"):
        Silent()


def test_a_short_data_set_has_neither_twin_nor_evaluation_nor_documents():
    demo = Demo()

    assert demo.load_evaluation(3) is None
    assert demo.own_twin == OwnTwin("none")
    assert demo.documents() == {}
    assert Demo.fixed_sites(config()) is None
    assert Demo.family_of("leak#2") == ""
    assert demo.describe(3) == f"3 sites in schema {DEMO.name!r}"


def test_a_short_data_set_reads_further_files_as_labelled_series(tmp_path):
    series = make_series([4])
    series.to_csv(tmp_path / "more.csv", index=False)

    read = Demo().read_file(tmp_path / "more.csv")

    pd.testing.assert_frame_equal(read[DEMO.names], series[DEMO.names])
    np.testing.assert_array_equal(read["label"], series["label"])


def test_readings_out_of_range_are_refused_unless_training_takes_them_as_missing(tmp_path):
    series = make_series([4])
    name, high = DEMO.names[0], DEMO.channels[0].high
    series.loc[2, name] = high + 1.0
    series.to_csv(tmp_path / "more.csv", index=False)

    class Cleaned(Demo):
        frozen_as_missing = True

    with pytest.raises(SchemaError, match=rf"row 2, column {name!r}"):
        Demo().read_file(tmp_path / "more.csv")
    assert Cleaned().read_file(tmp_path / "more.csv")[name].isna().tolist() == [
        False, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "instance", "site"),
    [
        ("plants", "plant-01/attacked", "plant-01"),
        ("plants", "plant-01/normal/part-2", "plant-01"),
        ("batadal", "BATADAL_dataset04/part-2", "BATADAL_dataset04"),
        ("threew", "WELL-00003_20180206182917", "WELL-00003"),
        ("threew", "2/WELL-00011_20140929170028", "WELL-00011"),
        ("threew", "2/WELL-00011_20140929170028/part-3/part-1", "WELL-00011"),
        ("files", "north_1", "north_1"),
        ("files", "north_2/part-4", "north_2"),
    ],
)
def test_an_instance_belongs_to_the_site_where_it_was_recorded(name, instance, site):
    assert find_dataset(name).site_of(instance) == site


@pytest.mark.parametrize(
    ("name", "event", "family"),
    [
        ("plants", "plant-01 pump_speed:PU7#0", "pump_speed"),
        ("batadal", "attack-5", "pump_speed"),
        ("batadal", "flagged-1", ""),
        ("files", "leak", ""),
    ],
)
def test_an_event_is_of_the_family_under_which_a_twin_simulates_it(name, event, family):
    assert find_dataset(name).family_of(event) == family


def test_a_public_data_set_brings_its_twin_from_files_of_its_own(data_dir):
    plant, wells = opened("batadal", data_dir).own_twin, opened("threew", data_dir).own_twin

    assert (plant.kind, plant.published_rules) == ("ctown", True)
    assert plant.network == data_dir.resolve() / "ctown" / "ctown_map.inp"
    assert wells.kind == "recorded"
    assert wells.recording == data_dir.resolve() / "3w" / "class2_SIMULATED.parquet"


def test_plants_have_the_embedded_twin_and_files_the_one_that_their_schema_names(tmp_path):
    write_station(tmp_path)

    named = opened("files", tmp_path, twin__recording="recorded.csv").own_twin

    assert opened("plants", tmp_path).own_twin == OwnTwin("ctown")
    assert named == OwnTwin("none", recording=tmp_path / "recorded.csv")


@pytest.mark.parametrize("name", sorted(set(DATASETS.built_in) - {"files"}))
def test_a_data_set_of_its_own_takes_no_file_of_a_node(name):
    own = OwnData("north", Path("north.csv"), None)

    with pytest.raises(ConfigError, match=f"dataset = '{name}', which has data of its own"):
        find_dataset(name).from_own_file(config(dataset=name), own)


def test_a_node_s_file_is_a_site_by_the_schema_at_that_node(tmp_path):
    write_station(tmp_path)
    own = OwnData("pier", tmp_path / "north.csv", tmp_path / "schema.toml")

    dataset, site = find_dataset("files").from_own_file(config(dataset="files"), own)

    assert (site.name, site.schema) == ("pier", dataset.schema)
    with pytest.raises(
        ConfigError, match=r"data\.schema is missing, and the run's, '', is no file"
    ):
        find_dataset("files").from_own_file(
            config(dataset="files"), OwnData("pier", own.path, None)
        )


def test_a_stored_run_on_files_reads_more_of_them_when_the_folder_is_gone(tmp_path):
    stations, run = tmp_path / "stations", tmp_path / "run"
    run.mkdir()
    stations.mkdir()
    write_station(stations)
    settings = config(dataset="files", data__dir=str(stations))
    first = open_dataset(settings)
    for name, content in first.documents().items():
        (run / name).write_bytes(content)
    (stations / "north.csv").rename(tmp_path / "north.csv")
    (stations / "schema.toml").unlink()

    again = find_dataset("files").from_run(settings, run)

    assert again.schema == first.schema
    assert len(again.read_file(tmp_path / "north.csv")) == 400


def test_only_files_say_how_many_sites_they_are(tmp_path):
    write_station(tmp_path)
    settings = {"data__dir": str(tmp_path), "data__evaluation_file": "judge.csv"}

    assert find_dataset("files").fixed_sites(config(dataset="files", **settings)) == 3
    assert find_dataset("plants").fixed_sites(config()) is None
    with pytest.raises(ConfigError, match=r"data\.dir is empty; dtfl run simulates the sites"):
        find_dataset("files").fixed_sites(
            config(dataset="files", data__schema=str(tmp_path / "schema.toml"))
        )
