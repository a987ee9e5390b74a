"""Which node stands for which site just now; a gateway that returns may have another node id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

__all__ = ["NodeDirectory"]


class NodeDirectory:
    """The sites of a run and the nodes that stand for them.

    Parameters
    ----------
    nodes : node id -> site name, as enrolled; the sites stay the same for the whole run.
    """

    def __init__(self, nodes: Mapping[int, str]) -> None:
        self._nodes = {site: node for node, site in nodes.items()}
        self._online = set(nodes)
        self._excused: set[str] = set()
        self._turned_away: set[int] = set()

    @property
    def sites(self) -> list[str]:
        """All sites, sorted by name."""
        return sorted(self._nodes)

    @property
    def nodes(self) -> dict[int, str]:
        """Node that stands, or stood last, for each site -> site name."""
        return {node: site for site, node in self._nodes.items()}

    def node(self, site: str) -> int | None:
        """Node of a site; None while it is not connected."""
        node = self._nodes[site]
        return node if node in self._online else None

    def site(self, node: int) -> str:
        """Site that a node stood for when it was asked; the node's number for one nobody knows."""
        return next((s for s, n in self._nodes.items() if n == node), f"node {node}")

    def excuse(self, sites: Collection[str]) -> None:
        """Let these sites, and no others, be asked nothing for now."""
        self._excused = set(sites)

    def due(self, sites: Iterable[str]) -> list[tuple[int, str]]:
        """(node, site) of those among `sites` that are connected and not excused, in order."""
        asked = [(self.node(site), site) for site in sites if site not in self._excused]
        return [(node, site) for node, site in asked if node is not None]

    def refresh(self, online: Collection[int]) -> tuple[list[str], list[str]]:
        """Note who is connected; return the sites that left since, and those that came back."""
        before = {site for site in self._nodes if self.node(site) is not None}
        self._online = set(online)
        now = {site for site in self._nodes if self.node(site) is not None}
        if before - now:
            # one of those turned away may be the site that left, on a node of its own
            self._turned_away.clear()
        return sorted(before - now), sorted(now - before)

    def strangers(self) -> list[int]:
        """Connected nodes that stand for no site and were not turned away."""
        return sorted(self._online - set(self._nodes.values()) - self._turned_away)

    def turn_away(self, node: int) -> None:
        """Ask this node no more who it is, until a site leaves that it may stand for."""
        self._turned_away.add(node)

    def welcome(self, node: int, site: str) -> str | None:
        """Let `node` stand for `site`; return why not, if the site is unknown or already here."""
        if site not in self._nodes:
            self.turn_away(node)
            return f"site {site!r} did not enrol before round 1; it can join the next run"
        if self.node(site) is not None:
            self.turn_away(node)
            return f"site {site!r} is connected already, as another node"
        self._nodes[site] = node
        return None
