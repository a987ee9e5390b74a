"""A site's file scored line by line: what finished files and tailed ones have in common."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.core.errors import DataError
from dtfl_app.detection.drift import DRIFT_WINDOW, DriftChange
from dtfl_app.detection.episodes import Episodes
from dtfl_app.detection.left_out import CELLS, LEFT_OUT_SHARE, ORDER, TIME, LeftOut
from dtfl_app.detection.output import OutputLines, drift_words, iso
from dtfl_app.detection.rate_limited_log import RateLimitedLog
from dtfl_app.detection.rows import RowReader, SensorRow
from dtfl_app.detection.scorer import Counts, Outcome, Scorer
from dtfl_app.sites.cells import split_line
from dtfl_app.sites.lines import DAMAGED, damage, fit_row

__all__ = ["Detection", "DetectionOptions", "log"]

log = logging.getLogger("dtfl.detect")

# Rows before which a share of them says nothing yet, in a file that grows.
_FEW_ROWS = 100
# Half a number, too, whatever its decimals are set off by.
_NUMBER_LIKE = re.compile(r"[-+.,]*[0-9][-+.,0-9eE]*")


@dataclass(frozen=True, slots=True)
class DetectionOptions:
    """What a person may choose, beside model and files.

    Parameters
    ----------
    site : name of the site; it stands in each line, and says which plant's laws hold.
    every_step : write every step, too, and not only where an alarm begins and is over.
    ignored : channels known to be broken, taken as missing.
    drift_window : steps without alarm that drift is looked for in, >= 10.
    max_left_out : share of rows, in [0, 1], above which what is left out is an error.
    """

    site: str = ""
    every_step: bool = False
    ignored: tuple[str, ...] = ()
    drift_window: int = DRIFT_WINDOW
    max_left_out: float = LEFT_OUT_SHARE

    def to_mapping(self) -> dict[str, Any]:
        """Return what the output depends on, as plain JSON values."""
        return {
            "site": self.site,
            "every-step": self.every_step,
            "ignore": sorted(self.ignored),
            "drift-window": self.drift_window,
        }


class Detection:
    """Turns lines of a site's file into lines of output.

    Parameters
    ----------
    bundle : the trained detector.
    options : what a person chose.
    where : the site's file, for messages.
    """

    def __init__(self, bundle: Bundle, options: DetectionOptions, where: str) -> None:
        self._bundle, self._options, self._where = bundle, options, where
        self.scorer = Scorer(bundle, options.site, options.ignored, options.drift_window)
        self._output = OutputLines(bundle, options.site)
        self.episodes = Episodes(self._output)
        self._reader: RowReader | None = None
        self._header_due = True
        self._row_number = 0
        self._held: list[tuple[int, SensorRow]] = []
        self.left_out = LeftOut()
        self._csv = bundle.site_schema.csv
        self._skip = self._csv.header_row
        self._warnings = RateLimitedLog(log)
        if bundle.scalers and not options.site:
            log.warning(
                "readings are scaled by the pooled moments of all sites, where each of them had "
                "its own in training: name this one with --site, if it took part"
            )
        for name in self.scorer.missing:
            log.info("channel %s is taken as missing", name)

    @property
    def counts(self) -> Counts:
        """What came in and out so far."""
        return self.scorer.counts

    def new_file(self) -> None:
        """A header comes again: the file was rotated."""
        self._header_due = True
        self._row_number = 0
        self._skip = self._csv.header_row

    def too_much_left_out(self) -> str:
        """Say what is left out where it is more than the stated share; "" where it is not."""
        found, rows, share = self.left_out, self.counts.rows, self._options.max_left_out
        if not found.exceeds(share, rows):
            return ""
        return (
            f"{self._where}: {found.total} of {found.total + rows} rows are left out, more than "
            f"{share:.3g} of them: {found}. Mend the file, describe it in a site schema "
            "(--schema), or allow for it (--max-left-out)"
        )

    def warn_of_left_out(self) -> None:
        """Log it, once an hour, where more than the stated share of a growing file is left out."""
        enough = self.left_out.total + self.counts.rows >= _FEW_ROWS
        if enough and (told := self.too_much_left_out()):
            self._warnings.warn("share", "%s", told)

    def no_step(self) -> str:
        """Say why nothing is scored, where gaps leave no stretch as long as a window; else ""."""
        counts, window = self.counts, self.scorer.window
        if counts.steps or not counts.stretches or counts.longest_stretch >= window:
            return ""
        if not counts.longest_stretch:
            return (
                f"{self._where}: nothing is scored: the first {self.scorer.baseline} rows of a "
                f"recording are its baseline, and none goes on behind them. Give longer recordings"
            )
        return (
            f"{self._where}: nothing is scored: a window takes {window} rows, and the longest of "
            f"{counts.stretches} stretches without a gap has {counts.longest_stretch}. Give a file "
            "with longer ones, or, where single rows are missing, a site schema that has gaps "
            "filled (--schema, max-gap-s)"
        )

    def warn_of_no_step(self) -> None:
        """Log it, once an hour, where a growing file has rows enough for two windows."""
        enough = self.counts.rows - self.counts.baseline >= 2 * self.scorer.window
        if enough and (told := self.no_step()):
            self._warnings.warn("window", "%s", told)

    def lines(self, lines: Iterable[bytes]) -> list[str]:
        """Score complete lines of the file; return lines of output, without their ends."""
        return [text for line in lines for text in self._line(line)]

    def rows(self, rows: Iterable[SensorRow | str]) -> list[str]:
        """Score rows, or say why one has no time; return lines of output, without their ends."""
        found = []
        for row in rows:
            self._row_number += 1
            if isinstance(row, str):
                self._leave_out(TIME, row)
            else:
                found += self._take(row)
        return found

    def turned(self) -> Iterator[str]:
        """Score the rows of a finished file whose newest row is the first; yield its output."""
        for number, row in reversed(self._held):
            self._row_number = number
            yield from self._row(row)
        self._held.clear()

    def finish(self) -> list[str]:
        """No row follows; return lines of output, without their ends, of what is still open."""
        return self.episodes.finish()

    def state(self) -> dict[str, Any]:
        """All that later lines depend on, as plain values."""
        reader = self._reader
        return {
            "header": reader.header if reader else None,
            "form": reader.form if reader else "",
            "header_due": self._header_due,
            "row_number": self._row_number,
            "left_out": self.left_out.state(),
            "skip": self._skip,
            "scorer": self.scorer.state(),
            "episodes": self.episodes.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        if state["header"] is not None:
            self._reader = self._read_header(state["header"])
            self._reader.form = state["form"]
        self._header_due = state["header_due"]
        # A state of before they were counted by reason has none of these.
        self._row_number = state.get("row_number", 0)
        self.left_out = LeftOut(state.get("left_out"))
        self._skip = state.get("skip", 0)
        self.scorer.restore(state["scorer"])
        # A state of before alarms were told as episodes has none of these.
        self.episodes.restore(state.get("episodes"))

    def _line(self, line: bytes) -> list[str]:
        if self._skip:
            self._skip -= 1
            return []
        line = line.rstrip(b"\r\n")
        if (damaged := damage(line)) is not None:
            return self._leave_out_line(*damaged)
        dialect, first = self._csv, self._header_due
        encoding = dialect.first_line_encoding if first else dialect.line_encoding
        text = line.decode(encoding, errors="replace")
        if not text.strip():
            return []
        try:
            cells = split_line(text, self._csv.separator)
        except csv.Error as error:
            return self._leave_out_line(DAMAGED, f"it cannot be cut into cells ({error})")
        if self._header_due and self._take_header(cells):
            self._skip = self._csv.skip_rows
            return []
        return self._cells(cells)

    def _cells(self, cells: list[str]) -> list[str]:
        assert self._reader is not None
        self._row_number += 1
        row = self._reader.read(cells)
        if isinstance(row, str):
            self._leave_out(TIME if fit_row(cells, self._reader.header) else CELLS, row)
            return []
        return self._take(row)

    def _take(self, row: SensorRow) -> list[str]:
        """Score a row, or hold it until the older ones below it are there."""
        if not self._bundle.site_schema.newest_first:
            return self._row(row)
        self._held.append((self._row_number, row))
        return []

    def _leave_out_line(self, reason: str, why: str) -> list[str]:
        self._row_number += not self._header_due
        self._leave_out(reason, why)
        return []

    def _leave_out(self, reason: str, why: str) -> None:
        self._warnings.warn(reason, "a row is left out: %s", why)
        self.counts.skipped += 1
        self.left_out.add(reason, self._row_number, why)

    def _row(self, row: SensorRow) -> list[str]:
        for name in row.bad:
            self._warnings.warn(name, "channel %s: a cell is not a number; taken as missing", name)
        found = []
        for time, readings in self.scorer.missing_rows(row.time, row.readings, row.instance):
            outcome = self.scorer.step(time, readings, row.instance, filled=True)
            found += self._said(SensorRow(time, readings, (), row.instance), outcome)
        outcome = self.scorer.step(row.time, row.readings, row.instance)
        self._tell(row, outcome)
        return found + self._said(row, outcome)

    def _said(self, row: SensorRow, outcome: Outcome) -> list[str]:
        """Lines of output about a row."""
        found = self.episodes.interrupt() if outcome.begins else []
        if (step := outcome.step) is not None:
            if self._options.every_step:
                found.append(self._output.step(step, row.instance))
            found += self.episodes.add(step, row.instance)
        return found + [self._drift_line(row, change) for change in outcome.drift]

    def _drift_line(self, row: SensorRow, change: DriftChange) -> str:
        state = "begins" if change.begins else "over"
        log.warning("drift %s: %s %.2f", state, drift_words(change), change.distance)
        return self._output.drift(row.time, row.instance, change, self.scorer.drift.window)

    def _take_header(self, cells: list[str]) -> bool:
        """Whether the first line of a file is its header, and not a row: then the one before holds.

        Raises DataError where it is another header, SchemaError where a column is missing in it.
        """
        known = self._reader
        if known is None:
            self._reader = self._read_header(cells)
        elif cells != known.header:
            if not self._is_row(known, cells):
                raise DataError(
                    f"{self._where}: its header changed to {cells}; expected {known.header}. "
                    "Give the new layout another file, or begin anew with --reset"
                )
            log.warning("the file begins without a header: going on with the one it had")
        self._header_due = False
        return known is None or cells == known.header

    @staticmethod
    def _is_row(reader: RowReader, cells: list[str]) -> bool:
        """Whether cells are a row, or what a cut left of one, and no header of other columns."""
        if isinstance(reader.read(cells), SensorRow):
            return True
        numbers = any(_NUMBER_LIKE.fullmatch(cell) for cell in cells)
        return numbers and set(reader.header).isdisjoint(cells)

    def _read_header(self, header: list[str]) -> RowReader:
        optional: Collection[str] = self.scorer.missing
        return RowReader(self._bundle.site_schema, header, self._where, optional)

    def _tell(self, row: SensorRow, outcome: Outcome) -> None:
        if outcome.skipped:
            self._warnings.warn(ORDER, "row of %s is left out: %s", iso(row.time), ORDER)
            self.left_out.add(ORDER, self._row_number, f"{iso(row.time)} is {ORDER}")
        elif outcome.gap:
            self._warnings.info("gap", "a gap: a new stretch begins at %s", iso(row.time))
        if outcome.begins and outcome.baseline:
            self._warnings.info(
                "baseline",
                "a recording goes on at %s: its first %d rows are taken as normal and not scored",
                iso(row.time),
                self.scorer.baseline,
            )
        for name in outcome.impossible:
            self._warnings.warn(
                name, "channel %s: a reading is outside its physical range; taken as missing", name
            )
