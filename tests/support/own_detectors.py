"""Detectors as somebody else would write them: sound ones, and one for each mistake."""

from dataclasses import dataclass

import torch
from torch import nn

from dtfl_app.core.settings import setting
from dtfl_app.detector.detector import Detector, ResidualDetector

__all__ = ["WRONG", "OneClass", "Stencil"]


@dataclass(frozen=True)
class StencilOptions:
    width: int = setting(4, "channels of the convolution", low=1)


class Stencil(ResidualDetector):
    """Convolves over the window, with BatchNorm and its buffers."""

    Options = StencilOptions
    least_window = 3

    def __init__(self, spec, options):
        super().__init__(spec, options)
        self.see = nn.Conv1d(spec.features, options.width, kernel_size=3)
        self.even = nn.BatchNorm1d(options.width)
        self.say = nn.Linear(options.width * (spec.window - 2), spec.features)

    def forward(self, x):
        return self.say(self.even(self.see(self.steps(x).transpose(1, 2))).relu().flatten(1))


class OneClass(Detector):
    """Scores by the distance of a code from a fixed point, and expects nothing (Ruff 2018)."""

    def __init__(self, spec, options):
        super().__init__(spec, options)
        self.code = nn.Sequential(nn.Linear(spec.inputs, 8, bias=False), nn.Tanh())

    def forward(self, x):
        return self.code(x) - 0.5

    def loss(self, out, x, y):
        return out.square().mean()

    def total(self, x):
        return self(x).square().sum(1)


class Infinite(OneClass):
    def total(self, x):
        return super().total(x) / 0.0


class Lossy(OneClass):
    def loss(self, out, x, y):
        return super().loss(out, x, y) * torch.nan


class Spread(OneClass):
    def loss(self, out, x, y):
        return out.square()


class Detached(OneClass):
    def loss(self, out, x, y):
        return x.mean()


class Tall(OneClass):
    def total(self, x):
        return self(x).square()


class Wide(Stencil):
    def shares(self, x):
        return self.steps(x).flatten(1) ** 2


class Signed(OneClass):
    def total(self, x):
        return -super().total(x)


class Owing(OneClass):
    def shares(self, x):
        return x[:, -self.spec.features :] - 9.0


class Mixing(OneClass):
    def total(self, x):
        return (self(x) - self(x).mean(0)).square().sum(1)


class Narrow(OneClass):
    """Made for five features, whatever there are."""

    def __init__(self, spec, options):
        super().__init__(spec, options)
        self.code = nn.Linear(5, 8)


#: Class -> what the one error about it says.
WRONG = {
    Infinite: "gives total that are not finite",
    Lossy: "has a loss of nan; expected one finite number",
    Spread: r"has a loss of \[\[.*expected one finite number",
    Detached: "depends on no parameter",
    Tall: r"gives total of shape \(3, 8\); expected \(3,\)",
    Wide: r"gives shares of shape \(3, 8\); expected \(3, 2\)",
    Signed: "gives total below 0: .*; expected >= 0, or ratio_scores = False",
    Owing: "gives shares below 0: ",
    Mixing: "scores a row 0 alone and .* beside others",
    Narrow: "fails with RuntimeError: mat1 and mat2 shapes cannot be multiplied",
}


class Branching(OneClass):
    """Takes another way where its first input is large: a trace knows one of them."""

    def total(self, x):
        return super().total(x) * (2.0 if bool(x[0, 0] < -1.0) else 1.0)
