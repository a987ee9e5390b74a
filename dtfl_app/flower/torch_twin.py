"""The twin of somebody else's app: any torch model, a loss, and batches of the twin's data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dtfl_app.core.errors import ConfigError, TwinError
from dtfl_app.core.settings import read_settings, setting
from dtfl_app.rounds.parameters import Arrays

__all__ = ["TorchTwin", "own_words", "soft_targets"]

Batch = Any
Loss = Callable[[Batch], Tensor]


def soft_targets(model: nn.Module, teacher: nn.Module, batch: Batch) -> Tensor:
    """Mean KL divergence of the student's class probabilities from the teacher's.

    `batch` : its first entry is the input; the models map it to logits of shape (n, classes).
    """
    with torch.no_grad():
        wanted = functional.log_softmax(teacher(batch[0]), dim=1)
    told = functional.log_softmax(model(batch[0]), dim=1)
    return functional.kl_div(told, wanted, reduction="batchmean", log_target=True)


@dataclass(frozen=True, slots=True)
class _Settings:
    steps: int = setting(100, "mini-batches on twin data per round", low=0)
    lr: float = setting(1e-3, "Adam's step size on twin data", above=0.0)
    warm_steps: int = setting(2000, "mini-batches that make a teacher", low=1)
    seed: int = setting(0, "of the mini-batches", low=0)


class TorchTwin:
    """Takes steps on the twin's data for whichever strategy asks.

    Its randomness depends on the seed and the round alone, as far as loader and model draw theirs
    from torch, so a run repeats exactly.

    Parameters
    ----------
    model_fn : makes a model of the federation's architecture; its weights are scratch space. It
        may be of another precision than what travels, e.g. float32 for float16.
    loss_fn : (model, batch) -> mean loss of the batch, one number.
    loader : batches of the twin's data, to be gone through again and again: a DataLoader that
        shuffles, or a list.
    steps : mini-batches per round, >= 0; 0 = the twin teaches nothing.
    lr : Adam's step size, > 0.
    warm_steps : mini-batches that make DTKD's teacher, >= 1.
    seed : >= 0.
    soft_loss_fn : (model, teacher, batch) -> mean distance of their outputs, for DTKD at the
        server.

    Raises ConfigError for a number out of its range, TwinError for a loader without batches, a loss
    that is not one finite number, or arrays that are not the model's.
    """

    def __init__(
        self,
        model_fn: Callable[[], nn.Module],
        loss_fn: Callable[[nn.Module, Batch], Tensor],
        loader: Iterable[Batch],
        steps: int = 100,
        lr: float = 1e-3,
        *,
        warm_steps: int = 2000,
        seed: int = 0,
        soft_loss_fn: Callable[[nn.Module, nn.Module, Batch], Tensor] = soft_targets,
    ) -> None:
        given = {"steps": steps, "lr": lr, "warm-steps": warm_steps, "seed": seed}
        with own_words("TorchTwin"):
            self._settings = read_settings(_Settings, given)
        self._model = model_fn()
        self._loss_fn, self._soft_loss_fn = loss_fn, soft_loss_fn
        self._loader = loader
        self._round = self._calls = 0

    @property
    def trainable(self) -> frozenset[str]:
        """Names of the model's parameters; its other arrays are buffers."""
        return frozenset(name for name, _ in self._model.named_parameters())

    @property
    def warm_steps(self) -> int:
        """Mini-batches that make a teacher."""
        return self._settings.warm_steps

    def begin_round(self, server_round: int) -> None:
        """Let the randomness begin anew for this round."""
        self._round, self._calls = server_round, 0

    def train(self, params: Arrays, steps: int | None = None) -> Arrays:
        """Return `params` after `steps` (default: the round's) Adam steps on twin data."""
        count = self._settings.steps if steps is None else steps
        return self._learn(params, count, lambda batch: self._loss_fn(self._model, batch))

    def distil(self, params: Arrays, teacher: Arrays) -> Arrays:
        """Return `params` after the round's steps towards the teacher's outputs on twin inputs."""
        self._load(teacher)
        tutor = copy.deepcopy(self._model).eval()
        steps = self._settings.steps
        return self._learn(params, steps, lambda b: self._soft_loss_fn(self._model, tutor, b))

    def gradient(self, params: Arrays, rows: int) -> Arrays:
        """Gradient of the twin loss at `params`, 0 for buffers.

        `rows` : how many rows it is taken over: whole batches of one pass until they are reached.
        """
        self._load(params)
        self._model.train()
        self._model.zero_grad(set_to_none=True)
        seen = 0
        with self._seeded():
            for batch in self._pass():
                count = _rows(batch)
                loss = self._finite(self._loss_fn(self._model, batch), "a gradient")
                (loss * count).backward()  # type: ignore[no-untyped-call] # torch's is untyped
                seen += count
                if seen >= rows:
                    break
        slopes = {name: p.grad for name, p in self._model.named_parameters() if p.grad is not None}
        return {
            key: _numbers(slopes[key] / seen, value) if key in slopes else np.zeros_like(value)
            for key, value in params.items()
        }

    def require_model(self, params: Arrays) -> None:
        """Raise TwinError unless `params` have the names and shapes of the twin's model."""
        own = {name: tuple(value.shape) for name, value in self._model.state_dict().items()}
        sent = {name: value.shape for name, value in params.items()}
        for name in [*own, *sent]:
            if own.get(name) != sent.get(name):
                raise TwinError(
                    f"array {name!r} has shape {own.get(name, 'none')} in the twin's model and "
                    f"{sent.get(name, 'none')} in the federation's; model_fn must make the model "
                    "whose state_dict the initial arrays are"
                )

    def _learn(self, params: Arrays, steps: int, loss_of: Loss) -> Arrays:
        self._load(params)
        self._model.train()
        optimiser = torch.optim.Adam(self._model.parameters(), lr=self._settings.lr)
        with self._seeded():
            for number, batch in enumerate(islice(self._endless(), steps), start=1):
                loss = self._finite(loss_of(batch), f"step {number} of {steps}")
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call] # torch's backward is untyped
                optimiser.step()
        return {key: _numbers(v, params[key]) for key, v in self._model.state_dict().items()}

    def _load(self, params: Arrays) -> None:
        self.require_model(params)
        # a copy: what came from Flower cannot be written to
        self._model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in params.items()})

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self._pass()

    def _pass(self) -> Iterator[Batch]:
        empty = True
        for batch in self._loader:
            empty = False
            yield batch
        if empty:
            raise TwinError(
                "TorchTwin: the loader gave no batch; expected at least one in every pass, from a "
                "DataLoader or a list (a generator is used up after its first pass)"
            )

    def _finite(self, loss: Tensor, where: str) -> Tensor:
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise TwinError(
                f"TorchTwin: the loss is {found}, expected a tensor of one number; take the mean "
                "over the batch"
            )
        if not torch.isfinite(loss).all():
            raise TwinError(
                f"TorchTwin: the loss is {float(loss)} in {where} of round {self._round}; lower "
                "the step size, look for values that are not finite in the twin's data, and train "
                "a float16 model in float32 (model_fn)"
            )
        return loss

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Draw from torch by seed, round and call; leave the app's own random state as it is."""
        self._calls += 1
        seeds = np.random.SeedSequence([self._settings.seed, self._round, self._calls])
        seed = int(seeds.generate_state(1)[0])
        devices = {p.device for p in self._model.parameters() if p.device.type == "cuda"}
        with torch.random.fork_rng(devices=list(devices)):
            torch.manual_seed(seed)
            if (own := getattr(self._loader, "generator", None)) is not None:
                own.manual_seed(seed)
            yield


@contextmanager
def own_words(owner: str) -> Iterator[None]:
    """Let an error about a setting name its owner, not a run config that is not there."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{owner}: {str(error).removeprefix('run config: ')}") from None


def _numbers(value: Tensor, like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A tensor as an array of the precision that travels; a copy."""
    kind = torch.from_numpy(np.empty(0, like.dtype)).dtype
    return value.detach().to("cpu", kind, copy=True).numpy()


def _rows(batch: Batch) -> int:
    """Rows of a batch: those of its first tensor."""
    if isinstance(batch, Tensor):
        return len(batch)
    parts = list(batch.values()) if isinstance(batch, Mapping) else batch
    if isinstance(parts, Sequence) and len(parts):
        return _rows(parts[0])
    raise TwinError(
        f"TorchTwin: a batch is {type(batch).__name__}, so its rows cannot be counted; expected a "
        "tensor, or a sequence or mapping that begins with one"
    )
