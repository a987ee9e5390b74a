"""Learning curves as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from dtfl_app.results.lines import RoundLine
from twin.files import write_atomically

__all__ = ["plot_curves"]


def plot_curves(lines: Sequence[RoundLine], target: float, title: str, path: Path) -> None:
    """Draw balanced accuracy over rounds and over megabytes, one line per strategy."""
    plt.switch_backend("agg")
    figure, (by_round, by_bytes) = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for name in dict.fromkeys(line.strategy for line in lines):
        group = [x for x in lines if x.strategy == name and x.metrics is not None]
        accuracy = [x.metrics.balanced_accuracy for x in group if x.metrics is not None]
        by_round.plot([x.round for x in group], accuracy, label=name, linewidth=1.8)
        by_bytes.plot(_megabytes(group), accuracy, label=name, linewidth=1.8)
    _finish(by_round, target, "round")
    _finish(by_bytes, target, "megabytes up and down")
    by_round.set_ylabel("balanced accuracy on the evaluation set")
    lowest = min((x.metrics.balanced_accuracy for x in lines if x.metrics), default=1.0)
    by_round.set_ylim(min(0.4, lowest - 0.02), 1.02)
    by_round.legend(frameon=False, loc="lower right")
    figure.suptitle(title)
    figure.tight_layout()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    plt.close(figure)
    write_atomically(path, picture.getvalue())


def _megabytes(lines: Sequence[RoundLine]) -> list[float]:
    total, sums = 0.0, []
    for line in lines:
        total += (line.bytes_up + line.bytes_down) / 1e6
        sums.append(total)
    return sums


def _finish(axes: Axes, target: float, label: str) -> None:
    axes.axhline(target, color="0.6", linestyle="--", linewidth=1)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
