"""What a federation asks of tank_sites.py."""

import numpy as np
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.testing.datasets import check_dataset


def opened(options="", **settings):
    named = {"dataset": "tank_sites:TankSites", "dataset-options": options}
    return open_dataset(RunConfig.from_mapping({**named, **settings}))


def test_it_keeps_all_that_the_app_promises_of_a_data_set(tmp_path):
    check_dataset("tank_sites:TankSites", tmp_path)


def test_sites_agree_on_the_schema_and_have_rows_of_their_own():
    dataset = opened()

    first, second = (dataset.load_site(index, 2) for index in range(2))

    assert [first.name, second.name] == dataset.sites(2)
    assert first.schema.digest() == second.schema.digest() == dataset.schema.digest()
    assert not np.array_equal(first.features_train.values, second.features_train.values)


def test_one_seed_gives_the_same_rows_whoever_asks():
    first, again = (opened().load_site(0, 3) for _ in range(2))
    other = opened(**{"data.seed": 1}).load_site(0, 3)

    assert np.array_equal(first.features_train.values, again.features_train.values)
    assert not np.array_equal(first.features_train.values, other.features_train.values)


def test_all_readings_are_within_the_schema_and_the_evaluation_has_events():
    dataset = opened()

    dataset.schema.validate(dataset.recorded(0, 3), "a site")
    dataset.schema.validate(dataset.recorded(0, 3, leak=True), "a site with a leak")
    assert set(dataset.load_evaluation(3).label) == {0, 1}


def test_options_are_read_and_a_slip_is_refused():
    assert len(opened("minutes=240").recorded(0, 1)) == 240
    with pytest.raises(ConfigError, match="did you mean 'minutes'"):
        opened("minuts=240")
