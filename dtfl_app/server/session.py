"""The steps of a run at the server, each one call from `app`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from flwr.serverapp import Grid
from numpy.typing import NDArray

from dtfl_app.bundle.export import Origin, export_model
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import CheckpointError, ConfigError
from dtfl_app.core.logs import log, tell
from dtfl_app.detector.calibration import Calibration
from dtfl_app.detector.models import (
    Detector,
    ModelSpec,
    Params,
    build_model,
    get_params,
    resolve_device,
)
from dtfl_app.detector.training import TrainingSpec
from dtfl_app.evaluation.evaluator import Evaluator
from dtfl_app.evaluation.groups import EventGroups, event_groups
from dtfl_app.inputs.physics import open_physics
from dtfl_app.inputs.preparation import (
    Prepared,
    model_spec,
    prepare,
    scaler_from_arrays,
    scaler_to_arrays,
)
from dtfl_app.inputs.twin_data import make_twin_data
from dtfl_app.messages.privacy import PrivacyLedger
from dtfl_app.messages.wire import Arrays, prefixed, with_prefix
from dtfl_app.results.checkpoint import Checkpoint, require_same_run
from dtfl_app.results.events import RunEvent
from dtfl_app.results.lines import RoundLine, Summary
from dtfl_app.results.models import SavedModel
from dtfl_app.results.resuming import find_checkpoint
from dtfl_app.results.run import RunDirectory
from dtfl_app.results.tables import GROUP_HEAD, SUMMARY_HEAD, group_rows, plain, summary_rows
from dtfl_app.rounds.signals import FAR, mean_shift
from dtfl_app.rounds.strategy import DTFLStrategy, Snapshot, Workbench
from dtfl_app.rounds.twin_trainer import TwinTrainer
from dtfl_app.server.enrolment import Enrolment, await_nodes, enrol, site_name
from dtfl_app.sites.catalogue import SCHEMA_FILE, open_dataset
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.sites.files_sites import FilesDataset
from dtfl_app.sites.scaling import Scaler
from dtfl_app.strategies.registry import create_strategy, default_settings, strategy_names

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
    evaluator : judges models; None without an evaluation set.
    groups : the evaluation's groups of events; None where the protocol has none.
    results : the run's folder.
    resumed : where an interrupted run goes on; None in a new one.
    privacy : account of the sites' noisy updates; None without differential privacy.
    """

    config: RunConfig
    strategies: list[str]
    dataset: FederatedDataset
    enrolment: Enrolment
    twin: Prepared | None
    evaluator: Evaluator | None
    groups: EventGroups | None
    results: RunDirectory
    resumed: Checkpoint | None
    privacy: PrivacyLedger | None

    def create(self, name: str) -> DTFLStrategy:
        """Build the strategy `name` on a workbench of its own."""
        bench = Workbench(
            config=self.config,
            directory=self.enrolment.directory,
            scaler=scaler_to_arrays(self.enrolment.scaler),
            twin=self._twin_trainer(),
            evaluate=self.evaluator,
            record=self._record,
            physics=_physics_arrays(self.enrolment),
            note=self.results.note,
            save=self._save,
            spend=self._spend,
            identify=lambda profile: site_name(profile, self.dataset.schema),
            twinless=self.twin is None and self.config.twin.twin == "auto",
            run=self.results.run,
        )
        strategy = create_strategy(name, bench)
        if self.resumed is not None and self.resumed.strategy == name:
            log.info("%s: goes on after round %d", name, self.resumed.round)
            strategy.resume(_snapshot(self.resumed))
        return strategy

    def initial_params(self, strategy: DTFLStrategy) -> Params:
        """Return the first model: random, or trained on twin data (`twin-warm-start`)."""
        params = get_params(_model(self.config, self.dataset))
        if not self.config.twin.twin_warm_start:
            return params
        if strategy.bench.twin is None:
            raise ConfigError("run config: twin-warm-start needs a twin, and this run has none")
        return strategy.bench.twin.train(params, self.config.twin.twin_warm_steps)

    def keep(self, name: str, params: Params, calibration: Calibration) -> None:
        """Store a strategy's last model and, with an evaluation set, its alarms and their rates."""
        detector = self.config.detector
        model = SavedModel(
            spec=_spec(self.config, self.dataset),
            params=params,
            scaler=scaler_to_arrays(self.enrolment.scaler),
            physics=_physics_arrays(self.enrolment),
            calibration=calibration,
            evidence=detector.evidence,
            false_alarm_rate=detector.false_alarm_rate,
            smoothing=detector.smoothing,
            features=self.dataset.feature_spec.names(self.dataset.schema),
            schema=self.dataset.schema.digest(),
        )
        weights = self.results.save_model(name, model)
        self._export(name, model, weights)
        if self.evaluator is not None:
            alarms = self.evaluator.alarms(params, calibration)
            self.results.save_alarms(name, alarms)
            rates = self.evaluator.observed_rates(params, calibration)
            self.results.save_calibration(name, [rate.to_mapping() for rate in rates])
            for rate in rates:
                if not rate.kept:
                    log.info("%s: %s", name, rate.describe())
            if self.groups is not None:
                step_s = self.dataset.feature_spec.step_s
                self.results.save_groups(name, self.groups.judge(alarms, step_s))

    def finish(self) -> list[Summary]:
        """Write summary and curves; log the table and where everything is."""
        data = self.config.data
        title = f"{data.dataset}, {data.protocol}, {len(self.enrolment.directory)} sites"
        summaries = self.results.finish(title)
        # Unmarked lines: for `flwr run`; `dtfl run` shows a table of its own.
        tables = [plain(SUMMARY_HEAD, summary_rows(summaries))]
        if self.groups is not None:
            tables.append(plain(GROUP_HEAD, group_rows(summaries)))
        for line in "\n".join(tables).splitlines():
            log.logger.info("%s", line)
        log.logger.info("results: %s", self.results.path)
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

    def _twin_trainer(self) -> TwinTrainer | None:
        if self.twin is None:
            return None
        model = _model(self.config, self.dataset)
        settings = self.config.twin
        return TwinTrainer(
            model,
            self.twin.rows(next(model.parameters()).device),
            TrainingSpec(settings.twin_lr, self.config.train.batch_size),
            settings.twin_steps,
            self.config.run.seed,
        )

    def _save(self, snapshot: Snapshot) -> None:
        """Write a checkpoint; where that fails the run goes on and says so."""
        enrolment = self.enrolment
        checkpoint = Checkpoint(
            strategy=snapshot.strategy,
            round=snapshot.round,
            settings={**default_settings(), **self.config.to_mapping()},
            arrays={
                **snapshot.arrays,
                **prefixed("agreed-scaler", scaler_to_arrays(enrolment.scaler)),
                **prefixed("agreed-physics", _physics_arrays(enrolment)),
            },
            notes={
                **snapshot.notes,
                "sites": sorted(enrolment.directory.values()),
                "unread": list(enrolment.unread),
            },
            history=self.results.history,
            timings=self.results.timings,
        )
        try:
            self.results.checkpoints.write(checkpoint)
        except CheckpointError as error:
            log.warning("no checkpoint of round %d: %s", snapshot.round, error)
            self.results.note(
                RunEvent("no-checkpoint", snapshot.strategy, snapshot.round, "", str(error))
            )

    def _spend(self, strategy: str, sites: Sequence[str]) -> None:
        """Count the updates that sites are asked for, before they are; on disk at once.

        A checkpoint would forget those that were given after it.
        """
        if self.privacy is not None:
            self.privacy.count(strategy, sites)
            self.results.save_privacy(self.privacy.report())

    def _record(self, line: RoundLine) -> None:
        self.results.record(line)
        rounds, metrics = self.config.run.rounds, line.metrics
        figures = f"loss {line.loss:.4f}"
        if metrics is not None:
            figures = (
                f"balanced accuracy {metrics.balanced_accuracy:.3f}, AUC-PR {metrics.auc_pr:.3f}, "
                f"S {metrics.s:.3f}"
            )
        ended = RunEvent("round", line.strategy, line.round, figures={"rounds": rounds})
        sentence = f"{line.strategy} round {line.round}/{rounds}: {figures}"
        tell(logging.INFO, sentence, ended.entries())


def open_session(grid: Grid, config: RunConfig) -> Session:
    """Check the settings, open the results folder, enrol the sites, make the twin's data."""
    strategies, groups = strategy_names(config), event_groups(config)
    results, checkpoint = _open_results(config)
    dataset = open_dataset(config)
    nodes = await_nodes(grid, config, dataset)
    dataset.prepare(len(nodes), _log_progress)
    log.info("data: %s", dataset.describe(len(nodes)))
    evaluation = dataset.load_evaluation(len(nodes))
    physics = open_physics(config, dataset)
    enrolment = enrol(grid, nodes, config, dataset)
    for node, reason in enrolment.left_out.items():
        results.note(RunEvent("left-out", site=node, reason=reason))
        log.warning("%s does not take part: %s", node, reason)
    if checkpoint is not None:
        enrolment = enrolment.as_agreed(*_agreed(checkpoint))
        strategies = strategies[strategies.index(checkpoint.strategy) :]
    log.info("%d sites enrolled: %s", len(enrolment.directory), _names(enrolment))
    if checkpoint is None:
        results.save_quality(enrolment.quality)
        if isinstance(dataset, FilesDataset):
            results.save_schema({SCHEMA_FILE: dataset.document(), **dataset.event_table()})
    for finding in enrolment.findings():
        log.info("readings of %s", finding)
    window, scaler = config.detector.window, enrolment.scaler
    twin = make_twin_data(config, dataset)
    log.info("twin: %s", twin.source if twin else "none")
    synthetic = prepare(twin.features, scaler, window) if twin else None
    if synthetic is not None:
        _compare(synthetic, enrolment)
    evaluator = None
    if evaluation is not None:
        found = physics.evidence(evaluation, enrolment.demand) if physics else {}
        prepared = prepare(evaluation, scaler, window, found)
        step_s = dataset.feature_spec.step_s
        evaluator = Evaluator(_model(config, dataset), prepared, config.detector, step_s)
    return Session(
        config=config,
        strategies=strategies,
        dataset=dataset,
        enrolment=enrolment,
        twin=synthetic,
        evaluator=evaluator,
        groups=groups,
        results=results,
        resumed=checkpoint,
        privacy=_open_account(config, results),
    )


def _compare(twin: Prepared, enrolment: Enrolment) -> None:
    """Say how far the twin's normal operation lies from the sites', and warn where it is far."""
    normal = twin.x[twin.features.label < 1]
    if not len(normal):
        return
    shift, usual = mean_shift(normal), enrolment.shift
    found = (
        f"its channel means lie {shift:.2f} standard deviations from the sites', "
        f"a typical site's {usual:.2f}"
    )
    if shift - usual > FAR:
        log.warning("twin: %s; it is far from the plant, check its calibration", found)
    else:
        log.info("twin: %s", found)


def _snapshot(checkpoint: Checkpoint) -> Snapshot:
    arrays = {**checkpoint.arrays}
    return Snapshot(checkpoint.strategy, checkpoint.round, arrays, checkpoint.notes)


def _agreed(
    checkpoint: Checkpoint,
) -> tuple[Scaler, NDArray[np.float64] | None, list[str], list[str]]:
    """Scaling, expected demands, sites and unread features that the interrupted run agreed on."""
    scaler = scaler_from_arrays(with_prefix("agreed-scaler", {**checkpoint.arrays}))
    demand = checkpoint.arrays.get("agreed-physics/demand")
    expected, notes = None if demand is None else demand.astype(np.float64), checkpoint.notes
    # A checkpoint written before unread features were kept has none to tell of.
    return scaler, expected, notes["sites"], notes.get("unread", [])


def _open_account(config: RunConfig, results: RunDirectory) -> PrivacyLedger | None:
    if not config.privacy.dp:
        return None
    return PrivacyLedger(config.privacy, results.privacy_releases())


def _physics_arrays(enrolment: Enrolment) -> Arrays:
    return {} if enrolment.demand is None else {"demand": enrolment.demand}


def _spec(config: RunConfig, dataset: FederatedDataset) -> ModelSpec:
    return model_spec(config.detector, len(dataset.feature_spec.names(dataset.schema)))


def _model(config: RunConfig, dataset: FederatedDataset) -> Detector:
    device = resolve_device(config.run.device)
    return build_model(_spec(config, dataset), config.run.seed).to(device)


def _log_progress(done: int, total: int) -> None:
    log.info("data: %d of %d plants simulated", done, total)


def _names(enrolment: Enrolment) -> str:
    return ", ".join(sorted(enrolment.directory.values()))


def _open_results(config: RunConfig) -> tuple[RunDirectory, Checkpoint | None]:
    """Begin a run's folder; with `resume`, take up the one that the checkpoint belongs to."""
    run = config.run
    settings = {**default_settings(), **config.to_mapping()}
    root = Path(run.results_dir or "results").expanduser().absolute()
    if run.resume:
        named = Path(run.resume).expanduser().absolute()
        path, checkpoint = find_checkpoint(named if named.exists() else root / run.resume)
        require_same_run(checkpoint, settings)
        history, timings = checkpoint.history, checkpoint.timings
        return RunDirectory.reopen(path, settings, run.target, history, timings), checkpoint
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = run.run_name or f"{stamp}-{config.data.dataset}"
    return RunDirectory(root / name, settings, run.target), None
