"""An FMU as a twin: a real one, that PythonFMU builds, run by FMPy."""

import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from pythonfmu.builder import FmuBuilder

from dtfl_app.testing.twins import check_twin
from tests.support.places import REPOSITORY
from twin.base import Surroundings
from twin.dataset import build_dataset
from twin.errors import ScenarioError, TwinError
from twin.fmi.fmu_file import read_fmu_file
from twin.fmi.simulate import FmuTwin, FmuTwinOptions
from twin.schema import Channel, Schema

STATION = Schema(
    "station",
    (
        Channel("level", "m", "level", 0.0, 10.0),
        Channel("inflow", "L/s", "flow", 0.0, 50.0),
        Channel("outflow", "L/s", "flow", 0.0, 50.0),
        Channel("pump", "1", "status", 0.0, 1.0),
    ),
    period_s=600.0,
)
FILE = """
fmu = "Station.fmu"

[channels]
pump = "on"

[units]
level = "m"
inflow = "L/s"
outflow = "L/s"
on = "1"

[parameters]
area = [18.0, 22.0]

[inputs.opening]
mean = 0.7
swing = 0.2
noise = 0.03

[events.leak]
input = "leak"
strength = [1.0, 3.0]
hours = [4, 8]

[events.level-offset]
reading = "level"
how = "offset"
strength = [1.0, 1.5]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("fmu")
    FmuBuilder.build_FMU(REPOSITORY / "tests" / "twin" / "fmus" / "station.py", dest=made)
    (made / "station.toml").write_text(FILE)
    return made


@pytest.fixture
def twin(folder):
    return FmuTwin.from_options(FmuTwinOptions("station.toml"), Surroundings(STATION, folder))


def changed(folder, tmp_path, old, new):
    """The file with one slip in it, beside the same FMU."""
    assert old in FILE
    shutil.copy(folder / "Station.fmu", tmp_path)
    path = tmp_path / "station.toml"
    path.write_text(FILE.replace(old, new))
    return path


def test_it_keeps_all_that_the_app_promises_of_a_twin(twin):
    assert len(check_twin(twin, ["leak", "level-offset"])) == 9


def test_water_is_neither_made_nor_lost(twin):
    """What flows in less what flows out is what the tank's area times its level rises by."""
    scenario = replace(twin.plan(1, 240, 7, [])[0], seed=3)

    series = twin.simulate(scenario)

    area = np.random.default_rng(3).uniform(18.0, 22.0)
    gained = ((series["inflow"] - series["outflow"]) * STATION.period_s / 1000).to_numpy()[1:]
    assert area * np.diff(series["level"]) == pytest.approx(gained, abs=1e-9)
    assert set(series["pump"]) == {0.0, 1.0}


def test_a_leak_lowers_the_level_and_a_false_reading_leaves_the_flows_alone(twin):
    for family, channel in (("leak", "level"), ("level-offset", "outflow")):
        scenario = twin.plan(1, 48, 1, [family])[0]
        attacked, quiet = twin.simulate(scenario), twin.simulate(replace(scenario, events=()))
        if family == "leak":
            assert (attacked[channel] - quiet[channel]).min() < -0.1
        else:
            assert attacked[channel].equals(quiet[channel])
            offset = (attacked["level"] - quiet["level"])[attacked["label"] == 1]
            assert offset.to_numpy() == pytest.approx(scenario.events[0].strength)


def test_one_scenario_of_ten_in_which_the_solver_fails_is_counted_and_named(folder, tmp_path):
    path = changed(
        folder, tmp_path, "[events.leak]", '[events.stall]\ninput = "stall"\n[events.leak]'
    )
    twin = FmuTwin(read_fmu_file(path), STATION)
    bad = replace(twin.plan(1, 24, 2, ["stall"])[0], name="bad")
    plan = [*twin.plan(9, 24, 1, ["leak"]), bad]

    built = build_dataset(twin, plan, tmp_path / "cache", 1)

    assert list(built.dropped) == ["bad"]
    assert "Station.fmu, scenario 'bad'" in str(built.dropped)
    assert built.series["instance"].nunique() == 9


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('level = "m"\n', "", r"variable 'level' has no unit.*\[units\] 'level' = 'm'"),
        ('level = "m"', 'level = "cm"', "variable 'level' is in 'cm', channel 'level' in 'm'"),
        ('pump = "on"', 'pump = "spin"', "has no variable 'spin'; expected one of area"),
        ('pump = "on"', 'valve = "on"', r"\[channels\] valve is no channel of schema 'station'"),
        ("area = [18.0, 22.0]", "area = [22.0, 18.0]", r"\[parameters\] area = .*\[low, high\]"),
        ("[inputs.opening]", "[inputs.area]", "'area' is a parameter .*; expected an input"),
        ("mean = 0.7", "means = 0.7", r"\[inputs.opening\] means = 0.7; expected one of the keys"),
        ("mean = 0.7\n", "", r"\[inputs.opening\] mean = None; expected a number"),
        ('input = "leak"', "", r"\[events.leak\] input, reading"),
        ('how = "offset"', 'how = "add"', r"\[events.level-offset\] how = 'add'; expected offset"),
        ('reading = "level"', 'reading = "depth"', "'depth' is no channel of schema 'station'"),
        ('fmu = "Station.fmu"', 'fmu = "other.fmu"', r"other.fmu: the FMU cannot be read"),
        ('fmu = "Station.fmu"', "", "fmu = None; expected a text"),
        ("[channels]", "[channel]", r"channel = .*; expected one of the keys fmu, channels"),
    ],
)
def test_a_slip_in_the_file_is_one_clear_error(folder, tmp_path, old, new, told):
    path = changed(folder, tmp_path, old, new)

    with pytest.raises(TwinError, match=told):
        FmuTwin(read_fmu_file(path), STATION)


def test_what_is_no_fmu_and_one_for_another_machine_are_told_apart(folder, tmp_path):
    (tmp_path / "plain.fmu").write_text("no zip")
    with pytest.raises(TwinError, match="cannot be read as an FMU"):
        FmuTwin(read_fmu_file(tmp_path / "plain.fmu"), STATION)

    with zipfile.ZipFile(folder / "Station.fmu") as whole:
        kept = [name for name in whole.namelist() if "linux" not in name]
        with zipfile.ZipFile(tmp_path / "Station.fmu", "w") as part:
            for name in kept:
                part.writestr(name, whole.read(name))
    (tmp_path / "station.toml").write_text(FILE)
    with pytest.raises(TwinError, match="this machine is linux64: export the model for it"):
        FmuTwin(read_fmu_file(tmp_path / "station.toml"), STATION)


def test_an_event_that_the_file_does_not_name_is_refused(twin):
    with pytest.raises(TwinError, match="no event of kind 'fire'"):
        twin.plan(1, 48, 0, ["fire"])
    scenario = twin.plan(1, 48, 0, ["leak"])[0]
    strange = replace(scenario, events=(replace(scenario.events[0], kind="fire"),))
    with pytest.raises(ScenarioError, match="knows no event 'fire'"):
        twin.simulate(strange)
