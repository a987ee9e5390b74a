"""The detector on a gateway: one ONNX model, one thread, little memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from dtfl_app.core.errors import BundleError

__all__ = ["ModelScores", "OnnxModel"]


@dataclass(frozen=True, slots=True, eq=False)
class ModelScores:
    """What a model says of n inputs.

    Parameters
    ----------
    total : score, shape (n,).
    per_channel : share of each feature in it, shape (n, d).
    expected : what the model expects of the last step's features, scaled, shape (n, d); None of a
        model that expects nothing (a classifier, or a folder of before there was this output).
    """

    total: NDArray[np.float64]
    per_channel: NDArray[np.float64]
    expected: NDArray[np.float32] | None


class OnnxModel:
    """Scores inputs as ``detector.scoring`` does, before smoothing.

    Parameters
    ----------
    graph : a model that `Detector.to_onnx` wrote; BundleError when it is not one.
    """

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # One row at a time: threads and a memory pool would only cost.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base class of their own
            raise BundleError(
                f"model.onnx cannot be loaded by onnxruntime {onnxruntime.__version__} ({error}); "
                "install the version that docker/detect-requirements.txt names"
            ) from error
        given = {output.name for output in self._session.get_outputs()}
        self._outputs = ["total", "per_channel", *({"expected"} & given)]

    def score(self, x: NDArray[np.float32]) -> ModelScores:
        """Return the scores of inputs, shape (n, w*d)."""
        total, per_channel, *expected = self._session.run(self._outputs, {"x": x})
        return ModelScores(total, per_channel, expected[0] if expected else None)
