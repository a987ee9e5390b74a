"""The model card: what a bundle's model is, what it was measured to do, and what not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.core.config import RunConfig
from dtfl_app.core.text_tables import markdown
from dtfl_app.detector.metrics import Metrics
from dtfl_app.detector.models import find_detector
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.inputs.preparation import model_spec
from dtfl_app.results.measures import Measures, measures_of
from dtfl_app.results.promises import Promise
from dtfl_app.sites.catalogue import find_dataset

__all__ = ["lacking_words", "model_card"]

_MEASURED = ("balanced_accuracy", "auc_pr", "base_rate", "s", "false_alarm_rate")


def model_card(
    strategy: str,
    run: str,
    config: RunConfig,
    sites: Sequence[str],
    bundle: Bundle,
    versions: Mapping[str, str],
    metrics: Metrics | None,
    alarms: pd.DataFrame | None,
    promise: Promise | None = None,
    lacking: Sequence[str] = (),
) -> str:
    """Write the card in Markdown; ``{version}`` in it stands for the model's version.

    Parameters
    ----------
    strategy, run, config, sites : what trained it.
    bundle : what the card goes with.
    versions : package -> version that made it.
    metrics, alarms : of the last model on the evaluation set (`Evaluator`); None without one.
    promise : what became of its false-alarm rate there; None where nothing tells.
    lacking : keys of parameters that each site has of its own.
    """
    parts = [
        "# Model {version}",
        *([lacking_words(lacking)] if lacking else []),
        _what(strategy, run, config, sites, bundle)
        + f"\n- made with {', '.join(f'{name} {found}' for name, found in versions.items())}",
        "## Evidence and thresholds",
        _thresholds(bundle),
        "## Measured",
        (_JUDGED_BY_SITES if lacking else _UNJUDGED)
        if metrics is None or alarms is None
        else _measured(
            metrics, alarms, promise, measures_of(find_dataset(config.run.dataset).scored, 0.0)
        ),
        "## Intended use",
        _USE,
        "## Limits",
        _limits(bundle),
    ]
    return "\n\n".join(parts) + "\n"


_UNJUDGED = "The run had no evaluation set: nothing is known of what this model finds or misses."
_JUDGED_BY_SITES = (
    "Sites judged it, each with its own layers: the last line of the run's metrics.jsonl has the "
    "figures of all together, calibration.json the false alarms of each."
)
_USE = (
    "Alarms for people who know the plant, beside its own protection and never in its place. "
    "It watches sites with the channels of schema.toml, sampled at its period, that run as those "
    "did that trained it."
)


def lacking_words(keys: Sequence[str]) -> str:
    """Say what a model lacks that sites have layers of their own of."""
    return (
        f"**Not whole: each site has {', '.join(keys)} of its own, which never left it. At the "
        "site, `dtfl personalise` makes a whole model of this one.**"
    )


def _what(strategy: str, run: str, config: RunConfig, sites: Sequence[str], bundle: Bundle) -> str:
    detector, schema = config.detector, bundle.site_schema.schema
    spec = model_spec(detector, len(bundle.features.names))
    return "\n".join(
        [
            f"- {find_detector(detector.model).describe(spec)}, window "
            f"{detector.window}, {spec.features} features of "
            f"{len(schema.channels)} channels every {schema.period_s:g} s (schema {schema.name})",
            f"- trained by {strategy} in {config.run.rounds} rounds at most, {len(sites)} sites, "
            f"seed {config.run.seed}",
            f"- data set {config.run.dataset}, protocol {config.data.protocol}",
            f"- run {run}",
        ]
    )


def _thresholds(bundle: Bundle) -> str:
    found = bundle.calibration.thresholds(bundle.rate)
    rows = [
        f"| {kind.name} | {threshold:.6g} | {_scores(bundle, column)} |"
        for column, (kind, threshold) in enumerate(zip(bundle.kinds, found, strict=True))
    ]
    table = "\n".join(
        ["| evidence | threshold | calibration scores |", "| --- | --- | --- |", *rows]
    )
    if bundle.calibration.silent:
        table += (
            "\n\n**It raises no alarm: no site had a window of normal operation to calibrate on.**"
        )
    return (
        f"Wanted false-alarm rate: {bundle.rate:.3%} of the steps of normal operation. "
        f"Smoothed evidence is the mean of {bundle.smoothing} steps.\n\n{table}"
    )


def _scores(bundle: Bundle, column: int) -> int:
    return sum(sketch.count for sketch in bundle.calibration.sketches(column))


def _measured(
    metrics: Metrics, alarms: pd.DataFrame, promise: Promise | None, measures: Measures
) -> str:
    measured = metrics.as_dict()
    rows = [
        [figure.name or figure.title, f"{measured[figure.key]:.4f}"]
        for figure in measures.figures(*_MEASURED)
        if np.isfinite(measured[figure.key])
    ]
    rows.append(["events found", f"{metrics.events_found} of {metrics.events}"])
    if promise is not None:
        rows.append(["false alarms in settled normal steps (wanted)", promise.text])
    parts = [markdown(("figure", "value"), rows), _worst(alarms)]
    if promise is not None and promise.broken:
        parts.insert(0, f"**Not fit for use as it is: {promise.describe()}.**")
    return "\n\n".join(parts)


def _worst(alarms: pd.DataFrame) -> str:
    """The event found latest, or one of those missed."""
    events = Evaluator.events(alarms)
    if not events:
        return "The evaluation set has no event."
    missed = [event for event in events if event.delay is None]
    if missed:
        names = ", ".join(event.event for event in missed[:5])
        more = f" and {len(missed) - 5} more" if len(missed) > 5 else ""
        return f"Worst: {names}{more} missed altogether."
    worst = max(events, key=lambda event: event.delay or 0)
    return (
        f"Worst: {worst.event}, first alarm in its step {(worst.delay or 0) + 1} of {worst.steps}."
    )


def _limits(bundle: Bundle) -> str:
    plan = bundle.features
    limits = [
        "- Thresholds hold for operation like that of the calibration rows; `dtfl detect` warns "
        "when scores of normal operation drift away from them.",
        "- Missing readings count as the federation's mean; an event seen by missing channels "
        "alone is not found.",
        f"- Channels behind an alarm say where to look, not what happened; for the model's "
        f"evidence they are judged against {_usual(bundle.usual_of)}.",
    ]
    if bundle.scalers:
        limits.append(
            "- Each site's readings are scaled by its own moments, those of a site that took no "
            "part by all sites' pooled ones, which may fit it badly."
        )
    if rows := plan.spec.baseline:
        limits.append(
            f"- The first {rows} rows of a recording are taken as normal and not scored; what is "
            "wrong there is normal for the rest of it."
        )
    if plan.unread:
        limits.append(
            f"- No site had a reading of {', '.join(plan.unread)}: always taken as missing."
        )
    if bundle.physics is not None:
        limits.append("- Physical evidence holds for the plant in physics.json as it is now.")
    return "\n".join(limits)


def _usual(rows: str) -> str:
    if not rows:
        return "each other, for want of rows to know what is usual"
    return f"what is usual in the normal operation of the {rows}"
