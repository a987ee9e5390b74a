"""What two kinds of model files claim to hold, read off before anything is made of it.

A tensor's shape costs nothing to write down: a file of a hundred bytes can claim 100 GB, which
whoever loads it would first ask the system for. Formats: onnx.proto3 of https://github.com/onnx/onnx
(in protobuf's wire encoding) and https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from dtfl_app.bundle.reading import convert, parse
from dtfl_app.core.errors import BundleError

__all__ = ["require_onnx", "safetensors_header"]

# Numbers of fields in onnx.proto3.
_GRAPH, _FUNCTIONS = 7, 25  # of a model
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # of a graph
_ATTRIBUTE = 5  # of a node
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE_ONE, _SPARSES = 5, 6, 10, 11, 22, 23
_DIMS, _NAME, _EXTERNAL, _LOCATION = 1, 8, 13, 14  # of a tensor
# Kinds of wire encoding.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def require_onnx(content: bytes, where: Path, remedy: str) -> None:
    """Raise BundleError unless each tensor of an ONNX model is in its file as large as it claims.

    Parameters
    ----------
    content : of the file `where`.
    remedy : what to do if it is not, for the message.
    """
    try:
        graphs = [part for number, part in _fields(content) if number == _GRAPH]
        if len(graphs) != 1 or not isinstance(graphs[0], bytes):
            raise ValueError(f"{len(graphs)} graphs, expected one")
        if any(number == _FUNCTIONS for number, _ in _fields(content)):
            raise ValueError("it defines functions, expected none")
        for tensor in _tensors(graphs[0]):
            _require_held(tensor)
    except ValueError as error:
        raise BundleError(f"{where} is no detector in ONNX ({error}); {remedy}") from error


def _tensors(graph: bytes) -> Iterator[bytes]:
    """All tensors of a graph, those that its nodes carry included."""
    for number, part in _fields(graph):
        if number == _SPARSE:
            raise ValueError("it holds a sparse tensor, expected none")
        if number == _INITIALIZER and isinstance(part, bytes):
            yield part
        elif number == _NODE and isinstance(part, bytes):
            for inner, attribute in _fields(part):
                if inner == _ATTRIBUTE and isinstance(attribute, bytes):
                    yield from _of_attribute(attribute)


def _of_attribute(attribute: bytes) -> Iterator[bytes]:
    for number, part in _fields(attribute):
        if number in (_SUBGRAPH, _SUBGRAPHS, _SPARSE_ONE, _SPARSES):
            raise ValueError("one of its nodes holds a graph or a sparse tensor, expected none")
        if number in (_TENSOR, _TENSORS) and isinstance(part, bytes):
            yield part


def _require_held(tensor: bytes) -> None:
    """A number takes at least a byte, whatever its type and the field that holds it."""
    shape: list[int] = []
    name = ""
    for number, part in _fields(tensor):
        if number == _DIMS:
            shape += [part] if isinstance(part, int) else _varints(part)
        elif number == _NAME and isinstance(part, bytes):
            name = part.decode(errors="replace")[:60]
        elif number == _EXTERNAL or (number == _LOCATION and part):
            raise ValueError(f"tensor {name!r} stands in another file, expected it in this one")
    claimed = math.prod(shape)
    # A negative size is one beyond 2^63 in this encoding, and so is refused here, too.
    if claimed > len(tensor):
        raise ValueError(
            f"tensor {name!r} claims {'x'.join(map(str, shape))} = {claimed} numbers, in "
            f"{len(tensor)} bytes"
        )


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message; ValueError where it is cut short."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(content, place)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"no field begins at byte {place}")
        if place + length > len(content):
            raise ValueError(f"it is cut short: a field needs {length} bytes at byte {place}")
        yield number, content[place : place + length]
        place += length


def _varints(content: bytes) -> list[int]:
    found, place = [], 0
    while place < len(content):
        value, place = _varint(content, place)
        found.append(value)
    return found


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number in groups of 7 bits, the least first, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise ValueError(f"it is cut short at byte {place}")
        byte = content[place]
        value, place = value | (byte & 0x7F) << shift, place + 1
        if byte < 0x80:
            return value, place
    raise ValueError(f"no number ends at byte {place}")


class _TensorRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a tensor lies in a safetensors file."""

    dtype: str
    shape: list[Annotated[int, Meta(ge=0)]]
    data_offsets: tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]]


def safetensors_header(content: bytes, where: Path, remedy: str) -> dict[str, Any]:
    """Return the metadata of a safetensors file whose tensors fill it without a gap.

    Raises BundleError; parameters as of `require_onnx`.
    """
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise BundleError(f"{where} is cut short, or not in the format safetensors; {remedy}")
    header = parse(content[8 : 8 + length], where, remedy)
    metadata = convert(header.pop("__metadata__", {}), dict[str, str], where, remedy)
    tensors = convert(header, dict[str, _TensorRecord], where, remedy)
    end = 0
    for first, last in sorted(tensor.data_offsets for tensor in tensors.values()):
        if first != end or last < first:
            raise BundleError(f"{where}: a tensor begins at byte {first}, not {end}; {remedy}")
        end = last
    if end != len(content) - 8 - length:
        raise BundleError(
            f"{where} holds {len(content) - 8 - length} bytes of tensors, its header tells of "
            f"{end}; {remedy}"
        )
    return metadata
