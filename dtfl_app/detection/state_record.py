"""What the state of a followed file may hold, as types, and what of it must fit the detector.

Keys that states of earlier versions lack may be missing; none may be there that is not listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from msgspec import UNSET, Meta, UnsetType

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.bundle.reading import convert
from dtfl_app.bundle.records import Record
from dtfl_app.core.errors import BundleError, DTFLError
from dtfl_app.core.evidence import ModelEvidence, laws_among
from dtfl_app.core.logs import quoted
from dtfl_app.detection.detection import Detection
from dtfl_app.detection.drift import ALARMS
from dtfl_app.detection.left_out import CELLS, ORDER, TIME
from dtfl_app.detection.tail import Tail
from dtfl_app.sites.lines import DAMAGED, ENDLESS
from twin.ctown.laws import BALANCE_HOURS

__all__ = ["RESET", "committed", "restore"]

#: What to do about a state that is none.
RESET = "begin anew with --reset"

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 53)]
Time: TypeAlias = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
# NaN = missing; any other number may be a reading.
Row: TypeAlias = list[float]
Score: TypeAlias = Annotated[float, Meta(ge=0.0)]
Probability: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]


class FileRecord(Record, frozen=True):
    """See `tail.Tail.state`."""

    offset: Count
    head_bytes: Annotated[int, Meta(ge=0, le=1024)]
    head_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    endless: bool | UnsetType = UNSET


class CountsRecord(Record, frozen=True):
    """See `scorer.Counts`."""

    rows: Count
    skipped: Count
    missing: Count
    impossible: Count
    stretches: Count
    steps: Count
    alarms: Count
    episodes: Count
    gaps: Count | UnsetType = UNSET
    filled: Count | UnsetType = UNSET
    longest_stretch: Count | UnsetType = UNSET
    baseline: Count | UnsetType = UNSET


class FrozenRecord(Record, frozen=True):
    """See `windows.FrozenChannels.state`."""

    first: Row
    count: list[Count]
    moved: list[bool]


class BaselineRecord(Record, frozen=True):
    """See `sites.baseline.RunningBaseline.state`."""

    taken: Count
    first: list[Row]
    mean: Row | None
    scale: Row | None


class WindowsRecord(Record, frozen=True):
    """See `windows.InputWindows.state`; a baseline only where the model has one."""

    position: Count
    rows: list[Row]
    scaled: list[Row]
    baseline: BaselineRecord | UnsetType = UNSET


class LawsRecord(Record, frozen=True):
    """See `bundle.laws.LawStream.state`."""

    last: Time | None
    before: Row
    kept: dict[str, list[Row]]


class DriftRecord(Record, frozen=True):
    """See `drift.Drift.state`."""

    cells: list[list[Count]]
    alarms: list[Literal[0, 1]]
    under_way: list[str]
    own: bool | UnsetType = UNSET


class ScorerRecord(Record, frozen=True):
    """See `scorer.Scorer.state`."""

    last: Time | None
    alarm: bool
    counts: CountsRecord
    frozen: FrozenRecord | None
    windows: WindowsRecord
    means: dict[str, list[Row]]
    laws: LawsRecord | None
    drift: DriftRecord
    readings: Row | UnsetType | None = UNSET
    instance: str | UnsetType | None = UNSET


class CauseRecord(Record, frozen=True):
    """A channel behind an alarm, as its line names it."""

    channel: str
    share: Probability
    reading: float | None
    expected: float | None
    direction: str | None
    message: str


class JudgementRecord(Record, frozen=True):
    """See `output.OutputLines.judgement`."""

    score: float | None
    threshold: float | None
    p_value: Probability
    evidence: str
    channels: Annotated[list[CauseRecord], Meta(max_length=3)]
    message: str


class EpisodeRecord(Record, frozen=True):
    """An alarm that goes on."""

    begin: Time
    end: Time
    steps: Annotated[int, Meta(ge=1, le=1 << 53)]
    instance: str
    peak: Time
    judgement: JudgementRecord


class ToldRecord(Record, frozen=True):
    """See `episodes.Told`."""

    ratio: Score
    text: str


class EpisodesRecord(Record, frozen=True):
    """See `episodes.Episodes.state`."""

    open: EpisodeRecord | None
    strongest: Annotated[list[ToldRecord], Meta(max_length=10)]


class LeftOutRecord(Record, frozen=True):
    """See `left_out.LeftOut.state`."""

    counts: dict[str, Count]
    first: str


class DetectionRecord(Record, frozen=True):
    """See `detection.Detection.state`."""

    header: list[str] | None
    form: str | None
    header_due: bool
    scorer: ScorerRecord
    row_number: Count | UnsetType = UNSET
    left_out: LeftOutRecord | UnsetType = UNSET
    skip: Count | UnsetType = UNSET
    episodes: EpisodesRecord | UnsetType = UNSET


class StateRecord(Record, frozen=True):
    """What stands beside the output of a followed file."""

    format: Literal[2]
    model: str
    input: str
    options: dict[str, Any]
    committed: Count
    file: FileRecord
    detection: DetectionRecord


def committed(plain: Mapping[str, Any], where: Path) -> int:
    """Return how many bytes of output a state is of; BundleError where it is none at all."""
    return convert(plain, StateRecord, where, RESET).committed


def restore(
    plain: Mapping[str, Any], bundle: Bundle, detection: Detection, source: Tail, where: Path
) -> None:
    """Have a detection and its file go on from a state.

    Parameters
    ----------
    plain : the state, of this model, file and options.
    bundle : the detector.
    detection, source : as they were begun with.
    where : the state's file, for messages.

    Raises BundleError, naming the key, where the state is none that these can have left.
    """
    found = convert(plain, StateRecord, where, RESET).detection
    for key, value, expected in _misfits(found, bundle, detection):
        raise BundleError(f"{where}: {key} is {quoted(value)}, expected {expected}; {RESET}")
    try:
        detection.restore(plain["detection"])
        detection.scorer.drift.distances()
    except (DTFLError, IndexError) as error:
        raise BundleError(f"{where}: not a state of this model ({error}); {RESET}") from error
    source.restore(plain["file"])


Misfit: TypeAlias = tuple[str, object, object]


def _misfits(found: DetectionRecord, bundle: Bundle, detection: Detection) -> Iterator[Misfit]:
    """Key, value and what was expected of all that the detector cannot have left."""
    forms = ("", *bundle.site_schema.time_forms)
    if found.form not in forms:
        yield "form", found.form, f"one of {forms}"
    if found.header is None and (not found.header_due or found.scorer.counts.rows):
        yield "header", found.header, "the file's columns, where rows of it were read"
    if isinstance(found.left_out, LeftOutRecord):
        reasons = {CELLS, TIME, ORDER, DAMAGED, ENDLESS}
        if not set(found.left_out.counts) <= reasons:
            yield "left_out.counts", list(found.left_out.counts), f"some of {sorted(reasons)}"
    names = {kind.name for kind in bundle.kinds}
    if isinstance(found.episodes, EpisodesRecord) and found.episodes.open:
        evidence = found.episodes.open.judgement.evidence
        if evidence not in names:
            yield "episodes.open.judgement.evidence", evidence, f"one of {sorted(names)}"
    yield from _of_scorer(found.scorer, bundle, detection)


def _of_scorer(found: ScorerRecord, bundle: Bundle, detection: Detection) -> Iterator[Misfit]:
    channels, d = len(bundle.site_schema.schema.names), len(bundle.features.names)
    fresh = detection.scorer.state()
    for key, value in (("frozen", found.frozen), ("laws", found.laws)):
        if (value is None) != (fresh[key] is None):
            yield f"scorer.{key}", value, "as the model has it"
    lists: list[tuple[str, list[Any], int]] = []
    if found.frozen is not None:
        parts = (found.frozen.first, found.frozen.count, found.frozen.moved)
        lists += [("scorer.frozen", part, channels) for part in parts]
    if found.laws is not None:
        lists.append(("scorer.laws.before", found.laws.before, d))
    if isinstance(found.readings, list):
        lists.append(("scorer.readings", found.readings, channels))
    lists += [("scorer.windows.rows", row, channels) for row in found.windows.rows]
    lists += [("scorer.windows.scaled", row, d) for row in found.windows.scaled]
    lists += [("scorer.means", row, 1 + d) for rows in found.means.values() for row in rows]
    lists += [("scorer.drift.cells", row, len(bundle.kinds)) for row in found.drift.cells]
    if isinstance(of := found.windows.baseline, BaselineRecord):
        lists += [("scorer.windows.baseline.first", row, channels) for row in of.first]
        told = [row for row in (of.mean, of.scale) if row is not None]
        lists += [("scorer.windows.baseline", row, channels) for row in told]
    for key, entries, length in lists:
        if len(entries) != length:
            yield key, entries, f"{length} entries"
    yield from _of_baseline(found.windows, bundle)
    yield from _of_stretches(found, bundle, detection, fresh)


def _of_baseline(found: WindowsRecord, bundle: Bundle) -> Iterator[Misfit]:
    rows, key = bundle.features.spec.baseline, "scorer.windows.baseline"
    if not isinstance(of := found.baseline, BaselineRecord):
        if rows:
            yield key, None, f"that of the first {rows} rows of a recording"
        return
    full = of.taken == rows
    if not rows or of.taken > rows or len(of.first) != (0 if full else of.taken):
        yield f"{key}.taken", of.taken, f"the number of its first rows, {rows} at most"
    if (of.mean is not None) != full or (of.scale is not None) != full:
        yield f"{key}.mean", of.mean, "one once the baseline is full, and a scale with it"
    if of.scale is not None and (np.array(of.scale) <= 0).any():
        yield f"{key}.scale", of.scale, "numbers above 0"


def _of_stretches(
    found: ScorerRecord, bundle: Bundle, detection: Detection, fresh: Mapping[str, Any]
) -> Iterator[Misfit]:
    windows, samples, drift = found.windows, detection.scorer.window, detection.scorer.drift.window
    if len(windows.rows) != min(windows.position, samples):
        yield "scorer.windows.rows", len(windows.rows), min(windows.position, samples)
    if len(windows.scaled) not in (0, bundle.features.window):
        yield "scorer.windows.scaled", len(windows.scaled), bundle.features.window
    if bool(windows.scaled) != (windows.position >= samples):
        yield "scorer.windows.scaled", len(windows.scaled), "some once a window was full"
    if not (np.abs(np.array(windows.scaled)) <= bundle.scaler.clip).all():
        yield "scorer.windows.scaled", windows.scaled, f"up to {bundle.scaler.clip}"
    if set(found.means) != set(fresh["means"]):
        yield "scorer.means", list(found.means), list(fresh["means"])
    for name, rows in found.means.items():
        kind = next(kind for kind in bundle.kinds if kind.name == name)
        most = kind.steps(bundle.smoothing) if isinstance(kind, ModelEvidence) else 0
        if len(rows) > most or bool(rows) != bool(windows.scaled):
            yield f"scorer.means.{name}", len(rows), f"up to {most} rows, one at least of a step"
    if len(found.drift.alarms) > drift or len(found.drift.cells) > drift:
        yield "scorer.drift", len(found.drift.alarms), f"at most {drift} steps"
    known = {ALARMS, *(kind.name for kind in bundle.kinds)}
    if not set(found.drift.under_way) <= known:
        yield "scorer.drift.under_way", found.drift.under_way, f"some of {sorted(known)}"
    if found.laws is not None:
        yield from _of_laws(found.laws, bundle)


def _of_laws(found: LawsRecord, bundle: Bundle) -> Iterator[Misfit]:
    wanted = {kind.name: len(kind.channels) for kind in laws_among(bundle.kinds)}
    if set(found.kept) != set(wanted):
        yield "scorer.laws.kept", list(found.kept), list(wanted)
        return
    for name, rows in found.kept.items():
        if len(rows) > BALANCE_HOURS or any(len(row) != wanted[name] for row in rows):
            yield f"scorer.laws.kept.{name}", rows, f"up to {BALANCE_HOURS} rows of {wanted[name]}"
