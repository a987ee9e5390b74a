"""Mini-batch training; the same code serves sites, twin and centralised baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dtfl_app.detector.detector import Detector
from dtfl_app.detector.params import Params, get_params, set_params

__all__ = [
    "AfterBackward",
    "Distillation",
    "Rows",
    "TrainingSpec",
    "gradient",
    "train",
    "train_params",
]

# Called with the model between backward and step; may change its gradients.
AfterBackward = Callable[[Detector], None]


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """How a model is trained.

    Parameters
    ----------
    lr : the optimiser's step size, > 0.
    batch_size : rows per mini-batch, >= 1.
    proximal : FedProx's mu, >= 0; 0 = no pull towards the incoming model (Li 2020).
    optimizer : "adam" or "sgd".
    momentum : of sgd, in [0, 1): ``m <- momentum m + g``, ``w <- w - lr m``.
    """

    lr: float = 1e-3
    batch_size: int = 128
    proximal: float = 0.0
    optimizer: str = "adam"
    momentum: float = 0.0

    def optimiser_of(self, model: Detector) -> torch.optim.Optimizer:
        """Return a fresh optimiser of the model's parameters."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(model.parameters(), lr=self.lr, momentum=self.momentum)
        # One kernel per step: with layers this small, Python's share of a plain step is half of it.
        return torch.optim.Adam(model.parameters(), lr=self.lr, fused=True)


@dataclass(frozen=True, slots=True)
class Distillation:
    """A frozen teacher to learn from beside the data (Hinton 2015; DTKD of the paper).

    ``L = (1 - weight) * L_data + weight * T^2 * KL(teacher at T, student at T)``

    What the divergence is, the detector says (`Detector.distillation_loss`).

    Parameters
    ----------
    teacher : from inputs to outputs of the model's shape, e.g. another model; not trained.
    weight : lambda in [0, 1]; 0 = no distillation.
    temperature : T > 0.
    """

    teacher: Callable[[Tensor], Tensor]
    weight: float
    temperature: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows: inputs of shape (n, w*d), labels of shape (n,) in {0, 1, -1 = unlabelled}."""

    x: Tensor
    y: Tensor

    @classmethod
    def from_numpy(
        cls, x: NDArray[np.float32], y: NDArray[np.int8], device: torch.device | None = None
    ) -> Rows:
        """Move arrays of shape (n, w*d) and (n,) to `device` (default: the CPU)."""
        return cls(
            torch.from_numpy(np.ascontiguousarray(x)).to(device),
            torch.from_numpy(y.astype(np.float32)).to(device),
        )

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def for_model(self, model: Detector) -> Rows:
        """Return the rows that this model learns from.

        Labelled ones where it needs labels, else all that are not known to be abnormal.
        """
        usable = self.y >= 0 if model.needs_labels else self.y < 1
        return Rows(self.x[usable], self.y[usable])


def train(
    model: Detector,
    rows: Rows,
    steps: int,
    spec: TrainingSpec,
    rng: np.random.Generator,
    distillation: Distillation | None = None,
    after_backward: AfterBackward | None = None,
) -> float:
    """Train `model` in place by `steps` mini-batch steps; return the mean loss.

    `rows` must already be what the model learns from (`Rows.for_model`). The optimiser starts
    afresh: its moments belong to one site and one round. With no rows or no steps the model is
    unchanged and the loss is NaN.
    """
    if steps < 1 or len(rows) == 0:
        return float("nan")
    anchor = [p.detach().clone() for p in model.parameters()] if spec.proximal else []
    optimiser = spec.optimiser_of(model)
    model.train()
    total = 0.0
    for index in _batches(len(rows), spec.batch_size, steps, rng):
        batch = Rows(rows.x[index], rows.y[index])
        loss = batch_loss(model, batch, distillation)
        objective = loss + _proximal_term(model, anchor, spec.proximal)
        optimiser.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call] # torch's backward is untyped
        if after_backward is not None:
            after_backward(model)
        optimiser.step()
        total += float(loss.detach())
    return total / steps


def batch_loss(model: Detector, batch: Rows, distillation: Distillation | None = None) -> Tensor:
    """Return the detector's loss, plus distillation if asked."""
    out = model(batch.x)
    data = model.loss(out, batch.x, batch.y)
    if distillation is None:
        return data
    with torch.no_grad():
        wanted = distillation.teacher(batch.x)
    soft = model.distillation_loss(out, wanted, distillation.temperature)
    return (1.0 - distillation.weight) * data + distillation.weight * soft


def gradient(params: Params, model: Detector, rows: Rows) -> Params:
    """Gradient of the mean loss over all `rows` at `params`; same keys and shapes.

    Zero for buffers, which no gradient moves.
    """
    set_params(model, params)
    model.train()
    model.zero_grad(set_to_none=True)
    batch_loss(model, rows).backward()  # type: ignore[no-untyped-call] # torch's backward is untyped
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {
        name: found[name].cpu().numpy().copy() if name in found else np.zeros_like(value)
        for name, value in params.items()
    }


def train_params(
    params: Params,
    model: Detector,
    rows: Rows,
    steps: int,
    spec: TrainingSpec,
    rng: np.random.Generator,
    distillation: Distillation | None = None,
) -> Params:
    """`train` as a function of parameters: returns new ones, leaves `params` as they are."""
    set_params(model, params)
    train(model, rows, steps, spec, rng, distillation)
    return get_params(model)


def _proximal_term(model: Detector, anchor: list[Tensor], mu: float) -> Tensor | float:
    if not anchor:
        return 0.0
    pairs = zip(model.parameters(), anchor, strict=True)
    return 0.5 * mu * sum(((p - a) ** 2).sum() for p, a in pairs)


def _batches(n: int, size: int, steps: int, rng: np.random.Generator) -> Iterator[Tensor]:
    """Yield index tensors of shuffled passes over n rows until `steps` batches are out."""
    done = 0
    while done < steps:
        order = torch.from_numpy(rng.permutation(n))
        for start in range(0, n, size):
            yield order[start : start + size]
            done += 1
            if done == steps:
                return
