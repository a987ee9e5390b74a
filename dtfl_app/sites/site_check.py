"""What training will make of a site's file, told by the code that training uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.sites.channel_check import ChannelCheck, ChannelRows, ChannelSummary, check_channel
from dtfl_app.sites.doubts import missed_events, turned_clock
from dtfl_app.sites.features import longest_stretch
from dtfl_app.sites.federation import least_windows, normal_windows
from dtfl_app.sites.files_sites import each_reading
from dtfl_app.sites.findings import FileFinding, Level, counted
from dtfl_app.sites.own_files import OwnFile, ignored_labels, order
from dtfl_app.sites.raw_files import RawFile, read_spooled, steps_of
from dtfl_app.sites.readers import assemble_series
from dtfl_app.sites.recordings import Recordings
from dtfl_app.sites.site_schema import SiteSchema
from dtfl_app.sites.stretches import changes, interruptions
from twin.schema import ABNORMAL, EVENT, INSTANCE, NORMAL, TIME, UNLABELLED, Schema

__all__ = ["FileSummary", "SiteCheck", "check_file"]

_HOUR_S = 3600.0
# A clock that is off by more of a period than this is not jitter.
_UNEVEN = 0.1
# The default data.calibration-share, and the scores that a false-alarm rate of 0.5% takes.
_CALIBRATION_SHARE = 0.2
_FEW_SCORES = 200

ExitCode = Literal[0, 1, 2]


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The file as a whole.

    Parameters
    ----------
    rows : of the file, repeated ones included.
    first, last : earliest and latest time, ISO 8601.
    period_s : median seconds from row to row of a recording; None where there is one row.
    repeated : rows that repeat an earlier one.
    gaps : interruptions of more than 1.5 periods that are not filled.
    longest_gap_s : the longest of them; 0 without any.
    longest_stretch : rows of the longest stretch without a gap, those made up included.
    filled_gaps, filled_rows : gaps that are filled (max-gap-s), and the rows made up for them.
    normal, abnormal, unlabelled : rows by label, those made up included.
    events : names of the events, in order.
    """

    rows: int
    first: str
    last: str
    period_s: float | None
    repeated: int
    gaps: int
    longest_gap_s: float
    longest_stretch: int
    filled_gaps: int
    filled_rows: int
    normal: int
    abnormal: int
    unlabelled: int
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SiteCheck:
    """What was found in a site's file.

    Parameters
    ----------
    file : the file.
    schema : name of its schema.
    digest : of what sites must agree on; the same at all sites of a federation.
    summary : the file as a whole; None where it cannot even be parsed.
    channels : per channel of the schema.
    findings : in order of their place in the file's reading.
    """

    file: str
    schema: str
    digest: str
    summary: FileSummary | None
    channels: tuple[ChannelSummary, ...]
    findings: tuple[FileFinding, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0: usable; 1: usable, with findings worth a look; 2: cannot be used."""
        levels = {finding.level for finding in self.findings}
        return 2 if "stop" in levels else 1 if "look" in levels else 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**asdict(self), "exit_code": self.exit_code}


def check_file(path: Path, site: SiteSchema, name: str = "") -> SiteCheck:
    """Read a file as training will and say what is found in it and done about it.

    Parameters
    ----------
    path : .csv or .parquet.
    site : how it is read.
    name : the site's name; the file's, without its ending, where none is given.
    """
    name, schema = name or path.stem, site.schema
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(read_spooled(path, site, name))
        except DataError as error:
            refused = (_refused(error),)
            return SiteCheck(str(path), schema.name, schema.digest(), None, (), refused)
        return _check(raw, site, path, name)


def _check(raw: RawFile, site: SiteSchema, path: Path, name: str) -> SiteCheck:
    schema, findings = site.schema, list[FileFinding]()
    found = _ordered(raw, site, path, name, findings)
    summary = _summary(raw, found, site)
    findings += _column_findings(raw, site)
    findings += _clock_findings(raw, found, site, summary)
    findings += [*turned_clock(raw), *_label_findings(site, summary), *missed_events(raw)]
    channels = [
        check_channel(read, site.columns[read.channel.name], name)
        for read in _channels(found, schema)
    ]
    cleaned = _as_trained(channels, found, site, name, findings)
    for channel in channels:
        findings += channel.as_cleaned if cleaned else channel.as_delivered
    summaries = tuple(channel.summary for channel in channels)
    return SiteCheck(str(path), schema.name, schema.digest(), summary, summaries, tuple(findings))


def _channels(found: OwnFile, schema: Schema) -> Iterator[ChannelRows]:
    """One channel after the other, so that the readings of no other are in memory."""
    recordings = Recordings.of(found.series[INSTANCE])
    for channel in schema.channels:
        assert found.late is not None
        yield ChannelRows(channel, found.late.read(channel.name), recordings, found.rows)


def _ordered(
    raw: RawFile, site: SiteSchema, path: Path, name: str, findings: list[FileFinding]
) -> OwnFile:
    """The file in the order of its clock; as it is where training refuses that clock."""
    try:
        return order(raw, site, path, name)
    except DataError as error:
        findings.append(_refused(error))
        return _in_file_order(raw, name)


def _as_trained(
    channels: Sequence[ChannelCheck],
    found: OwnFile,
    site: SiteSchema,
    name: str,
    findings: list[FileFinding],
) -> bool:
    """Add what training says of the file; whether it takes the readings at all."""
    try:
        for channel in channels:
            if channel.refused is not None:
                raise channel.refused
        if all(finding.level != "stop" for finding in findings):
            findings += _training_findings(found.series, name, site)
    except DataError as error:
        findings.append(_refused(error))
        return False
    return True


def _refused(error: DataError) -> FileFinding:
    return FileFinding("stop", "file", str(error), "refuses the file", "as the message says")


def _in_file_order(raw: RawFile, name: str) -> OwnFile:
    """The rows as they are, so that readings can be looked at whatever the clock does."""
    instance = [name] * len(raw.rows)
    series = assemble_series(raw.time, raw.values, instance, raw.label, raw.event)
    filled = np.zeros(len(raw.rows), dtype=bool)
    return OwnFile(series, raw.rows, raw.rows[raw.repeats()], filled, raw.late)


def _summary(raw: RawFile, found: OwnFile, site: SiteSchema) -> FileSummary:
    steps, label = steps_of(raw), found.series["label"]
    gaps = _gaps(raw, found, site)
    names = [str(event) for event in found.series[EVENT].unique() if event]
    return FileSummary(
        rows=len(raw.rows),
        first=str(raw.time.min().astype("datetime64[s]")),
        last=str(raw.time.max().astype("datetime64[s]")),
        period_s=None if np.isnan(steps).all() else float(np.nanmedian(steps)),
        repeated=int(found.repeated.size),
        gaps=len(gaps),
        longest_gap_s=max((seconds for _, seconds in gaps), default=0.0),
        longest_stretch=longest_stretch(found.series, site.schema),
        filled_gaps=int(np.count_nonzero(np.diff(found.filled.astype(np.int8)) > 0)),
        filled_rows=int(found.filled.sum()),
        normal=int((label == NORMAL).sum()),
        abnormal=int((label == ABNORMAL).sum()),
        unlabelled=int((label == UNLABELLED).sum()),
        events=tuple(names),
    )


def _gaps(raw: RawFile, found: OwnFile, site: SiteSchema) -> list[tuple[int, float]]:
    """Position of the row after each interruption of a recording, and the seconds it took."""
    time = found.series[TIME].to_numpy()
    gaps = interruptions(time, site.schema.period_s)
    if raw.instance is not None:
        gaps &= ~changes(Recordings.of(found.series[INSTANCE]).number)
    after = np.flatnonzero(gaps) + 1
    seconds = (time[after] - time[after - 1]) / np.timedelta64(1, "s")
    return [(int(row), float(s)) for row, s in zip(after, seconds, strict=True)]


def _column_findings(raw: RawFile, site: SiteSchema) -> Iterator[FileFinding]:
    labels = ignored_labels(raw, site)
    if labels:
        yield FileFinding(
            "note", "labels", f"columns that look like labels: {', '.join(labels)}",
            "ignores them: the table of events has the labels", "nothing",
        )  # fmt: skip
    if unused := [name for name in raw.unused if name not in labels]:
        number = counted(len(unused), "column")
        yield FileFinding(
            "note", "file", f"{number} that the schema does not use: {', '.join(unused)}",
            "leaves them out", "add a [[channel]] for each that is a sensor, if it is wanted",
        )  # fmt: skip


def _clock_findings(
    raw: RawFile, found: OwnFile, site: SiteSchema, summary: FileSummary
) -> Iterator[FileFinding]:
    if found.repeated.size:
        what = f"{counted(found.repeated.size, 'row')} that repeat an earlier one, first data row "
        yield FileFinding(
            "look", "time", f"{what}{found.repeated[0]}", "leaves them out",
            "export without overlaps, if they should not be there",
        )  # fmt: skip
    if summary.filled_rows:
        yield FileFinding(
            "note", "time",
            f"{counted(summary.filled_gaps, 'gap')} of up to max-gap-s = {site.gaps.max_gap_s:g} s",
            f"fills them with {counted(summary.filled_rows, 'row')} (fill = {site.gaps.fill!r})",
            "nothing, or leave max-gap-s out of the schema",
        )  # fmt: skip
    if gaps := _gaps(raw, found, site):
        yield _gap_finding(found, site, gaps, summary.longest_stretch)
    steps, period = steps_of(raw), site.schema.period_s
    uneven = (np.abs(steps - period) > _UNEVEN * period) & (steps > 0) & (steps <= 1.5 * period)
    if uneven.any():
        yield FileFinding(
            "look", "time",
            f"{uneven.sum()} steps of other than {period:g} s, first before data row "
            f"{raw.rows[np.flatnonzero(uneven)[0]]}",
            "counts rows, not seconds", "resample the file to an even period",
        )  # fmt: skip


def _gap_finding(
    found: OwnFile, site: SiteSchema, gaps: list[tuple[int, float]], stretch: int
) -> FileFinding:
    row, longest = max(gaps, key=lambda gap: gap[1])
    hours = [s for _, s in gaps if abs(s - site.schema.period_s - _HOUR_S) < 1.0]
    summer = f"; {len(hours)} of an hour: daylight saving time? Then export in UTC" if hours else ""
    return FileFinding(
        "look",
        "time",
        f"{counted(len(gaps), 'gap')}, the longest {timedelta(seconds=longest)} before data row "
        f"{found.rows[row]} ({found.series[TIME].iloc[row]})",
        "begins anew after each: no window reaches across, so none longer than the longest "
        f"stretch fits, {counted(stretch, 'row')} or {stretch * site.schema.period_s:g} s",
        f"nothing, if the recording really stopped; short ones can be filled: max-gap-s{summer}",
    )


def _label_findings(site: SiteSchema, summary: FileSummary) -> Iterator[FileFinding]:
    if not summary.normal + summary.abnormal:
        yield FileFinding(
            "note", "labels", "no row is labelled", "takes every row for normal operation",
            "label known incidents ([labels] in the schema), so that none is learnt as normal",
        )  # fmt: skip
    elif not summary.normal + summary.unlabelled:
        yield FileFinding(
            "stop", "labels", "every row is abnormal",
            "refuses the site: it has nothing to learn normal operation from",
            "use the file as data.evaluation-file, or give rows of normal operation too",
        )  # fmt: skip


def _training_findings(series: pd.DataFrame, name: str, site: SiteSchema) -> Iterator[FileFinding]:
    """Split and window the file as a site does before round 1; DataError where that fails."""
    spec = each_reading(site.schema)
    windows, scores = normal_windows(name, series, site.schema, spec, _CALIBRATION_SHARE)
    if windows < (least := least_windows(site.schema, spec)):
        yield FileFinding(
            "stop", "training",
            f"{counted(windows, 'window')} of normal operation to train on, each of "
            f"{spec.window_s:g} s",
            f"refuses the site: of fewer than {least} what it sends would come close to "
            "its readings",
            "give a longer recording",
        )  # fmt: skip
        return
    if scores < _FEW_SCORES:
        level: Level = "note" if scores else "look"
        yield FileFinding(
            level, "calibration",
            f"{scores} windows of normal operation to calibrate on, each of {spec.window_s:g} s",
            "has a score for each, fewer with longer windows (features.window-s, features.step-s, "
            "detector.window), and pools them with the other sites'; a false-alarm rate of 0.5% "
            "takes 200 in all",
            "give a longer recording, or raise data.calibration-share",
        )  # fmt: skip
