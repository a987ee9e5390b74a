"""Tables that a person reads: in the terminal and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from dtfl_app.detector.metrics import Metrics
from dtfl_app.results.lines import Summary

__all__ = ["GROUP_HEAD", "SUMMARY_HEAD", "group_rows", "markdown", "plain", "summary_rows"]

SUMMARY_HEAD = (
    "strategy",
    "rounds to target",
    "MB to target",
    "site steps",
    "server steps",
    "s to target",
    "balanced accuracy",
    "AUC-PR",
    "ROC-AUC",
    "S",
    "events found",
    "false alarms/day",
)


GROUP_HEAD = ("strategy", "families", *SUMMARY_HEAD[6:])


def group_rows(summaries: Iterable[Summary]) -> list[list[str]]:
    """One row of text per strategy and group of events, under `GROUP_HEAD`."""
    return [
        [s.strategy, group, *_quality(metrics)]
        for s in summaries
        for group, metrics in s.groups.items()
    ]


def summary_rows(summaries: Iterable[Summary]) -> list[list[str]]:
    """One row of text per strategy, under `SUMMARY_HEAD`."""
    return [_row(s) for s in summaries]


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


def _row(s: Summary) -> list[str]:
    return [
        s.strategy,
        f"not in {s.rounds}" if s.rounds_to_target is None else str(s.rounds_to_target),
        _number(s.megabytes_to_target, 2),
        _number(s.site_steps_to_target, 0),
        _number(s.server_steps_to_target, 0),
        _number(s.seconds_to_target, 1),
        *(["-"] * 6 if s.final is None else _quality(s.final)),
    ]


def _quality(m: Metrics) -> list[str]:
    shares = (m.balanced_accuracy, m.auc_pr, m.roc_auc, m.s)
    return [
        *(_number(share, 3) for share in shares),
        f"{m.events_found}/{m.events}",
        _number(m.false_alarms_per_day, 2),
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"
