"""The twin of any EPANET network: physics, reproducibility, what it records."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from wntr.epanet.io import BinFile
from wntr.epanet.toolkit import ENepanet

from tests.support.networks import KY4, LTOWN, NET1, NET3, edited, write_ctown
from twin.base import Event, Scenario, Twin
from twin.epanet.options import EpanetOptions
from twin.epanet.plant import instrument
from twin.epanet.scenario import ScenarioRun
from twin.epanet.simulate import EpanetTwin

#: The file's own demands from its own time 0.
BARE = EpanetOptions(demand_noise=0.0, burn_in_days=0)
BUSY = Scenario(
    "busy", 48, 4, (Event("leak", "123", 5, 20, 50.0), Event("forced_off", "10", 30, 9))
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    ctown = write_ctown(tmp_path_factory.mktemp("ctown"))
    return {"Net1": NET1, "Net3": NET3, "ky4": KY4, "L-Town": LTOWN, "C-Town": ctown}


EACH = pytest.mark.parametrize("name", ["Net1", "Net3", "ky4", "L-Town", "C-Town"])


def solve_at_once(text, folder):
    """Return what EPANET's own loop makes of an input file."""
    (folder / "a.inp").write_text(text, encoding="latin-1")
    engine = ENepanet(*(str(folder / f"a.{end}") for end in ("inp", "rpt", "bin")))
    engine.ENopen()
    engine.ENsolveH()
    engine.ENsaveH()
    engine.ENclose()
    return BinFile().read(str(folder / "a.bin"))


def assert_same(series, whole):
    """Compare levels, pressures and flows at the file's full hours; EPANET writes 4-byte floats."""
    for name in (name for name in series.columns if name[:2] in ("L_", "P_", "F_")):
        flow = name[:2] == "F_"
        table = whole.link["flowrate"] * 1000.0 if flow else whole.node["pressure"]
        ours = series[name].to_numpy()[: len(table)]
        theirs = table[name[2:]].loc[[3600 * hour for hour in range(len(ours))]].to_numpy()
        # wntr turns EPANET's gallons, feet and psi into m3/s and m by factors of six digits.
        assert ours == pytest.approx(theirs, rel=5e-5, abs=1e-2), name


@EACH
def test_a_network_gives_a_valid_series(files, name):
    twin = EpanetTwin(files[name])
    series = twin.simulate(Scenario("day", 24, 1))

    assert isinstance(twin, Twin)
    twin.schema.validate(series, name)
    assert list(series.columns) == twin.schema.columns
    assert series["time"].iloc[0].day_of_week == 0
    assert (series["time"].diff().dropna() == pd.Timedelta(hours=1)).all()
    for channel in twin.schema.channels:  # no instrument is at the end of its range
        if channel.kind != "status":
            assert series[channel.name].between(channel.low, channel.high, "neither").all()


@EACH
def test_water_is_conserved_in_every_tank(files, name):
    """Inflow added up over EPANET's own steps is what is stored, to 1e-3 of what moved."""
    _, report = EpanetTwin(files[name]).simulate_with_report(Scenario("days", 72, 2))

    assert report.tanks
    for tank, water in report.tanks.items():
        assert abs(water.inflow_m3 - water.stored_m3) <= 1e-3 * water.moved_m3 + 1e-6, tank


@EACH
def test_a_run_without_events_equals_one_call_of_the_solver(files, name, tmp_path):
    """Demand noise included; and what enters the network or a tank in it leaves another place."""
    options, scenario = EpanetOptions(), Scenario("day", 24, 3)
    plant = instrument(files[name], options)
    run = ScenarioRun(plant, plant.schema(name), options, scenario)

    whole = solve_at_once(run.input_text(), tmp_path)
    series = EpanetTwin(files[name], options).simulate(scenario)

    hours = whole.node["pressure"].index >= 48 * 3600
    node = {
        key: table[hours].set_axis(range(0, 24 * 3600, 3600)) for key, table in whole.node.items()
    }
    link = {
        key: table[hours].set_axis(range(0, 24 * 3600, 3600)) for key, table in whole.link.items()
    }
    whole.node, whole.link = node, link
    assert_same(series, whole)
    assert abs(node["demand"].to_numpy().sum()) <= 1e-3 * node["demand"].abs().to_numpy().sum()


@pytest.mark.parametrize("name", ["Net1", "Net3", "L-Town"])
def test_without_noise_it_is_the_files_own_run(files, name, tmp_path):
    whole = solve_at_once(files[name].read_text(encoding="latin-1"), tmp_path)

    series = EpanetTwin(files[name], BARE).simulate(Scenario("day", 25, 0))

    assert_same(series, whole)


def test_what_a_file_describes_begins_anew_when_it_is_over():
    """Net3 opens pump 10 "AT TIME 1", 25, ... of 168 h: in its second week as in its first."""
    series = EpanetTwin(NET3, BARE).simulate(Scenario("fortnight", 336, 0))

    running = series["S_10"].to_numpy()
    assert running[:168].sum() == 7 * 14
    assert (running[168:] == running[:168]).all()


def test_a_scenario_gives_the_same_series_bit_for_bit_in_any_process():
    twin = EpanetTwin(NET3)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        elsewhere = pool.submit(twin.simulate, BUSY).result()

    assert elsewhere.equals(twin.simulate(BUSY))
    assert twin.simulate(BUSY).equals(EpanetTwin(str(NET3)).simulate(BUSY))


def test_another_seed_gives_another_series_and_a_longer_one_begins_the_same():
    twin = EpanetTwin(NET1)
    short, long = (twin.simulate(Scenario("s", hours, 5)) for hours in (24, 48))

    assert not short["L_2"].equals(twin.simulate(Scenario("s", 24, 6))["L_2"])
    assert short.equals(long[:24])


def test_a_twin_travels_and_its_fingerprint_follows_file_and_options(tmp_path):
    twin = EpanetTwin(NET1)
    longer = edited(NET1, tmp_path, ("10530", "10531"))

    assert pickle.loads(pickle.dumps(twin)).fingerprint() == twin.fingerprint()
    assert EpanetTwin(NET1, EpanetOptions(demand_noise=0.2)).fingerprint() != twin.fingerprint()
    assert EpanetTwin(longer).fingerprint() != twin.fingerprint()


def test_channels_come_from_tanks_pumps_valves_switched_pipes_and_the_junctions_beside_them():
    net1, net3 = EpanetTwin(NET1).schema, EpanetTwin(NET3).schema

    assert net1.names == ["L_2", "F_9", "S_9", "P_10", "P_12"]
    assert [c.unit for c in net1.channels] == ["m", "L/s", "1", "m", "m"]
    assert {"F_330", "S_330"} <= set(net3.names)  # a pipe that a control opens and closes
    level = net1.channels[0]  # from 100 to 150 ft, and half of that beyond
    assert (level.low, level.high) == pytest.approx((75 * 0.3048, 175 * 0.3048))


def test_named_junctions_and_meters_are_the_channels():
    options = EpanetOptions(pressures=("n1", "n105"), meters=("PRV-1",))

    schema = EpanetTwin(LTOWN, options).schema

    assert schema.names == ["L_T1", "F_PRV-1", "S_PRV-1", "P_n1", "P_n105"]


def test_demand_noise_has_the_size_asked_for():
    """Net1's one zone, fed by pump 9: its demand by balance against the file's own, 4 weeks."""
    noisy, quiet = (
        EpanetTwin(NET1, replace(BARE, demand_noise=noise)).simulate(Scenario("s", 672, 1))
        for noise in (0.1, 0.0)
    )
    area = np.pi / 4 * (50.5 * 0.3048) ** 2

    def used(series):
        return series["F_9"].mean() - area * np.ptp(series["L_2"].iloc[[0, -1]]) / (3.6 * 671)

    assert used(noisy) == pytest.approx(used(quiet), rel=0.02)
    assert not noisy["L_2"].equals(quiet["L_2"])


def test_sensor_noise_is_added_to_the_recording_only():
    blurred, clean = (
        EpanetTwin(NET1, EpanetOptions(level_noise=noise)).simulate(Scenario("s", 336, 2))
        for noise in (0.02, 0.0)
    )

    assert (blurred["L_2"] - clean["L_2"]).std() == pytest.approx(0.02, rel=0.15)
    assert blurred[["F_9", "P_10"]].equals(clean[["F_9", "P_10"]])
