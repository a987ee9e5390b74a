"""Messages out, replies in, with a deadline; who has not answered yet is known and not asked again.

Flower's `Grid.send_and_receive` forgets what it is still owed when its time is up. Here a reply
that comes late is found in a later round, and its sender is busy until then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from dtfl_app.core.logs import one_line

__all__ = ["Answers", "PendingReplies"]

# A simulated round takes some tenths of a second, a gateway's some seconds.
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.1, 0.3, 1.1


@dataclass(frozen=True, slots=True)
class Answers:
    """What came in.

    Parameters
    ----------
    replies : in the order in which they came; of this round or of an earlier one.
    lost : node -> why no reply of it will ever come.
    """

    replies: list[Message] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)


class PendingReplies:
    """Sends over a grid and keeps account of what is still to come.

    Parameters
    ----------
    grid : Flower's way to the nodes.
    patience : seconds after which `give_up` lets a node off an answer.
    clock, sleep : the time in seconds, and a pause.
    """

    def __init__(
        self,
        grid: Grid,
        patience: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._grid = grid
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._owed: dict[str, int] = {}
        self._sent: dict[str, float] = {}
        self._given_up: set[str] = set()

    @property
    def busy(self) -> set[int]:
        """Nodes that owe a reply."""
        return set(self._owed.values())

    def online(self) -> set[int]:
        """Nodes that are connected now."""
        return set(self._grid.get_node_ids())

    def send(self, messages: Iterable[Message]) -> Answers:
        """Send messages, to one node at most one; `lost` names the nodes that are out of reach."""
        sent = list(messages)
        if not sent:
            return Answers()
        accepted = {str(i) for i in self._grid.push_messages(sent) if i is not None}
        lost = {}
        for message in sent:
            node, message_id = message.metadata.dst_node_id, message.metadata.message_id
            if message_id in accepted:
                self._owed[message_id], self._sent[message_id] = node, self._clock()
            else:
                lost[node] = "the SuperLink did not accept the message for it"
        return Answers(lost=lost)

    def collect(self, nodes: Collection[int], seconds: float) -> Answers:
        """Wait for a reply of every node in `nodes`, `seconds` at most; others' come along.

        With no node to wait for, what is there already is taken and nothing waited for.
        """
        answers, deadline, pause = Answers(), self._clock() + seconds, _FIRST_PAUSE
        while True:
            self._pull(answers)
            left = deadline - self._clock()
            if not self.busy & set(nodes) or left <= 0:
                return answers
            self._sleep(min(pause, left))
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def exchange(
        self, messages: Iterable[Message], seconds: float, owing: Collection[int] = ()
    ) -> Answers:
        """Send, and wait for those the messages went to, and for the nodes in `owing`."""
        sent = list(messages)
        answers = self.send(sent)
        asked = {message.metadata.dst_node_id for message in sent}
        came = self.collect(asked.union(owing), seconds)
        return Answers(came.replies, {**answers.lost, **came.lost})

    def give_up(self) -> list[int]:
        """Let nodes off answers that they owe too long, and return them; what comes is dropped.

        A gateway that lost its power with a task in hand is soon back under the same node id.
        Nobody has the task any more then, and Flower reports that after 12 hours.
        """
        late = self._clock() - self._patience
        lapsed = [i for i in self._owed if self._sent[i] < late]
        self._given_up |= set(lapsed)
        return [self._forget(message_id) for message_id in lapsed]

    def await_change(self, online: Collection[int], seconds: float) -> None:
        """Wait until other nodes than `online` are connected, `seconds` at most."""
        deadline = self._clock() + seconds
        while self.online() == set(online) and (left := deadline - self._clock()) > 0:
            self._sleep(min(_LONGEST_PAUSE, left))

    def _pull(self, answers: Answers) -> None:
        asked = [*self._owed, *self._given_up]
        if not asked:
            return
        for reply in self._grid.pull_messages(asked):
            message_id = reply.metadata.reply_to_message_id
            if message_id in self._given_up:
                self._given_up.discard(message_id)
                continue
            node = self._forget(message_id) if message_id in self._owed else None
            if node is None or reply.metadata.src_node_id == node:
                answers.replies.append(reply)
            else:
                # Flower answers for a node whose reply cannot be had any more.
                reason = reply.error.reason if reply.has_error() else "it came from another node"
                answers.lost[node] = one_line(f"no reply: {reason}")

    def _forget(self, message_id: str) -> int:
        del self._sent[message_id]
        return self._owed.pop(message_id)
