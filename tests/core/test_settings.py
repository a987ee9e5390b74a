from dataclasses import dataclass
from typing import ClassVar

import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import (
    keys_of,
    read_settings,
    reject_unknown,
    setting,
    to_mapping,
)


@dataclass(frozen=True)
class Pump:
    speed_limit: float = setting(0.5, "share of full speed", above=0.0, high=1.0)
    stages: int = setting(3, "number of stages", low=1)
    reversed: bool = setting(False, "whether it runs backwards")
    mode: str = setting("auto", "who decides", choices=("auto", "hand"))
    note: str = setting("", "anything")
    offset: float = setting(0.0, "any finite number")


def test_a_key_is_the_field_with_dashes():
    assert keys_of(Pump) == ["speed-limit", "stages", "reversed", "mode", "note", "offset"]


@dataclass(frozen=True)
class Valve:
    group: ClassVar[str] = "valve"

    opening: float = setting(0.5, "share of full opening")
    lambda_: float = setting(1.0, "named like a keyword of Python")


def test_a_group_stands_before_its_keys_and_a_last_underscore_is_no_part_of_them():
    assert keys_of(Valve) == ["valve.opening", "valve.lambda"]
    assert read_settings(Valve, {"valve.opening": 0.25, "opening": 0.75}) == Valve(opening=0.25)
    assert to_mapping(Valve(lambda_=2.0)) == {"valve.opening": 0.5, "valve.lambda": 2.0}


def test_an_error_names_the_key_with_its_group():
    with pytest.raises(ConfigError, match=r"valve\.opening = 'wide' is str"):
        read_settings(Valve, {"valve.opening": "wide"})


@pytest.mark.parametrize("slip", ["opening", "pump.opening", "valve.openig", "valve-opening"])
def test_a_slip_in_key_or_group_is_answered_with_the_nearest_key(slip):
    with pytest.raises(ConfigError, match=r"did you mean 'valve\.opening'"):
        reject_unknown([slip], keys_of(Valve))


def test_what_is_not_given_has_its_default_and_strange_keys_are_left_to_others():
    assert read_settings(Pump, {"stages": 5, "other": 1}) == Pump(stages=5)


def test_settings_become_what_they_were_read_from():
    pump = Pump(speed_limit=0.25, mode="hand", note="x")

    assert read_settings(Pump, to_mapping(pump)) == pump
    assert to_mapping(pump)["speed-limit"] == 0.25


def test_a_whole_number_is_good_enough_for_a_float():
    value = read_settings(Pump, {"speed-limit": 1}).speed_limit

    assert (value, type(value)) == (1.0, float)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stages", 2.0, "stages = 2.0 is float, expected int, e.g. stages=3"),
        ("stages", "2", "stages = '2' is str, expected int"),
        ("stages", True, "stages = True is bool, expected int"),
        ("speed-limit", True, "speed-limit = True is bool, expected float, e.g. speed-limit=0.5"),
        ("speed-limit", "0.5", "speed-limit = '0.5' is str, expected float"),
        ("reversed", 1, "reversed = 1 is int, expected bool, e.g. reversed=false"),
        ("reversed", "false", "reversed = 'false' is str, expected bool"),
        ("mode", 1, 'mode = 1 is int, expected str, e.g. mode="auto"'),
    ],
)
def test_a_value_of_another_type_is_refused_with_an_example(key, value, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(Pump, {key: value})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("speed-limit", 0.0, r"speed-limit = 0.0; expected above 0 and at most 1"),
        ("speed-limit", 1.01, r"speed-limit = 1.01; expected above 0 and at most 1"),
        ("speed-limit", float("nan"), r"speed-limit = nan; expected above 0"),
        ("stages", 0, r"stages = 0; expected at least 1"),
        ("mode", "robot", r"mode = 'robot'; expected one of \('auto', 'hand'\)"),
        ("mode", "", r"mode = ''; expected one of"),
        ("offset", float("inf"), r"offset = inf; expected a finite number"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(key, value, message):
    with pytest.raises(ConfigError, match=message):
        read_settings(Pump, {key: value})


@pytest.mark.parametrize(
    ("key", "value"), [("speed-limit", 1.0), ("speed-limit", 1e-9), ("stages", 1), ("note", "1")]
)
def test_the_ends_of_a_range_belong_to_it(key, value):
    assert to_mapping(read_settings(Pump, {key: value}))[key] == value


def test_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown key 'stage'; did you mean 'stages'\?"):
        reject_unknown(["mode", "stage"], keys_of(Pump))


def test_a_key_like_nothing_is_refused_with_a_place_to_look():
    with pytest.raises(ConfigError, match=r"unknown key 'zzz'; see docs/settings.md"):
        reject_unknown(["zzz"], keys_of(Pump))


def test_known_keys_pass():
    reject_unknown(keys_of(Pump), keys_of(Pump))
