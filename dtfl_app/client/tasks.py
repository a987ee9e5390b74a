"""What a site does when the server asks: say what it has, train, calibrate.

Rows never leave; what leaves is in the replies filled here, each checked against the declaration
of its class in `dtfl_app.messages`: moments per channel, layers, counts, the loss and a sketch of
calibration scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from flwr.app import Context, Message
from numpy.typing import NDArray

from dtfl_app.client.enrolled import as_told
from dtfl_app.client.personal import judged_rows, with_kept_layers, with_own_layers
from dtfl_app.client.rules import open_rule, sent_and_kept
from dtfl_app.client.site import Site, open_site
from dtfl_app.client.state import SiteState, keep_calibration, site_state, state_home
from dtfl_app.client.versions import keep_version, own_arrays
from dtfl_app.core.evidence import evidence_kinds
from dtfl_app.core.settings import read_settings
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.detector import Detector
from dtfl_app.detector.params import Params, as_params, get_params
from dtfl_app.detector.training import Distillation, TrainingSpec, train
from dtfl_app.inputs.preparation import (
    Prepared,
    sketch_evidence,
)
from dtfl_app.messages.calibration import CalibrationReply, CalibrationTask
from dtfl_app.messages.declaration import Declaration
from dtfl_app.messages.egress import discreet_errors, require_declared
from dtfl_app.messages.privacy import blur_moments, noise_multiplier, privatise
from dtfl_app.messages.profile import Profile, shares_of
from dtfl_app.messages.quantise import Quantised
from dtfl_app.messages.training import ProximalTerm, TeacherTerm, TrainingReply, TrainingTask
from dtfl_app.messages.wire import (
    EXTRA,
    MODEL,
    TEACHER,
    Arrays,
    compress,
    receive,
    with_prefix,
)
from dtfl_app.rounds.site_rule import SiteRule, overrides
from dtfl_app.sites.scaling import ChannelSums

__all__ = ["calibrate", "profile", "train_round"]


def profile(message: Message, context: Context) -> Message:
    """Answer who this site is, the moments of its normal rows, and how sound its readings are.

    Where the balance of districts counts as evidence, also the sums of its demands by hour of the
    week.
    """
    with discreet_errors():
        site = open_site(context)
        told, schema = _profile(site), site.data.schema
        noisy, noise = _blurring(site)
        if (home := state_home(site.name, context, site.config.state)) is not None:
            told = as_told(told, _normal(site), home, site.least, noisy, noise)
        elif noisy is not None:
            told = noisy(told)
        declared = told.declaration(
            len(told.moments.n), len(schema.names), with_demand=told.demand is not None
        )
        return require_declared(told.pack(message), declared)


def train_round(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model, train it, reply with both."""
    with discreet_errors():
        site, task = open_site(context), TrainingTask.unpack(message)
        state = _restored(site, task, context)
        own = _own(site, task, state, context)
        arrays = with_own_layers(site, task, receive(message.content, context), own)
        model = site.model(arrays)
        training, calibration = site.prepared(arrays)
        judged = judged_rows(site, task, model, arrays)
        sketches = _sketches(site, model, training, calibration)
        rule = open_rule(site, task, _spec(site, task), own)
        examples, loss, steps, extras = _learn(site, model, training, task, arrays, rule)
        sent, own = sent_and_kept(rule, extras, task, own)
        own = with_kept_layers(task, model, own)
        told = TrainingReply(
            site=site.name,
            server_round=task.server_round,
            layers=_uploaded(site, model, task, arrays, message, context),
            examples=examples,
            loss=loss,
            steps=steps,
            sketches=tuple(sketches),
            extras=sent,
            judged=judged,
        )
        reply = require_declared(told.pack(message), _declared(site, model, task))
        if task.versions is not None:
            keep_version(task.versions, own, context)
        _keep(state, sketches, task, context)
        return reply


def calibrate(message: Message, context: Context) -> Message:
    """Score the calibration rows with the received model."""
    with discreet_errors():
        site, task = open_site(context), CalibrationTask.unpack(message)
        state = _restored(site, task, context)
        # A method's site half has no part in it: what else it keeps may be gone.
        own = _own(site, task, state, context) if task.personal else {}
        arrays = with_own_layers(site, task, receive(message.content, context), own)
        model = site.model(arrays)
        sketches = _sketches(site, model, *site.prepared(arrays))
        told = CalibrationReply(tuple(sketches), judged_rows(site, task, model, arrays))
        declared = told.declaration(_kinds(site), judged=bool(task.personal))
        reply = require_declared(told.pack(message), declared)
        _keep(state, sketches, task, context)
        return reply


def _profile(site: Site) -> Profile:
    """What the site's data says of it."""
    features, physics = site.data.features_train, site.physics
    with_demand = physics is not None and physics.needs_demand
    return Profile(
        site=site.name,
        schema=site.data.schema.digest(),
        moments=ChannelSums.of(_normal(site)).without_few(site.least),
        quality=shares_of(site.data.quality),
        demand=physics.demand_sums(features) if physics is not None and with_demand else None,
    )


def _blurring(site: Site) -> tuple[Callable[[Profile], Profile] | None, str]:
    """What adds noise to a profile, and how much that is; None where the run wants none."""
    privacy, data = site.config.privacy, site.data
    if not privacy.moments:
        return None, ""
    ranges = data.spec.ranges(data.schema)
    return (
        lambda told: replace(told, moments=blur_moments(told.moments, ranges, privacy)),
        f"{noise_multiplier(privacy):.9g}",
    )


def _normal(site: Site) -> NDArray[np.float32]:
    """The rows that a site's moments are of, shape (n, d)."""
    features = site.data.features_train
    return features.values[features.label < 1]


def _declared(site: Site, model: Detector, task: TrainingTask) -> Declaration:
    shapes = {key: value.shape for key, value in get_params(model).items() if key in task.upload}
    return TrainingReply.declaration(
        shapes, bool(task.tag), _kinds(site), task.extras, judged=bool(task.personal)
    )


def _restored(site: Site, task: CalibrationTask, context: Context) -> SiteState | None:
    """Fill the context with what this site holds on disk; None where nothing is kept there."""
    state = site_state(site.name, task.run, context, site.config.state)
    if state is not None:
        state.load(context)
    return state


def _own(site: Site, task: CalibrationTask, state: SiteState | None, context: Context) -> Arrays:
    """What the site keeps of its own for the method, in the version that the task names."""
    if task.versions is None:
        return {}
    return own_arrays(site.name, task.versions, context, on_disk=state is not None)


def _keep(
    state: SiteState | None, sketches: list[Sketch], task: CalibrationTask, context: Context
) -> None:
    """Keep the site's latest calibration, and all else that it holds, for its next process."""
    keep_calibration(context, sketches, task.server_round)
    if state is not None:
        state.save(context)


def _spec(site: Site, task: TrainingTask) -> TrainingSpec:
    settings, pull = site.config.train, read_settings(ProximalTerm, task.settings)
    return TrainingSpec(
        settings.lr, settings.batch_size, pull.mu, settings.optimizer, settings.momentum
    )


def _learn(
    site: Site,
    model: Detector,
    training: Prepared,
    task: TrainingTask,
    arrays: Arrays,
    rule: SiteRule,
) -> tuple[int, float, int, Params]:
    """Train `model` in place; return number of rows, mean loss, number of steps, extra arrays."""
    device, settings = next(model.parameters()).device, site.config.train
    rows = training.rows(device).for_model(model)
    steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
    lesson = _distillation(site, task, arrays)
    rule.before_training(model, with_prefix(EXTRA, arrays))
    hook = rule.after_backward if overrides(type(rule), "after_backward") else None
    rng = site.rng(task.server_round)
    loss = train(model, rows, steps, rule.spec, rng, lesson, hook)
    return len(rows), loss, steps, rule.after_training(model, steps)


def _uploaded(
    site: Site,
    model: Detector,
    task: TrainingTask,
    received: Arrays,
    message: Message,
    context: Context,
) -> Quantised:
    """Return the layers that the task wants; noise comes before rounding, which then adds none."""
    base = as_params(with_prefix(MODEL, received))
    trained = {key: value for key, value in get_params(model).items() if key in task.upload}
    if site.config.privacy.dp:
        trained = privatise(trained, base, site.config.privacy, message, context)
    if not task.tag:
        return {**trained}
    return compress(trained, base, task.tag, task.follows, context)


def _distillation(site: Site, task: TrainingTask, arrays: Arrays) -> Distillation | None:
    term = read_settings(TeacherTerm, task.settings)
    if term.weight == 0.0:
        return None
    return Distillation(site.model(arrays, TEACHER).eval(), term.weight, term.temperature)


def _kinds(site: Site) -> int:
    return len(evidence_kinds(site.config.detector.evidence))


def _sketches(
    site: Site, model: Detector, training: Prepared, calibration: Prepared
) -> list[Sketch]:
    settings = site.config.detector
    kinds = evidence_kinds(settings.evidence)
    return sketch_evidence(kinds, calibration.evidence(model, settings), training, calibration)
