"""A site's reply on real Flower messages, good or with any part of it replaced."""

import io

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from dtfl_app.detector.calibration import SKETCH_LEVELS
from dtfl_app.messages.training import Expected
from dtfl_app.testing.grid import identify

__all__ = [
    "BIAS",
    "CHANGED",
    "EXPECTED",
    "LEVELS",
    "ONE",
    "STEPS",
    "WEIGHT",
    "answer",
    "changes",
    "closing",
    "header",
    "npy",
    "raw",
    "task",
]

WEIGHT = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=np.float32)
BIAS = np.array([0.5, -0.5], dtype=np.float32)
LEVELS = len(SKETCH_LEVELS)
EXPECTED = Expected("site-1", 4, {"l.weight": (2, 3), "l.bias": (2,)})


def task() -> Message:
    identify()
    return Message(RecordDict({}), message_type="train", dst_node_id=77)


def content(**changes) -> RecordDict:
    """A good reply's records; `changes` replace single arrays, metrics or whole records.

    None takes the entry out; keys are written with _ for - and __ for ".".
    """
    arrays = {"model/l.weight": Array(WEIGHT), "model/l.bias": Array(BIAS)}
    metrics = {
        "num-examples": 100,
        "loss": 0.25,
        "steps": 8,
        "calibration-counts": [40],
        "calibration-scores": np.linspace(0, 1, LEVELS).tolist(),
    }
    identity = {"site": "site-1", "server-round": 4}
    records: dict = {}
    for key, value in changes.items():
        name = key.replace("__", ".").replace("_", "-")
        home = next((h for h in (metrics, identity) if name in h), None)
        if name in ("arrays", "metrics", "identity"):
            records[name] = value
        elif home is not None:
            home[name] = value
        else:
            arrays[f"model/{name}"] = Array(value) if isinstance(value, np.ndarray) else value
    made = {
        "arrays": ArrayRecord({k: v for k, v in arrays.items() if v is not None}),
        "metrics": MetricRecord({k: v for k, v in metrics.items() if v is not None}),
        "identity": ConfigRecord({k: v for k, v in identity.items() if v is not None}),
    }
    return RecordDict({k: v for k, v in {**made, **records}.items() if v is not None})


def answer(**changes) -> Message:
    return Message(content(**changes), reply_to=task())


def closing(**other) -> Message:
    """An answer to the closing query: the sketch alone, and what `other` adds or replaces."""
    left_out = {"num_examples": None, "loss": None, "steps": None}
    records = content(**{**left_out, **other})
    kept = {part: record for part, record in records.items() if part == "metrics"}
    return Message(RecordDict(kept), reply_to=task())


def raw(data: bytes, dtype: str = "float32", shape: tuple[int, ...] = (2,)) -> Array:
    """An array as a hostile site may send it: nothing says that the parts belong together."""
    return Array(dtype=dtype, shape=shape, stype="numpy.ndarray", data=data)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: tuple[int, ...]) -> bytes:
    """The start of a file that announces an array of this shape, and four bytes of it."""
    file = io.BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + bytes(4)


BASE = {"l.weight": WEIGHT, "l.bias": BIAS}
CHANGED = Expected("site-1", 4, {"l.weight": (2, 3), "l.bias": (2,)}, BASE)
STEPS = np.array([[127, -127, 0], [1, 2, 3]], dtype=np.int8)
ONE = np.array([1.0], dtype=np.float32)


def changes(**other):
    """A reply of int8 changes; both scales are 0.5 and the bias does not change."""
    arrays = {
        "l__weight": STEPS,
        "l__weight:scale": ONE / 2,
        "l__bias": np.zeros(2, dtype=np.int8),
        "l__bias:scale": ONE / 2,
    }
    return answer(**{**arrays, **other})
