"""What happened in a run's rounds, and what differential privacy has cost its sites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dtfl_app.report.blocks import Block, Cell, Column, Details, Sentences, Table
from dtfl_app.results.run_events import RunEvent
from dtfl_app.results.spending import Spending

__all__ = ["log_blocks", "privacy_blocks"]

_LAST = 50


def log_blocks(events: Sequence[RunEvent]) -> Iterator[Block]:
    """How often each kind of event occurred, and the last ones with their reasons."""
    if not events:
        yield Sentences(("Nothing: every site answered in time and every reply was used.",))
        return
    yield _counts(events)
    if any(event.kind == "resumed" for event in events):
        yield Sentences(
            (
                "The run was interrupted and taken up again. Rounds after the checkpoint were "
                "played twice, and what happened in them is counted twice.",
            )
        )
    last = events[-_LAST:]
    title = "All events" if len(last) == len(events) else f"The last {len(last)} events"
    yield Details(title, (_listing(last),))


def privacy_blocks(spending: Spending | None) -> Iterator[Block]:
    """Epsilon of each method, that of the site with the largest, and what it does not cover."""
    if spending is None:
        yield Sentences(("The sites' updates carried no noise (dp = false).",))
        return
    yield _epsilons(spending)
    sentence = (
        f"Delta is {spending.delta:g}. Neighbours: {spending.neighbours}. "
        f"Accounting: {spending.accounting}."
    )
    yield Sentences((sentence,))
    yield Sentences(spending.not_covered, "What epsilon does not cover", tone="warning")


def _counts(events: Sequence[RunEvent]) -> Table:
    """Kinds by strategy, the most frequent first."""
    counts = Counter((event.kind, event.strategy) for event in events)
    rows = tuple(
        (Cell(kind), Cell(strategy), Cell(str(count), count), Cell(_sites(events, kind, strategy)))
        for (kind, strategy), count in sorted(counts.items(), key=lambda c: (-c[1], c[0]))
    )
    columns = (
        Column("event", numeric=False), Column("strategy", numeric=False), Column("count"),
        Column("sites", "the most frequent first", numeric=False),
    )  # fmt: skip
    return Table("event-counts", "How often what happened", columns, rows)


def _sites(events: Sequence[RunEvent], kind: str, strategy: str) -> str:
    sites = Counter(e.site for e in events if (e.kind, e.strategy) == (kind, strategy) and e.site)
    ordered = sorted(sites.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{site} {count}" for site, count in ordered)


def _listing(events: Sequence[RunEvent]) -> Table:
    rows = tuple(
        (
            Cell(event.strategy),
            Cell(str(event.round), event.round),
            Cell(event.kind),
            Cell(event.site),
            Cell(event.reason),
            Cell(", ".join(f"{name} {value:.4g}" for name, value in event.figures.items())),
        )
        for event in events
    )
    columns = (
        Column("strategy", numeric=False), Column("round"), Column("event", numeric=False),
        Column("site", numeric=False), Column("reason", numeric=False),
        Column("figures", numeric=False),
    )  # fmt: skip
    return Table("event-log", "In the order in which they happened", columns, rows)


def _epsilons(spending: Spending) -> Table:
    rows = [
        _epsilon_row(strategy, site, epsilon, spending.releases.get(strategy, {}).get(site))
        for strategy, (site, epsilon) in spending.worst().items()
    ]
    # The sites train on the same rows under every method.
    rows.append(_epsilon_row("all together", *spending.worst_together(), None))
    columns = (
        Column("strategy", numeric=False), Column("epsilon", "largest over the sites"),
        Column("site", numeric=False), Column("noisy updates", "of this site"),
    )  # fmt: skip
    return Table("epsilons", "Privacy budget spent", columns, tuple(rows))


def _epsilon_row(strategy: str, site: str, epsilon: float, updates: int | None) -> tuple[Cell, ...]:
    count = Cell("" if updates is None else str(updates), updates)
    return Cell(strategy), Cell(f"{epsilon:.3g}", epsilon), Cell(site), count
