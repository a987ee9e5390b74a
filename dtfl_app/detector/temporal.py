"""A temporal convolutional network: one small set of weights for every time step of a window.

Bai, Kolter and Koltun, arXiv 1803.01271, section 3: causal convolutions, dilated twice as far from
block to block, with a way around each. As in Thill et al., Applied Soft Computing 112 (2021)
107751, doi:10.1016/j.asoc.2021.107751, it reconstructs the window through a narrow middle; unlike
there the middle is narrow in channels alone, so that a gateway gets the step that has just ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from dtfl_app.core.settings import setting
from dtfl_app.detector.detector import ModelSpec, ResidualDetector

__all__ = ["Temporal", "TemporalOptions"]


@dataclass(frozen=True, slots=True)
class TemporalOptions:
    """Options of the temporal detector."""

    channels: int = setting(48, "width of every block", low=1)
    code: int = setting(16, "numbers that a step and its past are reconstructed from", low=1)
    kernel: int = setting(3, "steps that a convolution sees", low=2)


class Temporal(ResidualDetector):
    """Reconstructs every step of a window, (n, w*d) to (n, w*d), from itself and those before it.

    It has as many blocks as it takes for the last step to see the whole window.
    """

    Options: ClassVar[type] = TemporalOptions
    least_window: ClassVar[int] = 2

    def __init__(self, spec: ModelSpec, options: TemporalOptions) -> None:
        super().__init__(spec, options)
        width, blocks, dilation, seen = options.channels, list[nn.Module](), 1, 1
        while seen < spec.window:
            blocks.append(_Block(width, options.kernel, dilation))
            seen += (options.kernel - 1) * dilation
            dilation *= 2
        # kernels of length 1: a linear layer for each step
        self.enter = nn.Conv1d(spec.features, width, 1)
        self.blocks = nn.Sequential(*blocks)
        self.narrow = nn.Conv1d(width, options.code, 1)
        self.widen = nn.Conv1d(options.code, width, 1)
        self.leave = nn.Conv1d(width, spec.features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct inputs of shape (n, w*d)."""
        steps = self.steps(x).transpose(1, 2)  # shape: (n, d, w)
        code = self.narrow(self.blocks(self.enter(steps)))  # shape: (n, code, w)
        out: Tensor = self.leave(self.widen(code).relu())
        return out.transpose(1, 2).reshape(x.shape)


class _Block(nn.Module):
    """``x + relu(second(relu(first(x))))``; `first` sees a step and those before it alone."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.past = nn.ConstantPad1d(((kernel - 1) * dilation, 0), 0.0)
        self.first = nn.Conv1d(channels, channels, kernel, dilation=dilation)
        self.second = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first(self.past(x)).relu()).relu()
        return out
