"""Rows of text as a table: aligned for a log, or in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["markdown", "plain"]


def plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned text without frames, for logs."""
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)
