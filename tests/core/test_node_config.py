"""What a node is told about itself: one clear error for every key that is wrong or missing."""

import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.node_config import NodeConfig, OwnData, Part


@pytest.fixture
def own(tmp_path):
    """A sound node config with a file of its own, and its schema."""
    for name in ("readings.csv", "schema.toml", "plant.json"):
        (tmp_path / name).write_text("x")
    return {
        "data-path": str(tmp_path / "readings.csv"),
        "site-name": " north ",
        "data.schema": str(tmp_path / "schema.toml"),
        "state.dir": str(tmp_path),
    }


def test_a_node_of_the_simulation_is_a_part():
    node = NodeConfig.from_mapping({"partition-id": 2, "num-partitions": 5})

    assert node == NodeConfig(Part(2, 5))


def test_a_node_with_a_file_is_the_site_it_names(own, tmp_path):
    """Flower adds its own keys in simulation; the file overrides them."""
    node = NodeConfig.from_mapping({**own, "partition-id": 0, "num-partitions": 1})

    expected = OwnData("north", tmp_path / "readings.csv", tmp_path / "schema.toml")
    assert node == NodeConfig(expected)


def test_the_schema_may_be_the_runs(own):
    del own["data.schema"]

    data = NodeConfig.from_mapping(own).data

    assert isinstance(data, OwnData) and data.schema is None


def test_a_nodes_own_plant_overrides_the_runs(own, tmp_path):
    plant = str(tmp_path / "plant.json")
    run = RunConfig.from_mapping({"twin.plant": "/run/plant.json", "twin.network": "/run/a.inp"})

    told = NodeConfig.from_mapping({**own, "twin.plant": plant}).applied_to(run)
    untold = NodeConfig.from_mapping(own).applied_to(run)

    assert (told.twin.plant, told.twin.network) == (plant, "/run/a.inp")
    assert untold == run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site-name": None}, "site-name = None; expected the name of the site"),
        ({"site-name": 7}, "site-name = 7; expected the name"),
        ({"site-name": "a\nb"}, r"site-name = 'a\\nb'; expected the name"),
        ({"data-path": "readings.csv"}, r"data-path = 'readings\.csv'; expected a path from the"),
        ({"data-path": "/no/such.csv"}, r"data-path = '/no/such\.csv': there is no such file at"),
        ({"data-path": 3}, "data-path = 3; expected a path from the root, in quotes"),
        (
            {"data.schema": "/no/schema.toml"},
            "data.schema = '/no/schema.toml': there is no such file",
        ),
        ({"twin.plant": "plant.json"}, r'twin.plant = .*e\.g\. twin.plant="/data/plant\.json"'),
        ({"twin.network": "/no/a.inp"}, r"twin.network = '/no/a\.inp': there is no such file"),
        (
            {"data-path": None},
            r"data-path and site-name, e\.g\. --node-config .*found \['data.schema'",
        ),
    ],
)
def test_a_wrong_or_missing_key_is_named_with_an_example(own, change, message):
    mapping = {key: value for key, value in {**own, **change}.items() if value is not None}

    with pytest.raises(ConfigError, match=f"node config: .*{message}"):
        NodeConfig.from_mapping(mapping)
