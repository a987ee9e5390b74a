"""A file that grows: every row once, whatever is cut, rotated, broken or restarted in between."""

import json
import logging
import shutil
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.errors import BundleError, DataError
from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.following import Following, follow, state_path
from dtfl_app.detection.once import score_file
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.lines import LONGEST_LINE

# Every step is written, and drift is looked for in so few steps that there is some.
OPTIONS = DetectionOptions(every_step=True, drift_window=10)


@pytest.fixture(scope="module")
def bundle(model):
    return read_folder(model)


@pytest.fixture(scope="module")
def lines(dataset04):
    """Header and 80 hours about the beginning of the first attack, with a gap of five."""
    text = dataset04.read_bytes().splitlines(keepends=True)
    return [text[0], *text[1710:1760], *text[1765:1795]]


@pytest.fixture(scope="module")
def whole(bundle, lines, tmp_path_factory):
    """What one pass over the finished file gives."""
    data = tmp_path_factory.mktemp("whole") / "site.csv"
    data.write_bytes(b"".join(lines))
    _, found = score_file(bundle, OPTIONS, data)
    return "".join(f"{line}\n" for line in found)


@pytest.fixture
def following(tmp_path):
    return Following(tmp_path / "site.csv", tmp_path / "out.jsonl", until_idle=1e-9)


def run(bundle, following, options=OPTIONS) -> Detection:
    """Follow until nothing more is there."""
    return follow(bundle, options, following, lambda seconds: False)


def append(following, content: bytes):
    with following.data.open("ab") as file:
        file.write(content)


def times(following):
    found = map(json.loads, following.out.read_text().splitlines())
    return [line["time"] for line in found if "score" in line]


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


def once(bundle, following) -> str:
    """What one pass over the file gives."""
    _, found = score_file(bundle, OPTIONS, following.data)
    return "".join(f"{line}\n" for line in found)


WRITTEN = [
    ("\r\n", "utf-8-sig"),
    ("\r", "cp1252"),
    ("\r\r\n", "utf-8"),
    ("mixed", "utf-8-sig"),
    ("\r\n", "utf-16"),
    ("\r", "utf-16-be"),
    ("mixed", "utf-16-le"),
]


@pytest.mark.parametrize("cuts", [[], [1, 60, 61, 3000, 9999], list(range(4000, 4009))])
@pytest.mark.parametrize(("end", "encoding"), WRITTEN)
def test_line_ends_and_encodings_of_other_systems_change_nothing(
    end, encoding, cuts, bundle, following, lines, whole
):
    """Whole, or in pieces with a restart after each, which end within a row, an end or a letter."""
    ends = ["\r", "\n", "\r\n", "\r\n\r\n"] if end == "mixed" else [end]
    rows = [line.decode().strip() + ends[i % len(ends)] for i, line in enumerate(lines)]
    # An old Mac's last row is complete where something follows.
    content = ("".join(rows) + ends[0] * 2).encode(encoding)
    own = CsvDialect(encoding=encoding.removesuffix("-sig"))
    bundle = replace(bundle, site_schema=replace(bundle.site_schema, csv=own))
    for start, stop in zip([0, *cuts], [*cuts, len(content)], strict=True):
        append(following, content[start:stop])
        run(bundle, following)

    detection = run(bundle, following)

    assert following.out.read_text() == whole == once(bundle, following)
    assert detection.counts.skipped == 0


def test_an_old_macs_last_row_is_read_before_the_file_that_replaces_it(
    bundle, following, lines, whole
):
    append(following, b"".join(lines[:31]).replace(b"\r", b"").replace(b"\n", b"\r"))
    asked = []

    def stopped(seconds):
        asked.append(seconds)
        if len(asked) == 4:
            following.data.rename(following.data.with_suffix(".1"))
            append(following, b"".join([lines[0], *lines[31:]]))
        return len(asked) > 8

    detection = follow(bundle, OPTIONS, Following(following.data, following.out), stopped)

    assert following.out.read_text() == whole
    assert detection.counts.skipped == 0


def test_separators_at_the_ends_of_rows_change_nothing(bundle, following, lines, whole):
    ends = [b"\n", *[b",\n", b" , ,\n"] * 40]
    append(following, b"".join(line.strip() + e for line, e in zip(lines, ends, strict=True)))

    detection = run(bundle, following)

    assert following.out.read_text() == whole == once(bundle, following)
    assert detection.counts.skipped == 0


def test_a_carriage_return_within_a_row_leaves_two_halves_out(bundle, following, lines, whole):
    append(following, b"".join(lines[:20]) + b"1,2\r3,4\n" + b"".join(lines[20:]))

    detection = run(bundle, following)

    assert following.out.read_text() == whole == once(bundle, following)
    assert detection.counts.skipped == 2


@pytest.mark.parametrize("cut", [3, 25, 60, 400, 5000])
def test_lines_about_the_header_are_passed_by_as_the_schema_says(
    cut, bundle, following, lines, whole
):
    """Two before it, one of units after it, in an encoding of Windows; a restart anywhere."""
    csv = CsvDialect(encoding="cp1252", header_row=2, skip_rows=1)
    own = replace(bundle, site_schema=replace(bundle.site_schema, csv=csv))
    text = b"".join([b"exported 1,5 \xb0C\n", b"\n", lines[0], b"-,[m],[\xb0C]\n", *lines[1:]])
    append(following, text[:cut])
    run(own, following)
    append(following, text[cut:])

    detection = run(own, following)

    assert following.out.read_text() == whole
    assert detection.counts.skipped == 0
    assert once(own, following) == whole


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


def test_bad_cells_and_rows_are_counted_and_said_once(bundle, following, lines, caplog):
    """A word, an impossible level and a short row, again and again; nothing stops."""
    header = lines[0].decode().strip().split(",")
    level = [name.strip() for name in header].index("L_T1")
    rows = []
    for number, line in enumerate(lines[1:31]):
        cells = line.decode().strip().split(",")
        cells[level] = "broken" if number % 2 else "99.5"
        rows += [",".join(cells), "01/01/17 00,1.0"]
    append(following, lines[0] + "\n".join([*rows, ""]).encode())

    with caplog.at_level(logging.WARNING, logger="dtfl.detect"):
        logging.getLogger("dtfl.detect").propagate = True
        detection = run(bundle, following)

    counts = detection.counts
    assert (counts.steps, counts.skipped, counts.missing, counts.impossible) == (30, 30, 15, 15)
    assert sum("L_T1" in message for message in caplog.messages) == 1
    assert sum("2 cells, the header 45" in message for message in caplog.messages) == 1


DAMAGES = {
    "zeros": b"\0" * 200_000 + b"\n",
    "zeros within a row": b"01/01/17 00,1.0," + b"\0" * 70 + b"\n",
    "no end within 1 MiB": b"7" * (2 * LONGEST_LINE + 99) + b"\n",
    "no end within 1 MiB, by one byte": b"7" * LONGEST_LINE + b"\n",
    "a cell of 200 kB": b"7" * 200_000 + b"\n",
    "no end within 1 MiB, but for carriage returns": b"7" * LONGEST_LINE + b"\r\n",
}


@pytest.mark.parametrize("stop", [0, 100, 70_000, LONGEST_LINE + 5, 2 * LONGEST_LINE + 5])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_behind_damage_reading_goes_on_wherever_the_process_stops(
    bundle, following, lines, whole, damage, stop
):
    append(following, b"".join(lines[:20]) + damage[:stop])
    run(bundle, following)
    with following.out.open("ab") as file:
        file.write(b'{"time": "half a li')
    append(following, damage[stop:] + b"".join(lines[20:]))

    detection = run(bundle, following)

    assert following.out.read_text() == whole
    assert detection.counts.skipped == detection.left_out.total == 1
    assert "the first is data row 20: it" in str(detection.left_out)
    assert once(bundle, following) == whole


def test_damage_is_said_once(bundle, following, lines, caplog):
    append(following, b"".join(lines[:20]) + DAMAGES["zeros"] * 3 + b"".join(lines[20:]))

    with caplog.at_level(logging.WARNING, logger="dtfl.detect"):
        logging.getLogger("dtfl.detect").propagate = True
        detection = run(bundle, following)

    assert detection.counts.skipped == 3
    told = [message for message in caplog.messages if "power cut" in message]
    assert [message.partition("bytes")[0] for message in told] == [
        "a row is left out: it holds 200000 NUL "
    ]


def test_a_line_without_end_before_a_rename_does_not_hide_the_new_file(
    bundle, following, lines, whole
):
    append(following, b"".join(lines[:31]) + b"7" * (3 * LONGEST_LINE))
    run(bundle, following)
    following.data.rename(following.data.with_suffix(".1"))
    append(following, b"".join([lines[0], *lines[31:]]))

    run(bundle, following)

    assert following.out.read_text() == whole


@pytest.mark.parametrize("torn", [b"", b"0.51,3.25,0\n", b"\0" * 5000 + b"\n"])
@pytest.mark.parametrize("restarts", [True, False])
def test_a_file_cut_back_without_its_header_goes_on_with_the_one_it_had(
    bundle, following, lines, whole, torn, restarts
):
    """As copytruncate leaves it: the writer holds the file open and goes on with rows."""
    append(following, b"".join(lines[:31]))
    run(bundle, following)
    following.data.write_bytes(torn + b"".join(lines[31:33] if restarts else lines[31:]))
    run(bundle, following)
    if restarts:
        append(following, b"".join(lines[33:]))

    detection = run(bundle, following)

    assert following.out.read_text() == whole
    assert detection.counts.skipped == bool(torn)


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
    scored = [(line["instance"], line["time"], line["score"]) for line in found if "score" in line]
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


def test_much_left_out_of_a_growing_file_is_said_once_and_kept(bundle, following, lines, caplog):
    """80 rows and, of 22 more, none of any use: 22 of 102, first 5 and after a restart 17."""
    append(following, b"".join(lines) + b"7,8\n" * 5)
    run(bundle, following)
    append(following, b"7,8\n" * 17)

    with caplog.at_level(logging.WARNING, logger="dtfl.detect"):
        logging.getLogger("dtfl.detect").propagate = True
        detection = run(bundle, following)

    told = [message for message in caplog.messages if "rows are left out, more than" in message]
    assert len(told) == 1
    assert "22 of 102 rows" in told[0]
    assert "the first is data row 81" in told[0]
    assert detection.left_out.total == detection.counts.skipped == 22


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
