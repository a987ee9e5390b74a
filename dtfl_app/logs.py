"""One logger for both apps: it writes into Flower's log stream and marks its lines as ours."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

__all__ = ["MARK", "log"]

MARK = "dtfl: "


class _Marked(logging.LoggerAdapter[logging.Logger]):
    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        return f"{MARK}{msg}", kwargs


# A child of Flower's logger: its handlers and level apply, also in a SuperLink's log stream.
log = _Marked(logging.getLogger("flwr.dtfl"), {})
