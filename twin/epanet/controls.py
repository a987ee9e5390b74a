"""What switches the links of a network: its [CONTROLS] and [RULES], read for what PLCs obey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from twin.epanet.inpfile import InpRow, Sections
from twin.epanet.plc import SetPoint

__all__ = ["Order", "orders_of", "setpoints", "watched_nodes"]

_BELOW = ("BELOW", "<", "<=")
_ABOVE = ("ABOVE", ">", ">=")


@dataclass(frozen=True, slots=True)
class Order:
    """One reason to switch a link.

    Parameters
    ----------
    link : pump, valve or pipe.
    on : whether it is switched on, opened or set.
    tank : node whose level or pressure is the only condition; "" for any other condition.
    below : whether it acts below `level`, or above.
    level : in the file's own unit.
    """

    link: str
    on: bool
    tank: str = ""
    below: bool = False
    level: float = 0.0


def orders_of(sections: Sections) -> tuple[Order, ...]:
    """Return every order in [CONTROLS] and [RULES]; ValueError or IndexError at a bad row."""
    controls = [_of_control(row) for row in sections.get("CONTROLS", ())]
    return (*controls, *(o for rule in _rules(sections) for o in _of_rule(rule)))


def setpoints(orders: Iterable[Order], length: float) -> dict[str, SetPoint]:
    """Return link -> two-point rule, for links with one: on below a level, off above a higher one.

    A link that anything else switches too (time, a rule of several conditions) has none, and
    neither has one that opens above and closes below.

    Parameters
    ----------
    length : m per unit of the file's levels.
    """
    by_link: dict[str, list[Order]] = {}
    for order in orders:
        by_link.setdefault(order.link, []).append(order)
    found: dict[str, SetPoint] = {}
    for link, pair in by_link.items():
        lower = [o for o in pair if o.tank and o.below and o.on]
        upper = [o for o in pair if o.tank and not o.below and not o.on]
        if len(pair) == 2 and lower and upper and lower[0].tank == upper[0].tank:
            low, high = lower[0].level * length, upper[0].level * length
            if low < high:
                found[link] = SetPoint(lower[0].tank, low, high)
    return found


def watched_nodes(sections: Sections) -> set[str]:
    """Return the nodes whose level or pressure some control or rule depends on."""
    found = {row[5] for row in sections.get("CONTROLS", ()) if row[3].upper() == "IF"}
    for row in sections.get("RULES", ()):
        if row[0].upper() in ("IF", "AND", "OR") and row[1].upper()[:4] in _NODES:
            found.add(row[2])
    return found


_NODES = ("NODE", "JUNC", "TANK", "RESE")


def _of_control(row: InpRow) -> Order:
    """LINK id OPEN|CLOSED|number IF NODE id BELOW|ABOVE number, or AT TIME|CLOCKTIME time."""
    on = _is_on(row[2])
    if row[3].upper() == "IF":
        return Order(row[1], on, row[5], row[6].upper() in _BELOW, float(row[7]))
    return Order(row[1], on)


def _is_on(word: str) -> bool:
    return word.upper() not in ("CLOSED", "CLOSE") and (not _is_number(word) or float(word) > 0)


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).lstrip("+-").isdigit()


def _rules(sections: Sections) -> Iterator[list[InpRow]]:
    rule: list[InpRow] = []
    for row in sections.get("RULES", ()):
        if row[0].upper() == "RULE" and rule:
            yield rule
            rule = []
        rule.append(row)
    if rule:
        yield rule


def _of_rule(rule: list[InpRow]) -> Iterator[Order]:
    """Orders of one rule; only those of a lone condition on a tank's level carry it."""
    clauses: Mapping[str, list[InpRow]] = {"IF": [], "THEN": [], "ELSE": []}
    clause = "RULE"
    for row in rule:
        word = row[0].upper()
        clause = clause if word in ("AND", "OR") else word
        if clause in clauses:
            clauses[clause].append(row)
    for row in (*clauses["THEN"], *clauses["ELSE"]):
        yield Order(row[2], _is_on(row[-1]), *_condition(clauses))


def _condition(clauses: Mapping[str, list[InpRow]]) -> tuple[str, bool, float]:
    first = clauses["IF"][0]
    simple = len(clauses["IF"]) == 1 and not clauses["ELSE"] and first[3].upper() == "LEVEL"
    if not simple or first[4].upper() not in (*_BELOW, *_ABOVE):
        return "", False, 0.0
    return first[2], first[4].upper() in _BELOW, float(first[5])
