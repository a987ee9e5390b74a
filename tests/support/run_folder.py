"""A run's folder made by hand, so that a test knows every number in it."""

import json
from pathlib import Path

import pandas as pd

from dtfl_app.results.run_directory import RunDirectory
from tests.support.figures import line_of

__all__ = ["ACCOUNT", "HOURS", "SETTINGS", "alarms_of", "make_run"]

SETTINGS = {
    "strategy": "fedavg,cwa",
    "rounds": 2,
    "target": 0.8,
    "dataset": "plants",
    "sites": 3,
    "twin.kind": "auto",
    "seed": 0,
    "detector.false-alarm-rate": 0.005,
}
HOURS = 20

# Two sites with noisy updates of one method; site b answered in one round more.
ACCOUNT = {
    "epsilon": {"cwa": {"a": 3.25, "b": 4.5}, "fedavg": {}},
    "epsilon_all_strategies": {"a": 5.0, "b": 6.0},
    "releases": {"cwa": {"a": 2, "b": 3}},
    "delta": 1e-5,
    "neighbours": "one site's data replaced",
    "accounting": "Renyi",
    "not_covered": ["mean loss, every round"],
}


def alarms_of(first_alarm: int | None) -> pd.DataFrame:
    """20 hours with "leak" in hours 5 to 9 and "theft" in 15 to 16; one false alarm in hour 2.

    Alarms in the leak begin with its hour `first_alarm` (None: never); the theft is always missed.
    In the leak L_T1 stands out but for its last hour, which is F_PU1's; elsewhere F_PU2 does.
    """
    rows = []
    for hour in range(HOURS):
        leak, theft = 5 <= hour < 10, 15 <= hour < 17
        alarm = hour == 2 or (leak and first_alarm is not None and hour - 5 >= first_alarm)
        rows.append(
            {
                "instance": "week",
                "time": pd.Timestamp("2024-01-01") + pd.Timedelta(hours=hour),
                "label": int(leak or theft),
                "event": "leak" if leak else "theft" if theft else "",
                "score": 2.0 if alarm else 0.5,
                "threshold": 1.0,
                "alarm": alarm,
                "channel": ("F_PU1" if hour == 9 else "L_T1") if leak else "F_PU2",
            }
        )
    return pd.DataFrame(rows)


def make_run(path: Path, finished: bool = True, **settings: object) -> Path:
    """FedAvg ends at 0.6 after two rounds; CWA is at the target 0.8 after one, at 0.9 after two."""
    run = RunDirectory(path, {**SETTINGS, **settings}, target=0.8)
    run.save_quality(
        {
            "plant-01": {
                "L_T1": {"missing": 0.0, "frozen": 0.0, "removed": 0.0},
                "F_PU1": {"missing": 0.25, "frozen": 0.0, "removed": 0.0},
            },
            "plant-02": {"L_T1": {"missing": 0.0, "frozen": 0.0, "removed": 0.125}},
        }
    )
    for strategy, accuracies in {"fedavg": (0.5, 0.55, 0.6), "cwa": (0.5, 0.85, 0.9)}.items():
        for number, accuracy in enumerate(accuracies):
            run.record(line_of(strategy, number, accuracy))
        run.save_alarms(strategy, alarms_of(1 if strategy == "cwa" else None))
    if finished:
        run.finish("a plant")
        # The summary as a later version may store it: with a figure this one has no name for.
        path = run.path / "summary.json"
        summaries = json.loads(path.read_text())
        summaries[1]["final"]["figure_of_tomorrow"] = 0.1234567890123
        path.write_text(json.dumps(summaries))
    return run.path
