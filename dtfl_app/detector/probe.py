"""A detector tried on a few rows before a run begins, so that a wrong one is one clear error."""

from __future__ import annotations

import torch
from torch import Tensor

from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.detector import Detector

__all__ = ["probe"]

_ROWS = 3


def probe(model: Detector) -> Detector:
    """Return the detector as it is; ConfigError unless loss and scores are what they should be.

    Loss and distillation loss are finite scalars that depend on parameters; scores, shares and what
    is expected are finite, of shapes (n,), (n, d) and (n, d), shares >= 0 (scores too where the
    class says so); a row's score does not depend on the rows beside it.
    """
    spec, device = model.spec, next(iter(model.parameters()), torch.zeros(0)).device
    x = torch.linspace(-1.0, 1.0, _ROWS * spec.inputs, device=device).reshape(_ROWS, -1)
    model.eval()
    with torch.random.fork_rng(devices=[]):
        try:
            fault = _loss_fault(model, x) or _score_fault(model, x)
        except Exception as error:  # whatever somebody's own code raises
            raise _wrong(
                model,
                f"fails with {type(error).__name__}: {error}; expected a detector that takes any "
                "number of such rows",
            ) from error
    if fault:
        raise _wrong(model, fault)
    return model


def _loss_fault(model: Detector, x: Tensor) -> str:
    out = model(x)
    losses = {
        "loss": model.loss(out, x, torch.tensor([0.0, 1.0, 0.0], device=x.device)),
        "distillation_loss": model.distillation_loss(out, out.detach() + 1.0, 1.0),
    }
    for name, loss in losses.items():
        if loss.ndim or not bool(torch.isfinite(loss)):
            return f"has a {name} of {loss.tolist()}; expected one finite number"
        if not loss.requires_grad:
            return f"has a {name} that depends on no parameter; nothing could be learned"
    return ""


@torch.no_grad()
def _score_fault(model: Detector, x: Tensor) -> str:
    total = model.total(x)
    of_step = (len(x), model.spec.features)
    return (
        _number_fault("total", total, (len(x),), signed=not model.ratio_scores)
        or _number_fault("shares", model.shares(x), of_step, signed=False)
        or _number_fault("expected", model.expected(x), of_step, signed=True)
        or ("" if total is None else _mixing_fault(model, x, total))
    )


def _number_fault(name: str, values: Tensor | None, shape: tuple[int, ...], signed: bool) -> str:
    if values is None:
        return ""
    if tuple(values.shape) != shape:
        return f"gives {name} of shape {tuple(values.shape)}; expected {shape}"
    first = f"{values.flatten().tolist()[:3]}"
    if not bool(torch.isfinite(values).all()):
        return f"gives {name} that are not finite: {first}"
    if not signed and bool((values < 0).any()):
        told = ", or ratio_scores = False" if name == "total" else ""
        return f"gives {name} below 0: {first}; expected >= 0{told}"
    return ""


def _mixing_fault(model: Detector, x: Tensor, total: Tensor) -> str:
    alone = model.total(x[:1])
    if alone is None or torch.allclose(alone, total[:1], rtol=1e-4, atol=1e-5):
        return ""
    return (
        f"scores a row {float(alone[0]):g} alone and {float(total[0]):g} beside others; a gateway "
        "scores one row at a time: keep rows apart, and draw no random numbers, in eval mode"
    )


def _wrong(model: Detector, what: str) -> ConfigError:
    spec = model.spec
    return ConfigError(
        f"run config: detector.model = {spec.kind!r}, on inputs of shape ({_ROWS}, {spec.inputs}) "
        f"(window {spec.window} of {spec.features} features): {what} (docs/your-detector.md)"
    )
