"""Laws of physics on SCADA readings: by hand on a few hours, and on the simulated plant."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.errors import DataError, TwinError
from dtfl_app.sites.batadal import read_batadal
from twin.base import Event, Scenario
from twin.ctown.defaults import default_plant
from twin.ctown.network import network_of
from twin.ctown.plant import SetPoint
from twin.ctown.residuals import (
    BALANCE_HOURS,
    DMAS,
    SLOTS,
    STATIONS,
    DemandSums,
    balance_residual,
    demand_sums,
    plc_contradiction,
    pump_residual,
)
from twin.ctown.scada import LINKS, SCADA
from twin.ctown.simulate import CTownTwin

PLANT = default_plant()
AREA = network_of(PLANT).tanks["T5"].area_m2
# Columns of what the laws find.
PU8, PU9 = LINKS.index("PU8"), LINKS.index("PU9")
T1, T5 = STATIONS.index("T1"), STATIONS.index("T5")
DMA5 = DMAS.index("DMA5")
# T5 alone has a rule: PU8 comes on at or below 1 m and goes off at or above 4 m.
RULED = replace(PLANT, setpoints={"PU8": SetPoint("T5", 1.0, 4.0)})


def hours(level, on, flow_lps=0.0, instance="week"):
    """Hourly rows with the given level of T5 and status of PU8; everything else is 0."""
    rows = pd.DataFrame(0.0, index=range(len(level)), columns=SCADA.names)
    rows["L_T5"], rows["S_PU8"] = np.array(level, float), np.array(on, float)
    rows["F_PU8"] = rows["S_PU8"] * flow_lps
    rows.insert(0, "instance", instance)
    rows.insert(1, "time", pd.date_range("2024-01-01", periods=len(rows), freq="h"))
    rows["label"], rows["event"] = np.int8(0), ""
    return rows


def simulate(*events, length=240, seed=11):
    return CTownTwin(PLANT).simulate(Scenario("run", length, seed, events))


class TestPlc:
    def test_a_pump_that_stays_on_above_its_set_point_contradicts_by_the_excess(self):
        """Readings 3.5, 4.2, 4.6 m, on throughout: 0, 4.2 - 4.0 and 4.6 - 4.0 m."""
        found = plc_contradiction(hours([3.5, 4.2, 4.6], [1, 1, 1]), RULED)[:, PU8]

        assert found.tolist() == pytest.approx([0.0, 0.2, 0.6])

    def test_a_pump_that_stays_off_below_its_set_point_contradicts_by_the_lack(self):
        found = plc_contradiction(hours([1.5, 0.7], [0, 0]), RULED)[:, PU8]

        assert found.tolist() == pytest.approx([0.0, 0.3])

    def test_a_start_too_early_lacks_what_the_level_could_not_have_fallen(self):
        """PU8 starts between readings of 2.0 and 2.4 m.

        The speed v of the level changes by 1 m/h: the lowest it can have been is
        2.2 - (1 + 0.16) / 4 = 1.91 m, so 0.91 m lack to the set-point of 1 m.
        """
        rows = hours([2.0, 2.4], [0, 1], flow_lps=AREA / 3.6)

        assert plc_contradiction(rows, RULED)[:, PU8].tolist() == pytest.approx([0.0, 0.91])

    def test_a_stop_too_early_lacks_what_the_level_could_not_have_risen(self):
        """Highest: 3.0 + 1 / 4 = 3.25 m with readings of 3 m both; 0.75 m lack to 4 m."""
        rows = hours([3.0, 3.0], [1, 0], flow_lps=AREA / 3.6)

        assert plc_contradiction(rows, RULED)[:, PU8].tolist() == pytest.approx([0.0, 0.75])

    def test_a_contradiction_is_held_until_a_reading_justifies_the_status(self):
        """Started at 2 m without reason, then falling: at 0.9 m the pump may be on."""
        rows = hours([2.0, 2.0, 1.8, 0.9, 2.0], [0, 1, 1, 1, 1])

        found = plc_contradiction(rows, RULED)[:, PU8]

        assert found.tolist() == pytest.approx([0.0, 1.0, 1.0, 0.0, 0.0], abs=1e-5)

    def test_a_contradiction_ends_when_the_status_changes_back_plausibly(self):
        rows = hours([4.5, 4.5, 4.4], [1, 1, 0])

        assert plc_contradiction(rows, RULED)[:, PU8].tolist() == pytest.approx([0.5, 0.5, 0.0])

    def test_a_pump_without_a_rule_must_not_run(self):
        rows = hours([2.0, 2.0], [0, 0])
        rows["S_PU9"] = [0.0, 1.0]

        assert plc_contradiction(rows, RULED)[:, PU9].tolist() == [0.0, 1.0]

    def test_nothing_is_held_across_a_gap_or_into_another_recording(self):
        first, second = hours([4.5, 4.5], [1, 1]), hours([3.0, 3.0], [1, 1], instance="other")
        rows = pd.concat([first, second], ignore_index=True)
        gap = hours([4.5, 3.0], [1, 1])
        gap.loc[1, "time"] += pd.Timedelta(hours=5)

        assert plc_contradiction(rows, RULED)[:, PU8].tolist() == pytest.approx([0.5, 0.5, 0, 0])
        assert plc_contradiction(gap, RULED)[:, PU8].tolist() == pytest.approx([0.5, 0.0])

    def test_a_missing_level_contradicts_nothing(self):
        rows = hours([3.5, np.nan, 3.6], [1, 1, 1])

        assert plc_contradiction(rows, RULED)[:, PU8].tolist() == [0.0, 0.0, 0.0]

    def test_the_benchmark_year_without_attacks_never_contradicts_by_20_cm(self, data_dir):
        """Its PLCs are obeyed: what is left, 15 cm at V2, is how fast T2's level moves."""
        year = read_batadal(data_dir / "batadal" / "BATADAL_dataset03.csv")

        assert plc_contradiction(year, PLANT).max() < 0.2

    def test_a_falsified_level_contradicts_while_it_lasts(self):
        """T1's PLC is told 0.5 m for 60 h: PU1 and PU2 run on although T1 is full."""
        series = simulate(Event("falsified_level", "T1", 100, 60, 0.5))
        found = plc_contradiction(series, PLANT).max(axis=1)

        assert found[:100].max() < 0.2
        assert (found[100:160] > 0.2).mean() > 0.6


class TestPump:
    def test_head_on_the_curve_leaves_nothing(self):
        """EPANET's curve through (0, h0), (q1, h1), (q2, h2) is met at q1 and q2."""
        (_, h0), (q1, h1), (q2, h2) = PLANT.pump_curves["PU8"]
        rows = hours([2.0, 2.0, 2.0, 2.0], [1, 1, 1, 0])
        rows["F_PU8"], rows["P_J306"] = [0.0, q1, q2, 0.0], [h0, h1, h2, 5.0]

        assert pump_residual(rows, PLANT)[:, T5].tolist() == pytest.approx([0.0] * 4, abs=1e-9)

    def test_lost_head_is_returned_with_its_sign(self):
        (_, h0), _, _ = PLANT.pump_curves["PU8"]
        rows = hours([2.0], [1])
        rows["P_J306"] = h0 - 3.0

        assert pump_residual(rows, PLANT)[:, T5].tolist() == pytest.approx([-3.0])

    def test_the_simulated_plant_runs_on_its_curves_and_a_slowed_pump_does_not(self):
        """Pipes between pump and sensor cost less than a metre; 20% speed costs 36% of head."""
        series = simulate(Event("pump_speed", "PU1", 100, 60, 0.8))
        found = np.abs(pump_residual(series, PLANT)[:, T1])

        assert found[:100].max() < 1.0
        assert np.median(found[105:155]) > 10.0

    def test_every_station_has_a_column(self):
        assert pump_residual(hours([2.0], [0]), PLANT).shape == (1, len(STATIONS))


class TestBalance:
    def test_demand_is_inflow_less_what_is_stored(self):
        """PU8 brings 20 L/s for an hour, T5 rises 0.1 m: demand is 20 - 0.1 * area / 3.6."""
        sums = demand_sums(hours([2.0, 2.1], [1, 1], flow_lps=20.0), PLANT)
        assert sums.count[DMA5, 0] == 1.0  # Monday 0:00 to 1:00
        assert sums.total[DMA5, 0] == pytest.approx(20.0 - 0.1 * AREA / 3.6)
        assert sums.count.sum() == len(DMAS)

    def test_hours_known_to_be_abnormal_are_left_out(self):
        rows = hours([2.0, 2.0, 2.0], [0, 0, 0])
        rows["label"] = np.array([0, 1, 0], np.int8)

        assert demand_sums(rows, PLANT).count.sum() == len(DMAS)

    def test_sums_of_two_plants_pool_to_the_mean_over_both(self):
        one, other = DemandSums.none(), DemandSums.none()
        one.count[:, 0], one.total[:, 0] = 1.0, 10.0
        other.count[:, 0], other.total[:, 0] = 3.0, 90.0

        mean = (one + other).mean()

        assert mean[:, 0].tolist() == [25.0] * len(DMAS)
        assert mean[:, 1].tolist() == [25.0] * len(DMAS)  # never seen: the district's mean

    def test_a_district_never_seen_has_no_mean(self):
        with pytest.raises(DataError, match="normal operation"):
            DemandSums.none().mean()

    def test_the_residual_is_in_standard_deviations_and_averages_over_past_hours(self):
        """Demand 20 L/s where 10 are expected with 10% noise: 10 standard deviations an hour.

        The first row has no hour before it and counts 0; the mean over four hours then rises by a
        quarter of 10 each: 0, 10 / 2, 20 / 3, 30 / 4, 40 / 4.
        """
        plant = replace(
            PLANT, demands={k: replace(d, noise_sd=0.1) for k, d in PLANT.demands.items()}
        )
        rows = hours([2.0] * 5, [1] * 5, flow_lps=20.0)

        found = balance_residual(rows, plant, np.full((len(DMAS), SLOTS), 10.0))[:, DMA5]

        assert BALANCE_HOURS == 4
        assert found.tolist() == pytest.approx([0.0, 5.0, 20 / 3, 7.5, 10.0], rel=1e-4)

    def test_a_switch_within_the_hour_widens_the_deviation(self):
        """PU8 comes on: mean flow 10 L/s is uniform on 0 to 20, variance 400 / 12."""
        rows = hours([2.0, 2.0], [0, 1], flow_lps=20.0)
        noise = PLANT.demands["DMA5"].noise_sd * 4.0

        found = balance_residual(rows, PLANT, np.full((len(DMAS), SLOTS), 4.0))[:, DMA5]

        assert found[1] == pytest.approx(6.0 / np.sqrt(noise**2 + 400 / 12) / 2, rel=1e-4)

    def test_a_burst_stands_out_of_weeks_of_normal_demand(self):
        expected = demand_sums(simulate(length=1344, seed=5), PLANT).mean()
        series = simulate(Event("demand_burst", "J511", 100, 60, 15.0))

        found = np.abs(balance_residual(series, PLANT, expected)).max(axis=1)

        assert np.median(found[105:155]) > 2 * np.median(found[:100])

    def test_an_hour_that_was_hardly_ever_seen_does_not_divide_by_nothing(self):
        """Expected 0 in one hour, 10 in all others: it counts as a quarter of the mean, 2.5."""
        expected = np.full((len(DMAS), SLOTS), 10.0)
        expected[:, 0] = 0.0
        noise = PLANT.demands["DMA5"].noise_sd

        found = balance_residual(hours([2.0, 2.0], [1, 1], 20.0), PLANT, expected)[:, DMA5]

        assert found[1] == pytest.approx((20.0 - 2.485) / (noise * 2.485) / 2, rel=0.01)

    def test_a_demand_table_of_another_shape_is_refused(self):
        with pytest.raises(TwinError, match=r"\(5, 168\)"):
            balance_residual(hours([2.0], [0]), PLANT, np.ones((5, 24)))


def test_all_links_have_a_column():
    assert plc_contradiction(hours([2.0], [0]), PLANT).shape == (1, len(LINKS))
