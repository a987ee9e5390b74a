"""The steps of a run at the server, each one call from `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from flwr.app import Message
from flwr.serverapp import Grid

from dtfl_app.bundle.export import Origin, export_model
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.logs import log
from dtfl_app.core.naming import run_name
from dtfl_app.core.settings import Value
from dtfl_app.core.site_names import SiteNames
from dtfl_app.core.text_tables import plain
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.models import require_detector
from dtfl_app.detector.params import Params, get_params
from dtfl_app.detector.training import TrainingSpec
from dtfl_app.evaluation.by_sites import rates_by_site
from dtfl_app.evaluation.evaluator import Evaluator, ObservedRate
from dtfl_app.evaluation.groups import EventGroups, event_groups
from dtfl_app.inputs.physics import open_physics
from dtfl_app.inputs.preparation import Prepared
from dtfl_app.inputs.twins import require_twin, twin_kind
from dtfl_app.messages.privacy import ENROLMENT, PrivacyLedger
from dtfl_app.messages.profile import site_name
from dtfl_app.results.checkpoint import Checkpoint, require_same_run
from dtfl_app.results.lines import Summary
from dtfl_app.results.measures import measures_of
from dtfl_app.results.resuming import find_checkpoint, read_about, require_same_settings
from dtfl_app.results.run_directory import RunDirectory
from dtfl_app.results.run_events import RunEvent
from dtfl_app.results.run_facts import RunFacts
from dtfl_app.results.saved_models import SavedModel
from dtfl_app.results.summary_tables import (
    group_head,
    group_rows,
    summary_head,
    summary_rows,
)
from dtfl_app.rounds.loop import RoundLoop
from dtfl_app.rounds.parameters import blend
from dtfl_app.rounds.state import Snapshot
from dtfl_app.rounds.strategy import DTFLStrategy
from dtfl_app.rounds.twin_trainer import TwinTrainer
from dtfl_app.rounds.workbench import Callback, Workbench
from dtfl_app.server.callbacks import Evaluate, Privacy, Record, SaveCheckpoints
from dtfl_app.server.enrolment import Enrolment, await_nodes, enrol
from dtfl_app.server.fingerprints import EVALUATION, of_evaluation
from dtfl_app.server.material import evaluator_of, model_of, spec_of, twin_rows
from dtfl_app.server.twin_weight import with_twin_weight
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.strategies.registry import (
    create_strategy,
    default_settings,
    find_strategy,
    strategy_names,
)

__all__ = ["Session", "open_session"]

# The models are small: a second thread costs more than it brings.
torch.set_num_threads(1)


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One run at the server: its settings, sites, data and results folder.

    Parameters
    ----------
    config : the run's settings.
    strategies : names of the methods to run, in order.
    dataset : what the sites hold parts of.
    enrolment : who takes part, and the scaling.
    twin : the twin's data, scaled; None without a twin.
    evaluator : evaluates models; None without an evaluation set.
    groups : the evaluation's groups of events; None where the protocol has none.
    results : the run's folder.
    resumed : where an interrupted run goes on; None in a new one.
    """

    config: RunConfig
    strategies: list[str]
    dataset: FederatedDataset
    enrolment: Enrolment
    twin: Prepared | None
    evaluator: Evaluator | None
    groups: EventGroups | None
    results: RunDirectory
    resumed: Snapshot | None

    def play(self, name: str, grid: Grid) -> None:
        """Run the strategy `name` to its last round, and store what it ends with."""
        strategy, start = self.create(name), self._resume(name)
        loop = RoundLoop(strategy, grid, self.config.round.timeout)
        loop.run(start or self.first_model(strategy), self.config.run.rounds)
        self.keep(name, strategy)

    def create(self, name: str) -> DTFLStrategy:
        """Build the strategy `name` on a workbench of its own."""
        # The server has no model with the layers that sites have of their own.
        own = find_strategy(name).has_personal_keys()
        bench = Workbench(
            config=self.config,
            nodes=self.enrolment.directory,
            agreement=self.enrolment.agreement,
            twin=self._twin_trainer(),
            callbacks=self._callbacks(None if own else self.evaluator),
            identify=self._identify(),
            twinless=self.twin is None and self.config.twin.kind == "auto",
            run=self.results.run,
        )
        return create_strategy(name, bench)

    def _identify(self) -> Callable[[Message], str]:
        """What tells from a node's profile which site it is, or raises ReplyError."""
        registered, schema = SiteNames.of(self.config.trust.names), self.dataset.schema

        def identify(profile: Message) -> str:
            site = site_name(profile, schema)
            registered.require(profile.metadata.src_node_id, site)
            return site

        return identify

    def first_model(self, strategy: DTFLStrategy) -> Params:
        """Return what a run begins with: random, or trained on twin data (`twin.warm-start`).

        Of a twin that counts for less than all, part of the way from the one to the other.
        """
        params = get_params(model_of(self.config, self.dataset))
        if not self.config.twin.warm_start:
            return params
        if strategy.bench.twin is None:
            raise ConfigError("run config: twin.warm-start needs a twin, and this run has none")
        trained = strategy.bench.twin.train(params, self.config.twin.warm_steps)
        share = strategy.twin_weight
        return trained if share == 1 else blend(trained, params, share)

    def keep(self, name: str, strategy: DTFLStrategy) -> None:
        """Store a strategy's last model, and what a gateway and an evaluation set make of it."""
        detector, agreement = self.config.detector, self.enrolment.agreement
        params, calibration = strategy.state.model, strategy.calibration
        self._tell_moved(name, calibration.moved_by(detector.false_alarm_rate))
        model = SavedModel(
            spec=spec_of(self.config, self.dataset),
            params=params,
            scaler=agreement.scaler,
            physics=agreement.physics,
            calibration=calibration,
            evidence=detector.evidence,
            false_alarm_rate=detector.false_alarm_rate,
            smoothing=detector.smoothing,
            features=self.dataset.feature_spec.names(self.dataset.schema),
            schema=self.dataset.schema.digest(),
            own_layers=strategy.own_layers(),
        )
        _warn_of_no_threshold(name, calibration)
        weights = self.results.save_model(name, model)
        self._export(name, model, weights)
        if model.own_layers is not None:
            rates = rates_by_site(strategy.judged, calibration, detector.false_alarm_rate)
            self._save_rates(name, rates)
        elif self.evaluator is not None:
            self._save_alarms(name, self.evaluator, params, calibration)

    def _tell_moved(self, name: str, moved: Mapping[str, float]) -> None:
        """Tell of the sites that move a strategy's threshold much: site -> factor."""
        for site, factor in moved.items():
            reason = f"its scores alone move the threshold by a factor of {factor:.3g}; look at it"
            event = RunEvent("threshold", name, self.config.run.rounds, site, reason)
            log.warning("%s", event.describe())
            self.results.note(event)

    def finish(self) -> list[Summary]:
        """Write summary and curves; log the table and where everything is."""
        config, sites = self.config, len(self.enrolment.directory)
        title = f"{config.run.dataset}, {config.data.protocol}, {sites} sites"
        summaries = self.results.finish(title)
        # Unmarked lines: for `flwr run`; `dtfl run` shows a table of its own.
        promised = self.results.promises(config.detector.false_alarm_rate)
        measures = measures_of(self.dataset.scored, self.dataset.feature_spec.step_s)
        rows = summary_rows(summaries, promised, measures)
        tables = [plain(summary_head(measures), rows)]
        if self.groups is not None:
            tables.append(plain(group_head(measures), group_rows(summaries, measures)))
        for line in "\n".join(tables).splitlines():
            log.logger.info("%s", line)
        log.logger.info("results: %s", self.results.path)
        for name, promise in promised.items():
            if promise.broken:
                log.logger.warning("%s: %s", name, promise.describe())
        return summaries

    def _export(self, name: str, model: SavedModel, weights: Path) -> None:
        """Write the folder that a gateway detects with."""
        origin = Origin(
            run=self.results.run,
            config=self.config,
            dataset=self.dataset,
            sites=tuple(sorted(self.enrolment.directory.values())),
            unread=self.enrolment.unread,
            evaluator=self.evaluator,
            twin=self.twin,
        )
        export_model(self.results.deploy_folder(name), name, model, weights, origin)

    def _save_alarms(
        self, name: str, evaluator: Evaluator, params: Params, calibration: Calibration
    ) -> None:
        """Store alarms on the evaluation set, their rates and, where it has groups, theirs."""
        alarms = evaluator.alarms(params, calibration)
        self.results.save_alarms(name, alarms)
        self._save_rates(name, evaluator.observed_rates(params, calibration))
        if self.groups is not None:
            step_s = self.dataset.feature_spec.step_s
            self.results.save_groups(name, self.groups.metrics(alarms, step_s))

    def _save_rates(self, name: str, rates: Sequence[ObservedRate]) -> None:
        self.results.save_calibration(name, [rate.to_mapping() for rate in rates])
        for rate in rates:
            if not rate.kept:
                log.info("%s: %s", name, rate.describe())

    def _resume(self, name: str) -> Snapshot | None:
        if self.resumed is None or self.resumed.strategy != name:
            return None
        log.info("%s: goes on after round %d", name, self.resumed.round)
        return self.resumed

    def _callbacks(self, evaluator: Evaluator | None) -> list[Callback]:
        config, results = self.config, self.results
        callbacks: list[Callback] = [Evaluate(evaluator)] if evaluator else []
        callbacks += [
            Record(results, config.run.rounds, self.dataset.scored),
            SaveCheckpoints(results, _all_settings(config)),
        ]
        if config.privacy.dp:
            # What strategies before this one have spent is on disk.
            ledger = PrivacyLedger(config.privacy, results.privacy_releases())
            callbacks.append(Privacy(ledger, results))
        return callbacks

    def _twin_trainer(self) -> TwinTrainer | None:
        if self.twin is None:
            return None
        model = model_of(self.config, self.dataset)
        settings = self.config.twin
        return TwinTrainer(
            model,
            self.twin.rows(next(model.parameters()).device),
            TrainingSpec(settings.lr, self.config.train.batch_size),
            settings.steps,
            self.config.run.seed,
        )


def open_session(grid: Grid, config: RunConfig) -> Session:
    """Check the settings, open the results folder, enrol the sites, make the twin's data."""
    strategies, groups = strategy_names(config), event_groups(config)
    require_detector(config.detector)
    going_on = _find_resumed(config)
    dataset = open_dataset(config)
    require_twin(config, dataset)
    results = None if going_on else _new_results(config, dataset)
    nodes = await_nodes(grid, config, dataset)
    dataset.prepare(len(nodes), _log_progress)
    log.info("data: %s", dataset.describe(len(nodes)))
    evaluation = dataset.load_evaluation(len(nodes))
    physics = open_physics(config, dataset)
    enrolment = _with_evaluation(enrol(grid, nodes, config, dataset, physics), evaluation)
    resumed = Snapshot.read(going_on[1].arrays, going_on[1].notes) if going_on else None
    if resumed is not None:
        enrolment = enrolment.restore(resumed.agreement)
        strategies = strategies[strategies.index(resumed.strategy) :]
    _say_enrolled(enrolment)
    if results is not None:
        _note_left_out(enrolment, results)
        _count_moments(config, enrolment, results)
        _save_inputs(results, enrolment, dataset)
    twin = twin_rows(config, dataset, enrolment)
    if twin is not None and results is not None:  # a run that goes on keeps its weight
        enrolment = with_twin_weight(enrolment, config.twin, twin, results)
    evaluator = evaluator_of(config, dataset, enrolment, evaluation, physics)
    if going_on is not None:
        # Last of all: a run that cannot be taken up is left as it was.
        results = _take_up(config, enrolment, *going_on)
    assert results is not None
    return Session(
        config=config,
        strategies=strategies,
        dataset=dataset,
        enrolment=enrolment,
        twin=twin,
        evaluator=evaluator,
        groups=groups,
        results=results,
        resumed=resumed,
    )


def _all_settings(config: RunConfig) -> dict[str, Value]:
    """Return every setting of a run, those of all built-in strategies among them."""
    return {**default_settings(), **config.to_mapping()}


def _new_results(config: RunConfig, dataset: FederatedDataset) -> RunDirectory:
    run, facts = config.run, RunFacts(dataset.scored, twin_kind(config, dataset))
    root, name = _results_dir(config), run.run_name or run_name(run.dataset)
    return RunDirectory(root / name, _all_settings(config), run.target, facts)


def _results_dir(config: RunConfig) -> Path:
    return Path(config.run.results_dir or "results").expanduser().absolute()


def _find_resumed(config: RunConfig) -> tuple[Path, Checkpoint] | None:
    """Return the run that goes on and its checkpoint, nothing of it touched; None in a new run."""
    named, settings = config.run.resume, _all_settings(config)
    if not named:
        return None
    place = Path(named).expanduser().absolute()
    path, found = find_checkpoint(place if place.exists() else _results_dir(config) / named)
    require_same_run(found, settings)
    require_same_settings(path, read_about(path)["settings"], settings)
    return path, found


def _take_up(
    config: RunConfig, enrolment: Enrolment, path: Path, found: Checkpoint
) -> RunDirectory:
    """Bring the folder of a run back to where its checkpoint left it."""
    settings, target = _all_settings(config), config.run.target
    results = RunDirectory.restore(path, settings, target, found.history, found.timings)
    _note_left_out(enrolment, results)
    _count_moments(config, enrolment, results)
    return results


def _with_evaluation(enrolment: Enrolment, evaluation: Features | None) -> Enrolment:
    """Count the evaluation set among the data that a run is on."""
    if evaluation is None:
        return enrolment
    return replace(enrolment, data={**enrolment.data, EVALUATION: of_evaluation(evaluation)})


def _count_moments(config: RunConfig, enrolment: Enrolment, results: RunDirectory) -> None:
    """Put the noisy moments of those that enrolled now on their account.

    A site may have told what it told before, which costs nothing more; nobody here can know.
    """
    if config.privacy.moments:
        ledger = PrivacyLedger(config.privacy, results.privacy_releases())
        ledger.count(ENROLMENT, [s for node, s in enrolment.directory.items() if node >= 0])
        results.save_privacy(ledger.report())


def _note_left_out(enrolment: Enrolment, results: RunDirectory) -> None:
    for node, reason in enrolment.left_out.items():
        results.note(RunEvent("left-out", site=node, reason=reason))


def _warn_of_no_threshold(name: str, calibration: Calibration) -> None:
    if calibration.silent:
        log.warning(
            "%s: it raises no alarm: no site had a window of normal operation to calibrate on, so "
            "there is no threshold. Give longer recordings, or use shorter windows "
            "(features.window-s)",
            name,
        )


def _say_enrolled(enrolment: Enrolment) -> None:
    for node, reason in enrolment.left_out.items():
        log.warning("%s does not take part: %s", node, reason)
    names = ", ".join(enrolment.agreement.sites)
    log.info("%d sites enrolled: %s", len(enrolment.directory), names)
    for finding in enrolment.findings():
        log.info("readings of %s", finding)


def _save_inputs(results: RunDirectory, enrolment: Enrolment, dataset: FederatedDataset) -> None:
    """Store how sound the sites' readings are, and how their files are read."""
    results.save_quality(enrolment.quality)
    results.save_schema(dataset.documents())


def _log_progress(done: int, total: int) -> None:
    log.info("data: %d of %d sites prepared", done, total)
