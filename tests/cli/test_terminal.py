"""What the command line prints of names that come from outside."""

import re

import pytest

from dtfl_app.cli.evaluate import _events
from dtfl_app.cli.terminal import plain_console
from dtfl_app.results.run_directory import RunDirectory
from tests.support.broken_off import invoke, write_broken_off
from tests.support.places import REPOSITORY
from tests.support.run_folder import alarms_of, make_run

# What Rich would take for an end without a beginning, a style and a picture.
STRANGE = {"event": "a[/2]", "channel": "debit=[m3-h] :bar_chart:"}


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return write_broken_off(tmp_path / "results" / "cut")


def test_names_from_outside_are_shown_as_they_are(tmp_path):
    path = make_run(tmp_path / "[red]run[")
    alarms = alarms_of(1).replace({"event": {"leak": STRANGE["event"]}})
    alarms.assign(channel=STRANGE["channel"]).to_csv(path / "alarms" / "cwa.csv", index=False)

    code, out, _ = invoke("show", str(path))

    assert code == 0
    for name in STRANGE.values():
        assert name in out
    assert f"results in {path}" in out.replace("\n", "")


def test_names_from_outside_are_evaluated_as_they_are():
    alarms = alarms_of(1).replace({"event": {"leak": STRANGE["event"]}})
    alarms = alarms.assign(channel=STRANGE["channel"], evidence="smoothed")
    console = plain_console(record=True, width=200)

    console.print(_events(alarms))

    text = console.export_text()
    for name in STRANGE.values():
        assert name in text


def test_checkpoints_of_a_strangely_named_run_and_their_faults_are_listed(run):
    folder = run.path.rename(run.path.with_name("[red]run["))
    damaged = sorted((folder / "checkpoints").glob("*.safetensors"))[-1]
    damaged.write_bytes(damaged.read_bytes()[:50])

    code, out, _ = invoke("checkpoints", str(folder))

    assert code == 1
    assert "checkpoints of [red]run[" in out
    assert f"resume={folder}/checkpoints/0001-cwa-000005.safetensors" in out.replace("\n", "")


def test_no_command_prints_to_a_console_that_takes_markup():
    """All go through `plain_console`; those that do not escape or use Text."""
    makers = {
        path.name
        for path in (REPOSITORY / "dtfl_app").rglob("*.py")
        if re.search(r"(?<!\w)Console\(", path.read_text())
    }

    assert makers <= {"terminal.py", "site.py", "doctor.py", "twin.py"}
