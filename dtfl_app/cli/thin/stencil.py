"""stencil.py: what a time step should be, by convolutions over it and those before."""

from dataclasses import dataclass

from torch import nn

from dtfl_app.core.settings import setting
from dtfl_app.detector.detector import ResidualDetector


@dataclass(frozen=True)
class StencilOptions:
    width: int = setting(3, "numbers that a time step is said with", low=1)


class Stencil(ResidualDetector):
    Options = StencilOptions
    least_window = 4

    def __init__(self, spec, options):
        super().__init__(spec, options)
        self.see = nn.Conv1d(spec.features, 16, kernel_size=3)
        self.even = nn.BatchNorm1d(16)
        self.squeeze = nn.Linear(16 * (spec.window - 2), options.width)
        self.say = nn.Linear(options.width, spec.features)

    def forward(self, x):
        seen = self.even(self.see(self.steps(x).transpose(1, 2))).relu()  # shape: (n, 16, w - 2)
        return self.say(self.squeeze(seen.flatten(1)))  # shape: (n, d)
