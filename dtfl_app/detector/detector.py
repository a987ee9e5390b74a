"""What a detector is: the class that those of this app extend, and those of others.

Inputs are windows of scaled features, shape (n, w*d), oldest step first; 0 is the federation's mean
of a feature, which also stands for a missing reading. Whatever else is asked of a detector follows
from the few methods here: training, scores, thresholds and export know no kind of detector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dtfl_app.detector.params import layer_keys

__all__ = ["Detector", "ModelSpec", "NoOptions", "ResidualDetector", "occlusion"]

# Rows at a time whose features are hidden one by one: d times as many go through the model.
_ROWS = 256


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything that determines a detector's architecture.

    Parameters
    ----------
    kind : which detector, as the setting `detector.model` names it.
    features : number of features d per time step.
    window : number of consecutive time steps w that the model sees at once, >= 1.
    hidden : width of the outer hidden layers, for detectors that have them.
    latent : width of the innermost layer, likewise.
    options : the detector's own options, as the setting `detector.options` holds them.
    """

    kind: str
    features: int
    window: int = 1
    hidden: int = 128
    latent: int = 24
    options: str = ""

    @property
    def inputs(self) -> int:
        """Length of one input vector: w * d."""
        return self.window * self.features


@dataclass(frozen=True, slots=True)
class NoOptions:
    """A detector without options of its own."""


class Detector(nn.Module, ABC):
    """Base of all detectors; a subclass says what is learned and how abnormal a row is.

    Parameters
    ----------
    spec : its architecture.
    options : an instance of the class's `Options`.

    Every row is scored by itself, whatever rows stand beside it: a gateway scores one at a time.
    """

    #: A frozen dataclass of `setting` fields, given by the setting `detector.options`.
    Options: ClassVar[type] = NoOptions
    #: Whether it learns from labelled rows, normal and abnormal, instead of normal operation.
    needs_labels: ClassVar[bool] = False
    #: Whether a score is >= 0, so that it has a ratio to its threshold that other kinds of evidence
    #: and other sites' thresholds compare with.
    ratio_scores: ClassVar[bool] = True
    #: Loss of a model that knows nothing; 0 where that would be no standard. One that always says
    #: the sites' mean has about 1, but a hundred times less after a few rounds.
    chance: ClassVar[float] = 0.0
    #: Rounds, from the first, in which losses on twin data tell a wrong twin. Models of the sites'
    #: normal operation hardly fit another plant in the first three, however fast they learn.
    watched_rounds: ClassVar[int] = 3
    #: Shortest window that it can do with, in time steps.
    least_window: ClassVar[int] = 1

    def __init__(self, spec: ModelSpec, options: Any) -> None:  # noqa: ANN401 - an `Options`
        super().__init__()
        self.spec = spec
        self.options = options

    @abstractmethod
    def loss(self, out: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss, a scalar.

        Parameters
        ----------
        out : what `forward` makes of `x`.
        x : inputs, shape (n, w*d).
        y : labels, shape (n,), 1 = abnormal, 0 = normal, -1 = unlabelled.
        """

    @abstractmethod
    def total(self, x: Tensor) -> Tensor | None:
        """Return how abnormal each row of (n, w*d) is, shape (n,); None = the mean of `shares`."""

    def shares(self, x: Tensor) -> Tensor:
        """Return what each feature contributes to a row's score, >= 0, shape (n, d).

        By default how far the score moves when the feature is hidden (`occlusion`).
        """
        return occlusion(self._certain_total, x, self.spec.features)

    def expected(self, x: Tensor) -> Tensor | None:
        """Return what it expects the last step to be, shape (n, d); None = it expects nothing."""
        return None

    def distillation_loss(self, out: Tensor, wanted: Tensor, temperature: float) -> Tensor:
        """Return T^2 times the divergence from a teacher's outputs, a scalar (Hinton 2015).

        By default outputs are means of Gaussians of standard deviation T each, for which that is
        ``0.5 * (wanted - out)^2``: the temperature cancels.
        """
        return 0.5 * nn.functional.mse_loss(out, wanted)

    def to_onnx(self) -> bytes:
        """Return itself as the ONNX model that a gateway scores with (`detector.exporting`)."""
        from dtfl_app.detector.exporting import export_detector  # noqa: PLC0415 - sites need no ONNX

        return export_detector(self)

    @classmethod
    def layer_keys(cls, keys: list[str]) -> list[list[str]]:
        """Group parameter keys by layer, input layer first, for methods that exchange layers (LPE).

        By default a layer is a module, in the order in which the detector made them.
        """
        return layer_keys(keys)

    @classmethod
    def describe(cls, spec: ModelSpec) -> str:
        """Say in a few words what it is, for the model card."""
        return spec.kind + (f" ({spec.options})" if spec.options else "")

    def steps(self, x: Tensor) -> Tensor:
        """Cut inputs of shape (n, w*d) into their time steps, oldest first, shape (n, w, d)."""
        return x.reshape(-1, self.spec.window, self.spec.features)

    def _certain_total(self, x: Tensor) -> Tensor:
        total = self.total(x)
        if total is None:
            raise TypeError(f"{type(self).__name__} gives neither a total nor shares of one")
        return total


class ResidualDetector(Detector):
    """Scores by how far a row's last step is from what the model expects; `forward` is enough.

    `forward` maps (n, w*d) to the last step, shape (n, d), or to the whole window, (n, w*d); the
    loss is the mean squared error of all that it gives, a feature's share that of the last step.
    """

    def loss(self, out: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean squared error."""
        return nn.functional.mse_loss(out, x[:, -out.shape[1] :])

    def total(self, x: Tensor) -> Tensor | None:
        """Leave it to the shares, whose mean it is."""
        return None

    def shares(self, x: Tensor) -> Tensor:
        """Return the squared residual of the last step."""
        found: Tensor = (self.expected(x) - x[:, -self.spec.features :]) ** 2
        return found

    def expected(self, x: Tensor) -> Tensor:
        """Return the end of what `forward` gives."""
        found: Tensor = self(x)[:, -self.spec.features :]
        return found


def occlusion(total: Callable[[Tensor], Tensor], x: Tensor, features: int) -> Tensor:
    """``|total(x) - total(x without feature j)|``, shape (n, d) (Zeiler and Fergus 2014).

    A feature is hidden by setting it to 0, the sites' mean, in all steps of the window.

    Parameters
    ----------
    total : maps inputs of shape (n, w*d) to scores of shape (n,).
    x : the inputs.
    features : d.

    Source: doi:10.1007/978-3-319-10590-1_53, section 2.
    """
    kept = 1.0 - torch.eye(features, device=x.device).repeat(1, x.shape[1] // features)

    def shares(rows: Tensor) -> Tensor:
        hidden = (rows[:, None, :] * kept).reshape(-1, kept.shape[1])  # shape: (n*d, w*d)
        return (total(rows)[:, None] - total(hidden).reshape(-1, features)).abs()

    # A graph takes any number of rows, so it must not be cut by the number it was made with.
    parts = [x] if torch.onnx.is_in_onnx_export() else torch.split(x, _ROWS)
    return torch.cat([shares(part) for part in parts])
