"""A gateway's pins: read, and held against the app that a run brings before it is unpacked."""

import pytest
from flwr.cli.build import build_fab_from_disk
from flwr.supernode.runtime import run_clientapp
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.core.errors import ConfigError
from dtfl_app.engine.pin import app_hash, guard, read_pins
from tests.support.places import REPOSITORY

ONE, OTHER = "a" * 64, "0123456789abcdef" * 4


def test_pins_are_hashes_separated_by_commas_or_lines_of_a_file(tmp_path):
    file = tmp_path / "pins"
    file.write_text(f"{ONE}  # version 1\n\n# older ones\n{OTHER}\n")

    assert read_pins(f"{ONE}, {OTHER}") == read_pins(str(file)) == {ONE, OTHER}


@pytest.mark.parametrize("text", ["", "#", "abc", ONE.upper(), f"{ONE};{OTHER}", "/no/such/file"])
def test_what_is_no_pin_is_refused(text):
    with pytest.raises(ConfigError, match="DTFL_PIN"):
        read_pins(text)


def test_an_app_is_unpacked_if_it_is_pinned_and_not_a_byte_of_it_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(run_clientapp, "install_from_fab", run_clientapp.install_from_fab)
    content = build_fab_from_disk(REPOSITORY)

    guard(frozenset({ONE}))
    with pytest.raises(ConfigError, match=f"{app_hash(REPOSITORY)[:12]} is not one of {ONE[:12]}"):
        run_clientapp.install_from_fab(content, install_dir=tmp_path, skip_prompt=True)
    assert not list(tmp_path.iterdir())

    monkeypatch.undo()
    monkeypatch.setattr(run_clientapp, "install_from_fab", run_clientapp.install_from_fab)
    guard(frozenset({app_hash(REPOSITORY)}))
    assert run_clientapp.install_from_fab(content, install_dir=tmp_path, skip_prompt=True).exists()


def test_a_hash_is_of_every_byte_of_an_app(tmp_path):
    folder, run = tmp_path / "mine", CliRunner()
    run.invoke(app, ["new", "app", str(folder)])
    before = app_hash(folder)

    assert run.invoke(app, ["pin", "--app", str(folder)]).output.strip() == before
    with (folder / "client_app.py").open("a") as file:
        file.write("#")
    assert app_hash(folder) != before
