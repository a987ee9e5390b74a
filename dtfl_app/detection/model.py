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
    window, features : time steps w and features d that it is to take.
    """

    def __init__(self, graph: bytes, window: int, features: int) -> None:
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
        self._try(window, features)

    def _try(self, window: int, features: int) -> None:
        """A graph's declaration may be wrong; what it does with one input is not."""
        try:
            found = self.score(np.zeros((1, window * features), dtype=np.float32))
        except Exception as error:  # see above
            raise BundleError(
                f"model.onnx cannot score {window} time steps of {features} features ({error}); "
                "copy the model's whole folder from its run again"
            ) from error
        given = [found.total.shape, found.per_channel.shape]
        given += [] if found.expected is None else [found.expected.shape]
        shapes = [(1,), (1, features), (1, features)][: len(given)]
        if given != shapes:
            raise BundleError(
                f"model.onnx gives results of shapes {given}, expected {shapes}; copy the model's "
                "whole folder from its run again"
            )

    def score(self, x: NDArray[np.float32]) -> ModelScores:
        """Return the scores of inputs, shape (n, w*d)."""
        total, per_channel, *expected = self._session.run(self._outputs, {"x": x})
        return ModelScores(total, per_channel, expected[0] if expected else None)
