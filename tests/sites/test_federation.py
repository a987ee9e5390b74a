from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.sites.batadal import TEST_FILE
from dtfl_app.sites.batadal_sites import BatadalDataset
from dtfl_app.sites.features import Features, FeatureSpec
from dtfl_app.sites.federation import build_site
from dtfl_app.sites.partition import site_names
from dtfl_app.sites.quality import assess
from dtfl_app.sites.threew import CHANNELS
from dtfl_app.sites.threew_sites import ThreeWDataset
from twin.ctown.channels import SCADA

WELLS = [f"WELL-000{number}" for number in ("03", "09", "10", "11", "12", "13")]


def rows_of(features: Features) -> set[tuple[np.datetime64, bytes]]:
    return set(zip(features.time, map(bytes, features.values), strict=True))


def test_batadal_sites_are_normal_operation_and_the_evaluation_has_all_attacks(data_dir):
    """8,761 hours over 4 sites: 2,191 + 3 x 2,190, a fifth of each kept for calibration."""
    dataset = BatadalDataset(data_dir)

    sites = [dataset.load_site(index, 4) for index in range(4)]
    evaluation = dataset.load_evaluation(10)

    assert [site.name for site in sites] == dataset.sites(4) == site_names(4)
    assert sum(len(s.features_train) + len(s.features_cal) for s in sites) == 8761
    assert [len(site.features_cal) for site in sites] == [438] * 4
    assert all((site.features_train.label == 0).all() for site in sites)
    assert all(s.features_train.time.max() < s.features_cal.time.min() for s in sites)
    assert evaluation.values.shape == (4177, 43)
    assert int((evaluation.label == 1).sum()) == 492
    assert dataset.schema is SCADA
    assert sites[0].features_train.names == tuple(SCADA.names)
    assert sites[0].quality.rows == 2191


def test_known_attacks_go_to_the_sites_and_are_never_judged(data_dir):
    dataset = BatadalDataset(data_dir, partition="attack-per-site", known_attacks=3)

    sites = [dataset.load_site(index, 3) for index in range(3)]
    evaluation = dataset.load_evaluation(10)

    known = [set(site.features_train.event) - {""} for site in sites]
    assert known == [{"attack-1"}, {"attack-2"}, {"attack-3"}]
    assert set(evaluation.event) - {""} == {f"attack-{number}" for number in range(4, 8)}
    held = sum(len(site.features_train) + len(site.features_cal) for site in sites)
    assert held + len(evaluation) == 8761 + 4177
    latest = max(site.features_cal.time.max() for site in sites)
    assert latest < evaluation.time.min()


def test_known_attacks_of_unseen_families_are_left_out_at_the_sites(data_dir):
    """Attacks 1 to 5 are known; 3 and 4 falsify L_T1: 60 and 94 hours."""
    seen = BatadalDataset(data_dir, known_attacks=5)
    apart = BatadalDataset(
        data_dir, protocol="unseen-families", known_attacks=5, unseen=("falsified_level",)
    )

    before, after = seen.load_site(0, 1), apart.load_site(0, 1)

    rows = [len(site.features_train) + len(site.features_cal) for site in (before, after)]
    assert rows[0] - rows[1] == 60 + 94
    events = set(after.features_train.event) | set(after.features_cal.event)
    assert events == {"", "attack-1", "attack-2", "attack-5"}
    assert np.array_equal(apart.load_evaluation(1).values, seen.load_evaluation(1).values)


def test_where_attacks_are_left_out_the_recording_is_cut(data_dir):
    """Before attack 3, between 3 and 4, after 4: no window reaches across."""
    apart = BatadalDataset(
        data_dir, protocol="unseen-families", known_attacks=5, unseen=("falsified_level",)
    )

    names = {name for name in apart.load_site(0, 1).features_train.instance if "dataset04" in name}

    assert {name.split("/part-")[1][0] for name in names} == {"1", "2", "3"}


def test_no_part_of_one_plant_can_be_left_out(data_dir):
    with pytest.raises(ConfigError, match=r"all sites are parts of one plant.*plants or threew"):
        BatadalDataset(data_dir, protocol="leave-one-site-out")


def test_random_split_gives_each_hour_of_dataset04_to_one_side(data_dir):
    """Half of 492 attack hours and of 3,685 normal ones (1842, as round() goes to even)."""
    dataset = BatadalDataset(data_dir, protocol="random-split", seed=3)

    sites = [dataset.load_site(index, 5) for index in range(5)]
    evaluation = dataset.load_evaluation(10)

    assert int((evaluation.label == 1).sum()) == 246
    assert len(evaluation) == 246 + 1842
    held = [site.features_train for site in sites] + [site.features_cal for site in sites]
    times = np.concatenate([part.time for part in held] + [evaluation.time])
    assert len(times) == len(np.unique(times)) == 4177


def test_the_seed_decides_what_is_random_in_batadal(data_dir):
    def first_site(seed: int) -> Features:
        return (
            BatadalDataset(data_dir, partition="dirichlet", seed=seed).load_site(0, 4)
        ).features_train

    assert rows_of(first_site(1)) == rows_of(first_site(1))
    assert rows_of(first_site(1)) != rows_of(first_site(2))


def test_every_well_but_the_held_out_one_is_a_site(data_dir):
    dataset = ThreeWDataset(data_dir, held_out="WELL-00010")

    sites = [dataset.load_site(index, 5) for index in range(5)]
    evaluation = dataset.load_evaluation(10)

    assert [site.name for site in sites] == [well for well in WELLS if well != "WELL-00010"]
    assert {name.split("_")[0] for name in evaluation.instance} == {"2/WELL-00010"}
    assert len(evaluation.names) == 6
    for site in sites:
        assert set(site.features_train.label) >= {0, 1}
        assert not rows_of(site.features_train) & rows_of(site.features_cal)
        assert site.quality.site == site.name


def test_the_well_held_out_by_default_is_the_last(data_dir):
    evaluation = ThreeWDataset(data_dir).load_evaluation(10)

    assert {name.split("_")[0] for name in evaluation.instance} == {"2/WELL-00013"}


def test_pooled_judges_later_recordings_of_wells_with_several(data_dir):
    """Well 11 has 13 recordings, 0.3 of them are 3.9, so 4; well 12 has 2, at least one."""
    dataset = ThreeWDataset(data_dir, protocol="pooled")

    assert dataset.sites(6) == WELLS
    judged = {name.split("/part")[0] for name in dataset.load_evaluation(10).instance}
    held = {
        name.split("/part")[0]
        for index in (3, 4)
        for name in dataset.load_site(index, 6).features_train.instance
    }

    assert len(judged) == 5
    assert len(held) == 9 + 1
    assert max(held & {h for h in held if "00011" in h}) < min(j for j in judged if "00011" in j)


def write_recording(folder: Path, event: int, well: str) -> None:
    """Twenty minutes, the second half of which is the event; T-TPT has no reading."""
    there = folder / "3w" / str(event)
    there.mkdir(parents=True, exist_ok=True)
    seconds = np.arange(1200)
    frame = pd.DataFrame(
        {
            "timestamp": pd.Timestamp("2020-01-01") + pd.to_timedelta(seconds, unit="s"),
            **dict.fromkeys(CHANNELS, np.nan),
            "P-TPT": 1e7 + 1e4 * np.sin(seconds / 50),
            "class": np.where(seconds < 600, 0, event),
        }
    )
    frame.to_parquet(there / f"{well}_20200101000000.parquet")


def test_a_channel_without_a_reading_in_any_recording_is_named(tmp_path):
    for well in ("WELL-1", "WELL-2"):
        write_recording(tmp_path, 2, well)

    with pytest.raises(DataError, match=r"column 'T-TPT': no recording of event .* of P-TPT$"):
        ThreeWDataset(tmp_path).sites(1)
    assert ThreeWDataset(tmp_path, channels=("P-TPT",)).sites(1) == ["WELL-1"]


def test_the_recordings_are_those_of_the_event_that_is_asked_for(tmp_path):
    for event, well in ((2, "WELL-1"), (2, "WELL-2"), (6, "WELL-3"), (6, "WELL-4")):
        write_recording(tmp_path, event, well)
    told = {"dataset": "threew", "data.dir": str(tmp_path), "data.channels": "P-TPT"}

    usual = ThreeWDataset.from_config(RunConfig.from_mapping(told))
    other = ThreeWDataset.from_config(RunConfig.from_mapping({**told, "data.event": 6}))

    assert (usual.sites(1), other.sites(1)) == (["WELL-1"], ["WELL-3"])
    assert set(other.load_evaluation(1).event) - {""} == {
        "restriction-in-pck WELL-4_20200101000000"
    }


def test_a_site_with_little_normal_operation_calibrates_on_none(data_dir):
    """WELL-00003 has 586 normal seconds: less than two windows of 300 s."""
    site = ThreeWDataset(data_dir).load_site(0, 5)

    assert site.name == "WELL-00003"
    assert int((site.features_train.label == 0).sum()) == (586 - 300) // 15 + 1
    assert not (site.features_cal.label == 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "guess"}, "protocol 'guess'"),
        ({"partition": "by-mood"}, "partition 'by-mood'"),
        ({"known_attacks": 7}, "known attacks 7; expected 0 to 6"),
        ({"known_attacks": 8, "evaluation_file": TEST_FILE}, "expected 0 to 7"),
    ],
)
def test_batadal_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        BatadalDataset(Path(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"protocol": "guess"}, "protocol 'guess'"), ({"evaluation_share": 1.0}, "share 1.0")],
)
def test_threew_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        ThreeWDataset(Path(), **options)


def test_impossible_numbers_of_sites_are_refused(data_dir):
    with pytest.raises(DataError, match="9000 sites cannot be made of 8761 rows"):
        BatadalDataset(data_dir).load_site(0, 9000)
    with pytest.raises(DataError, match="0 sites; expected at least 1"):
        BatadalDataset(data_dir).sites(0)
    with pytest.raises(DataError, match=r"4 sites asked for, but the data has 5 wells"):
        ThreeWDataset(data_dir).sites(4)
    with pytest.raises(ConfigError, match="held-out well 'WELL-00099'; expected one of"):
        ThreeWDataset(data_dir, held_out="WELL-00099").sites(5)


def test_a_site_may_keep_nothing_for_calibration(series_of, schema):
    series = series_of([20])
    spec = FeatureSpec(180, 60, ("mean",))

    site = build_site("all", series, schema, spec, 0.0, assess("all", series, schema))

    assert (len(site.features_train), len(site.features_cal)) == (18, 0)


def test_a_site_too_short_for_one_window_is_refused(series_of, schema):
    series = series_of([5, 3])
    quality = assess("tiny", series, schema)

    told = (
        r"site 'tiny': no window of 600 s: the longest of its 2 uninterrupted stretches has 5 rows "
        r"\(300 s\); use a shorter window \(features.window-s\), or, .* \(max-gap-s"
    )
    with pytest.raises(DataError, match=told):
        build_site("tiny", series, schema, FeatureSpec(600, 60, ("mean",)), 0.2, quality)
