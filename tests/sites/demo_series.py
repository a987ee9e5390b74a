"""Small labelled series that a test can count on its fingers."""

import numpy as np
import pandas as pd

from twin.schema import Channel, Schema

DEMO = Schema(
    "demo",
    (Channel("level", "m", "level", 0.0, 10.0), Channel("flow", "L/s", "flow", -5.0, 95.0)),
    period_s=60.0,
)


def make_series(
    lengths: list[int],
    events: list[str] | None = None,
    unlabelled: frozenset[int] = frozenset(),
) -> pd.DataFrame:
    """One instance per length, one row a minute; level = row number / 1000, flow = 1.

    `events` names the event of each row, "" for none; rows in `unlabelled` have label -1.
    """
    n = sum(lengths)
    row = np.arange(n)
    instance = np.repeat([f"run{i}" for i in range(len(lengths))], lengths)
    names = np.array(events if events is not None else [""] * n, dtype=object)
    label = (names != "").astype(np.int8)
    label[list(unlabelled)] = -1
    # A day between two instances, so that their rows are no neighbours in time.
    start = np.repeat(np.arange(len(lengths)), lengths) * 1440 + row
    return pd.DataFrame(
        {
            "instance": pd.Series(instance, dtype="str"),
            "time": np.datetime64("2024-01-01T00:00", "ns") + start * np.timedelta64(60, "s"),
            "level": row / 1000,
            "flow": np.ones(n),
            "label": label,
            "event": pd.Series(names, dtype="str"),
        }
    )
