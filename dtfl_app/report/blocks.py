"""What a page is built of: sections of sentences, tables, pictures and things to unfold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "Block",
    "Cell",
    "Code",
    "Column",
    "Details",
    "Legend",
    "Picture",
    "Section",
    "Sentences",
    "Table",
    "Tile",
]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Parameters
    ----------
    text : what is shown.
    value : the number as stored, for sorting and checking; None = sort by text.
    key : where the number is stored, e.g. "final.s"; empty = it is computed.
    tone : "best", "poor", "changed", "time" or "code"; empty = plain.
    """

    text: str
    value: float | int | None = None
    key: str = ""
    tone: str = ""

    @property
    def exact(self) -> str:
        """All digits of the value."""
        return "" if self.value is None else repr(self.value)


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column: its title, its unit or meaning, and whether it holds numbers."""

    title: str
    note: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under columns.

    Parameters
    ----------
    name : id on the page.
    caption : one line above the table.
    """

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG element with its caption.

    Parameters
    ----------
    svg : markup, put on the page as it is: names within must be escaped.
    caption : what to see, in words.
    title : short heading; empty = none.
    """

    kind: ClassVar[str] = "picture"
    svg: str
    caption: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Sentences:
    """A list of sentences; `tone` "warning" sets them off."""

    kind: ClassVar[str] = "sentences"
    items: tuple[str, ...]
    title: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """A command to copy."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True, slots=True)
class Legend:
    """Names of the series of a section's pictures, in order, each with a switch."""

    kind: ClassVar[str] = "legend"
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks that a reader unfolds."""

    kind: ClassVar[str] = "details"
    title: str
    blocks: tuple[Block, ...]
    unfolded: bool = False


Block = Table | Picture | Sentences | Code | Legend | Details


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page that the table of contents leads to; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the top of the page: what it is, the figure, and what it is compared with."""

    title: str
    figure: str
    note: str = ""
