"""What a run's folder says of its data set and twin, for readers that know neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from dtfl_app.core.renamed import modern

__all__ = ["RunFacts"]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts that shape a run's pages and tables.

    Parameters
    ----------
    scored : whether BATADAL's score S is defined for its data set.
    twin : kind of its twin, "none" among them; "" where it cannot be told.
    """

    scored: bool = False
    twin: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """As `of` reads them from config.json."""
        return asdict(self)

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """Read them from the content of config.json."""
        settings = modern(about["settings"])
        named = str(settings.get("twin.kind", "auto"))
        before = _BEFORE.get(str(settings.get("dataset", "")), RunFacts())
        twin = before.twin if named == "auto" else named
        return cls(bool(about.get("scored", before.scored)), str(about.get("twin", twin)))


# Of folders that were written before runs said so themselves.
_BEFORE = {
    "plants": RunFacts(True, "ctown"),
    "batadal": RunFacts(True, "ctown"),
    "threew": RunFacts(False, "recorded"),
}
