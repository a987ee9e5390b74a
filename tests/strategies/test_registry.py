from dataclasses import dataclass
from importlib.metadata import EntryPoint

import pytest

from dtfl_app.core import registry
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import keys_of, setting
from dtfl_app.rounds.strategy import DTFLStrategy
from dtfl_app.strategies.fedavg import FedAvg
from dtfl_app.strategies.registry import (
    BUILT_IN,
    create_strategy,
    default_settings,
    find_strategy,
    strategy_names,
)
from tests.support.line_model import line_twin
from tests.support.methods import optimiser_for
from tests.support.settings import keyed
from tests.support.workbench import strategy_on, workbench

OWN = """
from dataclasses import dataclass
from dtfl_app.core.settings import setting
from dtfl_app.strategies.fedavg import FedAvg

@dataclass(frozen=True)
class MineSettings:
    alpha: float = setting(0.5, "how much", low=0.0)
    mode: str = setting("slow", "how fast", choices=("slow", "fast"))

class Mine(FedAvg):
    Settings = MineSettings

class Stranger:
    pass

not_a_class = 3
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch) -> str:
    (tmp_path / "plant_methods.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return "plant_methods"


def config(**settings) -> RunConfig:
    return RunConfig.from_mapping(keyed(**settings))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_method_is_made_by_name_with_its_defaults(name):
    made = strategy_on(name, line_twin(1.0), **optimiser_for(name))

    assert type(made) is BUILT_IN[name]
    assert made.name == name
    assert made.settings == BUILT_IN[name].Settings()


def test_settings_come_from_the_run_config():
    made = strategy_on("fpf", line_twin(1.0), fpf__gamma=0.25, dtkd__lambda=0.125)

    assert made.settings.gamma == 0.25


def test_no_two_methods_share_a_key():
    keys = [key for cls in BUILT_IN.values() for key in keys_of(cls.Settings)]

    assert len(keys) == len(set(keys))
    assert set(default_settings()) == set(keys)
    assert not set(keys) & set(RunConfig.from_mapping({}).to_mapping())


def test_several_methods_are_separated_by_commas():
    assert strategy_names(config(strategy=" fedavg,cwa , lpe,")) == ["fedavg", "cwa", "lpe"]


@pytest.mark.parametrize("text", ["", " , ", "cwa,fedavg,cwa"])
def test_none_or_the_same_method_twice_is_refused(text):
    with pytest.raises(ConfigError, match="expected one or several different names"):
        strategy_names(config(strategy=text))


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(
        ConfigError, match=r"'cyclic' is unknown; expected one of cwa, .*lpe.*pkg.module:Name"
    ):
        strategy_names(config(strategy="fedavg,cyclic"))


def test_a_key_of_no_method_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown key 'fpf\.gama'; did you mean 'fpf\.gamma'"):
        strategy_names(config(strategy="fedavg", fpf__gama=0.5))


def test_an_import_path_finds_ones_own_method(own_module):
    made = strategy_on(f"{own_module}:Mine", strategy_options='alpha=0.25, mode="fast"')

    assert isinstance(made, FedAvg)
    assert (made.settings.alpha, made.settings.mode) == (0.25, "fast")


def test_a_package_can_register_its_method(own_module, monkeypatch):
    entry = EntryPoint("mine", f"{own_module}:Mine", "dtfl.strategies")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] * (group == entry.group))

    assert find_strategy("mine").__name__ == "Mine"


def test_a_built_in_name_cannot_be_taken_over(own_module, monkeypatch):
    entry = EntryPoint("cwa", f"{own_module}:Mine", "dtfl.strategies")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])

    assert find_strategy("cwa") is BUILT_IN["cwa"]


@pytest.mark.parametrize("attribute", ["Stranger", "not_a_class"])
def test_what_is_no_strategy_is_refused(own_module, attribute):
    with pytest.raises(
        ConfigError, match=f"'{own_module}:{attribute}' is .*, not a subclass of DTFL"
    ):
        find_strategy(f"{own_module}:{attribute}")


@pytest.mark.parametrize("path", ["no_such_module:Mine", "plant_methods:Nothing", "plant_methods:"])
def test_what_cannot_be_imported_is_refused(own_module, path):
    with pytest.raises(ConfigError, match=rf"strategy = '{path}' cannot be imported: .*expected a"):
        find_strategy(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("alfa=0.5", "unknown option 'alfa'; did you mean 'alpha'"),
        ("alpha=fast", "strategy-options = 'alpha=fast' cannot be read"),
        ("alpha", "cannot be read"),
        ("alpha=-1.0", "alpha = -1.0; expected at least 0"),
        ('alpha="much"', "alpha = 'much' is str, expected float"),
        ('mode="medium"', "expected one of"),
    ],
)
def test_wrong_options_of_ones_own_method_are_refused(own_module, options, message):
    with pytest.raises(ConfigError, match=message):
        strategy_on(f"{own_module}:Mine", strategy_options=options)


def test_several_methods_share_their_options_out(own_module):
    """An option is of one method at least; each takes those that it has."""
    both = {"strategy": f"{own_module}:Mine,dtkd", "strategy_options": 'alpha=0.25, side="server"'}

    mine = strategy_on(f"{own_module}:Mine", line_twin(1.0), **both)
    ours = strategy_on("dtkd", line_twin(1.0), **both)

    assert (mine.settings.alpha, ours.settings.side) == (0.25, "server")
    assert strategy_names(config(**both)) == [f"{own_module}:Mine", "dtkd"]
    with pytest.raises(ConfigError, match="unknown option 'alfa'; did you mean 'alpha'"):
        strategy_names(config(**{**both, "strategy_options": "alfa=0.25"}))


def test_an_option_that_no_method_of_the_run_has_is_refused():
    with pytest.raises(ConfigError, match="strategy-options: unknown option 'mu'; there is none"):
        strategy_names(config(strategy="fedavg", strategy_options="mu=0.1"))


def test_settings_are_checked_when_a_method_is_made():
    with pytest.raises(ConfigError, match=r"fpf.gamma = 1.5; expected .*at most 1"):
        strategy_on("fpf", line_twin(1.0), fpf__gamma=1.5)


def test_a_class_of_ones_own_may_be_made_directly():
    @dataclass(frozen=True)
    class Settings:
        pull: float = setting(2.0, "strength")

    class Own(DTFLStrategy):
        needs_twin = False

        def update(self, state, replies):
            return state

    own = Own("own", Settings(), workbench())

    assert own.settings.pull == 2.0


@pytest.mark.parametrize("name", [name for name, cls in BUILT_IN.items() if cls.needs_twin])
def test_a_method_that_needs_a_twin_says_so(name):
    with pytest.raises(ConfigError, match=f"strategy '{name}' needs a digital twin"):
        create_strategy(name, workbench(twin=None))
