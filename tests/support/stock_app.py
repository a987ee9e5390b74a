"""Somebody else's Flower app: a model with a convolution and batch normalisation, stock clients.

The clients know nothing of DTFL. They learn to tell upright stripes from flat ones; the twin draws
the same stripes without noise.
"""

from collections.abc import Callable

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from torch import Tensor, nn
from torch.nn import functional

from dtfl_app.flower import TorchTwin

__all__ = ["BATCHES", "Client", "loss_of", "network", "stripes", "twin"]

BATCHES = 4


def network(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Conv, BatchNorm with its int64 counter, and a linear layer: images (n, 1, 4, 4) -> (n, 2)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
        ).to(dtype)


def stripes(noise: float, seed: int, rows: int = 16) -> list[tuple[Tensor, Tensor]]:
    """Batches of images, half of them with upright stripes, and which of them."""
    rng = np.random.default_rng(seed)
    upright = np.tile([0.0, 1.0, 0.0, 1.0], (4, 1))
    batches = []
    for _ in range(BATCHES):
        y = rng.permutation(rows) % 2
        x = np.where(y[:, None, None] == 1, upright, upright.T) + rng.normal(0, noise, (rows, 4, 4))
        images = torch.from_numpy(x[:, None].astype(np.float32))
        batches.append((images, torch.from_numpy(y)))
    return batches


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross-entropy."""
    return functional.cross_entropy(model(batch[0]), batch[1])


def twin(**options: object) -> TorchTwin:
    """A twin of these sites; ten steps a round."""
    given = {"steps": 10, "lr": 0.01, "warm_steps": 20, **options}
    return TorchTwin(network, loss_of, stripes(0.0, seed=9), **given)  # type: ignore[arg-type]


class Client:
    """A stock ClientApp's training function, as Flower's own templates have it.

    Parameters
    ----------
    dtype : precision of the model.
    change : makes another reply of the site's own (state_dict, metrics) and the task.
    """

    def __init__(
        self, dtype: torch.dtype = torch.float32, change: Callable[..., None] | None = None
    ) -> None:
        self.dtype, self.change = dtype, change

    def __call__(self, message: Message, context: Context) -> Message:
        site = int(context.node_config["partition-id"])
        model, batches = network(dtype=self.dtype), stripes(0.3, seed=site)[: 2 + site]
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for x, y in batches:
            loss = loss_of(model, (x.to(self.dtype), y))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        state, metrics = model.state_dict(), {"train_loss": float(loss), "num-examples": len(x)}
        if self.change is not None:
            self.change(site, message, state, metrics)
        content = {"arrays": ArrayRecord(state), "metrics": MetricRecord(metrics)}
        return Message(RecordDict(content), reply_to=message)
