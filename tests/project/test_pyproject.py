"""pyproject.toml says again what the code says; here they are held together."""

import importlib
import io
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk
from flwr.clientapp import ClientApp
from flwr.common.config import flatten_dict
from flwr.serverapp import ServerApp

from dtfl_app.core.config import RunConfig
from dtfl_app.strategies.registry import default_settings

REPOSITORY = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
APP = PYPROJECT["tool"]["flwr"]["app"]
CONFIG = flatten_dict(APP["config"])


def typed(mapping):
    """1 and 1.0 and true are equal in Python, but not in a config."""
    return {key: (type(value), value) for key, value in mapping.items()}


def test_the_run_config_repeats_the_defaults_of_the_code():
    """`flwr run --run-config` only overrides keys that it finds in pyproject.toml."""
    defaults = {**RunConfig.from_mapping({}).to_mapping(), **default_settings()}

    assert typed(CONFIG) == typed(defaults)


def test_the_run_config_can_be_read():
    assert RunConfig.from_mapping(CONFIG).extra == default_settings()


@pytest.mark.parametrize(("name", "kind"), [("serverapp", ServerApp), ("clientapp", ClientApp)])
def test_the_components_are_there(name, kind):
    module, attribute = APP["components"][name].split(":")

    assert isinstance(getattr(importlib.import_module(module), attribute), kind)


def test_the_engine_is_pinned_to_the_version_that_is_tested():
    pinned = [r for r in requires("dtfl") if r.startswith("flwr")]

    assert pinned == ["flwr[simulation]==1.41.0"]


def test_the_bundle_that_travels_holds_the_app_and_neither_pages_nor_tests():
    bundle = zipfile.ZipFile(io.BytesIO(build_fab_from_disk(REPOSITORY)))

    names = {name.partition("/")[0] for name in bundle.namelist()}
    assert {"server_app.py", "client_app.py", "dtfl_app", "twin"} <= names
    assert not names & {"benchmarks", "docker", "docs", "tests", ".gitignore"}
