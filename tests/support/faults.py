"""Every bad thing a site may answer with, or do instead of answering.

A fault changes the honest reply's records; `misbehaving` wraps a site's handler so that it commits
given faults in given rounds. The module stands alone: a Flower app of tests carries a copy of it.
"""

import io
import os
import pickle
import resource
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

__all__ = ["FAULTS", "HALTS", "altered", "misbehaving", "write_plan"]

Handler = Callable[[Message, Context], Message]
Fault = Callable[[RecordDict, Path], None]

_OVERSIZED = 25_000_000  # float32 values: 100 MB
_SCALE = ":scale"


# --- what is wrong with the arrays --------------------------------------------------------------


def _arrays(content: RecordDict) -> dict[str, np.ndarray]:
    return {name: array.numpy() for name, array in content.array_records["arrays"].items()}


def _put(content: RecordDict, arrays: Mapping[str, np.ndarray]) -> None:
    content["arrays"] = ArrayRecord({name: Array(array) for name, array in arrays.items()})


def _filled(value: float) -> Fault:
    """All float values are `value`; of an int8 upload these are the scales."""

    def fault(content: RecordDict, _: Path) -> None:
        arrays = _arrays(content)
        floats = {k: np.full_like(a, value) for k, a in arrays.items() if a.dtype == np.float32}
        _put(content, {**arrays, **floats})

    return fault


def _first(change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """The first array is changed."""

    def fault(content: RecordDict, _: Path) -> None:
        arrays = _arrays(content)
        name = next(iter(arrays))
        _put(content, {**arrays, name: change(arrays[name])})

    return fault


def _renamed(content: RecordDict, _: Path) -> None:
    arrays = _arrays(content)
    first = next(iter(arrays))
    _put(content, {(f"{k}.old" if k == first else k): a for k, a in arrays.items()})


def _shortened(content: RecordDict, _: Path) -> None:
    arrays = _arrays(content)
    arrays.pop(next(iter(arrays)))
    _put(content, arrays)


def _lengthened(content: RecordDict, _: Path) -> None:
    _put(content, {**_arrays(content), "model/extra": np.zeros(3, np.float32)})


def _taller(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, array[:1]])


class _Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.makedirs, (str(self._mark), 0o777, True)


def _raw(make: Callable[[np.ndarray, Path], Array]) -> Fault:
    """The first array's bytes are not what its record says."""

    def fault(content: RecordDict, mark: Path) -> None:
        record = dict(content.array_records["arrays"].items())
        name = next(iter(record))
        record[name] = make(record[name].numpy(), mark)
        content["arrays"] = ArrayRecord(record)

    return fault


def _pickled(array: np.ndarray, mark: Path) -> Array:
    data = pickle.dumps(_Payload(mark))
    return Array(str(array.dtype), array.shape, "numpy.ndarray", data)


def _object_array(array: np.ndarray, mark: Path) -> Array:
    """A NumPy file of Python objects: reading it means unpickling them."""
    file = io.BytesIO()
    np.save(file, np.array([_Payload(mark)], dtype=object), allow_pickle=True)
    return Array(str(array.dtype), array.shape, "numpy.ndarray", file.getvalue())


def _pickle_stype(array: np.ndarray, mark: Path) -> Array:
    data = pickle.dumps(_Payload(mark))
    return Array(str(array.dtype), array.shape, "pickle", data)


def _truncated(array: np.ndarray, _: Path) -> Array:
    honest = Array(array)
    return Array(honest.dtype, honest.shape, honest.stype, honest.data[: len(honest.data) // 2])


def _archive(array: np.ndarray, _: Path) -> Array:
    """A NumPy archive instead of an array."""
    file = io.BytesIO()
    np.savez(file, array)
    return Array(str(array.dtype), array.shape, "numpy.ndarray", file.getvalue())


def _announced(array: np.ndarray, _: Path) -> Array:
    """The bytes announce 4 TB, more than any machine would make room for."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(file, header)
    return Array(str(array.dtype), array.shape, "numpy.ndarray", file.getvalue())


# --- what is wrong with the metrics, the identity and the records -------------------------------


def _metric(key: str, value: object) -> Fault:
    def fault(content: RecordDict, _: Path) -> None:
        # Past the record's own check: what comes over a wire was not checked by it.
        vars(content.metric_records["metrics"])["_data"][key] = value

    return fault


def _no_metric(key: str) -> Fault:
    def fault(content: RecordDict, _: Path) -> None:
        del content.metric_records["metrics"][key]

    return fault


def _stolen_name(content: RecordDict, _: Path) -> None:
    """The site before in the list of sites: plant-02 says it is plant-01."""
    identity = content.config_records["identity"]
    name = str(identity["site"])
    identity["site"] = f"{name[:-1]}{int(name[-1]) - 1}"


def _next_round(content: RecordDict, _: Path) -> None:
    identity = content.config_records["identity"]
    identity["server-round"] = int(identity["server-round"]) + 1


def _without(part: str) -> Fault:
    def fault(content: RecordDict, _: Path) -> None:
        del content[part]

    return fault


def _extra_record(content: RecordDict, _: Path) -> None:
    content["rows"] = ArrayRecord({"rows": Array(np.zeros((5, 2)))})


def _empty(content: RecordDict, _: Path) -> None:
    content.clear()


FAULTS: dict[str, Fault] = {
    "nan": _filled(np.nan),
    "infinite": _filled(np.inf),
    "huge": _filled(1e30),
    "shape": _first(_taller),
    "broadcast": _first(lambda array: np.ones((1, 2), array.dtype)),
    "scalar": _first(lambda array: np.ones((), array.dtype)),
    "dtype": _first(lambda array: array.astype(np.float64)),
    "integers": _first(lambda array: array.astype(np.int64)),
    "renamed-layer": _renamed,
    "missing-layer": _shortened,
    "extra-layer": _lengthened,
    "oversized": _first(lambda array: np.zeros(_OVERSIZED, np.float32)),
    "pickled": _raw(_pickled),
    "pickle-type": _raw(_pickle_stype),
    "object-array": _raw(_object_array),
    "truncated": _raw(_truncated),
    "archive": _raw(_archive),
    "announced": _raw(_announced),
    "examples-nan": _metric("num-examples", float("nan")),
    "examples-fraction": _metric("num-examples", 12.5),
    "examples-negative": _metric("num-examples", -1000),
    "examples-zero": _metric("num-examples", 0),
    "examples-huge": _metric("num-examples", 1_000_000_000),
    "examples-bool": _metric("num-examples", True),
    "examples-list": _metric("num-examples", [10]),
    "examples-missing": _no_metric("num-examples"),
    "loss-nan": _metric("loss", float("nan")),
    "loss-missing": _no_metric("loss"),
    "steps-negative": _metric("steps", -1),
    "scores-nan": _metric("calibration-scores", [float("nan")]),
    "counts-huge": _metric("calibration-counts", [1_000_000_000]),
    "extra-metric": _metric("temperature", 21.5),
    "stolen-name": _stolen_name,
    "next-round": _next_round,
    "no-arrays": _without("arrays"),
    "no-metrics": _without("metrics"),
    "no-identity": _without("identity"),
    "extra-record": _extra_record,
    "empty": _empty,
}


# --- what a site does instead of answering ------------------------------------------------------


def _fail() -> None:
    raise RuntimeError("the gateway is on fire")


def _exit() -> None:
    os._exit(3)


def _be_killed() -> None:
    """What the kernel does to a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def _run_out_of_memory() -> None:
    """Allocate beyond a limit of this process, so that the machine has enough left."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, before[1]))
    try:
        np.ones(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _hang() -> None:
    time.sleep(600)


HALTS: dict[str, Callable[[], None]] = {
    "fail": _fail,
    "exit": _exit,
    "killed": _be_killed,
    "memory": _run_out_of_memory,
    "hang": _hang,
}


# --- who does it when ---------------------------------------------------------------------------

Plan = Mapping[tuple[int, str], str]


def write_plan(plan: Plan) -> str:
    """Write {(2, "plant-02"): "nan"} as ``2:plant-02:nan``; several are separated by commas."""
    return ",".join(f"{number}:{site}:{fault}" for (number, site), fault in plan.items())


def altered(honest: Handler, text: str, results: Path) -> Handler:
    """Let a site commit the faults of a written plan."""
    entries = [entry.split(":") for entry in text.split(",") if entry]
    plan = {(int(number), site): fault for number, site, fault in entries}
    return misbehaving(honest, plan, results / "unpickled")


def misbehaving(honest: Handler, plan: Plan, mark: Path) -> Handler:
    """Wrap a site's handler: in the round and at the site that `plan` names it commits the fault.

    "replay" answers with the last reply of an earlier round. `mark` is a path that exists once a
    pickled payload was unpickled.
    """

    def handler(message: Message, context: Context) -> Message:
        if message.metadata.message_type != "train":
            return honest(message, context)
        task = message.content.config_records["task"]
        fault = plan.get((int(task["server-round"]), str(task["site"])), "")
        if fault in HALTS:
            HALTS[fault]()
        reply = honest(message, context)
        if fault == "replay":
            return Message(_remembered(context), reply_to=message)
        _remember(reply.content, context)
        if fault in FAULTS:
            FAULTS[fault](reply.content, mark)
        return reply

    return handler


_KINDS = {"arrays": ArrayRecord, "identity": ConfigRecord, "metrics": MetricRecord}


def _remember(content: RecordDict, context: Context) -> None:
    for part, kind in _KINDS.items():
        context.state[f"said-{part}"] = kind(dict(content[part].items()))


def _remembered(context: Context) -> RecordDict:
    return RecordDict({part: context.state[f"said-{part}"] for part in _KINDS})
