"""A file that grows with damage in it: what is lost is counted, and reading goes on."""

import logging

import pytest

from dtfl_app.sites.lines import LONGEST_LINE
from tests.support.following import append, once, run


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
