"""What a key of the run config can name, and the options of what it names."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest

from dtfl_app.core import registry
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.registry import NoOptions, Registry, read_options, refuse_options
from dtfl_app.core.settings import setting

THINGS = Registry(
    "thing",
    "a class",
    {"fraction": "fractions:Fraction", "number": "decimal:Decimal"},
    "dtfl.things",
    lambda found: isinstance(found, type),
)


@dataclass(frozen=True)
class Pull:
    group: ClassVar[str] = "pull"

    how_far: float = setting(0.5, "share of the way", low=0.0, high=1.0)
    mode: str = setting("slow", "how fast", choices=("slow", "fast"))


@dataclass(frozen=True)
class Plain:
    area: float = 2.0


def register(monkeypatch, *entries: tuple[str, str]) -> None:
    """Let installed packages register these names in the group of `THINGS`."""
    there = [EntryPoint(name, path, "dtfl.things") for name, path in entries]
    monkeypatch.setattr(registry, "entry_points", lambda group: there * (group == "dtfl.things"))


def test_a_short_name_an_entry_point_and_an_import_path_are_found_alike(monkeypatch):
    register(monkeypatch, ("when", "datetime:datetime"))

    found = [THINGS.find(name).__name__ for name in ("fraction", "when", "pathlib:Path")]

    assert found == ["Fraction", "datetime", "Path"]


def test_an_unknown_name_lists_all_there_are_with_those_of_other_packages(monkeypatch):
    register(monkeypatch, ("when", "datetime:datetime"))

    with pytest.raises(ConfigError) as caught:
        THINGS.find("fractoin")

    assert str(caught.value) == (
        "run config: thing = 'fractoin' is unknown; expected one of fraction, number, when, or a "
        "class as pkg.module:Name; did you mean 'fraction'?"
    )


def test_a_name_of_ours_cannot_be_taken_over(monkeypatch):
    register(monkeypatch, ("number", "datetime:datetime"))

    assert THINGS.find("number").__name__ == "Decimal"


def test_a_name_that_two_packages_register_is_refused_with_both_paths(monkeypatch):
    register(monkeypatch, ("when", "datetime:datetime"), ("when", "datetime:date"))

    with pytest.raises(
        ConfigError, match="several packages, as datetime:date and datetime:datetime"
    ):
        THINGS.find("when")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nothing_of_the_kind", "ModuleNotFoundError: No module named"),
        ("class Mine(:", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError"),
        ("Other = 1", "AttributeError: module 'broken_0' has no attribute 'Mine'"),
    ],
)
def test_a_module_that_cannot_be_loaded_is_one_error_with_its_reason(
    tmp_path, monkeypatch, code, reason
):
    name = "broken_0" if "Other" in code else f"broken_{len(code)}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match=f"thing = '{name}:Mine' cannot be imported: {reason}"):
        THINGS.find(f"{name}:Mine")


def test_what_is_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match=r"thing = 'math:pi' is 3\.14.*, not a class"):
        THINGS.find("math:pi")


def test_options_are_read_without_the_name_of_their_group():
    assert read_options(Pull, "thing-options", "how-far=1") == Pull(1.0)
    assert read_options(Pull, "thing-options", 'mode="fast"', "how-far=0.25") == Pull(0.25, "fast")
    assert read_options(Pull, "thing-options", "how-far=0.75", "how-far=0.25") == Pull(0.75)


def test_a_plain_dataclass_does_for_a_package_that_stands_without_the_app():
    assert read_options(Plain, "twin.options", "area=3") == Plain(3.0)
    with pytest.raises(ConfigError, match="area = 'wide' is str, expected float"):
        read_options(Plain, "twin.options", 'area="wide"')


@pytest.mark.parametrize(
    ("cls", "text", "message"),
    [
        (Pull, "how-fra=1.0", "thing-options: unknown option 'how-fra'; did you mean 'how-far'"),
        (Pull, "speed=1.0", "unknown option 'speed'; expected one of how-far, mode"),
        (Pull, "how-far=2.0", "pull.how-far = 2.0; expected at least 0 and at most 1"),
        (Pull, "how-far", "thing-options = 'how-far' cannot be read"),
        (NoOptions, "speed=1.0", "unknown option 'speed'; there is none"),
    ],
)
def test_a_slip_in_options_is_one_error(cls, text, message):
    with pytest.raises(ConfigError, match=message):
        read_options(cls, "thing-options", text)


def test_options_of_what_has_none_are_refused_and_empty_ones_are_not():
    refuse_options("thing-options", " ", "it has none")
    with pytest.raises(ConfigError, match="thing-options = 'a=1', but it has none; leave it empty"):
        refuse_options("thing-options", "a=1", "it has none")
