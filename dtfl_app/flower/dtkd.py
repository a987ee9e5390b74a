"""DTKD, digital twin knowledge distillation, for any Flower app, and what a client needs for it.

Belay et al., arXiv 2601.01701.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid

from dtfl_app.core.errors import ConfigError, ReplyError
from dtfl_app.core.settings import Value, to_mapping
from dtfl_app.flower.strategy import SiteReply, TwinStrategy, to_record
from dtfl_app.messages.quantise import SCALE, dequantise
from dtfl_app.messages.wire import to_arrays
from dtfl_app.rounds.parameters import Arrays
from dtfl_app.strategies.equations.dtkd import DTKDSettings, guide, packed_teacher

__all__ = ["DTKD", "read_teacher"]

_TEACHER, _LEARNED = "teacher", "soft-loss"


class DTKD(TwinStrategy):
    """A teacher is trained on twin data before round 1 and frozen; `side` says who learns from it.

    Settings: `side` ("client", "server"), `lambda_` in [0, 1], `temperature` > 0, `precision`
    ("float32": as it is, "int8").

    server: after each round the aggregate takes the twin's steps towards the teacher's outputs;
    clients are stock ones.
    client: every task has the teacher in the ArrayRecord "teacher" and "dtkd.lambda" and
    "dtkd.temperature" in its ConfigRecord. A client reads the one by `read_teacher`, and says that
    it learned from it by the metric "soft-loss"; ConfigError if no client does.
    """

    Settings = DTKDSettings

    def prepare(self) -> None:
        """Train the teacher from the initial model; the sites start from the untrained one."""
        self._teacher = self.twin.train(self.model, self.twin.warm_steps)

    def site_config(self) -> dict[str, Value | list[str]]:
        """Tell the clients how much the teacher counts."""
        return {**to_mapping(self.settings)} if self.settings.side == "client" else {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the teacher along where clients learn from it."""
        tasks = list(super().configure_train(server_round, arrays, config, grid))
        if self.settings.side == "client":
            teacher = _packed(self._teacher, self.settings.precision)
            for task in tasks:
                task.content[_TEACHER] = teacher
        return tasks

    def update(self, replies: Sequence[SiteReply]) -> Arrays:
        """Average; on the server's side, distil the aggregate."""
        side = self.settings.side
        if side == "client" and not any(_LEARNED in reply.metrics for reply in replies):
            raise ConfigError(
                f"DTKD: no client learned from the teacher it was sent (no reply has the metric "
                f'{_LEARNED!r}), which is FedAvg; use side="server" with stock clients, or let '
                "clients call dtfl_app.flower.read_teacher and return that metric"
            )
        return guide(self.mean(replies), self._teacher, self.twin.distil, side)


def read_teacher(message: Message) -> dict[str, torch.Tensor]:
    """Return the teacher's state_dict out of a training task; ReplyError if it has none."""
    if _TEACHER not in message.content.array_records:
        raise ReplyError(
            f"the task has no ArrayRecord {_TEACHER!r}; expected a task of "
            'dtfl_app.flower.DTKD(side="client")'
        )
    arrays = to_arrays(message.content.array_records[_TEACHER])
    rounded = {key for key in arrays if key + SCALE in arrays}
    parts = {k: v for k, v in arrays.items() if k.removesuffix(SCALE) in rounded}
    whole = {**arrays, **dequantise(parts)}
    return {k: torch.from_numpy(np.array(v)) for k, v in whole.items() if not k.endswith(SCALE)}


def _packed(teacher: Arrays, precision: str) -> ArrayRecord:
    """The teacher as it travels; integers cannot be rounded to 8 bits and stay as they are."""
    real = {k: v for k, v in teacher.items() if np.issubdtype(v.dtype, np.floating)}
    return to_record({**teacher, **packed_teacher(real, precision)})
