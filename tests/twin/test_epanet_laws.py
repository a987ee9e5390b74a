"""Laws found in a network's file: C-Town's are its makers', and events break those of any other."""

import numpy as np
import pytest

from tests.support.networks import KY4, NET1, NET3, write_ctown
from twin.base import Event, Scenario
from twin.ctown.defaults import default_plant
from twin.ctown.laws import PlantLaws
from twin.ctown.network import DMA_TANKS
from twin.ctown.scada import LINKS, PRESSURE_NODES
from twin.epanet.laws import Station
from twin.epanet.options import EpanetOptions
from twin.epanet.residuals import balance_residual, demand_sums, plc_contradiction, pump_residual
from twin.epanet.simulate import EpanetTwin


def test_laws_found_in_ctowns_file_are_those_written_by_hand(tmp_path):
    options = EpanetOptions(pressures=PRESSURE_NODES, meters=LINKS, demand_noise=0.1)

    found = EpanetTwin(write_ctown(tmp_path), options).laws()
    known = PlantLaws.of(default_plant())

    assert (found.rules, found.curves) == (known.rules, known.curves)
    assert (found.areas, found.elevations) == (known.areas, known.elevations)
    assert (found.fills, found.links) == (known.fills, known.links)
    assert list(found.stations.values()) == list(known.stations.values())
    zone_of = {frozenset(zone.split("+")): zone for zone in found.boundaries}
    assert set(zone_of) == set(DMA_TANKS.values())
    for dma, tanks in DMA_TANKS.items():
        assert found.boundaries[zone_of[tanks]] == known.boundaries[dma]
        assert found.noise[zone_of[tanks]] == known.noise[dma]


def test_pumps_without_a_curve_and_links_without_a_two_point_rule_have_no_law():
    net3, ky4 = EpanetTwin(NET3).laws(), EpanetTwin(KY4).laws()

    assert net3.links == ("335",)  # pump 10 is switched by the clock, pipe 330 opens above
    assert net3.stations == {
        "10": Station("Lake", "10", ("10",)),
        "335": Station("60", "61", ("335",)),
    }
    assert ky4.stations == {}  # pumps of constant power
    assert ky4.links == ("~@Pump-1",)


def findings(twin, *events):
    """Return what each law finds in two weeks, hour by hour, with the demands of normal ones."""
    laws, normal = twin.laws(), twin.simulate(Scenario("normal", 672, 1))
    series = twin.simulate(Scenario("s", 336, 2, events))
    expected = demand_sums(normal, laws).mean()
    return (
        plc_contradiction(series, laws),
        pump_residual(series, laws),
        balance_residual(series, laws, expected),
    )


@pytest.mark.parametrize("path", [NET1, NET3], ids=["Net1", "Net3"])
def test_normal_operation_keeps_the_laws(path):
    plc, pump, balance = findings(EpanetTwin(path))

    assert plc.max() <= 0.02  # m: hourly readings leave the level of a switch open a little
    assert np.abs(pump).max() <= 0.01  # m
    assert np.abs(balance).max() <= 4.0  # standard deviations


@pytest.mark.parametrize(
    ("one", "law", "least"),
    [
        (Event("altered_thresholds", "2", 200, 60, -2.0), 0, 0.5),
        (Event("forced_off", "9", 200, 30), 0, 1.0),
        (Event("pump_speed", "9", 200, 60, 0.8), 1, 5.0),
        (Event("leak", "10", 200, 60, 40.0), 2, 4.0),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_an_event_breaks_its_law(one, law, least):
    found = np.abs(findings(EpanetTwin(NET1), one)[law])

    assert found[200:260].max() > least
    assert found[:200].max() < least
