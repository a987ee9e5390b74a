"""Rows that are missing are filled alike by who trains, who evaluates and who detects."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtfl_app.bundle.folder import read_folder
from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.following import Following, follow
from dtfl_app.detection.once import score_file
from dtfl_app.evaluation.saved_model import evaluate_file, find_model
from dtfl_app.sites.own_files import read_own_file
from dtfl_app.sites.site_schema import read_site_schema
from dtfl_app.sites.stretches import GapFilling
from tests.support.station import STATION, station_frame, write_station
from tests.support.station_runs import Station

OPTIONS = DetectionOptions(every_step=True, drift_window=10)
ROWS = 120


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model on means of three minutes, smoothed, of a station that fills gaps of 4 minutes."""
    folder = tmp_path_factory.mktemp("station")
    keys = 'max-gap-s = 240\nfill = "interpolate"\n'
    schema = keys + STATION.replace("%d/%m/%Y %H:%M", "ISO8601")
    files = write_station(folder / "files", schema=schema)
    for path in files.glob("*.csv"):
        told = pd.read_csv(path)
        told["when"] = pd.to_datetime(told["when"], format="%d/%m/%Y %H:%M").astype(str)
        told.drop(index=[100, 101, 150, 200, 201, 202, 203, 204]).to_csv(path, index=False)
    return Station(files, folder / "results").run(
        strategy="fedavg", rounds=1, twin__kind="none", features__window_s=180,
        features__step_s=60, features__statistics="mean,last", detector__window=2,
        detector__evidence="instant,smoothed", detector__smoothing=4,
    ).path  # fmt: skip


def bundle_of(run, fill):
    """The run's model, with its schema's way of filling gaps changed in bundle and run."""
    schema = run / "schema.toml"
    text = schema.read_text().replace('fill = "hold"', 'fill = "interpolate"')
    schema.write_text(text.replace('fill = "interpolate"', f'fill = "{fill}"'))
    return read_folder(run / "deploy" / "fedavg").for_site(schema)


def file_of(folder, gaps, late, holes, recordings):
    """Two hours by the minute; rows are missing, and some clocks late, cells empty or absurd."""
    frame = station_frame(9, rows=ROWS).astype({"P1": float})
    frame["P1"] = np.arange(ROWS) // 7 % 2
    when = pd.to_datetime(frame["when"], format="%d/%m/%Y %H:%M")
    for row, seconds in late:
        when[row] += pd.Timedelta(seconds=seconds)
    frame["when"] = when.astype(str)
    for row, column, value in holes:
        frame.loc[row, ("Tank 1 [m]", "Q", "P1")[column]] = value
    if recordings:
        frame["instance"] = np.where(np.arange(ROWS) < 50, "a", "b")
    gone = {row for first, length in gaps for row in range(first, first + length)}
    kept = frame.drop(index=[row for row in gone if 0 < row < ROWS])
    kept.to_csv(folder / "site.csv", index=False)
    return folder / "site.csv"


def followed(bundle, data, cuts) -> tuple[str, Detection]:
    """Follow the file as it grows to each of the `cuts`, in a process of its own each time."""
    growing = data.with_name("growing.csv")
    following = Following(growing, data.with_name("out.jsonl"), until_idle=1e-9)
    content = data.read_bytes()
    for end in [*sorted(cuts), len(content)]:
        growing.write_bytes(content[:end])
        detection = follow(bundle, OPTIONS, following, lambda seconds: False)
    return following.out.read_text(), detection


@given(
    fill=st.sampled_from(["hold", "interpolate"]),
    gaps=st.lists(st.tuples(st.integers(1, ROWS), st.integers(1, 5)), max_size=12),
    late=st.lists(st.tuples(st.integers(0, ROWS - 1), st.sampled_from([9.5, 24.0])), max_size=9),
    holes=st.lists(
        st.tuples(
            st.integers(0, ROWS - 1), st.integers(0, 2), st.sampled_from([np.nan, 1e6, -1e6])
        ),
        max_size=20,
    ),
    recordings=st.booleans(),
    cuts=st.lists(st.integers(1, 4000), min_size=1, max_size=4),
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_steps_of_a_file_with_gaps_are_the_same_at_once_followed_and_evaluated(
    fill, gaps, late, holes, recordings, cuts, run, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("gaps")
    bundle = bundle_of(run, fill)
    data = file_of(folder, gaps, late, holes, recordings)

    detection, lines = score_file(bundle, OPTIONS, data)
    # An alarm that is open where the file ends may go on as it grows.
    once = [line for line in lines if '"open"' not in line]
    growing, resumed = followed(bundle, data, cuts)
    judged = evaluate_file(*find_model(run), data).alarms

    assert growing == "".join(f"{line}\n" for line in once)
    assert resumed.counts == detection.counts
    steps = [step for step in map(json.loads, once) if "event" not in step]
    assert [pd.Timestamp(step["time"]) for step in steps] == judged["time"].tolist()
    assert [step["alarm"] for step in steps] == judged["alarm"].tolist()
    np.testing.assert_allclose([step["score"] for step in steps], judged["score"], rtol=1e-4)
    read = read_own_file(data, bundle.site_schema)
    assert detection.counts.filled == read.filled.sum()
    assert detection.counts.rows == (~read.filled).sum()
    assert detection.counts.stretches == read.series["instance"].nunique()
    shutil.rmtree(folder)


def test_a_state_of_before_gaps_were_filled_goes_on(run, tmp_path):
    """It has no readings to fill the first gap with; the second, of one row, is filled."""
    bundle = bundle_of(run, "hold")
    data = file_of(tmp_path, [(40, 1), (80, 1)], [], [], recordings=False)
    lines = data.read_bytes().splitlines(keepends=True)
    first, second = (Detection(bundle, OPTIONS, "site.csv") for _ in range(2))
    first.lines(lines[:41])
    state = json.loads(json.dumps(first.state()))
    del state["scorer"]["readings"], state["scorer"]["counts"]["filled"]

    second.restore(state)
    second.lines(lines[41:])

    assert (second.counts.rows, second.counts.gaps, second.counts.filled) == (118, 1, 1)


def test_without_the_key_nothing_is_filled(run, tmp_path):
    text = (run / "schema.toml").read_text()
    (tmp_path / "schema.toml").write_text(
        "".join(
            line
            for line in text.splitlines(keepends=True)
            if not line.startswith(("max-gap-s", "fill"))
        )
    )
    plain = read_site_schema(tmp_path / "schema.toml")
    data = file_of(tmp_path, [(40, 1)], [], [], recordings=False)
    bundle = replace(bundle_of(run, "hold"), site_schema=plain)

    detection, lines = score_file(bundle, OPTIONS, data)

    assert len(list(lines)) > 0
    assert (detection.counts.filled, detection.counts.gaps) == (0, 1)
    assert plain.schema.digest() == bundle_of(run, "hold").site_schema.schema.digest()


class TestStretchesShorterThanTheWindow:
    """Every fifth minute is missing: stretches of 4 rows, a window of 5."""

    @pytest.fixture
    def short(self, run, tmp_path):
        data = file_of(tmp_path, [(row, 1) for row in range(4, ROWS, 5)], [], [], recordings=False)
        bundle = bundle_of(run, "hold")
        schema = replace(bundle.site_schema, gaps=GapFilling())
        spec = replace(bundle.features.spec, window_s=300.0)
        plan = replace(bundle.features, spec=spec)
        return data, replace(bundle, site_schema=schema, features=plan)

    def test_a_finished_file_gives_no_step_and_says_why(self, short):
        data, bundle = short

        detection, lines = score_file(bundle, OPTIONS, data)

        assert list(lines) == []
        assert detection.no_step() == (
            f"{data}: nothing is scored: a window takes 5 rows, and the longest of 24 stretches "
            "without a gap has 4. Give a file with longer ones, or, where single rows are missing, "
            "a site schema that has gaps filled (--schema, max-gap-s)"
        )

    def test_a_followed_file_says_so_as_it_grows(self, short, tmp_path, caplog):
        data, bundle = short
        following = Following(data, tmp_path / "out.jsonl", until_idle=1e-9)

        with caplog.at_level(logging.WARNING, logger="dtfl.detect"):
            logging.getLogger("dtfl.detect").propagate = True
            follow(bundle, OPTIONS, following, lambda seconds: False)

        assert sum("nothing is scored" in message for message in caplog.messages) == 1

    def test_with_the_gaps_filled_there_are_steps(self, short):
        data, bundle = short
        filling = replace(bundle.site_schema, gaps=GapFilling(120.0))

        detection, lines = score_file(replace(bundle, site_schema=filling), OPTIONS, data)

        assert len(list(lines)) > 0
        assert detection.no_step() == ""
        assert detection.counts.longest_stretch == ROWS - 1
