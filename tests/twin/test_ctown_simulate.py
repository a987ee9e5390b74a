"""The running twin: physics, reproducibility, what it reports and what it refuses."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from wntr.epanet.io import BinFile
from wntr.epanet.toolkit import ENepanet

from dtfl_app.core.errors import ScenarioError, TwinError
from twin.base import Event, Scenario, Twin
from twin.ctown.defaults import default_plant
from twin.ctown.hydraulics import Hydraulics
from twin.ctown.network import network_of
from twin.ctown.plant import SetPoint
from twin.ctown.run import ScenarioRun, draw_start
from twin.ctown.scada import LINKS, PRESSURE_NODES, SCADA, TANKS
from twin.ctown.simulate import CTownTwin

PLANT = default_plant()
TWIN = CTownTwin(PLANT)
BUSY = Scenario(
    "busy",
    60,
    4,
    (Event("leak", "J511", 5, 20, 8.0), Event("sensor_noise", "L_T1", 30, 10, 0.2)),
)


def quiet(plant):
    """Return the plant without demand noise."""
    return replace(plant, demands={k: replace(d, noise_sd=0.0) for k, d in plant.demands.items()})


def test_it_is_a_twin():
    assert isinstance(TWIN, Twin)
    assert TWIN.schema is SCADA


def test_a_series_is_valid_and_spans_the_scenario():
    series = TWIN.simulate(Scenario("week", 168, 1))

    SCADA.validate(series, "twin")
    assert list(series.columns) == SCADA.columns
    assert (series["instance"] == "week").all()
    assert (series["time"].diff().dropna() == pd.Timedelta(hours=1)).all()
    assert series["time"].iloc[0].day_of_week == 0
    assert series["time"].iloc[0].hour == 0
    assert series["time"].dtype == "datetime64[ns]"
    assert series["label"].dtype == np.int8


def test_water_is_conserved_in_every_tank():
    """Inflow added up over EPANET's own steps equals area times level change, to 1e-3 of what
    moved in and out.
    """
    _, report = TWIN.simulate_with_report(Scenario("fortnight", 336, 2))

    assert set(report.tanks) == set(TANKS)
    for name, tank in report.tanks.items():
        assert tank.moved_m3 > 1000.0, name
        assert abs(tank.inflow_m3 - tank.stored_m3) <= 1e-3 * tank.moved_m3, name


def test_water_is_conserved_in_the_whole_plant():
    """What the source pumps deliver is used or stored. Hourly samples of a flow that jumps within
    the hour are off by up to an hour of PU2 per switch, hence 3% over two weeks.
    """
    plant = quiet(PLANT)
    series = CTownTwin(plant).simulate(Scenario("fortnight", 337, 2))

    pumped = sum(series[f"F_PU{n}"] for n in (1, 2, 3))[:-1].mean()
    areas = {name: tank.area_m2 for name, tank in network_of(plant).tanks.items()}
    rise = {name: series[f"L_{name}"].iloc[-1] - series[f"L_{name}"].iloc[0] for name in TANKS}
    stored = sum(areas[name] * rise[name] for name in TANKS) / (3.6 * 336)
    used = sum(demand.mean_lps for demand in plant.demands.values())

    assert pumped - stored == pytest.approx(used, rel=0.03)


def test_stepping_equals_one_call_of_the_solver(tmp_path):
    """With PLCs that never switch off, the twin's loop must give what EPANET gives on its own for
    the same file with all duty pumps and the valve open. EPANET's output file is single precision.
    """
    duty = ("PU1", "PU2", "PU4", "PU7", "PU8", "PU10", "V2")
    always = {link: SetPoint("T1", 90.0, 99.0) for link in duty}
    run = ScenarioRun(
        replace(PLANT, setpoints=always), network_of(PLANT), Scenario("open", 24, 3, ())
    )
    text = run.input_text()
    for link in duty:
        text = text.replace(f"{link} CLOSED", f"{link} OPEN")
    (tmp_path / "a.inp").write_text(text)
    engine = ENepanet(*(str(tmp_path / f"a.{end}") for end in ("inp", "rpt", "bin")))
    engine.ENopen()
    engine.ENsolveH()
    engine.ENsaveH()
    engine.ENclose()

    stepped = pd.DataFrame(run.run()[0], columns=SCADA.names)

    whole = BinFile().read(str(tmp_path / "a.bin"))
    hours = [3600 * (run.start.burn_in_h + hour) for hour in range(24)]
    heads = whole.node["pressure"].loc[hours]
    flows = whole.link["flowrate"].loc[hours] * 1000.0
    for tank in TANKS:
        assert stepped[f"L_{tank}"].to_numpy() == pytest.approx(heads[tank], rel=1e-4, abs=1e-3)
    for node in PRESSURE_NODES:
        assert stepped[f"P_{node}"].to_numpy() == pytest.approx(heads[node], rel=1e-4, abs=1e-3)
    for link in LINKS:
        assert stepped[f"F_{link}"].to_numpy() == pytest.approx(flows[link], rel=1e-4, abs=1e-2)


def test_a_scenario_gives_the_same_series_bit_for_bit():
    assert TWIN.simulate(BUSY).equals(TWIN.simulate(BUSY))
    assert TWIN.simulate(BUSY).equals(CTownTwin(default_plant()).simulate(BUSY))


def test_another_process_gives_the_same_series():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        elsewhere = pool.submit(TWIN.simulate, BUSY).result()

    assert elsewhere.equals(TWIN.simulate(BUSY))


def test_another_seed_gives_another_series():
    one, other = (TWIN.simulate(Scenario("s", 24, seed)) for seed in (0, 1))

    assert not one["L_T1"].equals(other["L_T1"])
    assert draw_start(network_of(PLANT), 0) != draw_start(network_of(PLANT), 1)


def test_the_seed_alone_sets_the_noise_whatever_the_length():
    short, long = (TWIN.simulate(Scenario("s", hours, 5)) for hours in (24, 48))

    assert short["time"].equals(long["time"][:24])


def test_sensor_noise_is_added_to_the_recording_only():
    """Level noise of 0.02 m on two weeks of readings: deviation known to 4%."""
    noisy = CTownTwin(replace(PLANT, sensor_noise={"level": 0.02}))
    scenario = Scenario("fortnight", 336, 2)

    blurred, clean = noisy.simulate(scenario), TWIN.simulate(scenario)

    assert (blurred["L_T1"] - clean["L_T1"]).std() == pytest.approx(0.02, rel=0.15)
    others = [name for name in SCADA.names if not name.startswith("L_")]
    assert blurred[others].equals(clean[others])


def test_readings_stay_within_the_instruments_range():
    noisy = CTownTwin(replace(PLANT, sensor_noise={"level": 3.0, "pressure": 50.0}))

    series = noisy.simulate(Scenario("loud", 100, 2))

    SCADA.validate(series, "loud")
    for channel in SCADA.channels:
        if channel.name in ("L_T1", "P_J280"):
            assert series[channel.name].min() == channel.low


def test_solver_warnings_are_counted():
    """With its pump off T5 runs empty, and the pressure in its district collapses."""
    dry = Scenario("dry", 72, 1, (Event("forced_off", "PU8", 12, 60),))

    series, report = TWIN.simulate_with_report(dry)

    assert report.warnings["negative pressures"] > 10
    assert series["L_T5"].min() == pytest.approx(0.0, abs=0.01)
    assert TWIN.simulate_with_report(Scenario("dry", 72, 1))[1].warnings == {}


def test_hydraulics_that_do_not_converge_end_the_scenario():
    """One iteration is not enough for any network of this size."""
    run = ScenarioRun(PLANT, network_of(PLANT), Scenario("hard", 24, 1))
    text = run.input_text().replace("TRIALS 200", "TRIALS 1").replace("CONTINUE 10", "STOP")

    reason = r"scenario 'hard': .*do not converge at 0\.00 h"
    with Hydraulics(text, "scenario 'hard'") as water, pytest.raises(ScenarioError, match=reason):
        water.solve()


def test_a_hydraulic_error_names_place_and_scenario():
    run = ScenarioRun(PLANT, network_of(PLANT), Scenario("s", 24, 1))

    reason = "scenario 's': EPANET error 209 in EN_setnodevalue"
    with (
        Hydraulics(run.input_text(), "scenario 's'", ["J511"]) as water,
        pytest.raises(ScenarioError, match=reason),
    ):
        water.set_emitter("J511", -1.0)


def test_input_that_epanet_refuses_is_an_error_with_its_reason():
    with pytest.raises(TwinError, match="EPANET refuses the plant's input"):
        Hydraulics("[JUNCTIONS]\nJ1 high\n[END]\n", "scenario 's'").__enter__()


def test_a_twin_travels_to_worker_processes():
    again = pickle.loads(pickle.dumps(TWIN))

    assert again.fingerprint() == TWIN.fingerprint()
    assert again.plant == PLANT


def test_the_fingerprint_follows_the_plant():
    assert CTownTwin(default_plant()).fingerprint() == TWIN.fingerprint()
    assert CTownTwin(PLANT.scaled(demand=1.01)).fingerprint() != TWIN.fingerprint()
    assert CTownTwin(replace(PLANT, plc_step_s=300)).fingerprint() != TWIN.fingerprint()


def test_a_twin_can_be_wrong_by_a_known_amount():
    """15% more demand: about 15% more through the source pumps (two weeks; tanks store the rest).
    Pipes of roughness 0.85 lose more head: PU7 must push harder against the hill.
    """
    scenario = Scenario("fortnight", 336, 1)
    right, rough, thirsty = (
        CTownTwin(plant).simulate(scenario)
        for plant in (PLANT, PLANT.scaled(roughness=0.85), PLANT.scaled(demand=1.15))
    )

    def pumped(series):
        return series["F_PU1"].mean() + series["F_PU2"].mean()

    assert pumped(thirsty) / pumped(right) == pytest.approx(1.15, abs=0.05)
    running = [series["P_J415"][series["S_PU7"] == 1].mean() for series in (right, rough)]
    assert running[1] > running[0] + 1.0


def test_the_calibrated_twin_resembles_batadals_normal_year(data_dir):
    """24 weeks of the file's own demands; BATADAL switches PU8 off at 4.0 m, not 4.5 m."""
    plant = default_plant(str(data_dir / "ctown" / "ctown_map.inp"))
    plant = replace(plant, setpoints={**plant.setpoints, "PU8": SetPoint("T5", 1.5, 4.0)})
    real = pd.read_csv(data_dir / "batadal" / "BATADAL_dataset03.csv")

    ours = CTownTwin(plant).simulate(Scenario("half", 4032, 0))

    for name in SCADA.names:
        if name[0] in "LP":
            assert ours[name].mean() == pytest.approx(real[name].mean(), rel=0.04), name
            assert ours[name].std() == pytest.approx(real[name].std(), rel=0.10), name
    for link in ("PU1", "PU2", "PU4", "PU7", "PU8", "PU10", "V2"):
        running, really = ours[f"S_{link}"] == 1, real[f"S_{link}"] == 1
        assert running.mean() == pytest.approx(really.mean(), rel=0.04), link
        mean = ours[f"F_{link}"][running].mean()
        assert mean == pytest.approx(real[f"F_{link}"][really].mean(), rel=0.03), link


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"demands": {}}, "demands has unknown .* lacks .*DMA1"),
        ({"pump_curves": {"PU1": ((0.0, 50.0),)}}, "pump_curves .* lacks .*PU10"),
        (
            {"pump_curves": {**PLANT.pump_curves, "PU1": ((0.0, 50.0), (9.0, 60.0))}},
            "head curve of PU1.*head falling",
        ),
        ({"setpoints": {"PU99": SetPoint("T1", 1.0, 2.0)}}, "setpoints has unknown .*PU99"),
        ({"setpoints": {"PU1": SetPoint("T1", 3.0, 2.0)}}, "on_below under off_above"),
        ({"setpoints": {"PU1": SetPoint("T8", 1.0, 2.0)}}, "expected a tank of"),
        ({"plc_step_s": 700}, "plc_step_s is 700; expected a divisor of 3600"),
        ({"roughness": {"DMA1": 0.0}}, "roughness factors must be above 0"),
        ({"roughness": {"DMA9": 1.0}}, "roughness has unknown .*DMA9"),
        ({"sensor_noise": {"flow": -1.0}}, "sensor noise at least 0"),
        ({"sensor_noise": {"status": 1.0}}, "sensor_noise has unknown .*status"),
        ({"network": "/nowhere/plant.inp"}, "does not exist"),
    ],
)
def test_an_impossible_plant_is_refused_with_its_reason(change, reason):
    with pytest.raises(TwinError, match=reason):
        CTownTwin(replace(PLANT, **change))


@pytest.mark.parametrize(("hours", "seed"), [(0, 1), (24, -1)])
def test_an_impossible_scenario_is_refused(hours, seed):
    with pytest.raises(TwinError, match="scenario 's': hours"):
        TWIN.simulate(Scenario("s", hours, seed))
