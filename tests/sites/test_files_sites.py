"""A folder of files as a federation, and real data in files of its own."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError, SchemaError
from dtfl_app.sites.batadal import DATASET03, SCADA, read_batadal
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.files_sites import FilesDataset
from dtfl_app.sites.scaling import ChannelSums
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from dtfl_app.sites.threew import threew_schema, well_of
from dtfl_app.sites.threew_sites import ThreeWDataset
from tests.support.settings import keyed
from tests.support.station import SITES, STATION, write_station
from twin.schema import Schema


def open_folder(folder: Path, **settings) -> FilesDataset:
    told = {"dataset": "files", "data.dir": str(folder)}
    told |= keyed(**settings)
    dataset = open_dataset(RunConfig.from_mapping(told))
    assert isinstance(dataset, FilesDataset) and isinstance(dataset, FederatedDataset)
    return dataset


def test_every_file_is_a_site_by_its_name(tmp_path):
    dataset = open_folder(write_station(tmp_path), data__evaluation_file="judge.csv")

    assert dataset.sites(3) == list(SITES)
    site = dataset.load_site(1, 3)
    assert (site.name, site.schema.names) == ("south", ["level", "flow", "pump"])
    assert len(site.features_train) == 320 and len(site.features_cal) == 80
    assert dataset.describe(3) == f"schema 'station', files in {tmp_path}, judged by judge.csv"


def test_another_number_of_sites_than_files_is_refused_by_their_names(tmp_path):
    dataset = open_folder(write_station(tmp_path), data__evaluation_file="judge.csv")

    with pytest.raises(DataError, match=r"2 sites asked for, .* 3 files .*\(north, south, west\)"):
        dataset.sites(2)


def test_files_that_settings_or_schema_name_are_no_sites(tmp_path):
    table = STATION.replace('column = "flag"', 'events = "events.csv"')
    write_station(tmp_path, schema=table)
    (tmp_path / "events.csv").write_text("start,end,event\n")
    (tmp_path / "judge.csv").rename(tmp_path / "recorded.csv")

    dataset = open_folder(tmp_path, twin__recording=str(tmp_path / "recorded.csv"))

    assert dataset.sites(3) == list(SITES)


def test_files_left_out_by_name_or_pattern_are_no_sites(tmp_path):
    write_station(tmp_path)

    def sites(exclude: str) -> list[str]:
        return list(open_folder(tmp_path, data__exclude=exclude).files)

    assert sites("judge.csv") == list(SITES)
    assert sites(" judge.csv, *th.csv ,") == ["west"]
    with pytest.raises(
        ConfigError, match=r"data\.exclude: no file in .* called 'jugde\.csv'.*judge"
    ):
        sites("jugde.csv")


def test_a_labelled_file_that_nobody_named_to_judge_by_is_said_to_be_a_site(tmp_path, caplog):
    """judge.csv has one event of 40 minutes; the sites' own files have none."""
    write_station(tmp_path)
    dataset = open_folder(tmp_path)
    logging.getLogger("flwr").propagate = True

    for index in range(4):
        dataset.load_site(index, 4)
    open_folder(tmp_path, data__evaluation_file="judge.csv").load_site(0, 3)

    assert [m for m in caplog.messages if "abnormal" in m] == [
        "dtfl: judge.csv has 40 rows labelled abnormal and is a site, since no file is named to "
        "judge by; name it in data.evaluation-file, or leave it out with data.exclude"
    ]


def test_two_files_of_one_name_are_refused(tmp_path):
    write_station(tmp_path)
    pd.read_csv(tmp_path / "north.csv").to_parquet(tmp_path / "north.parquet")

    with pytest.raises(DataError, match=r"north\.csv and north\.parquet would both be site"):
        open_folder(tmp_path).sites(5)


def test_a_folder_without_files_is_refused(tmp_path):
    (tmp_path / "schema.toml").write_text(STATION)

    with pytest.raises(DataError, match="no file for a site"):
        open_folder(tmp_path).sites(1)


def test_the_evaluation_is_the_named_file_and_none_without_one(tmp_path):
    write_station(tmp_path)

    judged = open_folder(tmp_path, data__evaluation_file="judge.csv").load_evaluation(3)

    assert judged is not None and int((judged.label == 1).sum()) == 40
    assert open_folder(tmp_path).load_evaluation(3) is None


def test_an_evaluation_file_without_labels_is_refused(tmp_path):
    write_station(tmp_path)
    frame = pd.read_csv(tmp_path / "judge.csv").drop(columns="flag")
    frame.to_csv(tmp_path / "judge.csv", index=False)

    with pytest.raises(DataError, match=r"judge\.csv: no row is labelled"):
        open_folder(tmp_path, data__evaluation_file="judge.csv").load_evaluation(3)


@pytest.mark.parametrize(("flag", "told"), [(0, "labelled abnormal"), (1, "labelled normal")])
def test_an_evaluation_file_of_one_class_is_taken_with_a_warning(
    tmp_path, caplog, monkeypatch, flag, told
):
    write_station(tmp_path)
    frame = pd.read_csv(tmp_path / "judge.csv").assign(flag=flag)
    frame.to_csv(tmp_path / "judge.csv", index=False)
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)

    judged = open_folder(tmp_path, data__evaluation_file="judge.csv").load_evaluation(3)

    assert judged is not None and set(judged.label.tolist()) == {flag}
    (message,) = (m for m in caplog.messages if "judge.csv" in m)
    assert f"no window is {told}" in message


def test_files_without_a_stretch_as_long_as_a_window_are_refused_with_what_to_do(tmp_path):
    """Of every five minutes the fifth is missing; a window takes five."""
    write_station(tmp_path)
    for path in tmp_path.glob("*.csv"):
        frame = pd.read_csv(path)
        frame[frame.index % 5 < 4].to_csv(path, index=False)
    longer = {"features__window_s": 300, "features__step_s": 60}
    told = r"no window of 300 s: the longest of its 80 uninterrupted stretches has 4 rows \(240 s\)"
    dataset = open_folder(tmp_path, data__evaluation_file="judge.csv", **longer)

    with pytest.raises(DataError, match=rf"site 'north': {told}; use a shorter window .*max-gap-s"):
        dataset.load_site(0, 3)
    with pytest.raises(DataError, match=rf"judge\.csv: {told}; use a shorter window .*max-gap-s"):
        dataset.load_evaluation(3)

    (tmp_path / "schema.toml").write_text("max-gap-s = 120\n" + STATION)
    filled = open_folder(tmp_path, data__evaluation_file="judge.csv", **longer)

    assert len(filled.load_site(0, 3).features_train) > 0
    assert filled.load_evaluation(3) is not None


def test_without_a_folder_there_is_a_schema_and_no_site_yet(tmp_path):
    write_station(tmp_path)

    dataset = open_folder(Path(), data__dir="", data__schema=str(tmp_path / "schema.toml"))

    assert dataset.sites(5) == []
    assert dataset.describe(5) == (
        "schema 'station', each node's own file, without an evaluation file"
    )
    assert dataset.load_evaluation(5) is None
    with pytest.raises(ConfigError, match=r"no data.dir is set; .*data-path and site-name"):
        dataset.load_site(0, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs data.dir, the folder of the sites' files"),
        ({"data.schema": "schema.toml"}, "expected paths from the root"),
        (
            {"data.protocol": "pooled"},
            "files are judged by the file that data.evaluation-file names",
        ),
        ({"data.partition": "dirichlet"}, "the sites of files are what they are"),
        ({"data.exclude": "judge.csv"}, "leaves files of data.dir out, which is empty"),
    ],
)
def test_a_run_on_files_that_names_none_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        open_dataset(RunConfig.from_mapping({"dataset": "files", **settings}))


def test_features_may_be_statistics_of_longer_windows(tmp_path):
    dataset = open_folder(
        write_station(tmp_path),
        features__window_s=300, features__step_s=60, features__statistics="mean, std,change",
    )  # fmt: skip

    features = dataset.load_site(0, 4).features_train

    assert features.names[:4] == ("level:mean", "flow:mean", "pump:mean", "level:std")


def test_a_period_below_a_second_gives_a_row_per_reading(tmp_path):
    """Ten readings a second."""
    text = STATION.replace("period-s = 60", "period-s = 0.1").replace(
        '"%d/%m/%Y %H:%M"', '"ISO8601"'
    )
    write_station(tmp_path, schema=text)
    for path in tmp_path.glob("*.csv"):
        frame = pd.read_csv(path)
        frame["when"] = pd.date_range("2024-01-01", periods=len(frame), freq="100ms").astype(str)
        frame.to_csv(path, index=False)

    assert len(open_folder(tmp_path).load_site(0, 4).features_train) == 320


def test_wells_of_3w_in_files_of_their_own_are_those_of_the_benchmark(
    data_dir: Path, tmp_path: Path
):
    schema = threew_schema()
    whole = pd.read_parquet(data_dir / "3w" / "class2_WELL.parquet")
    # The benchmark holds float32; as text they must not be rounded to its digits.
    whole = whole.astype(dict.fromkeys(schema.names, np.float64))
    for well, rows in whole.groupby(whole["instance"].map(well_of)):
        rows[["timestamp", "instance", *schema.names, "class"]].to_csv(
            tmp_path / f"{well}.csv", index=False
        )
    labels = LabelColumn("class", normal=(0.0,), abnormal=(2.0, 102.0))
    site = SiteSchema(schema, time="timestamp", labels=labels)
    (tmp_path / "schema.toml").write_text(site.to_toml())
    benchmark = ThreeWDataset(data_dir)
    held_out = max(path.stem for path in tmp_path.glob("*.csv"))
    files = open_folder(
        tmp_path, data__evaluation_file=f"{held_out}.csv",
        features__window_s=300, features__step_s=15, features__statistics="mean,std,change",
    )  # fmt: skip
    k = len(files.files)

    assert files.sites(k) == benchmark.sites(k)
    assert files.schema.digest() == benchmark.schema.digest()
    for index in range(k):
        one, other = files.load_site(index, k), benchmark.load_site(index, k)
        for mine, theirs in (
            (one.features_train, other.features_train),
            (one.features_cal, other.features_cal),
        ):
            np.testing.assert_array_equal(mine.values, theirs.values)
            np.testing.assert_array_equal(mine.label, theirs.label)
            np.testing.assert_array_equal(mine.time, theirs.time)
            np.testing.assert_array_equal(mine.instance, theirs.instance)
        moments = [ChannelSums.of(s.features_train.values).to_dict() for s in (one, other)]
        assert moments[0] == moments[1]
        assert one.quality == other.quality
    judged, expected = files.load_evaluation(k), benchmark.load_evaluation(k)
    assert judged is not None
    np.testing.assert_array_equal(judged.values, expected.values)


def test_batadal_in_three_files_reads_as_the_benchmarks_reader_does(data_dir: Path, tmp_path: Path):
    source = data_dir / "batadal" / DATASET03
    frame, expected = pd.read_csv(source, skipinitialspace=True), read_batadal(source)
    parts = np.array_split(np.arange(len(frame)), 3)
    for place, rows in enumerate(parts):
        frame.iloc[rows].to_csv(tmp_path / f"part-{place}.csv", index=False)
    schema = Schema("c-town", SCADA.channels, SCADA.period_s)
    labels = LabelColumn("ATT_FLAG", unlabelled=(-999.0,))
    site = SiteSchema(schema, {}, "DATETIME", ("%d/%m/%y %H",), labels, "ctown")
    (tmp_path / "schema.toml").write_text(site.to_toml())

    files = open_folder(tmp_path)

    for place, rows in enumerate(parts):
        series = files.read_file(tmp_path / f"part-{place}.csv")
        columns = ["time", *SCADA.names, "label", "event"]
        read = expected.iloc[rows][columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(series[columns], read)


def test_a_site_whose_file_is_written_otherwise_has_a_schema_of_its_own_beside_it(tmp_path):
    """Semicolons, decimal commas and other names give the readings of the usual file."""
    dataset = open_folder(write_station(tmp_path), data__evaluation_file="judge.csv")
    usual, judged = dataset.load_site(1, 3), dataset.load_evaluation(3)
    for name in ("south", "judge"):
        frame = pd.read_csv(tmp_path / f"{name}.csv").rename(columns={"Q": "Durchfluss"})
        frame.to_csv(tmp_path / f"{name}.csv", index=False, sep=";", decimal=",")
        own = STATION.replace('"Q"', '"Durchfluss"').replace(
            "period-s = 60", 'period-s = 60\nseparator = ";"\ndecimal = ","'
        )
        (tmp_path / f"{name}.toml").write_text(own)

    south = dataset.load_site(1, 3)

    np.testing.assert_array_equal(south.features_train.values, usual.features_train.values)
    assert dataset.sites(3) == list(SITES)
    np.testing.assert_array_equal(dataset.load_evaluation(3).values, judged.values)


def test_a_schema_of_one_site_that_disagrees_is_refused_with_the_difference(tmp_path):
    dataset = open_folder(write_station(tmp_path), data__evaluation_file="judge.csv")
    (tmp_path / "south.toml").write_text(STATION.replace("high = 12", "high = 13"))

    with pytest.raises(SchemaError, match=r"south.toml: .*'level'.*high=13.0.*expected.*high=12.0"):
        dataset.load_site(1, 3)
    assert dataset.load_site(0, 3).name == "north"
