"""Two plain stacks of linear layers: an autoencoder of normal behaviour, and a classifier.

Layer ``l`` counts from 1 at the input; its parameters are ``layers.<i>.weight`` and
``layers.<i>.bias``, its width `ModelSpec.hidden` or `ModelSpec.latent`.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dtfl_app.detector.detector import Detector, ModelSpec, ResidualDetector

__all__ = ["Autoencoder", "Classifier"]


class Autoencoder(ResidualDetector):
    """Reconstructs the window, (n, w*d) to (n, w*d), through a narrow middle."""

    def __init__(self, spec: ModelSpec, options: Any) -> None:  # noqa: ANN401 - an `Options`
        super().__init__(spec, options)
        self.layers = _stack([spec.inputs, spec.hidden, spec.latent, spec.hidden, spec.inputs])

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct inputs of shape (n, w*d)."""
        out: Tensor = self.layers(x)
        return out

    def to_onnx(self) -> bytes:
        """Return the graph of its layers."""
        from dtfl_app.detector.onnx_graph import residual_graph  # noqa: PLC0415 - not at sites

        return residual_graph(self.spec.features, self.spec.window, _arrays(self))

    @classmethod
    def describe(cls, spec: ModelSpec) -> str:
        """Say what it is and how wide."""
        return _widths(spec)


class Classifier(Detector):
    """Tells abnormal rows from normal ones; maps (n, w*d) to logits, shape (n, 1)."""

    needs_labels: ClassVar[bool] = True
    # A logit may be negative.
    ratio_scores: ClassVar[bool] = False
    #: Of a model that always says one half.
    chance: ClassVar[float] = math.log(2.0)
    # Later its losses are high wherever the twin has kinds of event that no site has seen, and
    # there the twin is needed most.
    watched_rounds: ClassVar[int] = 1

    def __init__(self, spec: ModelSpec, options: Any) -> None:  # noqa: ANN401 - an `Options`
        super().__init__(spec, options)
        self.layers = _stack([spec.inputs, spec.hidden, spec.latent, 1])

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs of shape (n, w*d) to logits, shape (n, 1)."""
        out: Tensor = self.layers(x)
        return out

    def loss(self, out: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the binary cross-entropy."""
        return nn.functional.binary_cross_entropy_with_logits(out[:, 0], y)

    def total(self, x: Tensor) -> Tensor:
        """Return the logit."""
        logits: Tensor = self(x)[:, 0]
        return logits

    def shares(self, x: Tensor) -> Tensor:
        """Return ``|input * gradient|`` of each feature, summed over the window."""
        with torch.enable_grad():
            inputs = x.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.total(inputs).sum(), inputs)
        share = (inputs * slope).abs().detach().double()
        summed: Tensor = sum(self.steps(share).unbind(1), torch.zeros((), dtype=torch.float64))
        return summed

    def distillation_loss(self, out: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """Return T^2 times the divergence of the two Bernoulli outputs at temperature T."""
        log_student = _bernoulli_log_probs(out, temperature)
        log_teacher = _bernoulli_log_probs(wanted, temperature)
        kl = nn.functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
        return temperature**2 * kl

    def to_onnx(self) -> bytes:
        """Return the graph of its layers, and of its gradient."""
        from dtfl_app.detector.onnx_graph import logit_graph  # noqa: PLC0415 - not at sites

        return logit_graph(self.spec.features, self.spec.window, _arrays(self))

    @classmethod
    def describe(cls, spec: ModelSpec) -> str:
        """Say what it is and how wide."""
        return _widths(spec)


def _stack(widths: list[int]) -> nn.Sequential:
    """Linear layers with ReLU between them; the last one is linear."""
    stack: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        stack += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*stack[:-1])


def _arrays(model: Detector) -> dict[str, Any]:
    return {key: value.detach().cpu().numpy() for key, value in model.state_dict().items()}


def _widths(spec: ModelSpec) -> str:
    return f"{spec.kind} of {spec.hidden}-{spec.latent} units"


def _bernoulli_log_probs(logit: Tensor, temperature: float) -> Tensor:
    z = logit / temperature  # shape: (n, 1)
    return nn.functional.logsigmoid(torch.cat([-z, z], dim=1))
