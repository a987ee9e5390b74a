"""Flower's grid without Flower's processes: messages are answered where they are sent.

It serves fast tests of what server and sites say to each other; it does not replace a run on the
real engine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
from flwr.app import Context, Error, Message, RecordDict, UserConfigValue
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from dtfl_app.client.app import app as client_app

__all__ = ["Handler", "InProcessGrid", "identify"]

Handler = Callable[[Message, Context], Message]


def identify() -> None:
    """Say who this process is, as Flower's launcher does before an app may make a message."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


@dataclass
class InProcessGrid(Grid):
    """K nodes with random ids and contexts of their own; every node is one site.

    Parameters
    ----------
    sites : K; node number i has partition-id i, or `node_configs[i]` where these are given.
    run_config : what all of them are told.
    handler : the ClientApp; an exception in it becomes an error reply, as in Flower.
    ids_seed : seed of the node ids.
    backwards : give the replies in reverse order.
    failing : partition ids whose node always fails.
    silent : partition ids whose node never answers a training task.
    tardy : partition ids whose answer to a training task is there only once the next are sent.

    `sent` and `received` hold all messages, in the order in which they were answered; a node that
    is taken out of `contexts` is not connected.
    """

    sites: int
    run_config: dict[str, UserConfigValue] = field(default_factory=dict)
    handler: Handler = client_app
    ids_seed: int = 0
    backwards: bool = False
    failing: Collection[int] = ()
    silent: Collection[int] = ()
    tardy: Collection[int] = ()
    node_configs: Sequence[dict[str, UserConfigValue]] = ()
    sent: list[Message] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        identify()
        self._ready: list[Message] = []
        self._held_back: list[Message] = []
        ids = np.random.default_rng(self.ids_seed).integers(2**62, size=self.sites).tolist()
        self._numbers = {node: index for index, node in enumerate(ids)}
        self.contexts = {node: self._context(node, index) for index, node in enumerate(ids)}

    def _context(self, node: int, index: int) -> Context:
        place: dict[str, UserConfigValue] = {"partition-id": index, "num-partitions": self.sites}
        if self.node_configs:
            place = {**self.node_configs[index]}
        return Context(1, node, place, RecordDict(), self.run_config)

    def get_node_ids(self) -> list[int]:
        """Ids of the nodes that are connected."""
        return list(self.contexts)

    def partition(self, message: Message) -> int:
        """Number of the node that a task was sent to."""
        node = message.metadata.dst_node_id
        place = self.contexts[node].node_config.get("partition-id")
        return self._numbers[node] if place is None else int(place)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Answer each message; an answer waits until it is pulled."""
        pushed = list(messages)
        if any(m.metadata.message_type == "train" for m in pushed):
            self._ready, self._held_back = self._ready + self._held_back, []
        for message in pushed:
            message.metadata.__dict__["_message_id"] = uuid4().hex
            if message.metadata.dst_node_id not in self.contexts or self._is_silent(message):
                continue
            tardy = self._is_training(message) and self.partition(message) in self.tardy
            (self._held_back if tardy else self._ready).append(self._answer(message))
        return [message.metadata.message_id for message in pushed]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Hand out the answers to these messages that are there."""
        wanted = set(message_ids)
        replies = [m for m in self._ready if m.metadata.reply_to_message_id in wanted]
        self._ready = [m for m in self._ready if m.metadata.reply_to_message_id not in wanted]
        self.received += replies
        return replies[::-1] if self.backwards else replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Push and pull at once, as Flower's own loop does."""
        return self.pull_messages(self.push_messages(messages))

    def _is_silent(self, message: Message) -> bool:
        return self._is_training(message) and self.partition(message) in self.silent

    @staticmethod
    def _is_training(message: Message) -> bool:
        return message.metadata.message_type == "train"

    def _answer(self, message: Message) -> Message:
        self.sent.append(message)
        try:
            if self._is_training(message) and self.partition(message) in self.failing:
                raise RuntimeError("the gateway is on fire")
            return self.handler(message, self.contexts[message.metadata.dst_node_id])
        except Exception as error:
            return Message(Error(code=2, reason=str(error)), reply_to=message)

    def tasks(self, kind: str = "train") -> Sequence[Message]:
        """All messages of one type that reached a node, in order."""
        return [m for m in self.sent if m.metadata.message_type == kind]

    # What a strategy never calls, but Flower's base class asks for.

    def set_run(self, run: object) -> None:
        """Not supported."""
        raise NotImplementedError

    @property
    def run(self) -> Any:  # noqa: ANN401 - as in Flower
        """Not supported."""
        raise NotImplementedError

    def create_message(self, *args: object, **kwargs: object) -> Message:
        """Not supported."""
        raise NotImplementedError
