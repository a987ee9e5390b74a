"""A site's file scored line by line: what finished files and tailed ones have in common."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.core.errors import DataError
from dtfl_app.detection.drift import ALARMS, DRIFT_WINDOW, DriftChange
from dtfl_app.detection.rate_limited_log import RateLimitedLog
from dtfl_app.detection.rows import RowReader, SensorRow
from dtfl_app.detection.scorer import Counts, Outcome, Scorer, Step
from dtfl_app.sites.cells import split_line

__all__ = ["Detection", "DetectionOptions", "log"]

log = logging.getLogger("dtfl.detect")


@dataclass(frozen=True, slots=True)
class DetectionOptions:
    """What a person may choose, beside model and files.

    Parameters
    ----------
    site : name of the site; it stands in each line, and says which plant's laws hold.
    every_step : write every step, not only alarms.
    ignored : channels known to be broken, taken as missing.
    drift_window : steps without alarm that drift is looked for in, >= 10.
    """

    site: str = ""
    every_step: bool = False
    ignored: tuple[str, ...] = ()
    drift_window: int = DRIFT_WINDOW

    def to_mapping(self) -> dict[str, Any]:
        """Return plain JSON values."""
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
        self._reader: RowReader | None = None
        self._header_due = True
        self._csv = bundle.site_schema.csv
        self._skip = self._csv.header_row
        self._warnings = RateLimitedLog(log)
        for name in self.scorer.missing:
            log.info("channel %s is taken as missing", name)

    @property
    def counts(self) -> Counts:
        """What came in and out so far."""
        return self.scorer.counts

    def new_file(self) -> None:
        """A header comes again: the file was rotated."""
        self._header_due = True
        self._skip = self._csv.header_row

    def lines(self, lines: Iterable[bytes]) -> list[str]:
        """Score complete lines of the file; return lines of output, without their ends."""
        return [text for line in lines for text in self._line(line)]

    def rows(self, rows: Iterable[SensorRow]) -> list[str]:
        """Score rows; return lines of output, without their ends."""
        return [text for row in rows for text in self._row(row)]

    def state(self) -> dict[str, Any]:
        """All that later lines depend on, as plain values."""
        reader = self._reader
        return {
            "header": reader.header if reader else None,
            "form": reader.form if reader else "",
            "header_due": self._header_due,
            "skip": self._skip,
            "scorer": self.scorer.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        if state["header"] is not None:
            self._reader = self._read_header(state["header"])
            self._reader.form = state["form"]
        self._header_due = state["header_due"]
        self._skip = state.get("skip", 0)
        self.scorer.restore(state["scorer"])

    def _line(self, line: bytes) -> list[str]:
        if self._skip:
            self._skip -= 1
            return []
        encoding = self._csv.first_encoding if self._header_due else self._csv.encoding
        text = line.decode(encoding, errors="replace").strip("\r\n")
        if not text.strip():
            return []
        cells = split_line(text, self._csv.separator)
        if self._header_due:
            self._take_header(cells)
            return []
        assert self._reader is not None
        row = self._reader.read(cells)
        if isinstance(row, str):
            self._warnings.warn("row", "a row is left out: %s", row)
            self.counts.skipped += 1
            return []
        return self._row(row)

    def _row(self, row: SensorRow) -> list[str]:
        for name in row.bad:
            self._warnings.warn(name, "channel %s: a cell is not a number; taken as missing", name)
        outcome = self.scorer.step(row.time, row.readings)
        self._tell(row, outcome)
        step = outcome.step
        found = []
        if step is not None and (step.verdict.alarm or self._options.every_step):
            found.append(self._step_line(step))
        return found + [self._drift_line(row.time, change) for change in outcome.drift]

    def _take_header(self, header: list[str]) -> None:
        if self._reader is None:
            self._reader = self._read_header(header)
        elif header != self._reader.header:
            raise DataError(
                f"{self._where}: its header changed to {header}; expected {self._reader.header}. "
                "Give the new layout another file, or begin anew with --reset"
            )
        self._header_due = False
        self._skip = self._csv.skip_rows

    def _read_header(self, header: list[str]) -> RowReader:
        optional: Collection[str] = self.scorer.missing
        return RowReader(self._bundle.site_schema, header, self._where, optional)

    def _tell(self, row: SensorRow, outcome: Outcome) -> None:
        if outcome.skipped:
            self._warnings.warn(
                "order", "row of %s is left out: not later than the one before", _iso(row.time)
            )
        elif outcome.begins and self.counts.stretches > 1:
            log.info("a gap: a new stretch begins at %s", _iso(row.time))
        for name in outcome.impossible:
            self._warnings.warn(
                name, "channel %s: a reading is outside its physical range; taken as missing", name
            )

    def _step_line(self, step: Step) -> str:
        verdict = step.verdict
        found = {
            "time": _iso(step.time),
            **self._who(),
            "alarm": verdict.alarm,
            "score": _finite(verdict.score),
            # Without calibration scores there is no threshold, and no alarm.
            "threshold": _finite(verdict.threshold),
            "p_value": verdict.p_value,
            "evidence": step.evidence,
            "channels": [
                {"channel": c.channel, "share": round(c.share, 4), "reading": c.reading}
                for c in step.causes
            ],
            "model": self._bundle.version,
        }
        return json.dumps(found, ensure_ascii=False, allow_nan=False)

    def _drift_line(self, time: int, change: DriftChange) -> str:
        state = "begins" if change.begins else "over"
        way = "higher" if change.higher else "lower"
        what = (
            "share of steps with an alarm"
            if change.kind == ALARMS
            else f"{change.kind} evidence of normal operation {way} than in calibration, distance"
        )
        log.warning("drift %s: %s %.2f", state, what, change.distance)
        found = {
            "time": _iso(time),
            **self._who(),
            "event": "drift",
            "state": state,
            "evidence": change.kind,
            "scores": way,
            "distance": round(change.distance, 4),
            "limit": change.limit,
            "steps": self.scorer.drift.window,
            "model": self._bundle.version,
        }
        return json.dumps(found, ensure_ascii=False, allow_nan=False)

    def _who(self) -> dict[str, str]:
        return {"site": self._options.site} if self._options.site else {}


def _finite(value: float) -> float | None:
    """A number as JSON can write it."""
    return value if math.isfinite(value) else None


def _iso(time: int) -> str:
    """A time as ISO 8601, without zone, to the second or as fine as it is."""
    moment = datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(
        microseconds=time // 1000
    )
    return moment.isoformat()
