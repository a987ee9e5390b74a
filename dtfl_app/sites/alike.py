"""Several files of one make, read together for a draft: their dialect and the columns all have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from dtfl_app.core.errors import DataError
from dtfl_app.sites.dialect import CsvDialect
from dtfl_app.sites.guesses import guess_dialect, why_no_channel
from dtfl_app.sites.readers import read_table

__all__ = ["Alike", "read_alike"]

# What one file may show and another leave open.
_OPEN = {"encoding": "utf-8", "decimal": ".", "thousands": ""}


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Files read by one dialect.

    Parameters
    ----------
    paths : at least one.
    dialect : how they are written, but for words.
    frames : of each file, the columns that all have, in the first one's order.
    partial : column that only some have -> the first file without it.
    """

    paths: tuple[Path, ...]
    dialect: CsvDialect
    frames: tuple[pd.DataFrame, ...]
    partial: dict[str, Path]

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(map(len, self.frames))

    @property
    def names(self) -> str:
        """The files' names, for a sentence."""
        return ", ".join(path.name for path in self.paths)

    @property
    def title(self) -> str:
        """What the schema may be called: as the file, or as the folder that all lie in."""
        folders = {path.resolve().parent for path in self.paths}
        alone = len(self.paths) == 1 or len(folders) > 1
        return self.paths[0].stem if alone else folders.pop().name or self.paths[0].stem

    def whole(self, column: str) -> pd.Series[Any]:
        """A column of all files, one below the other."""
        parts = [frame[column] for frame in self.frames]
        if len({part.dtype for part in parts}) > 1:
            parts = [part.astype(object) for part in parts]
        return pd.concat(parts, ignore_index=True)

    def why_no_channel(self, column: str, dialect: CsvDialect) -> str:
        """Say why a column cannot be a channel, and in which file; "" where it can."""
        reason = why_no_channel(self.whole(column), dialect)
        if not reason or len(self.paths) == 1:
            return reason
        # Rows are counted in the file that they are in.
        for path, frame in zip(self.paths, self.frames, strict=True):
            if frame[column].notna().any() and (own := why_no_channel(frame[column], dialect)):
                return f"in {path.name} {own}"
        return reason


def read_alike(paths: Sequence[Path]) -> Alike:
    """Read files for one schema; DataError where they cannot be, or are written differently."""
    dialect = _common([(path, _marks(path)) for path in paths])
    frames = [read_table(path, dialect) for path in paths]
    partial: dict[str, Path] = {}
    for column in dict.fromkeys(column for frame in frames for column in frame.columns):
        lacking = (p for p, frame in zip(paths, frames, strict=True) if column not in frame)
        if (without := next(lacking, None)) is not None:
            partial[column] = without
    shared = [column for column in frames[0].columns if column not in partial]
    return Alike(tuple(paths), dialect, tuple(frame[shared] for frame in frames), partial)


def _marks(path: Path) -> CsvDialect:
    if path.suffix.lower() != ".csv" or not path.is_file():
        return CsvDialect()
    return guess_dialect(path)


def _common(found: Sequence[tuple[Path, CsvDialect]]) -> CsvDialect:
    """The dialect of all CSV files; what one leaves open is what another shows."""
    written = [(path, marks) for path, marks in found if path.suffix.lower() == ".csv"] or [*found]
    first, common = written[0]
    for path, marks in written[1:]:
        common, other = _filled(common, marks), _filled(marks, common)
        if other != common:
            raise DataError(
                f"{path}: it is not written as {first} is: {other} and {common}; draft a schema of "
                "its own for each: how a file is written need not be the same at all sites"
            )
    return common


def _filled(marks: CsvDialect, by: CsvDialect) -> CsvDialect:
    left = {key: getattr(by, key) for key, usual in _OPEN.items() if getattr(marks, key) == usual}
    return replace(marks, **left)
