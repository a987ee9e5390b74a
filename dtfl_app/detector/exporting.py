"""Any detector as the ONNX model that a gateway scores with.

The methods that training and calibration score with are traced as they are; what comes out is held
against them before it may leave, since a trace knows one way through Python's branches.
"""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dtfl_app.core.errors import ResultsError
from dtfl_app.detector.detector import Detector

__all__ = ["export_detector"]

# Read by onnxruntime 1.22 and later.
_OPSET = 18
_TOLERANCE = 1e-5
_NAMES = ("total", "per_channel", "expected")


class _Scores(nn.Module):
    """A detector's scores as outputs: float64, but for what it expects."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        total, shares = self.detector.total(x), self.detector.shares(x).double()
        expected = self.detector.expected(x)
        score = shares.mean(dim=1) if total is None else total.double()
        return (score, shares) if expected is None else (score, shares, expected)


def export_detector(detector: Detector) -> bytes:
    """Trace a detector into a checked ONNX model, whose bytes depend on the detector alone.

    Its input `x` is float32 of shape (n, w*d); its outputs are `total`, shape (n,), `per_channel`,
    shape (n, d), both float64, and `expected`, shape (n, d), float32, where it expects something.

    Raises ResultsError where it uses what ONNX has not, or where onnxruntime's scores miss torch's
    by more than 1e-5 of them.
    """
    model = _Scores(copy.deepcopy(detector).cpu().eval())
    width = detector.spec.inputs
    with torch.no_grad():
        outputs = _NAMES[: len(model(torch.zeros(2, width)))]
        graph = _traced(model, width, outputs)
        for rows in (1, 3):
            _compare(model, graph, rows, outputs)
    return graph


def _traced(model: _Scores, width: int, outputs: tuple[str, ...]) -> bytes:
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # It warns that it is the older of torch's two exporters (the other needs onnxscript,
            # and writes where its sources lie), and of each shape that the trace fixes.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                copy.deepcopy(model),  # it melts BatchNorm into the layer before, in place
                (torch.zeros(2, width),),
                file,  # type: ignore[arg-type] # its stub knows paths alone
                input_names=["x"],
                output_names=list(outputs),
                dynamic_axes={name: {0: "n"} for name in ("x", *outputs)},
                opset_version=_OPSET,
                dynamo=False,
            )
    except Exception as error:  # whatever the tracer stumbles over
        raise ResultsError(
            f"{_name(model)} cannot be written as an ONNX model ({type(error).__name__}: {error}); "
            "use operations that ONNX has, or override to_onnx (docs/your-detector.md)"
        ) from error
    onnx.checker.check_model(onnx.load_from_string(file.getvalue()), full_check=True)
    return file.getvalue()


def _compare(model: _Scores, graph: bytes, rows: int, outputs: tuple[str, ...]) -> None:
    x = torch.linspace(-3.0, 3.0, rows * model.detector.spec.inputs).reshape(rows, -1)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float64]] = session.run(list(outputs), {"x": x.numpy()})
    for name, here, there in zip(outputs, model(x), found, strict=True):
        if not np.allclose(there, here.numpy(), rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True):
            raise ResultsError(
                f"{_name(model)}: {name!r} of its ONNX model is not torch's on {rows} rows; its "
                "methods must take the same way through Python's branches for any input, and any "
                "number of rows"
            )


def _name(model: _Scores) -> str:
    return f"detector.model = {model.detector.spec.kind!r}"
