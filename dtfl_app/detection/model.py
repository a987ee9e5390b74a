"""The detector on a gateway: one ONNX model, one thread, little memory."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from dtfl_app.core.errors import BundleError

__all__ = ["OnnxModel"]


class OnnxModel:
    """Scores inputs as ``detector.scoring`` does, before smoothing.

    Parameters
    ----------
    graph : a model that `onnx_graph.score_graph` wrote; BundleError when it is not one.
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

    def score(self, x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return total, shape (n,), and share per feature, shape (n, d), of inputs (n, w*d)."""
        total, per_channel = self._session.run(["total", "per_channel"], {"x": x})
        return total, per_channel
