"""`dtfl site` and `dtfl run dataset=files` as a person types them."""

import json

import pytest
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.cli.run import _with_defaults
from dtfl_app.core.errors import DataError
from tests.support.station import SITES, station_frame, write_station


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path):
    return write_station(tmp_path / "station", rows=1200)


def test_a_sound_file_is_shown_and_leaves_with_0(folder):
    result = invoke("site", "check", folder / "north.csv")

    assert result.exit_code == 0
    assert "1200 rows from 2024-01-30T20:00:00 to 2024-01-31T15:59:00" in result.stdout
    assert "level [m]" in result.stdout and "0 to 12" in result.stdout
    assert result.stdout.rstrip().endswith(", the same at all sites): usable")


def test_findings_leave_with_1_and_stand_in_the_json(folder, tmp_path):
    frame = station_frame(0, rows=1200)
    frame.loc[5, "Q"] = 500.0
    frame.to_csv(folder / "north.csv", index=False)

    result = invoke(
        "site", "check", folder / "north.csv", "--schema", folder / "schema.toml",
        "--json", tmp_path / "found.json",
    )  # fmt: skip

    assert result.exit_code == 1
    assert "look: flow: 1 readings outside -10 to 80 L/s, first 500 in data row 6" in result.stdout
    assert "    training sets them to missing" in result.stdout
    stored = json.loads((tmp_path / "found.json").read_text())
    assert stored["findings"][0]["where"] == "flow"
    assert stored["channels"][1]["first_outside"] == 6


def test_a_file_that_cannot_be_used_leaves_with_2(folder):
    station_frame(0, rows=50)[::-1].to_csv(folder / "north.csv", index=False)

    result = invoke("site", "check", folder / "north.csv")

    assert result.exit_code == 2
    assert "stop: file: " in result.stdout and "sort the rows by time" in result.stdout


def test_a_missing_schema_leaves_with_2_and_says_how_to_make_one(folder):
    result = invoke("site", "check", folder / "north.csv", "--schema", folder / "none.toml")

    assert result.exit_code == 2
    assert "`dtfl site draft FILE`" in result.stderr


def test_a_draft_is_printed_as_it_can_be_stored(folder):
    result = invoke("site", "draft", folder / "judge.csv")
    (folder / "schema.toml").write_text(result.stdout)

    assert result.exit_code == 0
    assert invoke("site", "check", folder / "judge.csv").exit_code == 1  # the pump never runs


def test_several_files_are_drafted_at_once_and_what_is_unsure_is_on_standard_error(folder):
    for name in ("north", "south"):
        path = folder / f"{name}.csv"
        path.write_text(path.read_text().replace("30/01/2024", "05/01/2024"))
        kept = path.read_text().splitlines()[:200]
        path.write_text("\n".join(kept))

    result = invoke("site", "draft", folder / "north.csv", folder / "south.csv")

    assert result.exit_code == 0
    assert "# A first schema for north.csv, south.csv, guessed from 398 rows" in result.stdout
    assert 'guess: time-formats = ["%d/%m/%Y %H:%M"] is a guess' in result.stderr


def test_columns_that_a_draft_does_not_take_are_named_on_standard_error(folder):
    text = (folder / "north.csv").read_text().splitlines()
    (folder / "more.csv").write_text(
        "\n".join([f"{text[0]},remark", *(f"{line},fine" for line in text[1:])])
    )

    result = invoke("site", "draft", folder / "more.csv")

    assert result.stderr.startswith('left out: column "remark": 1200 of 1200 cells are not numbers')
    assert "left out" not in result.stdout


def test_a_run_on_files_has_as_many_sites_as_files(folder):
    told = {"dataset": "files", "data.dir": str(folder)}

    assert _with_defaults(told)["sites"] == len(SITES) + 1
    assert _with_defaults({**told, "data.evaluation-file": "judge.csv"})["sites"] == len(SITES)
    with pytest.raises(DataError, match="2 sites asked for"):
        _with_defaults({**told, "sites": 2})


def test_a_simulation_of_files_without_a_folder_is_refused_before_it_starts(folder):
    result = invoke("run", "dataset=files", f"data.schema={folder / 'schema.toml'}")

    assert result.exit_code == 2
    assert "data.dir is empty; dtfl run simulates the sites from the files in a folder" in (
        result.stderr
    )


def test_names_in_the_folder_and_paths_from_here_become_absolute(folder, tmp_path, monkeypatch):
    (tmp_path / "twin.csv").write_text("x")
    monkeypatch.chdir(tmp_path)

    full = _with_defaults(
        {
            "dataset": "files",
            "data.dir": "station",
            "data.schema": "schema.toml",
            "data.evaluation-file": "judge.csv",
            "twin.recording": "twin.csv",
        }
    )

    assert full["data.schema"] == str(folder / "schema.toml")
    assert full["data.evaluation-file"] == str(folder / "judge.csv")
    assert full["twin.recording"] == str(tmp_path / "twin.csv")


def test_batadals_evaluation_file_stays_a_name():
    full = _with_defaults(
        {"dataset": "batadal", "data.evaluation-file": "BATADAL_test_dataset.csv"}
    )

    assert full["data.evaluation-file"] == "BATADAL_test_dataset.csv"
