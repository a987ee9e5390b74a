"""Which version of its own arrays each site goes on from: that of its last reply that counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dtfl_app.messages.admission import Reply
from dtfl_app.messages.versions import Versions

__all__ = ["SiteVersions"]

# As many as a run's folder keeps checkpoints: it may be taken up at each.
_CHECKPOINTS = 2


class SiteVersions:
    """The server's record of the sites' own arrays, for one method.

    A version is the round of the task that made it. What a site made in a round whose reply did not
    count, or counted late and beside a newer one, is never named again.

    Parameters
    ----------
    strategy : the method's name; it tells its versions from another's at the same site.
    """

    def __init__(self, strategy: str) -> None:
        self._strategy = strategy
        self._now: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._saved: list[dict[str, int]] = []

    def count(self, replies: Iterable[Reply]) -> None:
        """Let the sites go on from what they had when they gave these replies."""
        self._now |= {reply.site: reply.server_round for reply in replies}

    def now(self) -> dict[str, int]:
        """Site -> round of the version that it goes on from."""
        return dict(self._now)

    def go_back(self, then: Mapping[str, int]) -> None:
        """Let the sites go on from what `now` returned before the last round."""
        self._now = dict(then)

    def of(self, site: str, server_round: int | None = None) -> Versions:
        """What a site is told in a task of this round; without one, that it makes no version."""
        start = self._tag(self._now[site]) if site in self._now else ""
        # An answer that is late may count yet, so what was made with it is needed as well.
        rounds = {then[site] for then in [*self._saved, self._asked] if site in then}
        result = "" if server_round is None else self._tag(server_round)
        if server_round is not None:
            self._asked[site] = server_round
        keep = {self._tag(number) for number in rounds} - {start, result}
        return Versions(start, result, tuple(sorted(keep)))

    def save(self) -> list[dict[str, int]]:
        """Return what a checkpoint holds; from now on sites keep the versions it names."""
        self._saved = [*self._saved, dict(self._now)][-_CHECKPOINTS:]
        return [dict(then) for then in self._saved]

    def restore(self, saved: Sequence[Mapping[str, int]]) -> None:
        """Go on from what `save` returned."""
        self._saved = [dict(then) for then in saved]
        self._now = dict(self._saved[-1]) if self._saved else {}

    def _tag(self, server_round: int) -> str:
        return f"{self._strategy}/{server_round}"
