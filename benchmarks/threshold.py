"""Why FedAvg misses the target on BATADAL: whose calibration hours set the alarm threshold.

Trains in this process, without Flower's processes (the same numbers), and judges the last model at
the pooled conformal threshold and at the median of the sites' own ones.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.runs import data_dir, run_in_process, write_table
from dtfl_app.baselines import Material, gather
from dtfl_app.datasets import open_dataset
from dtfl_app.detector.calibration import conformal_threshold
from dtfl_app.detector.metrics import Metrics, evaluate_scores
from dtfl_app.detector.models import Detector, Params, build_model, set_params
from dtfl_app.preparation import Prepared, model_spec
from dtfl_app.settings import Value

SITES, ROUNDS, STRATEGIES = 10, 40, ("fedavg", "cwa")
HEAD = (
    "strategy", "ROC-AUC", "site thresholds, median", "highest", "of site", "its foremost channel",
    "pooled threshold", "balanced accuracy", "false alarms", "at the median: balanced accuracy",
    "false alarms",
)  # fmt: skip


def foremost_channel(model: Detector, calibration: Prepared) -> str:
    """Channel with the largest residual in the site's worst calibration hour."""
    scores = calibration.score(model, smoothing=1)
    worst = int(scores.total.argmax())
    return calibration.features.names[int(scores.per_channel[worst].argmax())]


def judge(material: Material, scores: np.ndarray, threshold: float) -> Metrics:
    """Figures on dataset04 at this threshold."""
    features = material.evaluation.features
    return evaluate_scores(scores, threshold, features.label, features.event, material.step_s)


def row(strategy: str, material: Material, params: Params) -> list[str]:
    """Cells of one strategy."""
    detector = material.config.detector
    model = build_model(model_spec(detector, len(material.evaluation.features.names)), 0)
    set_params(model, params)
    normal = [c.score(model, detector.smoothing).total for _, c in material.sites]
    own = [conformal_threshold(scores, detector.false_alarm_rate) for scores in normal]
    pooled = conformal_threshold(np.concatenate(normal), detector.false_alarm_rate)
    judged = material.evaluation.score(model, detector.smoothing).total
    highest = int(np.argmax(own))
    at_pooled = judge(material, judged, pooled)
    at_median = judge(material, judged, float(np.median(own)))
    return [
        strategy,
        f"{at_pooled.roc_auc:.3f}",
        f"{np.median(own):.4f}",
        f"{own[highest]:.4f}",
        material.names[highest],
        foremost_channel(model, material.sites[highest][1]),
        f"{pooled:.4f}",
        f"{at_pooled.balanced_accuracy:.3f}",
        f"{at_pooled.false_alarm_rate:.2%}",
        f"{at_median.balanced_accuracy:.3f}",
        f"{at_median.false_alarm_rate:.2%}",
    ]


def main() -> None:
    """Train, judge and write the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = []
    for name in STRATEGIES:
        settings: dict[str, Value] = {
            "dataset": "batadal",
            "data-dir": str(data_dir()),
            "strategy": name,
            "rounds": ROUNDS,
        }
        config, strategy, _ = run_in_process(settings, SITES)
        material = gather(config, open_dataset(config), SITES)
        rows.append(row(name, material, strategy.state.model))
    notes = (
        f"BATADAL, {SITES} sites, {ROUNDS} rounds, one seed, default settings, wanted false-alarm "
        'rate 0.5%. "False alarms": share of dataset04\'s normal hours with an alarm.'
    )
    write_table("threshold", HEAD, rows, notes)


if __name__ == "__main__":
    main()
