"""The steps of a run at the server, each one call from `server_app`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch
from flwr.serverapp import Grid

from dtfl_app.config import RunConfig
from dtfl_app.datasets import open_dataset
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
from dtfl_app.enrolment import Enrolment, await_nodes, enrol
from dtfl_app.errors import ConfigError
from dtfl_app.evaluation import Evaluator
from dtfl_app.groups import EventGroups, event_groups
from dtfl_app.logs import log
from dtfl_app.physics import open_physics
from dtfl_app.preparation import Prepared, model_spec, prepare, scaler_to_arrays
from dtfl_app.results.lines import RoundLine, Summary
from dtfl_app.results.models import SavedModel
from dtfl_app.results.run import RunDirectory
from dtfl_app.results.tables import GROUP_HEAD, SUMMARY_HEAD, group_rows, plain, summary_rows
from dtfl_app.sites.federation import FederatedDataset
from dtfl_app.strategies.base import DTFLStrategy, Workbench
from dtfl_app.strategies.registry import create_strategy, default_settings, strategy_names
from dtfl_app.strategies.twin_trainer import TwinTrainer
from dtfl_app.twin_data import make_twin_data
from dtfl_app.wire import Arrays

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
    """

    config: RunConfig
    strategies: list[str]
    dataset: FederatedDataset
    enrolment: Enrolment
    twin: Prepared | None
    evaluator: Evaluator | None
    groups: EventGroups | None
    results: RunDirectory

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
        )
        return create_strategy(name, bench)

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
        self.results.save_model(name, model)
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

    def _record(self, line: RoundLine) -> None:
        self.results.record(line)
        if line.metrics is None:
            log.info("%s round %d: loss %.4f", line.strategy, line.round, line.loss)
            return
        log.info(
            "%s round %d/%d: balanced accuracy %.3f, AUC-PR %.3f, S %.3f",
            line.strategy, line.round, self.config.run.rounds,
            line.metrics.balanced_accuracy, line.metrics.auc_pr, line.metrics.s,
        )  # fmt: skip


def open_session(grid: Grid, config: RunConfig) -> Session:
    """Check the settings, open the results folder, enrol the sites, make the twin's data."""
    strategies, groups = strategy_names(config), event_groups(config)
    results = _open_results(config)
    dataset = open_dataset(config)
    nodes = await_nodes(grid, config, dataset)
    dataset.prepare(len(nodes), _log_progress)
    log.info("data: %s", dataset.describe(len(nodes)))
    evaluation = dataset.load_evaluation(len(nodes))
    physics = open_physics(config, dataset)
    enrolment = enrol(grid, nodes, config, dataset)
    log.info("%d sites enrolled: %s", len(nodes), _names(enrolment))
    results.save_quality(enrolment.quality)
    for finding in enrolment.findings():
        log.info("readings of %s", finding)
    window, scaler = config.detector.window, enrolment.scaler
    twin = make_twin_data(config, dataset)
    log.info("twin: %s", twin.source if twin else "none")
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
        twin=prepare(twin.features, scaler, window) if twin else None,
        evaluator=evaluator,
        groups=groups,
        results=results,
    )


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


def _open_results(config: RunConfig) -> RunDirectory:
    run = config.run
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = run.run_name or f"{stamp}-{config.data.dataset}"
    root = Path(run.results_dir or "results").expanduser().absolute()
    settings = {**default_settings(), **config.to_mapping()}
    return RunDirectory(root / name, settings, run.target)
