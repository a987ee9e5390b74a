"""A file that grows, in the forms that other systems write."""

from dataclasses import replace

import pytest

from dtfl_app.detection.following import Following, follow
from dtfl_app.sites.dialect import CsvDialect
from tests.support.following import OPTIONS, append, once, run

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
