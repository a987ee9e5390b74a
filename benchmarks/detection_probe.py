"""One process that scores a file on one core and says what it took; see `benchmarks.detection`.

It loads what a gateway loads, and only then is its memory a gateway's.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtfl_app.bundle.folder import read_folder
from dtfl_app.detection.detection import Detection, DetectionOptions
from dtfl_app.detection.following import Following, follow
from dtfl_app.detection.model import OnnxModel
from dtfl_app.sites.scaling import Scaler

ROOT = Path(__file__).resolve().parents[1]
# Steps before the first are timed: caches fill, and a gateway runs for months.
WARM_UP = 100
# Rows that come one by one, each flushed to disk.
FOLLOWED = 1000


def measure(way: str, model: str, data: str) -> dict[str, float]:
    """Score a file on one core; return ms per row (mean, 99th percentile), MB and s to start."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    ways = {
        "gateway": gateway_times,
        "followed": followed_times,
        "onnx": onnx_times,
        "torch": torch_times,
    }
    times = ways[way](Path(model), Path(data))
    start, steps = times[0], sorted(times[1 + WARM_UP :])
    return {
        "start_s": start,
        "mean_ms": 1000 * sum(steps) / len(steps),
        "p99_ms": 1000 * steps[int(0.99 * len(steps))],
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    """Return this process's largest resident set; getrusage would count its parent's, too."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(line) / 1024


def gateway_times(model: Path, data: Path) -> list[float]:
    """Seconds until ready for the first line, then per line, its text included."""
    detection = Detection(read_folder(model), DetectionOptions(), str(data))
    times = [since_start()]
    with data.open("rb") as file:
        detection.lines([file.readline()])
        for line in file:
            started = time.perf_counter()
            detection.lines([line])
            times.append(time.perf_counter() - started)
    return times


def followed_times(model: Path, data: Path) -> list[float]:
    """Seconds until ready, then from each row's arrival to its commit on disk."""
    lines = iter(data.read_bytes().splitlines(keepends=True)[: FOLLOWED + 1])
    times: list[float] = []
    arrived = 0.0
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        growing = Path(folder) / "site.csv"
        growing.write_bytes(next(lines))

        def stopped(seconds: float) -> bool:
            """Asked to wait, let the next row arrive; asked at once, a row was committed."""
            nonlocal arrived
            now = time.perf_counter()
            if not seconds:
                times.append(now - arrived if arrived else since_start())
                return False
            line = next(lines, b"")
            with growing.open("ab") as file:
                file.write(line)
            arrived = time.perf_counter()
            return not line

        following = Following(growing, Path(folder) / "alarms.jsonl")
        follow(read_folder(model), DetectionOptions(), following, stopped)
    return times


def onnx_times(run: Path, data: Path) -> list[float]:
    """Seconds until ready, then the model's score alone, per row."""
    deployment = read_folder(run / "deploy" / "cwa")
    plan, inputs = deployment.features, inputs_of(data, deployment.scaler)
    model = OnnxModel(deployment.graph, plan.window, len(plan.names))
    return timed(len(inputs), lambda row: model.score(inputs[row : row + 1]))


def torch_times(run: Path, data: Path) -> list[float]:
    """The same in torch."""
    # Here only: what a gateway takes is measured without any of it.
    import torch  # noqa: PLC0415 - see above

    from dtfl_app.detector.models import build_model, set_params  # noqa: PLC0415 - see above
    from dtfl_app.detector.scoring import score  # noqa: PLC0415 - see above
    from dtfl_app.inputs.preparation import scaler_from_arrays  # noqa: PLC0415 - see above
    from dtfl_app.results.saved_models import load_model  # noqa: PLC0415 - see above

    torch.set_num_threads(1)
    saved = load_model(run / "models" / "cwa.safetensors")
    model = build_model(saved.spec, 0)
    set_params(model, saved.params)
    inputs = inputs_of(data, scaler_from_arrays(dict(saved.scaler)))
    instance = np.array(["one"])
    return timed(len(inputs), lambda row: score(model, inputs[row : row + 1], instance, 1))


def inputs_of(data: Path, scaler: Scaler) -> NDArray[np.float32]:
    """Return the file's rows, scaled, shape (n, 43)."""
    from dtfl_app.sites.batadal import SCADA, read_batadal  # noqa: PLC0415 - see `torch_times`

    return scaler.transform(read_batadal(data)[SCADA.names].to_numpy())


def timed(rows: int, score: Callable[[int], object]) -> list[float]:
    """Seconds until now, then of scoring each row."""
    times = [since_start()]
    for row in range(rows):
        started = time.perf_counter()
        score(row)
        times.append(time.perf_counter() - started)
    return times


def since_start() -> float:
    """Return the seconds since this process was started, to a hundredth."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
