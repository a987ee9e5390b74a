"""Reading any EPANET network: units, times, orders, zones; what is said of a file with a slip."""

import math

import pytest

from tests.support.networks import ANYTOWN, HANOI, LTOWN, NET1, NET3, UNCALIBRATED, edited
from twin.epanet.clock import clock_of, seconds
from twin.epanet.controls import Order, orders_of, setpoints
from twin.epanet.network import read_network
from twin.epanet.options import EpanetOptions
from twin.epanet.plc import SetPoint
from twin.epanet.simulate import EpanetTwin
from twin.epanet.units import units_of
from twin.epanet.zones import nearest, zones_of
from twin.errors import TwinError

FT, LPS_PER_GPM = 0.3048, 0.0630902


def options(*rows):
    return {"OPTIONS": tuple(tuple(row.split()) for row in rows)}


def test_gallons_and_feet_become_litres_and_metres():
    """Net1: tank 2 stands at 850 ft, holds 100 to 150 ft, 50.5 ft wide; pump 9 lifts 250 ft at
    1500 gpm, which stands for 4/3 of that head at no flow and none at twice the flow.
    """
    network = read_network(NET1)

    tank = network.tanks["2"]
    assert (tank.elevation, tank.low, tank.high) == pytest.approx((850 * FT, 100 * FT, 150 * FT))
    assert tank.area_m2 == pytest.approx(math.pi / 4 * (50.5 * FT) ** 2)
    flows, heads = zip(*network.links["9"].curve, strict=True)
    assert flows == pytest.approx((0.0, 1500 * LPS_PER_GPM, 3000 * LPS_PER_GPM), rel=1e-4)
    assert heads == pytest.approx((4 / 3 * 250 * FT, 250 * FT, 0.0))
    assert network.reservoirs == {"9": pytest.approx(800 * FT)}


@pytest.mark.parametrize(
    ("rows", "flow", "length", "pressure"),
    [
        (["UNITS LPS"], 1.0, 1.0, 1.0),
        (["UNITS CMH"], 1 / 3.6, 1.0, 1.0),
        (["UNITS MLD", "PRESSURE KPA"], 1000 / 86.4, 1.0, 1 / 9.79),
        ([], LPS_PER_GPM, FT, FT / 0.4333),
        (["UNITS CFS", "SPECIFIC GRAVITY 2"], 28.317, FT, FT / 0.8666),
    ],
)
def test_units_are_those_of_the_flow(rows, flow, length, pressure):
    units = units_of(options(*rows))

    assert units.flow == pytest.approx(flow, rel=1e-3)
    assert (units.length, units.pressure) == pytest.approx((length, pressure), rel=3e-3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        *(("1", 3600), ("1.5", 5400), ("1:30", 5400), ("0:05:10", 310), ("90 MIN", 5400)),
        *(("2 DAYS", 172800), ("12 AM", 0), ("5:15 PM", 62100), ("30 SEC", 30)),
    ],
)
def test_times_as_epanet_writes_them(words, expected):
    assert seconds(words.split()) == expected


def test_a_clock_repeats_whole_days_of_what_a_file_describes():
    """A file of 30 h is two days: what acts at hour 2 acts again at 50 and 98."""
    rows = {"TIMES": (("DURATION", "30:00"), ("PATTERN", "TIMESTEP", "2:00"))}

    clock = clock_of(rows)

    assert clock.pattern_step == 7200
    assert clock.repeats(7200, 100 * 3600) == [7200, 50 * 3600, 98 * 3600]
    assert clock_of({}).repeats(7200, 100 * 3600) == [7200]


def test_two_point_rules_are_found_in_controls_and_in_rules():
    """P2 has a third order, V1 opens above and closes below, P3 has two conditions: none is one."""
    sections = {
        "CONTROLS": tuple(
            tuple(line.split())
            for line in (
                "LINK P1 OPEN IF NODE T BELOW 3",
                "LINK P1 0 IF NODE T ABOVE 5",
                "LINK P2 OPEN IF NODE T BELOW 3",
                "LINK P2 CLOSED IF NODE T ABOVE 5",
                "LINK P2 CLOSED AT CLOCKTIME 5 PM",
                "LINK V1 CLOSED IF NODE T BELOW 3",
                "LINK V1 OPEN IF NODE T ABOVE 5",
            )
        ),
        "RULES": tuple(
            tuple(line.split())
            for line in (
                *("RULE 1", "IF TANK T LEVEL <= 2", "THEN PUMP P4 STATUS IS OPEN"),
                *("RULE 2", "IF TANK T LEVEL ABOVE 4", "THEN PUMP P4 SETTING IS 0", "PRIORITY 1"),
                *("RULE 3", "IF TANK T LEVEL BELOW 2", "AND SYSTEM CLOCKTIME > 5 PM"),
                *("THEN PUMP P3 STATUS IS OPEN", "AND PUMP P5 STATUS IS OPEN"),
            )
        ),
    }
    orders = orders_of(sections)

    assert setpoints(orders, 0.5) == {"P1": SetPoint("T", 1.5, 2.5), "P4": SetPoint("T", 1.0, 2.0)}
    assert Order("P5", True) in orders


def test_zones_are_what_meters_cut_a_network_into():
    """L-Town: two valves feed the town from the reservoirs, a third its low part; a pump its tank.
    Net3: one zone, as long as the pipe that a control opens beside pump 335 is metered; without,
    the river feeds it without a meter, and nothing balances.
    """
    ltown, net3 = read_network(LTOWN), read_network(NET3)

    zones = zones_of(ltown, ("PRV-1", "PRV-2", "PRV-3", "PUMP_1"))
    assert [(list(b.areas), b.inflow, b.outflow) for b in zones.boundaries.values()] == [
        (["T1"], ("PUMP_1",), ()),
        ([], ("PRV-1", "PRV-2"), ("PRV-3", "PUMP_1")),
        ([], ("PRV-3",), ()),
    ]
    assert list(zones_of(net3, ("10", "335", "330")).boundaries) == ["1+2+3"]
    assert zones_of(net3, ("10", "335")).boundaries == {}


def test_the_nearest_sensor_is_found_along_pipes_only():
    network = read_network(NET1)

    assert nearest(network, "10", ("11", "9"), ("9",)) == "11"
    assert nearest(network, "10", ("9",), ("9",)) == ""


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (" LINK 9 OPEN", " LINK 99 OPEN", r"line \d+, section \[CONTROLS\]: undefined link 99"),
        ("HEAD 1", "HEAD 7", r"line \d+, section \[PUMPS\]: undefined curve 7"),
        ("120         \t100", "12o         \t100", r"line \d+, section \[TANKS\].*12o"),
        ("GPM", "GMP", r"section \[OPTIONS\].*GMP"),
    ],
)
def test_a_slip_is_named_by_line_and_section(tmp_path, old, new, reason):
    broken = edited(NET1, tmp_path, (old, new))

    with pytest.raises(TwinError, match=reason) as error:
        EpanetTwin(broken)

    number = int(str(error.value).partition("line ")[2].partition(",")[0])
    assert new.split()[-1] in broken.read_text().splitlines()[number - 1]
    assert str(broken) in str(error.value)


def test_a_network_whose_pressure_is_negative_names_the_junction(tmp_path):
    """Anytown's pumps stand at first, and its tanks are empty. Net1's pump lifts at most 4/3 of 250
    ft: from 400 ft, where its town lies at 700, and without its tank, not high enough.
    """
    deep = edited(NET1, tmp_path, ("\t800", "\t400"), ("[STATUS]", "[STATUS]\n 110 Closed"))

    with pytest.raises(TwinError, match=r"junction \w+ is cut off from any supply at 0\.00 h"):
        EpanetTwin(ANYTOWN)
    with pytest.raises(TwinError, match=r"the pressure at junction \w+ is -\d.* m at .* h.*supply"):
        EpanetTwin(deep)
    assert "P_10" in EpanetTwin(deep, EpanetOptions(negative_pressure=True)).schema.names


def test_a_network_of_pipes_alone_records_what_enters_it():
    """One reservoir feeds Hanoi through pipe 1; that pipe can be closed, and junctions can leak."""
    hanoi = EpanetTwin(HANOI)

    assert hanoi.schema.names == ["F_1", "S_1", "P_2"]
    assert hanoi.kinds[:3] == ("valve", "leak", "demand_burst")


def test_a_network_without_demand_is_refused():
    with pytest.raises(TwinError, match=r"\[JUNCTIONS\] and \[DEMANDS\]: nobody draws water"):
        EpanetTwin(UNCALIBRATED)


@pytest.mark.parametrize(
    ("trials", "accuracy", "then", "said"),
    [
        ("1", "0.001", "Stop", r"where the flow of link \S+ does not settle"),
        ("2", "0.00001", "Continue 1", r"worst at link \S+"),
    ],
)
def test_a_network_that_does_not_converge_names_the_element(tmp_path, trials, accuracy, then, said):
    changes = (
        ("Trials             \t40", f"Trials {trials}"),
        ("Accuracy           \t0.001", f"Accuracy {accuracy}"),
        ("Continue 10", then),
    )
    hard = edited(NET3, tmp_path, *changes)

    with pytest.raises(TwinError, match=rf"do not converge at 0\.00 h, {said}"):
        EpanetTwin(hard)


def test_a_file_that_is_missing_or_no_network_is_an_error(tmp_path):
    (tmp_path / "a.inp").write_text("no network\n")

    with pytest.raises(TwinError, match=r"b\.inp: cannot be read"):
        EpanetTwin(tmp_path / "b.inp")
    with pytest.raises(TwinError, match=r"a\.inp"):
        EpanetTwin(tmp_path / "a.inp")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pressures": ("10", "J9")}, r"option pressures names \['J9'\].*expected some of 10, 11"),
        ({"meters": ("P9",)}, r"option meters names \['P9'\]"),
        ({"demand_noise": 1.0}, "demand_noise is 1.0; expected at least 0, below 1"),
        ({"burn_in_days": -1}, "burn_in_days is -1; expected at least 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(change, reason):
    with pytest.raises(TwinError, match=reason):
        EpanetTwin(NET1, EpanetOptions(**change))
