"""`dtfl example`: a folder that the product reads, whose faults are those that it names."""

import tomllib

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dtfl_app.cli.example import EXAMPLES
from dtfl_app.cli.main import app
from dtfl_app.cli.stations.exports import FAULTS
from dtfl_app.cli.stations.plant import CHANNELS, Station, readings
from dtfl_app.sites.folders import schema_beside
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_schema import read_site_schema
from tests.support.places import REPOSITORY
from twin.schema import ABNORMAL, EVENT, LABEL


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def stations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example") / "stations"
    assert invoke("example", "stations", folder).exit_code == 0
    return folder


def test_it_is_the_same_every_time_and_says_what_to_do(stations, tmp_path):
    again = invoke("example", "stations", tmp_path / "new" / "stations")

    for path in stations.iterdir():
        assert path.read_bytes() == (tmp_path / "new" / "stations" / path.name).read_bytes()
    assert again.stdout == (stations / "README.txt").read_text()
    assert len([line for line in again.stdout.splitlines() if line.startswith("  dtfl ")]) == 3


@pytest.mark.parametrize("name", ["north", "south", "west", "judge"])
def test_every_file_is_usable_by_the_schema_beside_it(stations, name):
    path = stations / f"{name}.csv"

    found = check_file(path, read_site_schema(schema_beside(path)), name)

    assert found.exit_code == 0
    assert found.summary.rows == (2016 if name == "judge" else 4032)
    assert [channel.channel for channel in found.channels] == list(CHANNELS)
    lost = 0.0 if name != "west" else 0.0025
    assert max(channel.missing for channel in found.channels) == pytest.approx(lost, abs=0.001)


def test_the_labels_are_the_rows_in_which_the_faults_were(stations):
    path = stations / "judge.csv"

    series, _ = load_own_file(path, read_site_schema(stations / "schema.toml"))

    expected = np.full(len(series), "", dtype=object)
    for fault in FAULTS:
        expected[fault.first : fault.last + 1] = fault.name
    assert series[EVENT].tolist() == expected.tolist()
    assert ((series[LABEL] == ABNORMAL) == (expected != "")).all()


def test_each_fault_does_to_the_readings_what_its_name_says():
    """Against the same station without it; means over the rows in which the pump runs or stands."""
    station = Station(7, 85.0, 24.0, 14.0)
    sound = pd.DataFrame(readings(station, 600), columns=CHANNELS)

    def with_fault(name: str) -> pd.DataFrame:
        fault = type(FAULTS[0])(name, 100, 599)
        found = pd.DataFrame(readings(station, 600, (fault,)), columns=CHANNELS)
        pd.testing.assert_frame_equal(found[:100], sound[:100])
        return found[100:]

    def means(frame: pd.DataFrame, pump: int) -> pd.Series:
        return frame[frame["pump"] == pump].mean()

    runs, stands = means(sound[100:], 1), means(sound[100:], 0)
    blocked, burst = means(with_fault("strainer blocked"), 1), means(with_fault("burst main"), 1)
    back = means(with_fault("check valve stuck open"), 0)
    assert blocked["inflow"] < 0.8 * runs["inflow"] and blocked["pressure"] < runs["pressure"]
    assert burst["inflow"] > 1.05 * runs["inflow"] and burst["pressure"] < 0.95 * runs["pressure"]
    assert stands["inflow"] == pytest.approx(0, abs=0.1) and back["inflow"] < -4


def test_a_folder_that_is_not_empty_stays_as_it_is(tmp_path):
    (tmp_path / "mine.csv").write_text("x")

    result = invoke("example", "stations", tmp_path)

    assert result.exit_code == 2
    assert "is there already and not empty; expected a new folder" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_another_name_is_refused_with_those_that_there_are(tmp_path):
    result = invoke("example", "wells", tmp_path / "new")

    assert result.exit_code == 2
    assert "no example called 'wells'; expected one of stations" in result.stderr
    assert not (tmp_path / "new").exists()


def test_it_is_in_the_wheel_and_does_not_travel_with_the_app():
    """The wheel takes all of dtfl_app; the app's bundle is told what to leave out."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]

    assert "/dtfl_app/cli/stations/" in project["flwr"]["app"]["fab-exclude"]
    assert "dtfl_app" in project["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert sum(map(len, EXAMPLES["stations"]().values())) < 800_000
