"""Detectors that each break one promise."""

import torch
from torch import nn

from dtfl_app.detector.detector import ResidualDetector

__all__ = ["Random", "Stubborn", "Unseeded"]


class Plain(ResidualDetector):
    def __init__(self, spec, options):
        super().__init__(spec, options)
        self.say = nn.Linear(spec.inputs, spec.features)

    def forward(self, x):
        return self.say(x)


class Unseeded(Plain):
    """Begins with the same weights whatever the seed."""

    def __init__(self, spec, options):
        super().__init__(spec, options)
        nn.init.constant_(self.say.weight, 0.01)
        nn.init.zeros_(self.say.bias)


class Stubborn(Plain):
    """Its loss has the slope of the opposite."""

    def loss(self, out, x, y):
        loss = super().loss(out, x, y)
        return 2 * loss.detach() - loss


class Random(Plain):
    """Says something else each time."""

    def forward(self, x):
        return super().forward(x) + torch.rand(len(x), 1)
