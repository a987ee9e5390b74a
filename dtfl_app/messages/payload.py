"""The layers of a reply: measured against what the site was asked for, and only then read.

Flower's own reader believes the bytes: it opens archives, and makes room for the shape that they
announce. Here an array's name, label and size must be those of the layer asked for before a byte of
it is read, and the bytes must then hold just that array, as plain numbers.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from dtfl_app.core.errors import ReplyError
from dtfl_app.core.logs import one_line, quoted
from dtfl_app.detector.params import Params
from dtfl_app.messages.declaration import ArraySpec, listed
from dtfl_app.messages.quantise import SCALE, Quantised, dequantise
from dtfl_app.messages.wire import MODEL, Arrays

__all__ = ["HEADER_LIMIT", "WEIGHT_LIMIT", "check_labels", "check_layers", "read_arrays", "usable"]

# Bytes that an array may take beyond its numbers; NumPy's own header takes 128.
HEADER_LIMIT = 1024
# Inputs are standardised and clipped, so trained weights stay below 100; one reply of 1e30 would
# be finite and ruin the mean all the same.
WEIGHT_LIMIT = 1e6

_NUMPY = "numpy.ndarray"


def read_arrays(record: ArrayRecord, declared: Mapping[str, ArraySpec]) -> Arrays:
    """Read the arrays of a reply in the order of their declaration.

    Raises ReplyError unless they are all there, no others are, and each is what is declared.
    """
    check_labels(record, declared)
    return {name: _read(name, record[name], of) for name, of in declared.items()}


def check_labels(record: ArrayRecord, declared: Mapping[str, ArraySpec]) -> None:
    """Check names, labels and sizes of the arrays of a reply, of which none is read.

    Raises ReplyError unless they are those declared.
    """
    missing, unasked = declared.keys() - record.keys(), record.keys() - declared.keys()
    differences = {"missing": missing, "not asked for": unasked}
    if missing or unasked:
        said = "; ".join(f"{what}: {listed(n)}" for what, n in differences.items() if n)
        raise ReplyError(f"arrays are not those asked for; {said}")
    for name, of in declared.items():
        _check_label(name, record[name], of)


def check_layers(
    layers: Quantised,
    shapes: Mapping[str, tuple[int, ...]],
    base: Params | None,
    what: str = "layer",
) -> Params:
    """Return what the layers of a reply are in float32; ReplyError if one is not usable.

    Parameters
    ----------
    layers : float32 layers, or int8 changes and their scales.
    shapes : parameter key -> shape, of the layers asked for.
    base : the same layers as the site received them, if changes of them are due; None = layers.
    what : what they are called in the reason.
    """
    params: Params = {}
    for key in shapes:
        array = layers[key]
        if base is None:
            params[key] = array.astype(np.float32, copy=False)
        else:
            params[key] = base[key] + _change(f"{what} {key!r}", array, layers[key + SCALE])
        if not usable({key: params[key]}):
            raise ReplyError(
                f"{what} {key!r} holds values that are not finite or beyond {WEIGHT_LIMIT:g}"
            )
    return params


def usable(params: Params) -> bool:
    """Tell whether all values are finite and no larger than `WEIGHT_LIMIT`."""
    return all(bool((np.abs(value) <= WEIGHT_LIMIT).all()) for value in params.values())


def _title(name: str) -> str:
    key = name.removeprefix(f"{MODEL}/")
    if key == name:
        return f"array {name!r}"
    return (
        f"scale of layer {key.removesuffix(SCALE)!r}" if key.endswith(SCALE) else f"layer {key!r}"
    )


def _require(name: str, dtype: object, shape: object, of: ArraySpec) -> None:
    if (str(dtype), shape) != (of.dtype, of.shape):
        got = one_line(f"{dtype} {quoted(shape)}", limit=120)
        raise ReplyError(f"{_title(name)} is {got}, expected {of.dtype} {of.shape}")


def _size(of: ArraySpec) -> int:
    """Bytes of the numbers of an array."""
    return np.dtype(of.dtype).itemsize * math.prod(of.shape)


def _check_label(name: str, array: Array, of: ArraySpec) -> None:
    """Check what an array says it is, and its size, without reading it."""
    _require(name, array.dtype, array.shape, of)
    if array.stype != _NUMPY:
        raise ReplyError(
            f"{_title(name)} cannot be read: it is packed as {quoted(array.stype)}, expected "
            f"{_NUMPY!r}; nothing is ever unpickled"
        )
    if len(array.data) > _size(of) + HEADER_LIMIT:
        raise ReplyError(
            f"{_title(name)} has {len(array.data)} bytes, expected {_size(of)} and at most "
            f"{HEADER_LIMIT} before them"
        )


def _read(name: str, array: Array, of: ArraySpec) -> NDArray[np.generic]:
    """Read an array whose header must say what its label says, and whose bytes must be all there.

    A copy: Flower's bytes cannot be written to.
    """
    file = io.BytesIO(array.data)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("another version of NumPy's format")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file, HEADER_LIMIT)
    # Not narrower: on malformed bytes NumPy also lets errors of its tokenizer and parser out.
    except Exception as error:
        raise ReplyError(
            f"{_title(name)} cannot be read: its bytes are no array in NumPy's format 1.0; pickles "
            "and archives are never opened"
        ) from error
    if dtype.hasobject:
        raise ReplyError(
            f"{_title(name)} cannot be read: it holds pickled Python objects, which are never "
            "opened"
        )
    _require(name, dtype, shape, of)
    numbers = len(array.data) - file.tell()
    if numbers != _size(of):
        raise ReplyError(
            f"{_title(name)} cannot be read: {numbers} bytes of numbers, expected {_size(of)}"
        )
    values = np.frombuffer(array.data, dtype, offset=file.tell())
    return values.reshape(of.shape, order="F" if fortran_order else "C").copy()


def _change(
    whose: str, steps: NDArray[np.generic], scale: NDArray[np.generic]
) -> NDArray[np.float32]:
    if not 0 < float(scale[0]) < math.inf:
        raise ReplyError(f"scale of {whose} is {scale[0]}, expected a positive finite number")
    with np.errstate(over="ignore"):  # a product beyond float32 is refused with its layer
        return dequantise({whose: steps, whose + SCALE: scale})[whose]
