"""dtfl detect as a person calls it: on a finished file, with what goes wrong said in one line."""

import json
from dataclasses import replace
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from dtfl_app.bundle.folder import read_folder
from dtfl_app.cli.main import app
from tests.support.places import REPOSITORY

# One of the sites of the model that most tests score with.
SITE = "site-01"


@pytest.fixture(scope="module")
def data(dataset04, tmp_path_factory) -> Path:
    """200 hours with the second attack in them."""
    path = tmp_path_factory.mktemp("site") / "site.csv"
    lines = dataset04.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], *lines[1980:2180]]))
    return path


def detect(model, data, *words) -> tuple[int, str, str]:
    command = ["detect", "--model", str(model), "--data", str(data), *map(str, words)]
    result = CliRunner().invoke(app, command)
    return result.exit_code, result.stdout, result.stderr


def steps_of(text: str) -> list[str]:
    """The lines of --every-step, without those of alarms and drift."""
    return [line for line in text.splitlines() if '"event"' not in line]


def test_an_alarm_has_a_line_where_it_begins_and_one_where_it_is_over(model, data, tmp_path):
    out = tmp_path / "alarms.jsonl"

    code, printed, told = detect(model, data, "--out", out, "--site", SITE)

    assert (code, printed) == (0, "")
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["event"] for line in found} == {"alarm"}
    first, over = found[:2]
    assert [line["state"] for line in found] == ["begins", "over"] * (len(found) // 2)
    assert f"200 steps, {sum(line.get('steps', 0) for line in found)} with an alarm" in told
    assert f"in {len(found) // 2} episodes" in told
    assert "ms per row" in told
    assert list(first) == [
        "time", "site", "event", "state", "score", "threshold", "p_value", "evidence", "channels",
        "message", "model",
    ]  # fmt: skip
    assert set(over) == {*first, "begin", "end", "steps", "peak"}
    assert over["begin"] == first["time"]
    assert over["score"] >= first["score"] > first["threshold"]
    assert 0 < first["p_value"] <= 0.005
    assert first["site"] == SITE
    assert first["model"] == json.loads((model / "manifest.json").read_text())["model"]
    assert 1 <= len(first["channels"]) <= 3
    assert set(first["channels"][0]) == {
        "channel", "share", "reading", "expected", "direction", "message",
    }  # fmt: skip
    assert sum(cause["share"] for cause in first["channels"]) <= 1.0001


def test_the_strongest_alarms_are_listed_at_the_end(model, data):
    """Five of them: all are listed, with the message of their peak, the highest first."""
    _, printed, told = detect(model, data, "--out", "-")

    over = [line for line in map(json.loads, printed.splitlines()) if line["state"] == "over"]
    listed = [line.partition("INFO alarm: ")[2] for line in told.splitlines() if "alarm: " in line]
    over.sort(key=lambda line: -line["score"] / line["threshold"])
    assert len(listed) == len(over) == 5
    for text, line in zip(listed, over, strict=True):
        assert text.startswith(f"{line['score'] / line['threshold']:.3g} times the threshold, ")
        assert f"{line['begin']} to {line['end']} ({line['steps']} step" in text
        assert text.endswith(f": {line['message']}")


def test_readings_are_those_of_the_file(model, data, tmp_path):
    _, printed, _ = detect(model, data, "--out", "-", "--every-step")
    frame = pd.read_csv(data, skipinitialspace=True)

    for line, (_, row) in zip(steps_of(printed), frame.iterrows(), strict=True):
        for cause in json.loads(line)["channels"]:
            assert cause["reading"] == pytest.approx(row[cause["channel"]], rel=1e-6)


def test_parquet_gives_the_lines_of_csv(model, data, tmp_path):
    """Both say of which of two recordings, of 100 rows each, a line is."""
    frame = pd.read_csv(data, skipinitialspace=True)
    frame["instance"] = ["first"] * 100 + ["second"] * 100
    data = tmp_path / "site.csv"
    frame.to_csv(data, index=False)
    frame["DATETIME"] = pd.to_datetime(frame["DATETIME"], format="%d/%m/%y %H")
    frame.to_parquet(tmp_path / "site.parquet")

    texts = [
        detect(model, file, "--out", "-", "--every-step")[1]
        for file in (data, tmp_path / "site.parquet")
    ]

    assert texts[0] == texts[1]
    steps = steps_of(texts[0])
    assert len(steps) == 200
    assert "".join(steps).count('"instance": "second"') == 100


def test_a_bad_cell_is_missing_in_parquet_as_in_csv(model, data, tmp_path):
    """A word in row 7, and in row 9 no time."""
    frame = pd.read_csv(data, skipinitialspace=True, dtype="str")
    frame.loc[6, "L_T1"] = "broken"
    frame.loc[8, "DATETIME"] = "yesterday"
    frame.to_csv(tmp_path / "site.csv", index=False)
    frame.set_index("DATETIME").to_parquet(tmp_path / "site.parquet")

    found = [
        detect(model, tmp_path / name, "--out", "-", "--every-step")
        for name in ("site.csv", "site.parquet")
    ]

    assert found[0][:2] == found[1][:2]
    for code, lines, told in found:
        assert (code, len(steps_of(lines))) == (0, 199)
        assert "1 rows left out, 1 readings missing" in told
        assert "channel L_T1: a cell is not a number; taken as missing" in told
        assert "the first is data row 9: 'yesterday' is not a time" in told


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_with_its_newest_row_first_is_scored_in_the_order_of_time(
    model, data, tmp_path, ending
):
    """The row that is left out keeps its number in the file: the last but one of 200."""
    lines = data.read_text().splitlines()
    lines[2] = "yesterday" + lines[2][lines[2].index(",") :]
    names = {"up": lines, "down": [lines[0], *lines[:0:-1]]}
    for name, text in names.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(text))
        frame = pd.read_csv(tmp_path / f"{name}.csv", skipinitialspace=True, dtype="str")
        frame.to_parquet(tmp_path / f"{name}.parquet")
    schema = replace(read_folder(model).site_schema, newest_first=True).to_toml()
    (tmp_path / "site.toml").write_text(schema)
    words = ["--out", "-", "--every-step"]
    code, printed, _ = detect(model, tmp_path / f"up.{ending}", *words)

    words += ["--schema", tmp_path / "site.toml"]
    found = detect(model, tmp_path / f"down.{ending}", *words)

    assert found[:2] == (code, printed) and code == 0
    assert len(steps_of(printed)) == 199
    assert "1 rows left out" in found[2]
    assert "the first is data row 199: 'yesterday'" in found[2]


def test_a_file_that_grows_at_its_top_is_not_followed(model, data, tmp_path):
    """And what was found before, in another order, is left alone."""
    schema = replace(read_folder(model).site_schema, newest_first=True).to_toml()
    (tmp_path / "site.toml").write_text(schema)
    out = tmp_path / "alarms.jsonl"
    out.write_text("earlier")

    code, _, told = detect(
        model, data, "--follow", "--reset", "--out", out, "--schema", tmp_path / "site.toml"
    )

    assert code == 2
    assert "grows at its top cannot be followed" in told
    assert out.read_text() == "earlier"


def test_the_file_of_alarms_is_called_after_the_data(model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    detect(model, data)

    assert [path.name for path in tmp_path.iterdir()] == ["site.alarms.jsonl"]


def test_a_channel_to_ignore_counts_as_missing(model, data, tmp_path):
    """Its column may even be gone; the scores are those of an empty column."""
    frame = pd.read_csv(data, skipinitialspace=True)
    empty, gone = tmp_path / "empty.csv", tmp_path / "gone.csv"
    frame.assign(L_T7=None).to_csv(empty, index=False)
    frame.drop(columns="L_T7").to_csv(gone, index=False)

    texts = {
        detect(model, empty, "--out", "-", "--every-step")[1],
        detect(model, gone, "--out", "-", "--every-step", "--ignore", "L_T7")[1],
        detect(model, data, "--out", "-", "--every-step", "--ignore", "L_T7")[1],
    }

    assert len(texts) == 1
    assert detect(model, data, "--out", "-", "--every-step")[1] not in texts


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ignore", "L_T9"], "--ignore L_T9: no such channel"),
        (["--follow", "--out", "-"], "--out -: a followed file needs a file"),
        (["--schema", "none.toml"], "none.toml: no such site schema"),
    ],
)
def test_a_slip_is_one_clear_line(model, data, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)

    code, _, err = detect(model, data, *words)

    assert code == 2
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.csv", None, "none.csv: no such file"),
        ("empty.csv", b"", "empty.csv: the file holds no rows"),
        ("other.csv", b"time,x\n1,2\n", "other.csv: columns"),
        ("broken.parquet", b"PAR1", "broken.parquet"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named(model, tmp_path, monkeypatch, name, content, told):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)

    code, _, err = detect(model, tmp_path / name)

    assert code == 2
    assert told in err


def test_a_file_that_cannot_be_scored_leaves_earlier_alarms_alone(model, tmp_path):
    data, out = tmp_path / "other.csv", tmp_path / "alarms.jsonl"
    data.write_text("time,x\n1,2\n")
    out.write_text("earlier")

    assert detect(model, data, "--out", out)[0] == 2

    assert sorted(path.name for path in tmp_path.iterdir()) == ["alarms.jsonl", "other.csv"]
    assert out.read_text() == "earlier"


def test_a_file_of_which_too_much_is_left_out_ends_with_code_1_and_why(model, data, tmp_path):
    """Of 200 rows 12 (6%) are short: above 5%; the alarms of the 188 are written all the same."""
    lines, out = data.read_text().splitlines(), tmp_path / "alarms.jsonl"
    (tmp_path / "torn.csv").write_text("\n".join([*lines[:101], *["7,8"] * 12, *lines[113:], ""]))
    words = [tmp_path / "torn.csv", "--out", out, "--every-step"]

    code, _, err = detect(model, *words)

    assert code == 1
    assert "torn.csv: 12 of 200 rows are left out, more than 0.05 of them: 12 of another" in err
    assert "the first is data row 101: it has 2 cells, the header 45" in err
    assert len(steps_of(out.read_text())) == 188
    assert detect(model, *words, "--max-left-out", "0.06")[0] == 0


def test_alarms_of_a_followed_file_are_not_overwritten(model, data, tmp_path):
    out = tmp_path / "alarms.jsonl"
    detect(model, data, "--out", out, "--follow", "--until-idle", "0.01", "--interval", "0.01")
    before = out.read_bytes()

    code, _, err = detect(model, data, "--out", out)

    assert code == 2
    assert "alarms.jsonl.state is beside it" in err
    assert out.read_bytes() == before


def test_reset_begins_anew(model, data, tmp_path):
    words = ["--out", tmp_path / "alarms.jsonl", "--follow", "--until-idle", "0.01"]
    words += ["--interval", "0.01"]
    detect(model, data, *words)
    before = (tmp_path / "alarms.jsonl").read_bytes()
    code, _, err = detect(model, data, *words, "--every-step")
    assert code == 2 and "--reset" in err

    code, _, _ = detect(model, data, *words, "--every-step", "--reset")

    assert code == 0
    found = (tmp_path / "alarms.jsonl").read_text().splitlines()
    assert len(found) >= 200 > len(before.splitlines())


def test_the_list_for_gateways_has_the_tested_versions():
    wanted = (REPOSITORY / "docker" / "detect-requirements.txt").read_text().splitlines()
    tested = (REPOSITORY / "constraints.txt").read_text().splitlines()

    pins = [line for line in wanted if line and not line.startswith("#")]
    assert [pin for pin in pins if pin not in tested] == []
    assert f"onnxruntime=={version('onnxruntime')}" in pins
    assert "onnxruntime" in packages_distributions()


@pytest.mark.parametrize("words", [[], ["--follow", "--reset", "--until-idle", "0.1"]])
@pytest.mark.parametrize("what", ["the data", "a link to the data", "a file of the model"])
def test_alarms_are_never_written_over_what_they_are_made_of(model, data, tmp_path, what, words):
    (tmp_path / "model").mkdir()
    for path in model.iterdir():
        (tmp_path / "model" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "site.csv").write_bytes(data.read_bytes())
    (tmp_path / "link.csv").symlink_to(tmp_path / "site.csv")
    out = {"the data": "site.csv", "a link to the data": "link.csv"}.get(what, "model/card.md")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    code, _, told = detect(
        tmp_path / "model", tmp_path / "site.csv", "--out", tmp_path / out, *words
    )

    assert code == 2 and "would be lost; name another file" in " ".join(told.split())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
