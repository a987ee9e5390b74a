"""However a historian writes a file, every door reads the same rows from it, or refuses it alike.

Draft, check, training's reader, evaluation of a saved model, detection once and as the file grows:
each is held against the readings that were written.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flwr.app import Context, RecordDict

import server_app
from dtfl_app.bundle.bundle import Bundle
from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.errors import DataError, DTFLError
from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.following import Following, follow
from dtfl_app.detection.once import score_file
from dtfl_app.evaluation.saved_model import evaluate_file
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import SiteSchema, read_site_schema
from dtfl_app.testing.grid import InProcessGrid
from tests.support.runs import SMALL
from twin.schema import TIME, Channel, Schema

# How files are written: every value of each is met with every value of every other.
TIMES: dict[str, Callable[[pd.Timestamp], str]] = {
    "iso": lambda t: t.strftime("%Y-%m-%d %H:%M:%S"),
    "iso, T and Z": lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "iso, milliseconds": lambda t: t.strftime("%Y-%m-%d %H:%M:%S.000"),
    "iso, comma": lambda t: t.strftime("%Y-%m-%d %H:%M:%S,000"),
    "slashes": lambda t: t.strftime("%Y/%m/%d %H:%M"),
    "compact": lambda t: t.strftime("%Y%m%dT%H%M%S"),
    "day first": lambda t: t.strftime("%d/%m/%Y %H:%M"),
    "day first, seconds": lambda t: t.strftime("%d/%m/%Y %H:%M:%S"),
    "dots": lambda t: t.strftime("%d.%m.%Y %H:%M:%S"),
    "month first": lambda t: f"{t.month}/{t.day}/{t.year} {t.strftime('%I:%M:%S %p')}",
    "seconds since 1970": lambda t: str(t.value // 10**9),
    "milliseconds since 1970": lambda t: str(t.value // 10**6),
    "microseconds since 1970": lambda t: str(t.value // 10**3),
    "nanoseconds since 1970": lambda t: str(t.value),
    "days of a spreadsheet": lambda t: f"{25569 + t.value / 86_400e9:.9f}",
}
ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "utf-16")
SEPARATORS = (",", ";", "\t", "|")
DECIMALS = (".", ",")
MISSING = ("", "NaN", "Bad Input", "-", "#N/A", "No Data")
STATES = (("0", "1"), ("OFF", "ON"), ("False", "True"), ("Closed", "Open"), ("0.0", "1.0"))
ENDS = ("\n", "\r\n", "\r")
# Lines before the header and lines of units below it.
AROUND = ((0, 0), (2, 0), (0, 1), (3, 1))
ORDER = ("oldest first", "newest first")
THOUSANDS = (False, True)
# Of keyboards and of typesetting; cp1252 has the first alone.
MINUS = ("-", "\u2212")
QUOTES = ("where needed", "everywhere")
# A separator behind each row's last cell, and lines without anything in between.
TAILS = ("", "rows", "header and rows")
BLANK_EVERY = (0, 10)

# What is no file of this site, and what every door says of it.
REFUSED: dict[str, tuple[Callable[[str], str], str]] = {
    "two columns of one name": (
        lambda text: text.replace("Pumpe", "Durchfluß [m³/h]"),
        r"columns 3 and 4 are both called 'Durchfluß \[m³/h\]'; expected every name once",
    ),
    "a column of another name": (
        lambda text: text.replace("Pumpe", "Pump"),
        r"columns \['Pumpe'\] are missing; expected .* found \['Zeit', .*, 'Pump'\]",
    ),
    "readings below one another": (
        lambda text: "Zeit,tag,value\n2024-01-30 20:00:00,a,1\n2024-01-30 20:00:00,b,1\n",
        r"columns \['Füllstand \[m\]', .*\] are missing; .* found \['Zeit', 'tag', 'value'\]",
    ),
    "other times": (
        lambda text: text.replace("2024-01-", "2024-Jan-"),
        r"data row 1.*'2024-Jan-30 20:00:00' is not a time",
    ),
    "newest first, unsaid": (
        lambda text: "\n".join([text.split("\n")[0], *text.split("\n")[-2:0:-1], ""]),
        r"data row 2.* 2024-01-30T20:58:00",
    ),
}

CHANNELS = (
    Channel("level", "m", "level", -5.0, 50.0),
    Channel("flow", "m3/h", "flow", 0.0, 5000.0),
    Channel("pump", "1", "status", 0.0, 1.0),
)
# The degree sign and the umlaut are written differently in each encoding.
COLUMNS = {"level": "Füllstand [m]", "flow": "Durchfluß [m³/h]", "pump": "Pumpe"}
ROWS, LONG = 60, 700
# Drawn at random beside the pairs.
_MORE = 25
OPTIONS = DetectionOptions(every_step=True)
BEGIN = pd.Timestamp("2024-01-30 20:00")


@dataclass(frozen=True)
class Writing:
    """How a file is written."""

    time: str = "iso"
    encoding: str = "utf-8"
    separator: str = ","
    decimal: str = "."
    missing: str = ""
    states: tuple[str, str] = ("0", "1")
    end: str = "\n"
    around: tuple[int, int] = (0, 0)
    order: str = "oldest first"
    thousands: bool = False
    minus: str = "-"
    quotes: str = "where needed"
    tail: str = ""
    blank_every: int = 0
    rows: int = field(default=ROWS, compare=False)

    @property
    def name(self) -> str:
        parts = [f"{self.time}", self.encoding, ascii(self.separator), self.decimal, self.missing]
        parts += [self.states[1], ascii(self.end), str(self.around), self.order, self.quotes]
        parts += [
            f"thousands {self.thousands}",
            ascii(self.minus),
            f"tail {self.tail}",
            f"blank {self.blank_every}",
        ]
        return "|".join([*parts, str(self.rows)])


FACTORS = {
    "time": tuple(TIMES),
    "encoding": ENCODINGS,
    "separator": SEPARATORS,
    "decimal": DECIMALS,
    "missing": MISSING,
    "states": STATES,
    "end": ENDS,
    "around": AROUND,
    "order": ORDER,
    "thousands": THOUSANDS,
    "minus": MINUS,
    "quotes": QUOTES,
    "tail": TAILS,
    "blank_every": BLANK_EVERY,
}


def table() -> list[Writing]:
    """Ways to write in which each pair of values of two factors occurs at least once."""
    names = list(FACTORS)
    pairs = {
        (a, x, b, y) for a, b in combinations(names, 2) for x, y in product(FACTORS[a], FACTORS[b])
    }
    rng, found = np.random.default_rng(7), []
    while pairs:
        # Of some at random that hold a pair still missing, the one that holds the most of them.
        a, x, b, y = min(pairs, key=repr)
        drawn = [
            {n: FACTORS[n][rng.integers(len(FACTORS[n]))] for n in names} | {a: x, b: y}
            for _ in range(40)
        ]
        best = max(drawn, key=lambda row: len(pairs_of(row) & pairs))
        pairs -= pairs_of(best)
        found.append(Writing(**best))
    more = ({n: FACTORS[n][rng.integers(len(FACTORS[n]))] for n in names} for _ in range(_MORE))
    return found + [Writing(**row) for row in more]


def pairs_of(row: dict[str, object]) -> set[tuple[str, object, str, object]]:
    return {(a, row[a], b, row[b]) for a, b in combinations(FACTORS, 2)}


TABLE = table()
LONGER = [replace(writing, rows=LONG) for writing in TABLE[::25]]


def truth(rows: int) -> pd.DataFrame:
    """Readings with decimals, some of them missing, and a pump that starts and stops."""
    rng, place = np.random.default_rng(3), np.arange(rows)
    level = (4 * np.sin(place / 9) + 0.05 * rng.normal(size=rows)).round(2)
    level[place % 25 == 13] = np.nan
    flow = (2000 + 500 * np.sin(place / 9) + 20 * rng.normal(size=rows)).round(2)
    time = BEGIN + pd.to_timedelta(place, "min")
    return pd.DataFrame({TIME: time, "level": level, "flow": flow, "pump": place // 8 % 2 * 1.0})


def write(path: Path, writing: Writing) -> pd.DataFrame:
    """Write the readings so; return them."""
    frame = truth(writing.rows)
    lines = [f"Export of {path.stem}"] * writing.around[0]
    lines.append(line_of(writing, ["Zeit", *COLUMNS.values()], writing.tail == "header and rows"))
    ended = writing.tail != ""
    lines += [line_of(writing, ["", "m", "m³/h", ""], ended)] * writing.around[1]
    body = [line_of(writing, cells_of(writing, row), ended) for row in frame.itertuples()]
    body = body if writing.order == "oldest first" else body[::-1]
    for place, line in enumerate(body):
        if writing.blank_every and place % writing.blank_every == writing.blank_every - 1:
            lines.append("")
        lines.append(line)
    text = writing.end.join(lines) + writing.end
    path.write_bytes(text.encode(writing.encoding))
    return frame


def cells_of(writing: Writing, row) -> list[str]:
    numbers = [number_of(writing, x) for x in (row.level, row.flow)]
    state = writing.states[int(row.pump)].replace(".", writing.decimal)
    time = TIMES[writing.time](row.time)
    if writing.time == "days of a spreadsheet":
        time = time.replace(".", writing.decimal)
    return [time, *numbers, state]


def number_of(writing: Writing, value: float) -> str:
    if np.isnan(value):
        return writing.missing
    whole, _, decimals = f"{value:,.2f}".partition(".")
    mark = {".": ",", ",": "."}[writing.decimal] if writing.thousands else ""
    minus = "-" if writing.encoding == "cp1252" else writing.minus
    return whole.replace(",", mark).replace("-", minus) + writing.decimal + decimals


def line_of(writing: Writing, cells: list[str], ended: bool) -> str:
    everywhere = writing.quotes == "everywhere"
    quoted = [f'"{c}"' if everywhere or writing.separator in c else c for c in cells]
    return writing.separator.join([*quoted, ""] if ended else quoted)


@dataclass(frozen=True)
class Doors:
    """A trained model, as a run's folder and as a bundle."""

    run: Path
    bundle: Bundle

    @property
    def model(self) -> Path:
        return self.run / "models" / "fedavg.safetensors"


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Doors:
    folder = tmp_path_factory.mktemp("trained")
    columns = COLUMNS
    site = SiteSchema(Schema("as-written", CHANNELS, 60.0), columns, time="Zeit")
    (folder / "files").mkdir()
    (folder / "files" / "schema.toml").write_text(site.to_toml())
    for name in ("one", "two"):
        write(folder / "files" / f"{name}.csv", Writing(rows=400))
    told = {
        **SMALL,
        "dataset": "files",
        "data.dir": str(folder / "files"),
        "twin.kind": "none",
        "strategy": "fedavg",
        "rounds": 1,
        "results-dir": str(folder),
        "run-name": "run",
    }
    server_app.app(InProcessGrid(2, told), Context(1, 0, {}, RecordDict(), told))
    return Doors(folder / "run", read_folder(folder / "run" / "deploy" / "fedavg"))


def drafted(path: Path) -> SiteSchema:
    """What draft guesses of how the file is written, with the schema that the model has."""
    path.with_suffix(".toml").write_text(draft_schema(path).toml)
    guess = read_site_schema(path.with_suffix(".toml"))
    assert list(guess.columns.values()) == list(COLUMNS.values())
    assert guess.schema.period_s == 60.0
    assert guess.schema.channels[2].kind == "status"
    agreed = Schema("as-written", CHANNELS, 60.0)
    return replace(guess, schema=agreed, columns=COLUMNS, labels=None)


@pytest.mark.parametrize("writing", [*TABLE, *LONGER], ids=lambda writing: writing.name)
def test_every_door_reads_what_was_written(writing: Writing, doors: Doors, tmp_path: Path) -> None:
    path, own = tmp_path / "site.csv", tmp_path / "site.toml"
    written = write(path, writing)
    site = drafted(path)
    own.write_text(site.to_toml())

    assert check_file(path, site).exit_code == 0
    series, _ = load_own_file(path, site)
    pd.testing.assert_frame_equal(series[list(written.columns)], written, check_dtype=False)

    alarms = evaluate_file(doors.run, doors.model, path).alarms
    times = written[TIME].dt.strftime("%Y-%m-%dT%H:%M:%S").tolist()
    assert pd.to_datetime(alarms["time"]).dt.strftime("%Y-%m-%dT%H:%M:%S").tolist() == times
    bundle = doors.bundle.for_site(own)
    once = detected_once(bundle, path)
    if writing.order == "oldest first":
        # Behind a lone CR might come an LF: only the next byte ends the last row.
        assert detected_growing(bundle, path) == once[: -1 if writing.end == "\r" else None]
    steps = [line for line in map(json.loads, once) if "alarm" in line]
    assert [step["time"] for step in steps] == times
    np.testing.assert_allclose([s["score"] for s in steps], alarms["score"], rtol=1e-3, atol=1e-7)
    assert [step["alarm"] for step in steps] == alarms["alarm"].tolist()
    for step, row in zip(steps, written.to_dict("records"), strict=True):
        for cause in step["channels"]:
            assert cause["reading"] == (
                None if np.isnan(row[cause["channel"]]) else row[cause["channel"]]
            )


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_file_of_the_site_is_refused_alike_by_every_door(
    case: str, doors: Doors, tmp_path: Path
) -> None:
    change, text = REFUSED[case]
    path, own = tmp_path / "site.csv", tmp_path / "site.toml"
    write(path, Writing())
    site = drafted(path)
    own.write_text(site.to_toml())
    path.write_text(change(path.read_text()))
    bundle = doors.bundle.for_site(own)

    found = [finding for finding in check_file(path, site).findings if finding.level == "stop"]
    assert [bool(re.search(text, finding.what)) for finding in found] == [True]
    with pytest.raises(DTFLError, match=text):
        load_own_file(path, site)
    with pytest.raises(DTFLError, match=text):
        evaluate_file(doors.run, doors.model, path)
    with pytest.raises(DTFLError, match=text):
        refuse_left_out(*score_file(bundle, OPTIONS, path))
    with pytest.raises(DTFLError, match=text):
        following = Following(path, tmp_path / "out.jsonl", until_idle=1e-9)
        refuse_left_out(follow(bundle, OPTIONS, following, lambda seconds: False))


def refuse_left_out(detection: Detection, lines: Iterable[str] = ()) -> None:
    """As the command does, once all lines are written."""
    for _ in lines:
        pass
    if told := detection.too_much_left_out():
        raise DataError(told)


def detected_once(bundle: Bundle, path: Path) -> list[str]:
    detection, lines = score_file(bundle, OPTIONS, path)
    found = list(lines)
    assert (detection.left_out.total, detection.counts.stretches) == (0, 1)
    return found


def detected_growing(bundle: Bundle, path: Path) -> list[str]:
    """Lines of output as the file grows in two parts, the second after a restart."""
    following = Following(path.with_name("live.csv"), path.with_name("live.jsonl"), until_idle=1e-9)
    content = path.read_bytes()
    for part in (content[: len(content) // 2 + 1], content[len(content) // 2 + 1 :]):
        with following.data.open("ab") as file:
            file.write(part)
        follow(bundle, OPTIONS, following, lambda seconds: False)
    return following.out.read_text().splitlines()


def test_every_pair_of_ways_to_write_is_in_the_table() -> None:
    met = set().union(*(pairs_of({n: getattr(w, n) for n in FACTORS}) for w in TABLE))

    wanted = sum(len(FACTORS[a]) * len(FACTORS[b]) for a, b in combinations(FACTORS, 2))
    assert len(met) == wanted
    assert 100 <= len(TABLE) <= 300
