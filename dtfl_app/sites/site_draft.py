"""A first site schema guessed from a file, for its owner to check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.sites.alike import Alike, read_alike
from dtfl_app.sites.cells import EPOCHS, ISO8601
from dtfl_app.sites.channel_guess import channel_names, guess_channel, remark
from dtfl_app.sites.clock_guess import Clock, guess_clock, guess_period, other_periods
from dtfl_app.sites.columns import read_numbers
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.guesses import guess_words, require_wide
from dtfl_app.sites.label_column import LabelColumn
from dtfl_app.sites.label_guess import guess_labels, names_label
from dtfl_app.sites.readers import UNNAMED
from dtfl_app.sites.site_schema import SiteSchema
from twin.schema import EVENT, INSTANCE, LABEL, Schema

__all__ = ["Draft", "draft_schema"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A first site schema.

    Parameters
    ----------
    toml : what `read_site_schema` reads, with comments on what was guessed.
    left_out : for each column of the files that the schema does not take, its name and the reason.
    unsure : guesses that nothing in the files decides, and how to turn each.
    """

    toml: str
    left_out: tuple[str, ...]
    unsure: tuple[str, ...] = ()


def draft_schema(path: Path, *more: Path) -> Draft:
    """Guess a first site schema from a file, or from several of one make.

    Time column, its format and the period come from the time stamps; every numeric column that all
    files have is a channel, whose range is a wide guess from the readings of all; a column of both
    0 and 1 is a status; a column of few whole numbers or words that is called so, or says "normal",
    is the label, and a second one is no input. Words that recur among numbers are missing readings,
    pairs such as OFF and ON are 0 and 1.

    Raises DataError where no column holds times, or none holds numbers.
    """
    files = read_alike((path, *more))
    clock = guess_clock(files.frames, path)
    _require_one_order(files, clock)
    others = [c for c in files.frames[0].columns if c not in {clock.column, INSTANCE}]
    columns = {c: files.whole(c) for c in others}
    labels = guess_labels([columns[c] for c in others if c != EVENT], files.dialect.grammar)
    inputs = [c for c in others if c not in labels.columns]
    # One site says ON and OFF where another says RUNNING and STOPPED.
    several = files.frames if len(files.frames) > 1 else ()
    parts = [frame[c] for frame in several for c in inputs]
    dialect = guess_words([*parts, *(columns[c] for c in inputs)], files.dialect)
    reasons = dict(labels.also) | {c: _reason(files, c, dialect) for c in inputs}
    numeric = [c for c in inputs if not reasons[c]]
    left_out = _left_out(files, {c: reasons[c] for c in others if reasons.get(c)})
    if not numeric:
        raise DataError(
            f"{path}: no column of numbers beside the time; expected at least one sensor"
            + "".join(f"\n  {reason}" for reason in left_out)
        )
    frame = pd.DataFrame(columns, copy=False)
    for name in numeric:
        frame[name] = read_numbers(frame[name], dialect.grammar)[0]
    require_wide(frame, numeric, path)
    site = _site(files, clock, dialect, frame[numeric], labels.taken)
    unsure = (*_unsure(clock), *_unlike(files, clock, site.schema.period_s))
    notes = [*unsure, *(f"Left out: {reason}" for reason in left_out)]
    return Draft(_commented(site, frame, files, notes), left_out, unsure)


def _require_one_order(files: Alike, clock: Clock) -> None:
    if any(clock.backwards) and not clock.newest_first:
        back, forth = (files.paths[clock.backwards.index(way)] for way in (True, False))
        raise DataError(
            f"{back}: its newest row is the first, that of {forth} the last; draft a schema of its "
            "own for each: order need not be the same at all sites"
        )


def _site(
    files: Alike,
    clock: Clock,
    dialect: CsvDialect,
    readings: pd.DataFrame,
    labels: LabelColumn | None,
) -> SiteSchema:
    names = channel_names(list(readings.columns))
    unit = next((unit for unit, (known, _) in EPOCHS.items() if known == clock.form), "")
    channels = tuple(guess_channel(name, c, readings[c]) for c, name in names.items())
    path = files.paths[0]
    return SiteSchema(
        Schema(files.title, channels, guess_period(clock, path)),
        {name: c for c, name in names.items()},
        clock.column,
        (ISO8601,) if unit else (clock.form,),
        labels,
        csv=dialect,
        time_unit=unit,
        newest_first=clock.newest_first,
    )


def _left_out(files: Alike, reasons: dict[str, str]) -> tuple[str, ...]:
    partial = {c: f"{path.name} does not have it" for c, path in files.partial.items()}
    return tuple(
        f"column {json.dumps(c, ensure_ascii=False)}: {reason}"
        for c, reason in (reasons | partial).items()
    )


def _reason(files: Alike, column: str, dialect: CsvDialect) -> str:
    """Why a column is left out; "" where it is not."""
    if column.startswith(UNNAMED):
        return "it has no name, as row numbers, or what a separator at the ends of the rows leaves"
    if column == EVENT:
        return "names of events come from a table ([labels] events), not from the file"
    if reason := files.why_no_channel(column, dialect):
        if names_label(column):
            reason += ". If it is the label, write [labels] with its column, normal and abnormal"
        return reason
    if column == LABEL:
        return "a channel cannot be called so, and it is no label: it has other than whole numbers"
    return ""


def _unsure(clock: Clock) -> tuple[str, ...]:
    if not clock.turned:
        return ()
    now, other = json.dumps(clock.form), json.dumps(clock.turned)
    return (
        f"time-formats = [{now}] is a guess: every time of {clock.column!r} fits with day and "
        f"month changed over too. If it is the other way round, write time-formats = [{other}]",
    )


def _unlike(files: Alike, clock: Clock, period_s: float) -> tuple[str, ...]:
    return tuple(
        f"period-s = {period_s:g} is that of most rows, but {files.paths[place].name} is sampled "
        f"every {own:g} s; the sites of a federation must agree, so resample it, or leave it out"
        for place, own in other_periods(clock, period_s)
    )


def _commented(site: SiteSchema, frame: pd.DataFrame, files: Alike, notes: list[str]) -> str:
    """The schema with a remark before each of its tables."""
    head, *tables = site.to_toml().rstrip("\n").split("\n\n")
    remarks = [
        f"# A first schema for {files.names}, guessed from {files.rows} rows: check every line.",
        "# Name, period-s and each channel's name, unit, kind, low and high must be those of all",
        '# sites, in one order; all else is each site\'s own. twin: "none", "ctown" or "recorded".',
    ]
    remarks += [f"# {note}" for note in notes]
    if site.csv.missing or site.csv.states:
        remarks.append("# Check what missing and states say of the words among the numbers.")
    parts = ["\n".join([*remarks, head])]
    for channel, table in zip(site.schema.channels, tables, strict=False):
        parts.append(f"{remark(channel, frame[site.columns[channel.name]])}\n{table}")
    if isinstance(site.labels, LabelColumn):
        parts.append(f"{_label_remark(site.labels)}\n{tables[-1]}")
    else:
        parts.append(
            "# No column looks like a label. With a table of events beside this file:\n"
            '# [labels]\n# events = "events.csv"   # columns start, end, event and maybe site'
        )
    return "\n\n".join(parts) + "\n"


def _label_remark(labels: LabelColumn) -> str:
    text = "# Check which values mean normal and abnormal."
    if "" in labels.normal:
        text += " An empty cell is taken for normal."
    return text
