"""dtfl detect: a trained model on a site's readings, once or as they come, without torch."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from dtfl_app.bundle.bundle import Bundle
from dtfl_app.bundle.folder import read_folder
from dtfl_app.cli.terminal import clear_errors, print_error
from dtfl_app.core.errors import ConfigError, ResultsError
from dtfl_app.detection.detection import Detection, DetectionOptions, log
from dtfl_app.detection.drift import DRIFT_WINDOW
from dtfl_app.detection.following import Following, follow, state_path
from dtfl_app.detection.left_out import LEFT_OUT_SHARE
from dtfl_app.detection.once import score_file

__all__ = ["detect"]

_STOPPING = (signal.SIGTERM, signal.SIGINT)


def detect(
    model: Annotated[Path, typer.Option(help="folder of a model: RUN/deploy/STRATEGY")],
    data: Annotated[Path, typer.Option(help="the site's file: CSV, or Parquet without --follow")],
    out: Annotated[
        Path | None,
        typer.Option(help="file of alarms; - = standard output; default: DATA's stem.alarms.jsonl"),
    ] = None,
    follow_file: Annotated[
        bool, typer.Option("--follow", help="go on as the file grows, across restarts")
    ] = False,
    every_step: Annotated[
        bool, typer.Option("--every-step", help="write every step, too, not only alarms")
    ] = False,
    site: Annotated[str, typer.Option(help="name of the site, for the lines and its plant")] = "",
    ignore: Annotated[
        list[str] | None, typer.Option(help="channel known to be broken; may be repeated")
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="site schema, where the file's columns are named otherwise")
    ] = None,
    interval: Annotated[
        float, typer.Option(min=0.01, help="--follow: seconds between looks")
    ] = 1.0,
    until_idle: Annotated[
        float, typer.Option(min=0.0, help="--follow: end after so many seconds without a new line")
    ] = 0.0,
    reset: Annotated[bool, typer.Option("--reset", help="--follow: forget all before")] = False,
    drift_window: Annotated[
        int, typer.Option(min=10, help="steps without alarm that drift is looked for in")
    ] = DRIFT_WINDOW,
    max_left_out: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="share of rows; above it, what is left out ends in exit code 1"
        ),
    ] = LEFT_OUT_SHARE,
) -> None:
    """Score a site's readings with a trained model; alarms go to a file, one JSON object a line.

    An alarm has two lines: one at once where it begins, one where it is over.

    Once, or with --follow as the file grows: every row exactly once, whatever stops the process.
    Exit code 1, with the alarms that there are, where more than --max-left-out of a file is left
    out.
    """
    _log_to_stderr()
    with clear_errors():
        bundle = read_folder(model)
        if schema is not None:
            bundle = bundle.for_site(schema)
        ignored = tuple(ignore or ())
        options = DetectionOptions(site, every_step, ignored, drift_window, max_left_out)
        target = out or Path(f"{data.stem}.alarms.jsonl")
        _refuse_own_input(target, data, model, schema)
        if follow_file:
            _refuse_unfollowable(data, target, bundle)
            _follow(bundle, options, Following(data, target, interval, until_idle), reset)
        else:
            _once(bundle, options, data, target)


def _follow(bundle: Bundle, options: DetectionOptions, following: Following, reset: bool) -> None:
    if reset:
        state_path(following.out).unlink(missing_ok=True)
        following.out.unlink(missing_ok=True)
    with _StopSignals() as stopped:
        began = time.perf_counter()
        detection = follow(bundle, options, following, stopped)
    _summarise(detection, time.perf_counter() - began, following.out)


def _once(bundle: Bundle, options: DetectionOptions, data: Path, target: Path) -> None:
    if state_path(target).exists():
        raise ConfigError(
            f"{target} is of a followed file: {state_path(target).name} is beside it; "
            "name another file with --out"
        )
    began = time.perf_counter()
    detection, lines = score_file(bundle, options, data)
    if str(target) == "-":
        for line in lines:
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    else:
        _write(lines, target)
    _summarise(detection, time.perf_counter() - began, target)
    if told := detection.too_much_left_out():
        print_error(told)
        raise typer.Exit(1)


def _write(lines: Iterator[str], target: Path) -> None:
    """Write all lines or, if the data cannot be scored to its end, leave the file as it was."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        aside.replace(target)
    except OSError as error:
        raise ResultsError(
            f"{target} cannot be written ({error}); make room, or name another file with --out"
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def _refuse_own_input(target: Path, data: Path, model: Path, schema: Path | None) -> None:
    """Writing the alarms must not destroy what they are made of."""
    if str(target) == "-":
        return
    read = {data.resolve(): "the readings", **({schema.resolve(): "the schema"} if schema else {})}
    for path in (target, state_path(target)):
        what = read.get(path.resolve())
        if what or model.resolve() in path.resolve().parents:
            raise ConfigError(
                f"--out {target}: {path} is {what or 'in the folder of the model'}, which would be "
                "lost; name another file"
            )


def _refuse_unfollowable(data: Path, target: Path, bundle: Bundle) -> None:
    if str(target) == "-":
        raise ConfigError(
            "--out -: a followed file needs a file of alarms, to go on after a restart"
        )
    if data.suffix.lower() == ".parquet":
        raise ConfigError(
            f"{data}: a Parquet file does not grow; leave --follow out, or give a CSV"
        )
    if bundle.site_schema.newest_first:
        raise ConfigError(
            f'{data}: the site schema says order = "newest-first", and a file that grows at its '
            "top cannot be followed; leave --follow out, or have it written oldest first"
        )


def _summarise(detection: Detection, seconds: float, target: Path) -> None:
    counts = detection.counts
    log.info(
        "%d rows, %d steps, %d with an alarm in %d episodes, written to %s",
        counts.rows, counts.steps, counts.alarms, counts.episodes, target,
    )  # fmt: skip
    log.info(
        "%d rows left out, %d readings missing, %d impossible, %d stretches, %d gaps, "
        "%d rows filled in, %.2f ms per row",
        counts.skipped, counts.missing, counts.impossible, counts.stretches, counts.gaps,
        counts.filled, 1000 * seconds / max(counts.rows, 1),
    )  # fmt: skip
    if counts.baseline:
        log.info("%d rows are of baselines, and so not scored", counts.baseline)
    if detection.left_out.total:
        log.warning("left out: %s", detection.left_out)
    if told := detection.no_step():
        log.warning("%s", told)
    _list_episodes(detection)
    distances = detection.scorer.drift.distances()
    told = ", ".join(f"{kind} {distance:.2f}" for kind, distance in distances.items())
    log.info("distance of normal operation from calibration: %s", told or "no step without alarm")


def _list_episodes(detection: Detection) -> None:
    """Log the strongest alarms, and how many more there are."""
    told, episodes = detection.episodes.listed(), detection.counts.episodes
    for one in told:
        log.info("alarm: %s", one)
    # Those of before a followed file's state knew of episodes are counted only.
    if (more := episodes - len(told)) > 0:
        log.info("alarm: %d more, in the file", more)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


class _StopSignals:
    """Turns SIGTERM and SIGINT into an answer that is asked for: a batch is never torn."""

    def __init__(self) -> None:
        self._came = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _StopSignals:
        # A signal also writes a byte there, so that it ends a wait at once.
        self._waking, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._woken.fileno())
        self._before = {number: signal.signal(number, self._note) for number in _STOPPING}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._waking.close()
        self._woken.close()

    def __call__(self, seconds: float) -> bool:
        """Wait up to `seconds`; tell whether SIGTERM or SIGINT came."""
        if not self._came:
            select.select([self._waking], [], [], seconds)
        return self._came

    def _note(self, *_: object) -> None:
        self._came = True
