"""A stack of linear layers as an ONNX graph: layers, score, and each feature's share in it.

Outputs are those of ``detector.scoring``, before any smoothing: `total`, shape (n,), and
`per_channel`, shape (n, d), both float64. An autoencoder also gives what it expects of the window's
last step: `expected`, its reconstruction, shape (n, d), float32, scaled as its input is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["logit_graph", "residual_graph"]

# Read by onnxruntime 1.22 and later.
_OPSET, _IR_VERSION = 18, 9

_Tail = tuple[list[NodeProto], dict[str, NDArray[np.generic]]]
_Output = tuple[str, int, list[int]]


def residual_graph(features: int, window: int, params: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Write a stack that reconstructs its input as a checked ONNX model; see `logit_graph`.

    Beside its scores it gives what it expects of the window's last step.
    """
    expected = ("expected", TensorProto.FLOAT, [features])
    return _graph(_residuals, features, window, params, [expected])


def logit_graph(features: int, window: int, params: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Write a stack that ends in a logit as a checked ONNX model.

    Parameters
    ----------
    features : number of features d per time step.
    window : number of time steps w in an input.
    params : ``layers.<i>.weight``, shape (out, in), and ``layers.<i>.bias``, shape (out,).

    Returns
    -------
    The model, serialised; its input `x` is float32 of shape (n, w*d).
    """
    return _graph(_logits, features, window, params, [])


def _graph(
    tail_of: Callable[[list[str], int, int], _Tail],
    features: int,
    window: int,
    params: Mapping[str, NDArray[np.float32]],
    more_outputs: list[_Output],
) -> bytes:
    keys = sorted({key.rsplit(".", 1)[0] for key in params}, key=lambda key: int(key[7:]))
    constants = {f"{key}.{part}": params[f"{key}.{part}"] for key in keys for part in _PARTS}
    tail, more = tail_of(keys, features, window)
    outputs: list[_Output] = [
        ("total", TensorProto.DOUBLE, []),
        ("per_channel", TensorProto.DOUBLE, [features]),
        *more_outputs,
    ]
    graph = helper.make_graph(
        [*_layers(keys), *tail],
        "detector",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", window * features])],
        [helper.make_tensor_value_info(name, type_, ["n", *rest]) for name, type_, rest in outputs],
        [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in {**constants, **more}.items()
        ],
    )
    model = helper.make_model(
        graph,
        producer_name="dtfl",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


_PARTS = ("weight", "bias")


def _layers(keys: list[str]) -> Iterable[NodeProto]:
    """``h.<l>`` = W a + b of the layer before, ``a.<l>`` = ReLU of it; the last has no ReLU."""
    source = "x"
    for key in keys:
        weights = [source, f"{key}.weight", f"{key}.bias"]
        yield helper.make_node("Gemm", weights, [f"h.{key}"], transB=1)
        if key != keys[-1]:
            yield helper.make_node("Relu", [f"h.{key}"], [f"a.{key}"])
            source = f"a.{key}"


def _residuals(keys: list[str], features: int, window: int) -> _Tail:
    """The window's last step reconstructed, its squared residual, and the mean of that."""
    node = helper.make_node
    nodes = [
        node("Slice", [f"h.{keys[-1]}", "begin", "end", "columns"], ["expected"]),
        node("Sub", [f"h.{keys[-1]}", "x"], ["difference"]),
        node("Mul", ["difference", "difference"], ["squared"]),
        node("Slice", ["squared", "begin", "end", "columns"], ["last"]),
        node("Cast", ["last"], ["per_channel"], to=TensorProto.DOUBLE),
        node("ReduceMean", ["per_channel", "columns"], ["total"], keepdims=0),
    ]
    first = (window - 1) * features
    return nodes, {
        "begin": np.array([first]),
        "end": np.array([first + features]),
        "columns": np.array([1]),
    }


def _logits(keys: list[str], features: int, window: int) -> _Tail:
    """The logit, and |input * gradient| of each feature, summed over the window.

    From the last layer back, the gradient is multiplied by each layer's weights and is 0 where the
    ReLU before it was.
    """
    node = helper.make_node
    nodes, slope = [], f"{keys[-1]}.weight"  # shape: (1, latent)
    for key in reversed(keys[:-1]):
        nodes += [
            node("Greater", [f"h.{key}", "nothing"], [f"active.{key}"]),
            node("Cast", [f"active.{key}"], [f"mask.{key}"], to=TensorProto.FLOAT),
            node("Mul", [f"mask.{key}", slope], [f"passed.{key}"]),
            node("MatMul", [f"passed.{key}", f"{key}.weight"], [f"slope.{key}"]),
        ]
        slope = f"slope.{key}"
    nodes += [
        node("Mul", ["x", slope], ["signed"]),
        node("Abs", ["signed"], ["share"]),
        node("Cast", ["share"], ["exact"], to=TensorProto.DOUBLE),
        node("Reshape", ["exact", "by_step"], ["steps"]),
        node("ReduceSum", ["steps", "columns"], ["per_channel"], keepdims=0),
        node("Squeeze", [f"h.{keys[-1]}", "columns"], ["logit"]),
        node("Cast", ["logit"], ["total"], to=TensorProto.DOUBLE),
    ]
    return nodes, {
        "nothing": np.array(0.0, dtype=np.float32),
        "by_step": np.array([0, window, features]),
        "columns": np.array([1]),
    }
