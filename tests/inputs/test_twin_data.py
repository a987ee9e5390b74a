"""Which twin a run has."""

import logging
from pathlib import Path

import pandas as pd
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, SchemaError, TwinError
from dtfl_app.inputs.twin_data import _scenarios, make_twin_data
from dtfl_app.inputs.twins import make_twin
from dtfl_app.sites.batadal import DATASET03
from dtfl_app.sites.catalogue import open_dataset
from tests.support.runs import make_recording
from tests.support.settings import keyed
from twin.base import Twin
from twin.ctown.channels import SCADA
from twin.ctown.defaults import SETPOINTS
from twin.ctown.events import KINDS
from twin.ctown.simulate import CTownTwin
from twin.recorded import RecordedTwin


def config(**settings: object) -> RunConfig:
    return RunConfig.from_mapping(keyed(**settings))


def twin_of(settings: RunConfig) -> Twin | None:
    return make_twin(settings, open_dataset(settings))


def test_plants_have_the_embedded_plant_as_twin():
    twin = twin_of(config())

    assert isinstance(twin, CTownTwin)
    assert twin.plant.network == ""


def test_batadals_twin_is_its_network_with_the_plants_own_set_points(data_dir: Path):
    twin = twin_of(config(dataset="batadal", data__dir=str(data_dir)))

    assert isinstance(twin, CTownTwin)
    assert twin.plant.network.endswith("ctown_map.inp")
    assert twin.plant.setpoints == SETPOINTS


def test_batadal_without_its_network_is_a_clear_error(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"ctown_map\.inp is missing; name one with twin.network"):
        twin_of(config(dataset="batadal", data__dir=str(tmp_path)))


def test_a_twin_can_be_wrong_by_a_known_factor():
    right = twin_of(config())
    wrong = twin_of(config(twin__demand_factor=1.15, twin__roughness_factor=0.85))

    assert isinstance(right, CTownTwin) and isinstance(wrong, CTownTwin)
    for name, demand in right.plant.demands.items():
        assert wrong.plant.demands[name].mean_lps == pytest.approx(1.15 * demand.mean_lps)
        assert wrong.plant.roughness[name] == pytest.approx(0.85 * right.plant.roughness[name])


def test_a_twins_plcs_can_switch_at_wrong_levels_but_not_above_the_tank():
    """0.9 times 4.0 and 6.3 m in T1; 1.1 times 4.5 m in T4, whose top is at 4.7 m."""
    low, high = (twin_of(config(twin__threshold_factor=factor)) for factor in (0.9, 1.1))

    assert isinstance(low, CTownTwin) and isinstance(high, CTownTwin)
    rule = low.plant.setpoints["PU1"]
    assert (rule.on_below, rule.off_above) == pytest.approx((3.6, 5.67))
    rule = high.plant.setpoints["PU7"]
    assert (rule.on_below, rule.off_above) == pytest.approx((3.3, 4.7))


@pytest.mark.parametrize("kind", ["demand", "roughness", "threshold"])
def test_a_wrong_twin_has_a_cache_of_its_own(kind: str):
    right, same, wrong = (
        twin_of(config(**{f"twin__{kind}_factor": factor})) for factor in (1.0, 1.0, 1.1)
    )

    assert right is not None and same is not None and wrong is not None
    assert right.fingerprint() == same.fingerprint() != wrong.fingerprint()


def test_levels_beyond_every_tank_leave_no_band_and_are_refused():
    with pytest.raises(TwinError, match=r"expected a tank of .* and on_below under off_above"):
        twin_of(config(twin__threshold_factor=20.0))


def test_batadals_twin_can_be_the_uncalibrated_plant(tmp_path: Path):
    """No network file is needed; pipes and curves are the embedded plant's, PLCs the plant's."""
    twin = twin_of(config(dataset="batadal", data__dir=str(tmp_path), twin__network="embedded"))

    assert isinstance(twin, CTownTwin)
    assert twin.plant.network == ""
    assert twin.plant.setpoints == SETPOINTS


def test_threews_twin_reads_the_one_file_and_the_published_folders_alike(
    data_dir: Path, tmp_path: Path
):
    recorded = pd.read_parquet(data_dir / "3w" / "class2_SIMULATED.parquet")
    one = recorded[recorded["instance"] == recorded["instance"].iloc[0]].drop(
        columns=["event", "source", "instance"]
    )
    folder = tmp_path / "3w" / "2"
    folder.mkdir(parents=True)
    one.to_csv(folder / "SIMULATED_00001.csv", index=False)

    whole = twin_of(config(dataset="threew", data__dir=str(data_dir)))
    published = twin_of(config(dataset="threew", data__dir=str(tmp_path)))

    assert isinstance(whole, RecordedTwin) and isinstance(published, RecordedTwin)
    assert len(whole.instances) == 16
    assert published.instances == ["2/SIMULATED_00001"]


@pytest.mark.parametrize("dataset", ["batadal", "plants"])
def test_unseen_families_never_occur_in_the_twins_scenarios(dataset: str, data_dir: Path):
    """Two weeks a scenario, an event a week, three of four scenarios with events: 60 events."""
    settings = config(
        dataset=dataset, detector__model="classifier", data__protocol="unseen-families",
        data__unseen_families="signal_altered,pump_speed", twin__scenarios=40,
        data__dir=str(data_dir),
    )  # fmt: skip
    twin = twin_of(settings)
    assert twin is not None

    kinds = [event.kind for plan in _scenarios(settings, twin) for event in plan.events]

    assert len(kinds) == 60
    assert set(KINDS) - set(kinds) == {"signal_altered", "pump_speed"}


def test_an_autoencoder_needs_no_events_whatever_is_held_out():
    settings = config(data__protocol="unseen-families", twin__scenarios=4)
    twin = twin_of(settings)
    assert twin is not None

    assert not any(plan.events for plan in _scenarios(settings, twin))


def test_what_the_twin_simulates_is_said_once():
    settings = config(
        data__protocol="unseen-families", twin__families="leak", detector__model="classifier"
    )
    twin = twin_of(settings)
    assert twin is not None

    with pytest.raises(
        ConfigError, match=r"both say what the twin simulates; leave twin\.families"
    ):
        _scenarios(settings, twin)


def test_a_recorded_twin_cannot_leave_families_out(data_dir: Path, tmp_path: Path):
    path = tmp_path / "recording.parquet"
    make_recording(path, data_dir)
    settings = config(
        dataset="batadal", data__dir=str(data_dir), data__protocol="unseen-families",
        twin__kind="recorded", twin__recording=str(path),
    )  # fmt: skip
    twin = twin_of(settings)
    assert twin is not None

    with pytest.raises(ConfigError, match="needs a twin that simulates on demand"):
        _scenarios(settings, twin)


def test_a_recording_may_be_in_the_layout_of_the_sites_files(data_dir: Path):
    path = data_dir / "batadal" / DATASET03

    twin = twin_of(
        config(
            dataset="batadal",
            data__dir=str(data_dir),
            twin__kind="recorded",
            twin__recording=str(path),
        )
    )

    assert isinstance(twin, RecordedTwin)
    assert (twin.source, twin.instances) == (str(path), [path.stem])


def test_no_twin_is_no_data(tmp_path: Path):
    settings = config(twin__kind="none", cache_dir=str(tmp_path))

    assert make_twin_data(settings, open_dataset(settings)) is None


def test_a_twin_of_another_plant_is_a_clear_error(data_dir: Path):
    with pytest.raises(ConfigError, match="choose the twin that belongs to the dataset"):
        twin_of(config(dataset="threew", twin__kind="ctown", data__dir=str(data_dir)))


def test_a_calibrated_plant_that_cannot_be_read_is_a_clear_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="expected a JSON file of 'dtfl twin calibrate'"):
        twin_of(config(twin__plant=str(tmp_path / "none.json")))


def recording_with(path: Path, data_dir: Path, reading: float) -> RunConfig:
    """A recorded twin of 200 rows, with `reading` in row 150 of its second channel."""
    make_recording(path, data_dir)
    series = pd.read_parquet(path).iloc[:200]
    series.loc[150, SCADA.names[1]] = reading
    series.to_parquet(path)
    return config(
        dataset="batadal", twin__kind="recorded", twin__recording=str(path),
        data__dir=str(data_dir), cache_dir=str(path.parent),
    )  # fmt: skip


def test_a_twin_with_a_gap_is_refused_when_its_data_is_opened(tmp_path: Path, data_dir: Path):
    """A gap would be scaled to the sites' mean, and learnt as a reading; dataset03 begins on
    6 January 2014 at 0 h, so row 150 is 6 h on the 12th.
    """
    path = tmp_path / "gap.parquet"
    settings = recording_with(path, data_dir, float("nan"))

    with pytest.raises(
        TwinError,
        match=rf"{path}: instance 'normal', row of 2014-01-12 06:00:00, column "
        rf"{SCADA.names[1]!r} holds no number \(1 of 200 rows",
    ):
        make_twin_data(settings, open_dataset(settings))


def test_a_twin_with_an_infinite_reading_is_refused_when_it_is_opened(
    tmp_path: Path, data_dir: Path
):
    path = tmp_path / "infinite.parquet"
    settings = recording_with(path, data_dir, float("inf"))

    with pytest.raises(
        SchemaError, match=rf"{path}: row 150, column {SCADA.names[1]!r}: inf is outside"
    ):
        make_twin_data(settings, open_dataset(settings))


def test_what_of_a_recording_is_used_is_said_with_its_gaps(
    tmp_path: Path, data_dir: Path, caplog: pytest.LogCaptureFixture
):
    """Hours 0 to 199 without 50 and 51, 90, and 150: stretches of 50, 38, 59 and 49 hours.

    Two gaps lie between the first three of them, which are 147 of the 196 rows.
    """
    lines = (data_dir / "batadal" / DATASET03).read_text().splitlines(keepends=True)
    kept = [n for n in range(200) if n not in (50, 51, 90, 150)]
    path = tmp_path / "gaps.csv"
    path.write_text("".join([lines[0], *(lines[1 + n] for n in kept)]))
    settings = config(
        dataset="batadal", twin__kind="recorded", twin__recording=str(path), twin__scenarios=3,
        data__dir=str(data_dir), cache_dir=str(tmp_path),
    )  # fmt: skip
    logging.getLogger("flwr").propagate = True

    made = make_twin_data(settings, open_dataset(settings))

    assert made is not None
    assert made.source.startswith("3 scenarios, 147 rows")
    assert made.source.endswith(
        ", of 4 scenarios and 196 rows recorded, 2 gaps in time that no window reaches across"
    )
    assert [m for m in caplog.messages if "takes all" in m] == [
        f"dtfl: twin: {path} holds 4 recorded stretches, and the first 3 are used, gaps/part-1 to "
        "gaps/part-3: 147 of 196 rows; twin.scenarios=4 takes all"
    ]


def test_gaps_within_a_labelled_series_are_counted_and_no_window_reaches_across(
    tmp_path: Path, data_dir: Path
):
    """An hour of each of two recordings is missing; that one follows the other is no gap."""
    path = tmp_path / "gaps.parquet"
    make_recording(path, data_dir)
    series = pd.read_parquet(path).drop(index=[100, 700])
    series.to_parquet(path)
    settings = config(
        dataset="batadal", twin__kind="recorded", twin__recording=str(path), twin__hours=600,
        data__dir=str(data_dir), cache_dir=str(tmp_path),
    )  # fmt: skip

    made = make_twin_data(settings, open_dataset(settings))

    assert made is not None
    assert made.source.endswith(", 2 gaps in time that no window reaches across")
