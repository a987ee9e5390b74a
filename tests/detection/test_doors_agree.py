"""Whatever shape a file has: the rows that check calls usable are the rows that are scored."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.bundle.folder import read_folder
from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.following import Following, follow
from dtfl_app.detection.once import score_file
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_check import check_file
from twin.schema import INSTANCE, TIME

EVERY_STEP = DetectionOptions(every_step=True)
ROWS = 12


@dataclass(frozen=True)
class Shape:
    """How a file is written: of all its rows, and of some what befell them."""

    separator: str
    encoding: str
    mark: bool
    ends: tuple[str, ...]
    header_ends: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    newest_first: bool
    instances: bool
    befallen: dict[int, str]
    torn: int

    @property
    def dialect(self) -> CsvDialect:
        decimal = "." if self.separator == "," else ","
        return CsvDialect(
            self.separator,
            decimal,
            missing=("Bad Input",),
            encoding=self.encoding,
            header_row=len(self.before),
            skip_rows=len(self.after),
        )

    def content(self, lines: list[list[str]]) -> bytes:
        """The bytes of a file with these cells, the header's first."""
        mark = self.separator
        header, *rows = lines
        if self.instances:
            header = [INSTANCE, *header]
            rows = [["ab"[i > ROWS // 2], *row] for i, row in enumerate(rows)]
        if self.newest_first:
            rows.reverse()
        head = mark.join([*header, *[""] * self.header_ends])
        written = [*self.before, head, *self.after]
        for place, cells in enumerate(rows):
            own = [cell.replace(".", self.dialect.decimal) for cell in cells]
            written += BEFALLEN[self.befallen.get(place, "nothing")](own, mark)
        ended = [line + self.ends[i % len(self.ends)] for i, line in enumerate(written)]
        text = "".join(ended)
        text = text[: len(text) - self.torn]
        marked = self.mark and self.encoding in ("utf-8", "utf-16-be")
        mark_at_start = "\ufeff" if marked else ""
        return (mark_at_start + text).encode(self.encoding, errors="replace")


def change(place: int, cell: str):
    """Put another cell there."""
    return lambda cells, mark: [mark.join([*cells[:place], cell, *cells[place + 1 :]])]


BEFALLEN = {
    "nothing": lambda cells, mark: [mark.join(cells)],
    "a separator at the end": lambda cells, mark: [mark.join([*cells, ""])],
    "separators at the end": lambda cells, mark: [mark.join([*cells, "", " ", ""])],
    "quotes": lambda cells, mark: [mark.join(f'"{cell}"' for cell in cells)],
    "quotes and spaces": lambda cells, mark: [mark.join(f' "{cell} " ' for cell in cells)],
    "a quote within": change(-1, '0"'),
    "a quote that does not end": change(-1, '"0'),
    "a quoted separator": lambda cells, mark: [mark.join([*cells[:-1], f'"0{mark}0"'])],
    "a quoted line end": change(-1, '"0\n"'),
    "spaces": lambda cells, mark: [f"  {mark} ".join(cells) + "  "],
    "a blank line": lambda cells, mark: ["", mark.join(cells), "  "],
    "tabs alone": lambda cells, mark: ["\t\t", mark.join(cells)],
    "a short row": lambda cells, mark: [mark.join(cells[:-2])],
    "a long row": lambda cells, mark: [mark.join([*cells, "7"])],
    "a row twice": lambda cells, mark: [mark.join(cells)] * 2,
    "a carriage return": change(3, "1\r2"),
    "a line feed": change(3, "1\n2"),
    "zeros": change(3, "1\0\0"),
    "an empty cell": change(3, ""),
    "an empty row": lambda cells, mark: [mark * (len(cells) - 1)],
    "a word for missing": change(3, "bad input"),
    "a word": change(3, "wet"),
    "nan in capitals": change(3, "NAN"),
    "a number in full": change(3, "+0.10000000000000001e1"),
    "a long number": change(3, "1234567890123456789012"),
    "an impossible number": change(3, "-99999"),
    "another time": change(0, "yesterday"),
    "a mark": lambda cells, mark: ["\ufeff" + mark.join(cells)],
    "a form feed": change(3, "1\f"),
    "a line separator": change(3, "1\u2028"),
}
shapes = st.builds(
    Shape,
    separator=st.sampled_from([",", ",", ";", "\t"]),
    encoding=st.sampled_from(["utf-8", "utf-8", "cp1252", "utf-16", "utf-16-be"]),
    mark=st.booleans(),
    ends=st.sampled_from([("\n",), ("\r\n",), ("\r",), ("\r\r\n",), ("\n", "\r\n", "\r")]),
    header_ends=st.sampled_from([0, 0, 0, 1, 2]),
    before=st.sampled_from([(), (), ("exported",), ("# a; b", "")]),
    after=st.sampled_from([(), (), ("-;[m]",)]),
    newest_first=st.booleans(),
    instances=st.booleans(),
    befallen=st.dictionaries(
        st.integers(0, ROWS - 1), st.sampled_from(sorted(BEFALLEN)), max_size=3
    ),
    torn=st.sampled_from([0, 0, 0, 1, 2, 9, 200]),
)


@pytest.fixture(scope="module")
def bundle(model):
    return read_folder(model)


@pytest.fixture(scope="module")
def cells(dataset04) -> list[list[str]]:
    """Header and hours about the beginning of an attack, the first sensor's readings among them."""
    lines = dataset04.read_text().splitlines()
    return [[cell.strip() for cell in line.split(",")] for line in [lines[0], *lines[1710:][:ROWS]]]


def scored(bundle: Bundle, path) -> tuple[list[str], int, int]:
    """Steps, rows left out and readings missing or impossible of one pass."""
    detection, found = score_file(bundle, EVERY_STEP, path)
    return steps_of(found), *counts(detection)


def steps_of(lines: Iterable[str]) -> list[str]:
    """Lines without those of alarms: one that is open where a file ends may go on as it grows."""
    return [line for line in lines if '"event"' not in line]


def counts(detection: Detection) -> tuple[int, int]:
    found = detection.counts
    return found.skipped, found.missing + found.impossible


def followed(bundle: Bundle, path) -> tuple[list[str], int, int]:
    """The same of a file that was followed, and then replaced, which ends its last line."""
    following = Following(path, path.with_name("out.jsonl"), until_idle=1e-9)
    asked = []

    def stopped(seconds):
        asked.append(seconds)
        return len(asked) > 5

    detection = follow(bundle, EVERY_STEP, following, stopped)
    return steps_of(following.out.read_text().splitlines()), *counts(detection)


def as_trained(bundle: Bundle, path, instances: bool) -> tuple[str, int]:
    """The rows that training has of a file, as a plain CSV, and how many repeat others."""
    site = bundle.site_schema
    series, quality = load_own_file(path, site)
    plain = series[site.schema.names].rename(columns=site.columns)
    plain.insert(0, site.time, series[TIME].dt.strftime(site.time_formats[0]))
    if instances:
        plain.insert(0, INSTANCE, series[INSTANCE])
    return plain.to_csv(index=False), quality.repeated


def agree(bundle: Bundle, shape: Shape, content: bytes, folder) -> bool:
    """Whether check calls the file usable; then hold what is scored against what is trained on.

    That the files are too short to train on does not count.
    """
    site = replace(bundle.site_schema, csv=shape.dialect, newest_first=shape.newest_first)
    path = folder / "site.csv"
    path.write_bytes(content)
    findings = check_file(path, site).findings
    if any(finding.level == "stop" and finding.where != "training" for finding in findings):
        return False
    own = replace(bundle, site_schema=site)
    plain, repeated = as_trained(own, path, shape.instances)
    (folder / "plain.csv").write_text(plain)

    wanted, _, missing = scored(bundle, folder / "plain.csv")

    assert len(wanted) == len(plain.splitlines()) - 1
    assert scored(own, path) == (wanted, repeated, missing)
    if not shape.newest_first:
        with path.open("ab") as file:
            # A line that has no end is not complete yet, nor is one that ends with CR alone.
            file.write("\n".encode(site.csv.codec(content[:2]).removesuffix("-sig")))
        assert followed(own, path) == (wanted, repeated, missing)
    return True


def test_rows_that_are_trained_on_are_scored(bundle, cells, tmp_path_factory, monkeypatch):
    """Whose chunks are of two or three rows."""
    monkeypatch.setattr("dtfl_app.sites.csv_table._BLOCK", 500)
    usable = []

    @given(shapes)
    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    def hold(shape):
        folder = tmp_path_factory.mktemp("shape")
        usable.append(agree(bundle, shape, shape.content(cells), folder))

    hold()

    assert 0.2 < sum(usable) / len(usable) < 0.9


PLAIN = Shape(",", "utf-8", False, ("\n",), 0, (), (), False, False, {}, 0)
SOUND = [
    "a separator at the end", "separators at the end", "quotes", "quotes and spaces", "spaces",
    "a blank line", "a mark", "a row twice", "an empty cell", "a word for missing",
    "a number in full",
]  # fmt: skip


@pytest.mark.parametrize("what", SOUND)
def test_what_loggers_and_spreadsheets_write_is_usable(bundle, cells, tmp_path, what):
    shape = replace(PLAIN, befallen=dict.fromkeys(range(ROWS), what))

    assert agree(bundle, shape, shape.content(cells), tmp_path)
