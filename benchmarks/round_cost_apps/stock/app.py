"""Flower as it comes: its FedAvg, a training and an evaluation message a round, our detector."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from dtfl_app.detector.detector import Detector, ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_schema import read_site_schema

server = ServerApp()
client = ClientApp()
SPEC = ModelSpec("autoencoder", features=2, hidden=256, latent=24)


class Timed(FedAvg):
    """FedAvg that notes when each round began."""

    began: ClassVar[list[float]] = []

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Note the time, then do as ever."""
        self.began.append(time.monotonic())
        return super().configure_train(server_round, arrays, config, grid)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Play the rounds."""
    strategy = Timed(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3)
    start = ArrayRecord(build_model(SPEC, 0).state_dict())
    strategy.start(grid=grid, initial_arrays=start, num_rounds=context.run_config["rounds"])
    ends = [*strategy.began[1:], time.monotonic()]
    seconds = [end - begin for begin, end in zip(strategy.began, ends, strict=True)]
    Path(context.run_config["results"], "seconds.json").write_text(json.dumps(seconds))


def _open(message: Message, context: Context) -> tuple[Detector, torch.Tensor]:
    node = context.node_config
    schema = read_site_schema(Path(node["schema"]))
    series, _ = load_own_file(Path(node["data-path"]), schema, node["site-name"])
    rows = series[schema.schema.names].to_numpy("float32")
    x = torch.from_numpy((rows - rows.mean(axis=0)) / rows.std(axis=0))
    model = build_model(SPEC, 0)
    model.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    return model, x


@client.train()
def train(message: Message, context: Context) -> Message:
    """Two passes over the site's rows."""
    model, x = _open(message, context)
    optimizer = torch.optim.Adam(model.parameters())
    for batch in [*x.split(128), *x.split(128)]:
        optimizer.zero_grad()
        loss = torch.mean((model(batch) - batch) ** 2)
        loss.backward()
        optimizer.step()
    metrics = MetricRecord({"num-examples": len(x), "loss": float(loss.detach())})
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Loss of the new model on the site's rows."""
    model, x = _open(message, context)
    with torch.no_grad():
        loss = float(torch.mean((model(x) - x) ** 2))
    metrics = MetricRecord({"num-examples": len(x), "loss": loss})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)
