"""What a site keeps of its own for a method: arrays in versions, of which the server names one.

They stand in the site's `Context.state`, and with it on disk where ``state.dir`` is set
(`dtfl_app.client.state`). A site keeps the version it went on from, the one it made, and those that
the server may go back to, at a checkpoint or for a late reply: five at most.
"""

from __future__ import annotations

from flwr.app import Context

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import quoted
from dtfl_app.messages.versions import Versions
from dtfl_app.messages.wire import Arrays, to_arrays, to_record

__all__ = ["held_version", "keep_version", "own_arrays"]

_OWN = "own-arrays "


def own_arrays(site: str, versions: Versions, context: Context, *, on_disk: bool) -> Arrays:
    """Return the site's own arrays in the version that the server names; none where it has none.

    Parameters
    ----------
    site : the site's name, for the error.
    versions : which version.
    context : where the site keeps it.
    on_disk : whether the site's state outlives its process, for the error.

    Raises ReplyError where the site does not have that version any more.
    """
    if not versions.start:
        return {}
    found = held_version(versions.start, context)
    if found is not None:
        return found
    held = [name.removeprefix(_OWN) for name in context.state if name.startswith(_OWN)]
    why = (
        "its folder in state.dir was lost or damaged"
        if on_disk
        else "it keeps its state in memory alone: set state.dir, in its node config or the run's"
    )
    raise ReplyError(
        f"site {site}: what it keeps for this method is gone: the server goes on from version "
        f"{quoted(versions.start)}, the site holds {', '.join(sorted(held)) or 'none'}; {why}. "
        "It takes part again in a run that is started anew"
    )


def held_version(version: str, context: Context) -> Arrays | None:
    """Return the site's own arrays in a version; None where the site does not have it."""
    record = context.state.array_records.get(_OWN + version)
    return None if record is None else to_arrays(record)


def keep_version(versions: Versions, arrays: Arrays, context: Context) -> None:
    """Keep the site's own arrays as the version that the task makes; forget what is not needed.

    Versions of other methods of the run stay.
    """
    state, method = context.state, versions.result.rpartition("/")[0]
    state[_OWN + versions.result] = to_record(arrays)
    needed = {_OWN + name for name in (versions.start, versions.result, *versions.keep)}
    for name in list(state):
        if name.startswith(f"{_OWN}{method}/") and name not in needed:
            del state[name]
