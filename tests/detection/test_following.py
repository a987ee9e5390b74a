"""A file that grows: every row once, whatever is cut, rotated, broken or restarted in between."""

import json
import logging
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.errors import BundleError, DataError
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.following import Following, follow, state_path
from dtfl_app.detection.once import score_file
from tests.support.following import OPTIONS, append, run


def times(following):
    found = map(json.loads, following.out.read_text().splitlines())
    return [line["time"] for line in found if "event" not in line]


def test_the_whole_file_at_once_gives_the_bytes_of_one_shot(bundle, following, lines, whole):
    append(following, b"".join(lines))

    detection = run(bundle, following)

    assert following.out.read_text() == whole
    assert detection.counts.steps == 80
    assert detection.counts.stretches == 2
    assert '"event": "drift"' in whole
    assert '"alarm": true' in whole


@given(cuts=st.lists(st.tuples(st.integers(0, 20000), st.booleans(), st.booleans()), max_size=5))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_cut_into_chunks_with_restarts_gives_the_bytes_of_one_shot(
    cuts, bundle, lines, whole, tmp_path_factory
):
    """Chunks end anywhere, within a row too.

    After each, the process may end, and it may have written what it never committed.
    """
    folder = tmp_path_factory.mktemp("cut")
    following = Following(folder / "site.csv", folder / "out.jsonl", until_idle=1e-9)
    content, done = b"".join(lines), 0
    for end, restarts, crashed in [*sorted(cuts), (len(content), True, False)]:
        append(following, content[done:end])
        done = max(done, min(end, len(content)))
        if restarts:
            run(bundle, following)
        if crashed and following.out.exists():
            with following.out.open("ab") as file:
                file.write(b'{"time": "half a li')

    run(bundle, following)

    assert following.out.read_text() == whole
    shutil.rmtree(folder)


def test_an_alarm_that_is_open_waits_for_more_where_a_file_grows_and_not_where_it_ends(
    bundle, following, lines, whole
):
    """The file ends with a step with an alarm; then come the others."""
    found = list(map(json.loads, whole.splitlines()))
    steps = [line for line in found if "event" not in line]
    begins = next(line for line in found if "message" in line)
    count = [step["time"] for step in steps].index(begins["time"]) + 1
    append(following, b"".join(lines[: count + 1]))
    _, once = score_file(bundle, OPTIONS, following.data)

    run(bundle, following)

    grown = following.out.read_text()
    *same, over = once
    assert "".join(f"{line}\n" for line in same) == grown
    assert json.loads(over)["open"] is True
    append(following, b"".join(lines[count + 1 :]))
    run(bundle, following)
    assert following.out.read_text() == whole


def test_a_state_of_before_alarms_had_episodes_goes_on(bundle, following, lines, whole):
    append(following, b"".join(lines[:11]))
    run(bundle, following)
    state = json.loads(state_path(following.out).read_bytes())
    del state["detection"]["episodes"]
    state_path(following.out).write_text(json.dumps(state))

    append(following, b"".join(lines[11:]))
    run(bundle, following)

    assert following.out.read_text() == whole


def test_a_line_that_is_not_finished_waits_for_its_end(bundle, following, lines):
    append(following, b"".join(lines[:3]) + lines[3][:50])
    run(bundle, following)
    before = times(following)

    append(following, lines[3][50:])
    run(bundle, following)

    assert len(before) == 2
    assert len(times(following)) == 3


def test_a_file_that_is_not_there_yet_is_waited_for(bundle, following, lines):
    asked = []

    def stopped(seconds):
        asked.append(seconds)
        if len(asked) == 3:
            append(following, b"".join(lines[:5]))
        return len(asked) > 6

    patient = Following(following.data, following.out, interval=0.25)
    follow(bundle, OPTIONS, patient, stopped)

    assert len(times(following)) == 4
    assert asked[:3] == [0.0, 0.25, 0.25]


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("how", ["renamed", "cut back"])
def test_a_rotated_file_goes_on_with_rows_later_than_the_last(
    bundle, following, lines, how, running, whole
):
    """The new file repeats two rows that were scored already; they are left out."""

    def rotate():
        if how == "renamed":
            following.data.rename(following.data.with_suffix(".1"))
        else:
            following.data.write_bytes(b"")
        append(following, b"".join([lines[0], *lines[29:]]))

    append(following, b"".join(lines[:31]))
    if running:
        asked = []

        def stopped(seconds):
            asked.append(seconds)
            if len(asked) == 3:
                rotate()
            return len(asked) > 6

        detection = follow(bundle, OPTIONS, Following(following.data, following.out), stopped)
    else:
        run(bundle, following)
        rotate()
        detection = run(bundle, following)

    assert following.out.read_text() == whole
    assert detection.counts.skipped == 2


def test_rows_written_before_a_rename_are_read_first(bundle, following, lines, whole):
    append(following, b"".join(lines[:31]))
    asked = []

    def stopped(seconds):
        asked.append(seconds)
        if len(asked) == 3:
            append(following, b"".join(lines[31:40]) + b"half")
            following.data.rename(following.data.with_suffix(".1"))
            append(following, b"".join([lines[0], *lines[40:]]))
        return len(asked) > 8

    follow(bundle, OPTIONS, Following(following.data, following.out), stopped)

    assert following.out.read_text() == whole


def test_a_header_that_changes_is_refused(bundle, following, lines):
    append(following, b"".join(lines[:5]))
    run(bundle, following)
    following.data.write_bytes(lines[0].replace(b"L_T1", b"LEVEL"))

    with pytest.raises(DataError, match=r"site\.csv: its header changed.*--reset"):
        run(bundle, following)


def with_instances(lines, names):
    """Put a column in front: the recording of each row."""
    head = b"instance," + lines[0]
    return [
        head,
        *(name.encode() + b"," + line for name, line in zip(names, lines[1:], strict=True)),
    ]


def test_each_recording_of_a_file_is_scored_as_if_it_were_alone(bundle, following, lines):
    """Rows 1 to 30 twice, as two recordings: time goes back, and no row is left out for it."""
    alone = with_instances(lines[:31], ["a"] * 30)
    joined = [*alone, *with_instances(lines[:31], ["b"] * 30)[1:]]
    for count in (17, 30, 45, 61):
        following.data.write_bytes(b"".join(joined[:count]))
        detection = run(bundle, following)

    counts = detection.counts
    assert (counts.rows, counts.skipped, counts.stretches, counts.gaps) == (60, 0, 2, 0)
    found = [json.loads(line) for line in following.out.read_text().splitlines()]
    scored = [
        (line["instance"], line["time"], line["score"]) for line in found if "event" not in line
    ]
    assert [name for name, *_ in scored] == ["a"] * 30 + ["b"] * 30
    assert [rest for _, *rest in scored[:30]] == [rest for _, *rest in scored[30:]]


def test_gaps_are_counted_and_said_once_an_hour(bundle, following, lines, caplog):
    """Every second of 40 hours is missing: 20 rows, 19 gaps."""
    append(following, b"".join([lines[0], *lines[1:41:2]]))

    with caplog.at_level(logging.INFO, logger="dtfl.detect"):
        logging.getLogger("dtfl.detect").propagate = True
        detection = run(bundle, following)

    assert (detection.counts.gaps, detection.counts.stretches) == (19, 20)
    assert sum("a gap" in message for message in caplog.messages) == 1


class TestState:
    @pytest.fixture
    def begun(self, bundle, following, lines):
        append(following, b"".join(lines[:20]))
        run(bundle, following)
        return following

    def test_another_model_is_refused(self, begun, launcher):
        other = launcher.run(strategy="fedavg", rounds=1).path / "deploy" / "fedavg"

        with pytest.raises(BundleError, match=r"begun with model .*--reset"):
            run(read_folder(other), begun)

    def test_other_options_are_refused(self, begun, bundle):
        with pytest.raises(BundleError, match=r"begun with options .*--reset"):
            run(bundle, begun, DetectionOptions(every_step=True, ignored=("L_T1",)))

    def test_another_file_is_refused(self, begun, bundle):
        other = Following(begun.data.with_name("other.csv"), begun.out)

        with pytest.raises(BundleError, match=r"begun with input .*site\.csv"):
            run(bundle, other)

    def test_a_damaged_state_is_refused(self, begun, bundle):
        state_path(begun.out).write_text("{")

        with pytest.raises(BundleError, match=r"out\.jsonl\.state.*--reset"):
            run(bundle, begun)

    def test_alarms_of_somebody_else_are_not_written_to(self, begun, bundle):
        state_path(begun.out).unlink()

        with pytest.raises(BundleError, match=r"no out\.jsonl\.state beside it"):
            run(bundle, begun)

    def test_alarms_that_were_cut_are_refused(self, begun, bundle):
        begun.out.write_bytes(begun.out.read_bytes()[:100])

        with pytest.raises(BundleError, match="has 100 bytes"):
            run(bundle, begun)

    def test_two_processes_do_not_write_one_file(self, begun, bundle):
        def second(seconds):
            with pytest.raises(BundleError, match="another process"):
                run(bundle, begun)
            return True

        follow(bundle, OPTIONS, begun, second)

    def test_half_a_state_of_a_killed_process_is_cleared_away(self, begun, bundle):
        half = begun.out.with_name(".out.jsonl.state.123")
        half.write_text('{"format": 1, "mod')

        run(bundle, begun)

        assert not half.exists()

    def test_alarms_that_were_moved_away_go_on_in_a_new_file(self, begun, bundle, lines, whole):
        moved = begun.out.rename(begun.out.with_suffix(".1"))
        append(begun, b"".join(lines[20:]))

        run(bundle, begun)

        assert moved.read_text() + begun.out.read_text() == whole
