"""A site of somebody else's making, written from docs/protocol.md: Flower, NumPy and torch alone.

It has two channels, a level and a flow, and no line of DTFL.
"""

import hashlib
import json
import math

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from torch import nn

SCHEMA = {
    "name": "small",
    "channels": [
        {"name": name, "unit": unit, "kind": name, "low": -50.0, "high": 50.0}
        for name, unit in (("level", "m"), ("flow", "L/s"))
    ],
    "period_s": 60.0,
}
LEVELS = [k / 10 for k in range(10)]
LEVELS += [1 - 0.08 * (0.0005 / 0.08) ** (k / 20) for k in range(21)] + [1.0]


def readings() -> np.ndarray:
    """A wave and its double, shape (200, 2), in m and L/s."""
    rng = np.random.default_rng(5)
    wave = np.sin(np.arange(200) / 5 + 0.5)
    return np.stack([wave, 2 * wave], axis=1) + 0.1 * rng.normal(size=(200, 2))


def answer(message: Message, context: Context) -> Message:
    """Answer any of the three messages."""
    kind = message.metadata.message_type
    if kind == "query.profile":
        return profile(message)
    arrays = complete(message.content, context)
    model = network(arrays, "model/")
    scale = scaled(arrays)
    counts, scores = sketches(model, scale[160:], context.run_config)
    metrics = {"calibration-counts": counts, "calibration-scores": scores}
    if kind == "query.calibrate":
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)
    loss, steps = train(model, scale[:160], message.content["method"], arrays, context.run_config)
    metrics |= {"num-examples": 160, "loss": loss, "steps": steps}
    task = message.content["task"]
    identity = {"site": task["site"], "server-round": task["server-round"]}
    content = {
        "arrays": record(upload(model, arrays, task)),
        "metrics": MetricRecord(metrics),
        "identity": ConfigRecord(identity),
    }
    return Message(RecordDict(content), reply_to=message)


def profile(message: Message) -> Message:
    x = readings()[:160]
    moments = {
        "n": np.full(2, 160.0),
        "mean": x.mean(axis=0),
        "m2": ((x - x.mean(axis=0)) ** 2).sum(axis=0),
    }
    text = json.dumps(SCHEMA, sort_keys=True)
    identity = {"site": "stranger", "schema": hashlib.sha256(text.encode()).hexdigest()[:16]}
    shares = {name: [0.0, 0.0] for name in ("missing", "frozen", "removed")}
    content = {
        "arrays": record(moments),
        "metrics": MetricRecord(shares),
        "identity": ConfigRecord(identity),
    }
    return Message(RecordDict(content), reply_to=message)


def record(arrays: dict[str, np.ndarray]) -> ArrayRecord:
    return ArrayRecord({name: Array(np.ascontiguousarray(a)) for name, a in arrays.items()})


def digest(array: np.ndarray) -> str:
    head = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()[:16]


def complete(content: RecordDict, context: Context) -> dict[str, np.ndarray]:
    sent = {name: array.numpy() for name, array in content["arrays"].items()}
    kept = context.state.array_records.get("kept", {})
    held = {name: array.numpy() for name, array in kept.items()}
    listing = content["listing"]
    found = {}
    for name, wanted in zip(listing["array-names"], listing["array-digests"], strict=True):
        if name in listing["array-changes"]:
            change = sent[name].astype(np.float32) * sent[name + ":scale"]
            found[name] = held[name] + change
        else:
            found[name] = sent[name] if name in sent else held[name]
        if wanted and digest(found[name]) != wanted:
            raise ValueError(f"{name} is not held in the wanted version")
    keep = dict(zip(listing["array-names"], listing["array-digests"], strict=True))
    context.state["kept"] = record({name: a for name, a in found.items() if keep[name]})
    return found


def network(arrays: dict[str, np.ndarray], start: str) -> nn.Sequential:
    told = {n: a for n, a in arrays.items() if n.startswith(start) and not n.endswith(":scale")}
    scales = {n: arrays.get(n + ":scale", np.ones(1, np.float32)) for n in told}
    weights = {n.removeprefix(start): a.astype(np.float32) * scales[n] for n, a in told.items()}
    linear = [nn.Linear(*a.shape[::-1]) for n, a in weights.items() if n.endswith("weight")]
    stack = [part for layer in linear for part in (layer, nn.ReLU())][:-1]
    model = nn.Sequential(*stack)
    state = {n.removeprefix("layers."): torch.from_numpy(a.copy()) for n, a in weights.items()}
    model.load_state_dict(state)
    return model


def scaled(arrays: dict[str, np.ndarray]) -> torch.Tensor:
    clip = float(arrays["scaler/clip"][0])
    x = (readings() - arrays["scaler/mean"]) / arrays["scaler/scale"]
    return torch.from_numpy(np.clip(x, -clip, clip).astype(np.float32))


def sketches(model, x, config) -> tuple[list[int], list[float]]:
    with torch.no_grad():
        scores = ((model(x) - x) ** 2).double().mean(dim=1).numpy()
    width = int(config["detector.smoothing"])
    smoothed = np.array([scores[max(0, i + 1 - width) : i + 1].mean() for i in range(len(scores))])
    each = {"instant": scores, "smoothed": smoothed}
    told = [each[kind] for kind in str(config["detector.evidence"]).split(",")]
    values = [np.quantile(of, LEVELS, method="higher").tolist() for of in told]
    return [len(of) for of in told], [value for sketch in values for value in sketch]


def train(model, x, method, arrays, config) -> tuple[float, int]:
    known = {"proximal.mu", "teacher.weight", "teacher.temperature"}
    if set(method) - known:
        raise ValueError(f"the method has {sorted(set(method) - known)}, which is not known here")
    mu, weight = method.get("proximal.mu", 0.0), method.get("teacher.weight", 0.0)
    teacher = network(arrays, "teacher/") if weight else None
    start = [p.detach().clone() for p in model.parameters()]
    optimiser = torch.optim.Adam(model.parameters(), lr=config["train.lr"])
    losses = []
    for _ in range(config["train.epochs"]):
        for batch in x.split(config["train.batch-size"]):
            said = model(batch)
            loss = (1 - weight) * ((said - batch) ** 2).mean()
            if teacher is not None:
                loss = loss + weight / 2 * ((teacher(batch).detach() - said) ** 2).mean()
            pulls = [((p - s) ** 2).sum() for p, s in zip(model.parameters(), start, strict=True)]
            optimiser.zero_grad()
            (loss + mu / 2 * sum(pulls)).backward()
            optimiser.step()
            losses.append(loss.item())
    return float(np.mean(losses)), len(losses)


def upload(model, arrays, task) -> dict[str, np.ndarray]:
    state = {f"layers.{name}": value.numpy() for name, value in model.state_dict().items()}
    told = {}
    for key in task["upload"]:
        name = f"model/{key}"
        if "upload-tag" not in task:
            told[name] = state[key]
            continue
        change = state[key] - arrays[name]
        scale = np.float32(np.abs(change).max() / 127) or np.float32(1)
        told[name] = np.rint(change / scale).clip(-127, 127).astype(np.int8)
        told[name + ":scale"] = np.array([scale], np.float32)
        assert math.isfinite(scale)
    return told
