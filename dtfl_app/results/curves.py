"""The learning curves of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dtfl_app.results.drawing import (
    PAPER,
    Palette,
    draw_curve,
    draw_target,
    label_rounds,
    new_figure,
    plain_axes,
    save_png,
)
from dtfl_app.results.lines import RoundLine

__all__ = ["draw_curves", "save_curves"]


def draw_curves(
    figure: Figure, lines: Sequence[RoundLine], target: float, palette: Palette
) -> None:
    """Draw balanced accuracy over rounds and over megabytes, one line per strategy."""
    by_round, by_bytes = figure.subplots(1, 2, sharey=True)
    for index, name in enumerate(dict.fromkeys(line.strategy for line in lines)):
        group = [line for line in lines if line.strategy == name]
        spent = np.cumsum([(x.bytes_up + x.bytes_down) / 1e6 for x in group])
        judged = [
            (line.round, float(megabytes), line.metrics.balanced_accuracy)
            for line, megabytes in zip(group, spent, strict=True)
            if line.metrics is not None
        ]
        rounds, megabytes, accuracy = zip(*judged, strict=True) if judged else ((), (), ())
        draw_curve(by_round, palette, index, name, rounds, accuracy)
        draw_curve(by_bytes, palette, index, name, megabytes, accuracy)
    for axes in (by_round, by_bytes):
        plain_axes(axes, palette)
        draw_target(axes, palette, target)
    label_rounds(by_round)
    by_bytes.set_xlabel("megabytes up and down")
    by_round.set_ylabel("balanced accuracy")


def save_curves(lines: Sequence[RoundLine], target: float, title: str, path: Path) -> None:
    """Write the learning curves as a PNG file."""
    figure = new_figure(11, 4.2)
    draw_curves(figure, lines, target, PAPER)
    save_png(figure, path, title)
