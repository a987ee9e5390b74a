"""What is read off the network file, embedded and named."""

import math
from collections import Counter
from pathlib import Path

import networkx
import pytest
import wntr

from dtfl_app.core.errors import TwinError
from twin.ctown.defaults import SETPOINTS, default_plant, diurnal_pattern
from twin.ctown.network import ctown_file, demand_categories, load_network, network_of
from twin.ctown.scada import STATION_PRESSURES, TANK_LINKS, TANK_MAX_LEVEL
from twin.epanet.inpfile import format_inp, read_inp

EMBEDDED = default_plant()


@pytest.fixture(scope="module")
def calibrated(data_dir):
    return str(data_dir / "ctown" / "ctown_map.inp")


def variant(tmp_path, **sections):
    """Write the embedded file with some sections replaced."""
    path = tmp_path / "variant.inp"
    path.write_text(format_inp({**network_of(EMBEDDED).sections, **sections}), encoding="latin-1")
    return path


def test_districts_are_found_from_the_pipes_alone():
    """Three areas of 9, 5 and 4 nodes lie behind pressure-reducing valves of DMA2's 88.

    The 4 nodes of no district are the reservoir and the pumps' inlet.
    """
    assert Counter(network_of(EMBEDDED).dma.values()) == {
        "DMA1": 151,
        "DMA2": 88 + 9 + 5 + 4,
        "DMA3": 35,
        "DMA4": 54,
        "DMA5": 46,
        "": 4,
    }


def test_metered_links_of_each_district():
    feeds = network_of(EMBEDDED).dma_feeds()

    assert feeds["DMA2"] == (("PU6", 1), ("PU7", 1))
    assert [link for link, sign in feeds["DMA1"] if sign > 0] == ["PU1", "PU2", "PU3"]
    assert [link for link, sign in feeds["DMA1"] if sign < 0] == [f"PU{n}" for n in range(4, 12)]


def test_shares_of_each_district_add_up_to_one():
    network = network_of(EMBEDDED)

    for name in ("DMA1", "DMA2", "DMA3", "DMA4", "DMA5"):
        total = sum(share for node, share in network.shares.items() if network.dma[node] == name)
        assert total == pytest.approx(1.0)


def test_without_demands_a_junction_counts_by_its_pipes():
    """Share of J511: half the length of its pipes over half the length of all pipe ends in DMA2."""
    network = network_of(EMBEDDED)
    inside = [row for row in network.sections["PIPES"] if network.dma[row[1]] == "DMA2"]
    tanks = {node for node in network.tanks if network.dma[node] == "DMA2"}
    ends = [(node, float(row[3])) for row in inside for node in row[1:3] if node not in tanks]

    expected = sum(length for node, length in ends if node == "J511")

    assert network.shares["J511"] == pytest.approx(expected / sum(length for _, length in ends))


def test_tank_areas_follow_from_the_diameters():
    """T7 is 7.14 m across: pi / 4 * 7.14^2 = 40.04 m2."""
    areas = {name: tank.area_m2 for name, tank in network_of(EMBEDDED).tanks.items()}

    assert areas["T7"] == pytest.approx(40.04, abs=0.005)
    assert areas["T1"] == pytest.approx(math.pi / 4 * 31.3**2)


def test_the_asset_tables_agree_with_the_file():
    network = network_of(EMBEDDED)

    assert {name: tank.max_level for name, tank in network.tanks.items()} == dict(TANK_MAX_LEVEL)
    assert all(link in TANK_LINKS[rule.tank] for link, rule in SETPOINTS.items())
    assert set(network.ends) >= {link for links in TANK_LINKS.values() for link in links}
    assert all(node in network.elevation for nodes in STATION_PRESSURES.values() for node in nodes)


def test_the_default_pattern_is_a_week_of_mean_one():
    pattern = diurnal_pattern()

    assert len(pattern) == 168
    assert sum(pattern) / 168 == pytest.approx(1.0)


def test_a_calibrated_file_speaks_for_itself(calibrated):
    """Mean demands known from BATADAL's mass balance, curves and set-points from the file."""
    plant = default_plant(calibrated)

    means = {name: demand.mean_lps for name, demand in plant.demands.items()}
    assert means == pytest.approx(
        {"DMA1": 67.4, "DMA2": 41.9, "DMA3": 14.7, "DMA4": 25.2, "DMA5": 21.1}, abs=0.05
    )
    assert all(sum(d.pattern) / 168 == pytest.approx(1.0) for d in plant.demands.values())
    assert plant.pump_curves["PU7"] == ((0.0, 120.0), (30.0, 110.0), (70.0, 30.0))
    assert plant.setpoints["V2"] == SETPOINTS["V2"]
    assert plant.setpoints["PU8"].off_above == 4.5
    assert "PU3" not in plant.setpoints


def test_both_files_have_the_same_districts(calibrated):
    assert network_of(default_plant(calibrated)).dma == network_of(EMBEDDED).dma


def test_a_pattern_and_the_demand_multiplier_count(tmp_path):
    """Base demand 2 L/s, pattern mean 1.5, multiplier 10: 30 L/s on average, day and night."""
    path = variant(
        tmp_path,
        DEMANDS=[("J411", "2", "P1")],
        PATTERNS=[("P1", "1", "2")],
        OPTIONS=[("Units", "LPS"), ("Demand", "Multiplier", "10")],
    )

    assert load_network(path).base_demand["J411"] == pytest.approx(30.0)
    assert load_network(path).base_demand["J414"] == 0.0


def test_a_demand_without_a_pattern_has_the_usual_one(tmp_path):
    """Pattern "1" of mean 2, unless the options name another, of mean 3, or one that is absent."""
    rows = {"DEMANDS": [("J411", "2")], "PATTERNS": [("1", "1", "3"), ("other", "3", "3")]}
    units = ("Units", "LPS")

    means = [
        load_network(variant(tmp_path, **rows, OPTIONS=options)).base_demand["J411"]
        for options in ([units], [units, ("Pattern", "other")], [units, ("Pattern", "none")])
    ]

    assert means == pytest.approx([4.0, 6.0, 2.0])


@pytest.fixture(params=["embedded", "calibrated", "usual pattern"])
def path(request, tmp_path):
    if request.param == "embedded":
        return ctown_file(EMBEDDED)
    calibrated = Path(request.getfixturevalue("calibrated"))
    if request.param == "calibrated":
        return calibrated
    sections = read_inp(calibrated)
    rows = [("J411", "2"), ("J414", "3", "DMA2_pat"), ("J414", "1")]
    usual = [*sections["PATTERNS"], ("1", "1", "3", "2")]
    changed = tmp_path / "usual.inp"
    changed.write_text(format_inp({**sections, "DEMANDS": rows, "PATTERNS": usual}))
    return changed


@pytest.mark.filterwarnings("ignore:Not all curves were used")
def test_wntr_reads_the_same_network_from_the_file(path):
    """In m3/s, so demands agree to rounding."""
    ours, theirs = load_network(path), wntr.network.WaterNetworkModel(str(path))

    for name, tank in ours.tanks.items():
        assert tank.max_level == theirs.get_node(name).max_level
        assert tank.area_m2 == math.pi / 4.0 * theirs.get_node(name).diameter ** 2
    assert set(ours.tanks) == set(theirs.tank_name_list)
    assert set(ours.elevation) == {*theirs.junction_name_list, *theirs.tank_name_list}
    assert all(m == theirs.get_node(node).elevation for node, m in ours.elevation.items())
    for name, ends in ours.ends.items():
        link = theirs.get_link(name)
        assert ends == (link.start_node_name, link.end_node_name)
    read = [
        (name, [1000.0 * d.base_value, *(d.pattern.multipliers if d.pattern else [1.0])])
        for name, junction in theirs.junctions()
        for d in junction.demand_timeseries_list
        if d.base_value
    ]
    found = [(n, [base, *pattern]) for n, base, pattern in demand_categories(ours.sections) if base]
    assert [name for name, _ in sorted(found)] == [name for name, _ in sorted(read)]
    for (_, mine), (_, other) in zip(sorted(found), sorted(read), strict=True):
        assert mine == pytest.approx(other, rel=1e-12)


@pytest.mark.filterwarnings("ignore:Not all curves were used")
def test_wntr_s_graph_has_the_same_districts(path):
    ours, theirs = load_network(path), wntr.network.WaterNetworkModel(str(path))
    graph = networkx.Graph(theirs.to_graph())
    graph.remove_edges_from(
        [theirs.get_link(p).start_node_name, theirs.get_link(p).end_node_name]
        for p in (*theirs.pump_name_list, "V2")
    )

    areas = [set(area) for area in networkx.connected_components(graph)]

    assert all(len({ours.dma[node] for node in area}) == 1 for area in areas)
    assert Counter(ours.dma[min(area)] for area in areas) == Counter(set(ours.dma.values()))


@pytest.mark.filterwarnings("ignore:Not all curves were used")
def test_wntr_reads_the_same_pump_curves(calibrated):
    theirs = wntr.network.WaterNetworkModel(calibrated)

    for pump, curve in default_plant(calibrated).pump_curves.items():
        points = theirs.get_link(pump).get_pump_curve().points
        assert curve == tuple((1000.0 * flow, head) for flow, head in points)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TwinError, match=r"nowhere.inp: does not exist.*twin.network"):
        default_plant(str(tmp_path / "nowhere.inp"))


def test_a_file_that_is_no_network_is_refused(tmp_path):
    path = tmp_path / "notes.inp"
    path.write_text("just some notes\n")

    with pytest.raises(TwinError, match=r"no \[SECTION\]"):
        load_network(path)


def test_another_network_is_refused(tmp_path):
    tanks = [row for row in network_of(EMBEDDED).sections["TANKS"] if row[0] != "T7"]

    with pytest.raises(TwinError, match=r"not C-Town, section \[TANKS\] lacks \['T7'\]"):
        load_network(variant(tmp_path, TANKS=tanks))


def test_other_units_are_refused(tmp_path):
    with pytest.raises(TwinError, match="flow units are GPM, expected LPS"):
        load_network(variant(tmp_path, OPTIONS=[("Units", "GPM")]))


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("Headloss", "D-W"), r"variant\.inp: \[OPTIONS\] HEADLOSS is D-W, expected H-W"),
        (("HEADLOSS", "C-M"), "HEADLOSS is C-M, expected H-W"),
        (("Specific", "Gravity", "0.998"), "SPECIFIC GRAVITY is 0.998, expected 1"),
        (("SPECIFIC", "GRAVITY", "heavy"), "SPECIFIC GRAVITY is heavy, expected 1"),
    ],
)
def test_other_physics_than_the_twins_is_refused(tmp_path, option, told):
    with pytest.raises(TwinError, match=told):
        load_network(variant(tmp_path, OPTIONS=[("Units", "LPS"), option]))


def test_water_by_hazen_williams_is_taken_said_or_not(tmp_path):
    units = ("Units", "LPS")
    said = [units, ("headloss", "h-w"), ("Specific", "Gravity", "1.000000")]

    for options in ([units], said):
        assert load_network(variant(tmp_path, OPTIONS=options)).tanks


def test_a_garbled_row_is_refused(tmp_path):
    pipes = [("P1", "J175", "J174", "long")]

    with pytest.raises(TwinError, match="a row cannot be read"):
        load_network(variant(tmp_path, PIPES=[*network_of(EMBEDDED).sections["PIPES"], *pipes]))


def test_a_named_file_without_demands_cannot_be_a_plant():
    with pytest.raises(TwinError, match=r"no demand in \['DMA1'.*calibrate"):
        default_plant(str(ctown_file(EMBEDDED)))


def test_a_file_without_controls_cannot_be_a_plant(calibrated, tmp_path):
    path = tmp_path / "bare.inp"
    path.write_text(format_inp({**read_inp(ctown_file(default_plant(calibrated))), "CONTROLS": []}))

    with pytest.raises(TwinError, match=r"\[CONTROLS\] lack"):
        default_plant(str(path))
