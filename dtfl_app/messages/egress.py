"""What may leave a site: replies as their classes declare them, and errors without a reading.

A site checks every reply against its declaration before it hands it over, by the same comparison
that the server makes, so a slip in the code that builds replies costs a round and no reading. An
exception's text goes to the server in the clear, and errors about data quote cells; what leaves of
them is their type and place.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

import dtfl_app
import twin
from dtfl_app.core.errors import ConfigError, ReplyError, SiteError, TwinError
from dtfl_app.core.logs import log
from dtfl_app.messages.declaration import Declaration, MetricSpec, Records
from dtfl_app.messages.payload import check_labels

__all__ = ["deviations", "discreet_errors", "require_declared"]

# Their texts speak of settings, of what the server sent, and of the twin; never of a site's data.
_SAYABLE = (ConfigError, ReplyError, SiteError, TwinError)
_PACKAGES = tuple(Path(package.__path__[0]) for package in (dtfl_app, twin))


def deviations(content: RecordDict, declared: Declaration) -> list[str]:
    """Say where a reply's content is not what is declared; nothing where it is."""
    try:
        records = Records.of(content, declared)
        check_labels(records.arrays, declared.arrays or {})
    except ReplyError as error:
        return [str(error)]
    return [
        *_wrong_metrics(records.metrics, declared.metrics),
        *_wrong_identity(records.identity, declared.identity or {}),
    ]


def require_declared(reply: Message, declared: Declaration) -> Message:
    """Return a reply that is what is declared; SiteError, which names no value, where it is not."""
    found = deviations(reply.content, declared)
    if found:
        raise SiteError(
            f"the reply was held back at the site, it differs from its declaration: "
            f"{'; '.join(found)}; see dtfl_app/messages"
        )
    return reply


@contextmanager
def discreet_errors(who: Callable[[], str] = str) -> Iterator[None]:
    """Let no exception out whose text may quote data: log it here, raise a SiteError instead.

    `who` : says what the SiteError begins with, e.g. "site north: ".
    """
    try:
        yield
    except _SAYABLE:
        raise
    # Everything else, whoever raised it: pandas and NumPy quote cells and rows.
    except Exception as error:
        log.logger.exception("what the server is not told:")
        raise SiteError(
            f"{who()}{type(error).__name__} at {_place(error)}; the site's own log has the full "
            "text"
        ) from None


def _place(error: Exception) -> str:
    """Innermost line of this app on the way to the error, or of a library where there is none."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    ours = [f for f in frames if any(Path(f.filename).is_relative_to(p) for p in _PACKAGES)]
    where = (ours or frames)[-1]
    return f"{Path(where.filename).name}:{where.lineno}"


def _wrong_metrics(metrics: MetricRecord, declared: Mapping[str, MetricSpec]) -> list[str]:
    needed = [name for name, spec in declared.items() if not spec.optional]
    found = [f"no metric {name!r}" for name in needed if name not in metrics]
    for name, value in metrics.items():
        spec = declared[name]
        listed = value if isinstance(value, list) else [value]
        lengths = (len(value),) if isinstance(value, list) else ()
        if lengths != spec.lengths and not set(lengths) & set(spec.lengths):
            found.append(f"metric {name!r} has lengths {lengths}, not one of {spec.lengths}")
        elif any(type(number) is not spec.kind for number in listed):
            found.append(f"metric {name!r} holds other than {spec.kind.__name__}")
    return sorted(found)


def _wrong_identity(identity: ConfigRecord, declared: Mapping[str, type]) -> list[str]:
    found = [f"no entry {name!r}" for name in declared if name not in identity]
    for name, value in identity.items():
        if type(value) is not declared[name]:
            found.append(f"entry {name!r} is no {declared[name].__name__}")
    return sorted(found)
