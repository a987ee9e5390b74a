"""Fitting a plant to its own SCADA."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, SchemaError, TwinError
from dtfl_app.sites.batadal import read_batadal
from twin.base import Scenario
from twin.compare import compare, exceptions
from twin.ctown.balance import DmaHours, fit_demand, hourly_demand, split_noise
from twin.ctown.calibrate import calibrate, merge_calibrations
from twin.ctown.channels import SCADA
from twin.ctown.defaults import default_plant
from twin.ctown.network import DmaBoundary, dma_boundaries, network_of
from twin.ctown.plant import PlantModel, SetPoint
from twin.ctown.setpoints import fit_setpoint
from twin.ctown.simulate import CTownTwin
from twin.ctown.steady import readings, scaled_curve, solve, take_snapshots
from twin.ctown.timing import switch_lags

# -- demand -------------------------------------------------------------------------------------

BOUNDARY = DmaBoundary({"T3": 360.0}, inflow=("PU4",), outflow=("PU5",))


def scada(hours: int, **columns: object) -> pd.DataFrame:
    """Return a SCADA series from Monday 0:00, 0 where nothing is given."""
    series = pd.DataFrame(0.0, index=range(hours), columns=SCADA.names)
    series.insert(0, "instance", "plant")
    series.insert(1, "time", pd.date_range("2014-01-06", periods=hours, freq="h", unit="ns"))
    return series.assign(label=np.int8(0), event="", **columns)


def test_demand_is_inflow_less_outflow_less_what_the_tank_stores():
    """A rise of 0.01 m/h in 360 m2 stores 3.6 m3/h = 1 L/s: demand = 5 - 2 - 1 = 2 L/s."""
    series = scada(100, L_T3=0.01 * np.arange(100), F_PU4=5.0, F_PU5=2.0, S_PU4=1.0, S_PU5=1.0)

    hours = hourly_demand(series, BOUNDARY)

    np.testing.assert_allclose(hours.demand_lps, 2.0, rtol=1e-12)
    assert hours.steady.all()
    assert hours.slot[:3].tolist() == [0, 1, 2]


def test_flow_is_the_mean_of_both_ends_of_the_hour():
    """From 4 to 6 L/s within an hour at a constant level: 5 L/s."""
    series = scada(100, F_PU4=np.where(np.arange(100) % 2, 6.0, 4.0), S_PU4=1.0)

    np.testing.assert_allclose(hourly_demand(series, BOUNDARY).demand_lps, 5.0)


def test_hours_with_a_switch_a_gap_or_a_missing_level_are_told_apart():
    """PU4 starts between rows 10 and 11; rows 20 and 21 are 2 h apart; row 30 has no level, so
    the hours that start at rows 29 and 30 have no demand; row 50 begins another instance."""
    rows = np.arange(100)
    series = scada(100, S_PU4=(rows > 10) * 1.0, L_T3=np.where(rows == 30, np.nan, 1.0))
    series["time"] += pd.to_timedelta((rows > 20) * 1, unit="h")
    series["instance"] = np.where(rows < 50, "a", "b")

    hours = hourly_demand(series, BOUNDARY)

    assert sorted(set(range(99)) - set(hours.row)) == [20, 29, 30, 49]
    assert hours.row[~hours.steady].tolist() == [10]


def test_too_short_a_period_is_refused():
    with pytest.raises(DataError, match="71 usable hours of 72; expected at least 72"):
        hourly_demand(scada(72), BOUNDARY)


def demand_hours(demand: np.ndarray) -> DmaHours:
    rows = np.arange(demand.size)
    return DmaHours(rows, rows % 168, demand, np.ones(demand.size, dtype=bool))


def test_a_pattern_without_noise_is_recovered_exactly():
    """Two days of the same 24 values, mean 10 L/s: one pattern value each, and no noise."""
    day = 10 + 5 * np.sin(np.arange(24) * np.pi / 12)

    fit = fit_demand(demand_hours(np.tile(day, 4)), BOUNDARY)

    assert fit.demand.mean_lps == pytest.approx(10)
    np.testing.assert_allclose(fit.demand.pattern, day / 10)
    assert fit.demand.noise_sd == pytest.approx(0, abs=1e-12)
    assert fit.level_noise == 0


def test_weeks_give_a_weekly_pattern():
    week = 10 + 2 * (np.arange(168) >= 120)

    fit = fit_demand(demand_hours(np.tile(week, 4).astype(float)), BOUNDARY)

    assert len(fit.demand.pattern) == 168
    np.testing.assert_allclose(np.array(fit.demand.pattern) * fit.demand.mean_lps, week)


def test_hours_with_a_switch_count_in_the_mean_but_hardly_in_the_pattern():
    """Every other day, hour 5 has a switch and reads 40 or 0 instead of 10 L/s. Both readings
    average to (40 + 0) / 2 = 20 there, so the mean of the 24 hourly means is (23 * 10 + 15) / 24
    = 10.208; the steady hours say 10 at every hour, so the pattern stays near 1."""
    demand = np.tile(np.full(24, 10.0), 24)
    switched = np.zeros(demand.size, dtype=bool)
    switched[5::48] = True
    demand[5::96], demand[53::96] = 40.0, 0.0
    hours = replace(demand_hours(demand), steady=~switched)

    fit = fit_demand(hours, BOUNDARY).demand

    assert fit.mean_lps == pytest.approx((23 * 10 + 15) / 24)
    assert np.ptp(fit.pattern) < 0.02


def test_an_hour_never_seen_is_an_error():
    hours = demand_hours(np.full(80, 10.0))

    with pytest.raises(DataError, match=r"no reading at hours \[23\] of a 24 h"):
        fit_demand(replace(hours, slot=np.minimum(hours.slot % 24, 22)), BOUNDARY)


def test_a_negative_mean_is_an_error():
    with pytest.raises(DataError, match="mean demand of -3 L/s"):
        fit_demand(demand_hours(np.full(96, -3.0)), BOUNDARY)


@pytest.mark.parametrize(
    ("lags", "expected"),
    [
        # S = 4, f = 0.5, m = 0: lags 4, 2, 1.
        ((4.0, 2.0, 1.0), (4.0, 0.5, 0.0)),
        # S = 4, f = 0.5, m = 1: lags 4 + 2, 2 - 1, 1.
        ((6.0, 1.0, 1.0), (4.0, 0.5, 1.0)),
        # S = 4, f = 0, m = 1: lags 6, -1, 0.
        ((6.0, -1.0, 0.0), (4.0, 0.0, 1.0)),
    ],
)
def test_noise_of_demand_and_of_level_sensors_are_told_apart(lags, expected):
    assert split_noise(*lags, pairs=100_000) == pytest.approx(expected)


def test_noise_within_two_standard_errors_is_left_with_the_demand():
    """100 pairs tell lags down to 2 * 6 / sqrt(100) = 1.2; -1 is not told from 0."""
    assert split_noise(6.0, -1.0, 0.0, pairs=100) == (6.0, 0.0, 0.0)


# -- set-points and PLC step --------------------------------------------------------------------


def sawtooth(hours: int, low: float, high: float, fall: float, rise: float, lag: float):
    """Level and status of a tank between two set-points, switched `lag` h after they are crossed.

    Sampled every hour from a 1/200 h walk. m, m/h.
    """
    level, on, due, levels, states = high, False, -1, [], []
    for tick in range(hours * 200):
        if due < 0 and ((on and level > high) or (not on and level < low)):
            due = tick + round(lag * 200)
        if tick == due:
            on, due = not on, -1
        if tick % 200 == 0:
            levels.append(level)
            states.append(float(on))
        level += (rise if on else -fall) / 200
    return np.array(levels), np.array(states)


def test_setpoints_are_found_from_hourly_levels():
    """Levels read before a switch spread evenly above 3.2 and below 5.1: the edges are found to
    the step of a few millimetres that 100 switches allow."""
    level, on = sawtooth(1500, 3.2, 5.1, fall=0.171, rise=0.37, lag=0.01)

    rule, flips = fit_setpoint(scada(1500, L_T3=level, S_PU4=on), "PU4", SetPoint("T3", 1.0, 6.0))

    assert flips > 80
    assert rule.on_below == pytest.approx(3.2, abs=0.01)
    assert rule.off_above == pytest.approx(5.1, abs=0.01)


def test_one_wrong_reading_does_not_move_a_setpoint():
    level, on = sawtooth(1500, 3.2, 5.1, fall=0.171, rise=0.37, lag=0.01)
    before = np.flatnonzero((on[1:] == 1) & (on[:-1] == 0))[3]
    level[before] = 0.5

    rule, _ = fit_setpoint(scada(1500, L_T3=level, S_PU4=on), "PU4", SetPoint("T3", 1.0, 6.0))

    assert rule.on_below == pytest.approx(3.2, abs=0.02)


@pytest.mark.parametrize(
    ("on", "base", "expected"),
    [
        # Never on between 2 and 4 m: it cannot switch on below 2.5; off_above is not tested.
        (0.0, SetPoint("T3", 2.5, 6.0), SetPoint("T3", 2.0, 6.0)),
        # Always on up to 4 m: it cannot switch off above 3.5; on_below is not tested.
        (1.0, SetPoint("T3", 1.0, 3.5), SetPoint("T3", 1.0, 4.0)),
        # What the readings allow stays.
        (0.0, SetPoint("T3", 1.0, 6.0), SetPoint("T3", 1.0, 6.0)),
    ],
)
def test_without_switches_a_setpoint_moves_only_as_far_as_it_must(on, base, expected):
    level = 3 + np.sin(np.arange(1001) * np.pi / 2)

    rule, flips = fit_setpoint(scada(1001, L_T3=level, S_PU4=on), "PU4", base)

    assert (rule, flips) == (expected, 0)


def test_switch_lag_is_the_time_past_the_setpoint():
    """Straight levels before and after a switch: the lag of 0.2 h = 720 s comes out as it is."""
    level, on = sawtooth(1500, 3.2, 5.1, fall=0.171, rise=0.37, lag=0.2)
    series = scada(1500, L_T3=level, S_PU4=on)

    lags = switch_lags(series, {"PU4": SetPoint("T3", 3.2, 5.1)})

    assert set(lags) == {("PU4", True), ("PU4", False)}
    assert lags["PU4", True].mean_s == pytest.approx(720, abs=40)
    assert lags["PU4", False].mean_s == pytest.approx(720, abs=40)


# -- hydraulics ---------------------------------------------------------------------------------


def test_a_curve_is_scaled_in_head_and_in_flow():
    assert scaled_curve(((0.0, 70.0), (60.0, 50.0)), head=0.5, flow=2.0) == (
        (0.0, 35.0),
        (120.0, 25.0),
    )


@pytest.fixture(scope="module")
def base() -> PlantModel:
    return default_plant()


@pytest.fixture(scope="module")
def truth(base: PlantModel) -> PlantModel:
    """Another plant: a tenth more demand, rougher pipes, weaker pumps, other set-points."""
    plant = base.scaled(demand=1.1, roughness=0.9)
    rules = {"PU4": SetPoint("T3", 3.5, 5.0), "PU8": SetPoint("T5", 2.0, 3.6)}
    return replace(
        plant,
        setpoints={**plant.setpoints, **rules},
        pump_curves={p: scaled_curve(c, 0.95, 1.02) for p, c in plant.pump_curves.items()},
        demands={n: replace(d, noise_sd=0.12, noise_ar=0.3) for n, d in plant.demands.items()},
        plc_step_s=900,
    )


@pytest.fixture(scope="module")
def recorded(truth: PlantModel) -> pd.DataFrame:
    """Eight weeks of the other plant's SCADA."""
    return CTownTwin(truth).simulate(Scenario("site", 8 * 168, 5))


@pytest.fixture(scope="module")
def fitted(recorded: pd.DataFrame, base: PlantModel) -> tuple[PlantModel, pd.DataFrame]:
    plant, report = calibrate(recorded, base, snapshots=60, trial_h=1080)
    return plant, report.table().set_index(["quantity", "asset"])


def test_solved_hours_equal_the_simulation_they_were_taken_from(recorded, truth):
    """The same plant at the recorded levels, switches and demands has the recorded hydraulics,
    but for the demand: an hour's mean, from flows that drift with the levels within it."""
    network = network_of(truth)
    hours = {n: hourly_demand(recorded, b) for n, b in dma_boundaries(network).items()}

    taken = take_snapshots(recorded, hours, network, 30)
    off = taken.running(solve(truth, network, taken) - taken.read)

    assert readings()[:2] == ["F_PU1", "F_PU2"]
    assert np.sqrt(np.nanmean(np.square(off[:, :12]))) < 0.2  # L/s of 20 to 120
    assert np.sqrt(np.nanmean(np.square(off[:, 12:]))) < 0.2  # m of 2 to 90


def test_calibration_recovers_demand(fitted, truth):
    plant, _ = fitted
    for name, demand in truth.demands.items():
        assert plant.demands[name].mean_lps == pytest.approx(demand.mean_lps, rel=0.02)
        assert plant.demands[name].noise_sd == pytest.approx(0.12, abs=0.025)
        assert plant.demands[name].noise_ar == pytest.approx(0.3, abs=0.15)
        assert np.corrcoef(plant.demands[name].pattern, demand.pattern)[0, 1] > 0.97


def test_calibration_recovers_setpoints(fitted, truth):
    plant, table = fitted
    for link in ("PU4", "PU8", "PU7", "PU10"):
        assert plant.setpoints[link].on_below == pytest.approx(
            truth.setpoints[link].on_below, abs=0.05
        )
        assert plant.setpoints[link].off_above == pytest.approx(
            truth.setpoints[link].off_above, abs=0.05
        )
    assert table.loc[("on below", "PU4"), "evidence"] > 50
    assert plant.setpoints["PU5"] == truth.setpoints["PU5"]


def test_calibration_recovers_pumps_and_roughness(fitted, truth):
    """Head and flow factors trade off along a curve, so heads are compared at running flow."""
    plant, _ = fitted
    for pump, flow in {"PU1": 100.0, "PU2": 95.0, "PU4": 34.0, "PU7": 48.0, "PU10": 30.0}.items():
        assert _head(plant, pump, flow) == pytest.approx(_head(truth, pump, flow), rel=0.02)
    for area, factor in truth.roughness.items():
        assert plant.roughness[area] == pytest.approx(factor, rel=0.03)


def _head(plant: PlantModel, pump: str, flow: float) -> float:
    """Head of EPANET's three-point curve, h0 - b q^c."""
    (_, h0), (q1, h1), (q2, h2) = plant.pump_curves[pump]
    c = np.log((h0 - h2) / (h0 - h1)) / np.log(q2 / q1)
    return float(h0 - (h0 - h1) * (flow / q1) ** c)


def test_calibration_recovers_sensors_and_plc_step(fitted):
    plant, table = fitted
    assert plant.sensor_noise["flow"] == 0
    assert plant.sensor_noise["level"] == 0
    assert plant.sensor_noise["pressure"] < 0.01
    assert plant.plc_step_s in (720, 900, 1200)
    assert table.loc[("PLC step", "all"), "before"] == default_plant().plc_step_s


def test_a_noisy_plant_is_told_its_noise(truth, base):
    noisy = replace(truth, sensor_noise={"level": 0.02, "flow": 0.3, "pressure": 0.1})
    recorded = CTownTwin(noisy).simulate(Scenario("site", 8 * 168, 6))

    plant, _ = calibrate(recorded, base, snapshots=60, trial_h=0)

    assert plant.sensor_noise["flow"] == pytest.approx(0.3, rel=0.05)
    assert plant.sensor_noise["pressure"] == pytest.approx(0.1, rel=0.4)
    assert plant.sensor_noise["level"] < 0.04
    assert plant.plc_step_s == base.plc_step_s


def test_every_fitted_number_is_reported_before_and_after(fitted, base):
    plant, table = fitted
    assert table.loc[("mean demand", "DMA3"), "before"] == base.demands["DMA3"].mean_lps
    assert table.loc[("mean demand", "DMA3"), "after"] == plant.demands["DMA3"].mean_lps
    assert not table.index.duplicated().any()
    assert np.isfinite(table[["before", "after"]].to_numpy()).all()


def test_a_calibrated_plant_is_a_plant(fitted):
    plant, _ = fitted
    assert PlantModel.from_json(plant.to_json()) == plant
    assert len(CTownTwin(plant).simulate(Scenario("again", 24, 0))) == 24


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.assign(label=np.int8(1)), DataError, "1344 of 1344 rows are labelled abn"),
        (lambda s: s.drop(columns="L_T4"), SchemaError, "L_T4"),
        (lambda s: s.iloc[:48], DataError, "expected at least 72"),
        (lambda s: s.assign(P_J14=np.nan), DataError, "0 complete hours without a pump switch"),
    ],
)
def test_data_that_cannot_calibrate_is_refused(recorded, base, change, error, message):
    with pytest.raises(error, match=message):
        calibrate(change(recorded), base)


def test_calibrated_on_batadal_the_twin_is_within_5_percent(data_dir):
    """Means and standard deviations of a year; stand-by pumps PU6 and PU11 run 16 and 4 hours in
    the plant's year, and PU7's flow depends on PU6 (see benchmarks/results/twin_distance.md)."""
    scada = read_batadal(data_dir / "batadal" / "BATADAL_dataset03.csv")
    base = default_plant(str(data_dir / "ctown" / "ctown_map.inp"))

    plant, _ = calibrate(scada, base, snapshots=60, trial_h=1440)
    year = CTownTwin(plant).simulate(Scenario("year", 8760, 0))
    table = compare(year, scada, SCADA)

    assert set(exceptions(table).index) <= {"F_PU6", "F_PU7", "F_PU11"}
    assert table["ks"].mean() < 0.02


# -- several sites ------------------------------------------------------------------------------


def test_merging_weighs_every_number(base):
    """Weights 1 and 3: demand (1 * 1 + 3 * 2) / 4 = 1.75 times the base, roughness
    (0.8 + 3 * 1.2) / 4 = 1.1 times, PU4's on_below (2 + 3 * 3) / 4 = 2.75."""
    one = replace(
        base.scaled(demand=1.0, roughness=0.8),
        setpoints={**base.setpoints, "PU4": SetPoint("T3", 2.0, 5.0)},
        sensor_noise={"level": 0.04},
    )
    two = replace(
        base.scaled(demand=2.0, roughness=1.2),
        setpoints={**base.setpoints, "PU4": SetPoint("T3", 3.0, 5.0)},
    )

    merged = merge_calibrations([one, two], [1, 3])

    assert merged.demands["DMA2"].mean_lps == pytest.approx(1.75 * base.demands["DMA2"].mean_lps)
    np.testing.assert_allclose(merged.demands["DMA2"].pattern, base.demands["DMA2"].pattern)
    assert merged.roughness["DMA1"] == pytest.approx(1.1 * base.roughness["DMA1"])
    assert merged.setpoints["PU4"] == SetPoint("T3", 2.75, 5.0)
    assert merged.sensor_noise == pytest.approx({"level": 0.01})
    np.testing.assert_allclose(merged.pump_curves["PU1"], base.pump_curves["PU1"])


def test_a_mean_plc_step_is_taken_to_one_that_divides_an_hour(base):
    """(2 * 300 + 3 * 600) / 5 = 480; the nearest of 450 and 600 is 450."""
    plants = [replace(base, plc_step_s=step) for step in (300, 600)]

    assert merge_calibrations(plants, [2, 3]).plc_step_s == 450
    assert merge_calibrations(plants[:1] * 2, [1, 3]).plc_step_s == 300


def test_patterns_are_averaged_as_demand(base):
    """A daily pattern of 1s at 10 L/s and a weekly one that is 0 but on Monday's first hour (168)
    at 30 L/s, equal weights: 5 + 84 * 30 = 2525 L/s in that hour, 5 else; mean 5 + 15 = 20."""
    flat = replace(base.demands["DMA1"], mean_lps=10.0, pattern=(1.0,) * 24)
    peak = replace(base.demands["DMA1"], mean_lps=30.0, pattern=(168.0,) + (0.0,) * 167)
    plants = [replace(base, demands={**base.demands, "DMA1": d}) for d in (flat, peak)]

    merged = merge_calibrations(plants, [1, 1]).demands["DMA1"]

    assert merged.mean_lps == pytest.approx(20)
    assert np.array(merged.pattern[:2]) * 20 == pytest.approx([2525, 5])


def test_merging_one_model_changes_nothing(fitted):
    plant, _ = fitted
    merged = merge_calibrations([plant], [7.0])
    assert merged.setpoints == plant.setpoints
    assert merged.demands["DMA1"].mean_lps == pytest.approx(plant.demands["DMA1"].mean_lps)
    np.testing.assert_allclose(merged.demands["DMA1"].pattern, plant.demands["DMA1"].pattern)


@pytest.mark.parametrize(
    ("change", "weights", "message"),
    [
        ({}, [1], "2 plant models and 1 weights"),
        ({}, [1, -1], "none below 0"),
        ({}, [0, 0], "sum above 0"),
        ({"network": "other.inp"}, [1, 1], "plant model 1: network is other.inp"),
        ({"setpoints": {}}, [1, 1], "plant model 1: tanks of set-points"),
    ],
)
def test_models_that_cannot_be_merged_are_refused(base, change, weights, message):
    with pytest.raises(TwinError, match=message):
        merge_calibrations([base, replace(base, **change)], weights)
