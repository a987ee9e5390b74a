"""What a strategy carries from round to round, and what a checkpoint keeps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from dtfl_app.detector.params import Params, as_params
from dtfl_app.messages.wire import Arrays, prefixed, with_prefix
from dtfl_app.results.lines import RoundLine

__all__ = ["Agreement", "Snapshot", "State"]


@dataclass(frozen=True, slots=True)
class State:
    """What the server carries from round to round; a checkpoint holds all of it.

    Parameters
    ----------
    model : parameters the sites start the next round from; also what is evaluated.
    twin : parameters of the twin's own copy, for methods that keep one.
    memory : whatever else a method must remember, as named arrays.
    """

    model: Params
    twin: Params | None = None
    memory: Arrays = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """What the sites agreed on before round 1.

    Parameters
    ----------
    sites : their names, sorted.
    scaler : the common scaling, as arrays the sites keep, and below "sites/NAME/" what the site of
        that name keeps in its place.
    physics : what else they agreed on for physical evidence, as arrays they keep.
    unread : features that no site has a single reading of.
    data : site -> fingerprint of its data; empty in a checkpoint from before there were any.
    twin_weight : how much the twin counts (`twin.weight`), in [0, 1].
    """

    sites: Sequence[str] = ()
    scaler: Arrays = field(default_factory=dict)
    physics: Arrays = field(default_factory=dict)
    unread: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    twin_weight: float = 1.0

    def to_send(self) -> Arrays:
        """Arrays that sites keep, by their names on the wire."""
        return {**prefixed("scaler", _whole(self.scaler)), **prefixed("physics", self.physics)}

    def to_send_to(self, site: str) -> Arrays:
        """Return what a site keeps of these in place of all others' array of that name."""
        return prefixed("scaler", _whole(with_prefix(f"sites/{site}", self.scaler)))


def _whole(arrays: Arrays) -> Arrays:
    """Arrays whose name has no prefix."""
    return {name: array for name, array in arrays.items() if "/" not in name}


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A run between two rounds: with it, it goes on as if it had not been interrupted.

    Parameters
    ----------
    line : of the last finished round, not yet evaluated; round 0 = none is finished.
    server_steps : the twin's optimiser steps so far.
    state : the strategy's.
    norms : what the bound on the length of updates remembers.
    guard : what was decided about the twin.
    held : site -> array name -> digest of what it holds.
    bases : digest -> array that int8 changes refer to.
    agreement : what the sites agreed on.
    versions : site -> round whose version of its own arrays it goes on from, at each of the last
        checkpoints, this one last; empty for a method whose sites keep none.
    extra_norms : what the bound on the length of extra arrays remembers.
    """

    line: RoundLine
    server_steps: int
    state: State
    norms: Sequence[float]
    guard: Mapping[str, bool | int]
    held: Mapping[str, Mapping[str, str]]
    bases: Arrays
    agreement: Agreement
    versions: Sequence[Mapping[str, int]] = ()
    extra_norms: Sequence[float] = ()

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return self.line.strategy

    @property
    def round(self) -> int:
        """The last finished round."""
        return self.line.round

    def arrays(self) -> Arrays:
        """All arrays, under the names that a checkpoint's file gives them."""
        return {
            **prefixed("model", self.state.model),
            **prefixed("twin", self.state.twin or {}),
            **prefixed("memory", self.state.memory),
            **prefixed("bases", self.bases),
            **prefixed("agreed-scaler", self.agreement.scaler),
            **prefixed("agreed-physics", self.agreement.physics),
        }

    def notes(self) -> dict[str, Any]:
        """All else, as plain JSON values."""
        return {
            "held": self.held,
            "norms": self.norms,
            "guard": self.guard,
            "line": self.line.to_json(),
            "seconds": self.line.seconds,
            "server-steps": self.server_steps,
            "sites": list(self.agreement.sites),
            "unread": list(self.agreement.unread),
            "data": dict(self.agreement.data),
            "twin-weight": self.agreement.twin_weight,
            "versions": [dict(then) for then in self.versions],
            "extra-norms": list(self.extra_norms),
        }

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], notes: Mapping[str, Any]) -> Snapshot:
        """Take a snapshot out of a checkpoint: the inverse of `arrays` and `notes`."""
        part = {name: with_prefix(name, arrays) for name in ("model", "twin", "memory", "bases")}
        return cls(
            line=replace(RoundLine.from_json(notes["line"]), seconds=notes["seconds"]),
            server_steps=notes["server-steps"],
            state=State(as_params(part["model"]), as_params(part["twin"]) or None, part["memory"]),
            norms=notes["norms"],
            guard=notes["guard"],
            held=notes["held"],
            bases=part["bases"],
            # Nor has one from before sites kept arrays of their own for a method.
            versions=notes.get("versions", []),
            extra_norms=notes.get("extra-norms", []),
            agreement=Agreement(
                sites=notes["sites"],
                scaler=with_prefix("agreed-scaler", arrays),
                physics=with_prefix("agreed-physics", arrays),
                # A checkpoint written before unread features were kept has none to tell of.
                unread=notes.get("unread", []),
                data=notes.get("data", {}),
                twin_weight=notes.get("twin-weight", 1.0),
            ),
        )
