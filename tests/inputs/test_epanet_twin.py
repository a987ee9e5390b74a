"""The twin of any network, named in the settings of a run."""

import shutil

import pytest

from dtfl_app.core.registry import read_options
from dtfl_app.inputs.twins import TWINS
from tests.support.networks import NET3
from twin.base import EventfulTwin, Surroundings
from twin.epanet.options import EpanetOptions
from twin.epanet.simulate import EpanetTwin
from twin.errors import TwinError


def named(text, around):
    found = TWINS.find("epanet")
    return found.from_options(read_options(found.Options, "twin.options", text), around)


def test_it_has_the_sensors_of_the_sites_and_the_file_of_their_folder(tmp_path):
    shutil.copy(NET3, tmp_path)
    sites = EpanetTwin(NET3, EpanetOptions(pressures=("105", "20"), meters=("335", "10"))).schema

    twin = named('network="Net3.inp", burn-in-days=1', Surroundings(sites, tmp_path))

    assert isinstance(twin, EventfulTwin)
    assert twin.schema == sites
    assert twin.options.burn_in_days == 1


def test_a_network_that_is_not_named_or_not_there_is_an_error(tmp_path):
    around = Surroundings(EpanetTwin(NET3).schema, tmp_path)

    with pytest.raises(TwinError, match="option network is empty"):
        named("", around)
    with pytest.raises(TwinError, match=r"Net4\.inp: cannot be read"):
        named('network="Net4.inp"', around)
