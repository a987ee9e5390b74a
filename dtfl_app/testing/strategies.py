"""Does a strategy keep what the loop relies on?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message

from dtfl_app.client.app import app as client_app
from dtfl_app.core.settings import Value, fields_of, group_of
from dtfl_app.strategies.registry import find_strategy
from dtfl_app.testing.findings import Findings
from dtfl_app.testing.grid import Handler
from dtfl_app.testing.plant import SITES, SmallPlant
from dtfl_app.testing.runs import PlayedRun, PowerCut, cut_in, play, require_same, round_of

__all__ = ["check_strategy"]

_ROUNDS = 5
_INT8: dict[str, Value] = {"wire.upload-precision": "int8", "wire.download-precision": "int8"}


def check_strategy(
    name: str, folder: Path, options: str = "", settings: Mapping[str, Value] | None = None
) -> list[str]:
    """Play a strategy in small runs, and hold them against all that the app promises of one.

    The same seed gives the same bytes whatever the nodes' ids and the order of replies; a run cut
    off and resumed ends in the bytes of one that was not, in float32 and int8; replies that are
    not finite, and sites that fail, are refused and the run goes on; every byte that travels is
    counted; settings at their bounds give a finite model; layers that the strategy says are a
    site's own never leave it, not even when it is asked for them.

    Parameters
    ----------
    name : as the setting `strategy` takes it, e.g. "mine:Mine".
    folder : new or empty; holds the runs.
    options : the setting `strategy-options`.
    settings : further run config.

    Returns the promises that were tried. Raises AssertionError with those that are broken.
    """
    trial = _Trial(name, SmallPlant.write(folder / "plant"), folder, options, settings or {})
    found = Findings(f"strategy {name}")
    personal = find_strategy(name).has_personal_keys()
    wires: dict[str, dict[str, Value]] = {"float32": {}, "int8": _INT8}
    for wire, more in wires.items():
        with found.trying(f"a run in {wire} ends in a finite model"):
            whole = trial.run(more)
            _require_finite(whole)
            with found.trying(f"same seed, same bytes in {wire}, whatever the order of replies"):
                require_same(whole, trial.run(more, ids_seed=7, backwards=True))
            with found.trying(f"a resumed run in {wire} ends as one that was never cut off"):
                require_same(whole, trial.resumed(more))
            with found.trying(f"every byte is counted in {wire}"):
                _require_counted(whole)
            if personal:
                with found.trying(f"layers that are a site's own never leave it in {wire}"):
                    _require_own_stay(whole)
    if personal:
        with found.trying("a site that is asked for its own layers refuses"):
            _require_refused(trial.run({}, handler=_greedy))
    with found.trying("a reply that is not finite is refused, and the run goes on"):
        _require_refused(trial.run({}, handler=_poisoned))
    with found.trying("a site that fails is done without"):
        _require_refused(trial.run({}, handler=_failing))
    for told, edge in _edges(name):
        with found.trying(f"{told} gives a finite model"):
            _require_finite(trial.run({"rounds": 2}, edge))
    return found.conclude()


@dataclasses.dataclass(slots=True)
class _Trial:
    """Plays one strategy's runs, each in a folder of its own."""

    strategy: str
    plant: SmallPlant
    folder: Path
    options: str
    settings: Mapping[str, Value]
    played: int = 0

    def config(self, more: Mapping[str, Value]) -> dict[str, Value]:
        self.played += 1
        return {
            **self.plant.settings(),
            "strategy": self.strategy,
            "strategy-options": self.options,
            "rounds": _ROUNDS,
            "checkpoint-every": 2,
            "state.dir": str(self.folder.absolute() / f"state-{self.played}"),
            "results-dir": str(self.folder),
            "run-name": f"run-{self.played}",
            **self.settings,
            **more,
        }

    def run(
        self,
        more: Mapping[str, Value],
        options: str = "",
        *,
        handler: Handler = client_app,
        ids_seed: int = 0,
        backwards: bool = False,
    ) -> PlayedRun:
        given = ", ".join(text for text in (self.options, options) if text)
        config = self.config({"strategy-options": given, **more})
        return play(config, len(SITES), handler=handler, ids_seed=ids_seed, backwards=backwards)

    def resumed(self, more: Mapping[str, Value]) -> PlayedRun:
        """Cut a run off in its fourth round, after the checkpoint of its second; take it up."""
        config = self.config(more)
        try:
            play(config, len(SITES), handler=cut_in(4))
        except PowerCut:
            path = str(self.folder / str(config["run-name"]))
            return play({**config, "resume": path}, len(SITES), ids_seed=77)
        raise AssertionError("no site was asked in round 4")


def _require_finite(run: PlayedRun) -> None:
    for key, value in run.model().params.items():
        assert np.isfinite(value).all(), f"{key} holds values that are not finite"
    diverged = [e.describe() for e in run.events if e.kind == "twin-diverged"]
    assert not diverged, diverged[0]


def _require_counted(run: PlayedRun) -> None:
    """Bytes of the arrays in training messages, by round, are those in the lines."""
    for line in run.lines:
        if line.round:
            counted = {"sent": line.bytes_down, "received": line.bytes_up}
            for way, messages in (("sent", run.grid.sent), ("received", run.grid.received)):
                found = sum(_array_bytes(m) for m in messages if round_of(m) == line.round)
                told = f"round {line.round}: {found} bytes {way}, {counted[way]} counted"
                assert found == counted[way], told


def _array_bytes(message: Message) -> int:
    records = message.content.array_records.values()
    return sum(array.numpy().nbytes for record in records for array in record.values())


def _require_refused(run: PlayedRun) -> None:
    _require_finite(run)
    refused = {event.site for event in run.events if event.kind == "refused"}
    assert refused == {SITES[1]}, f"refused: {sorted(refused)}, expected {SITES[1]!r} alone"
    played = [line.sites for line in run.lines if line.round == 2]
    assert played == [len(SITES) - 1], f"{played} sites counted in round 2"


def _require_own_stay(run: PlayedRun) -> None:
    """Neither by name nor by value, whatever a task says."""
    tasks = [m for m in run.grid.sent if "task" in m.content.config_records]
    named = [m.content.config_records["task"].get("personal-keys") for m in tasks]
    assert all(isinstance(keys, list) for keys in named), "a task names none of a site's own layers"
    keys = {str(key) for found in named if isinstance(found, list) for key in found}
    own = [
        array.numpy().tobytes()
        for context in run.grid.contexts.values()
        for record in context.state.array_records.values()
        for name, array in record.items()
        if name.startswith("personal/")
    ]
    assert own, "no site keeps layers of its own"
    for message in (m for m in run.grid.received if not m.has_error()):
        for record in message.content.array_records.values():
            for name, array in record.items():
                key = name.removesuffix(":scale").partition("/")[2]
                assert key not in keys, f"{name} left a site"
                held = array.numpy().tobytes()
                assert not any(values in held for values in own), f"{name} holds a site's own layer"


def _is_due(message: Message) -> bool:
    if round_of(message) != 2:
        return False
    return message.content.config_records["task"]["site"] == SITES[1]


def _poisoned(message: Message, context: Context) -> Message:
    """In round 2 the second site answers with layers of NaN."""
    reply = client_app(message, context)
    if _is_due(message):
        arrays = reply.content.array_records["arrays"]
        reply.content["arrays"] = ArrayRecord(
            {
                name: Array(np.full_like(a.numpy(), np.nan) if a.dtype == "float32" else a.numpy())
                for name, a in arrays.items()
            }
        )
    return reply


def _greedy(message: Message, context: Context) -> Message:
    """In round 2 the second site is asked for all layers, its own among them."""
    if _is_due(message):
        task = message.content.config_records["task"]
        task["upload"] = [*task["upload"], *task["personal-keys"]]  # type: ignore[misc] # of texts
    return client_app(message, context)


def _failing(message: Message, context: Context) -> Message:
    """In round 2 the second site has no answer."""
    if _is_due(message):
        raise RuntimeError("the gateway is on fire")
    return client_app(message, context)


def _edges(name: str) -> Iterator[tuple[str, str]]:
    """What each setting of a strategy may be at its bounds, and every word that it may be."""
    settings = find_strategy(name).Settings
    start = f"{group_of(settings)}." if group_of(settings) else ""
    for key, field in fields_of(settings).items():
        meta, own = field.metadata, key.removeprefix(start)
        bounds = [meta[side] for side in ("low", "high") if meta[side] is not None]
        whole = isinstance(field.default, int)
        for value in bounds:
            if math.isfinite(value) and abs(value) <= 1000:
                edge = int(value) if whole else float(value)
                yield f"{own} = {edge}", f"{own}={edge}"
        for word in meta["choices"]:
            yield f"{own} = {word!r}", f'{own}="{word}"'
