"""The replies of one round: let in, held against each other, and counted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from flwr.app import Message

from dtfl_app.core.sections import RoundSettings
from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.samples import Judged
from dtfl_app.messages.admission import Reply
from dtfl_app.results.run_events import RunEvent
from dtfl_app.rounds.transport import Transport

__all__ = ["RoundReplies"]

# Replies that came together -> those that count, perhaps less than fully, and why others do not.
Screen = Callable[[Sequence[Reply]], tuple[list[Reply], dict[str, str]]]


class RoundReplies:
    """What sites said in one round, each message beside the reply that was read from it.

    Parameters
    ----------
    server_round : the round.
    upload : keys that a reply must have; a late one with others cannot be merged.
    settings : what becomes of late replies.
    transport : knows who was asked for what.
    screen : holds replies that came together against each other.
    note : takes why a reply does not count, or counts less.
    """

    def __init__(
        self,
        server_round: int,
        upload: Collection[str],
        settings: RoundSettings,
        transport: Transport,
        screen: Screen,
        note: Callable[[RunEvent], None],
    ) -> None:
        self.server_round = server_round
        self._upload = set(upload)
        self._settings = settings
        self._transport = transport
        self._screen = screen
        self._note = note
        self._admitted: dict[Message, Reply] = {}
        self._timely: dict[str, Message] = {}
        self._late: dict[str, Message] = {}

    @property
    def sites(self) -> set[str]:
        """Sites with a usable reply to this round."""
        return set(self._timely)

    def messages(self) -> list[Message]:
        """Messages that count, by site name; a site's late one does not beside a new one."""
        merged = {**self._late, **self._timely}
        return [merged[site] for site in sorted(merged)]

    def sketches(self) -> Mapping[str, tuple[Sketch, ...]]:
        """Site -> its scores of the round's model; late replies scored an older one."""
        return {site: self._admitted[m].sketches for site, m in self._timely.items()}

    def judged(self) -> Mapping[str, Judged]:
        """Site -> scores of its labelled rows by the round's model, of those that have any."""
        found = {site: self._admitted[m].judged for site, m in self._timely.items()}
        return {site: judged for site, judged in found.items() if judged}

    def admit(self, messages: Iterable[Message]) -> None:
        """Let in those that are sound, in time and not unlike the others; note why others not."""
        found = self._sound(messages)
        usable, suspected = self._screen([reply for _, _, reply in found.values()])
        for site, reason in suspected.items():
            self._refuse(found[site][0], self.server_round, site, reason)
        for reply in usable:
            message, answered, _ = found[reply.site]
            if answered == self.server_round:
                self._timely[reply.site], self._admitted[message] = message, reply
            else:
                self._late[reply.site] = message
                self._admitted[message] = self._discounted(answered, reply)

    def counting(self, messages: Iterable[Message]) -> list[Reply]:
        """Return the replies read from `messages`, by site name; new ones are let in first.

        Those that were let in and are not among `messages` are refused.
        What a message said was read when it came in: a message that was rewritten since counts as
        it came, and one put in its place is refused as a second reply.
        """
        given = list(messages)
        for message in self.messages():
            if message not in given:
                site = self._admitted[message].site
                self._refuse(message, self.server_round, site, "left out by aggregate_train")
        if new := [message for message in given if message not in self._admitted]:
            self.admit(new)
        replies = [self._admitted[message] for message in given if message in self._admitted]
        return sorted(replies, key=lambda reply: reply.site)

    def _sound(self, messages: Iterable[Message]) -> dict[str, tuple[Message, int, Reply]]:
        """Site -> (message, round it answers, reply), by site name, of what may count here."""
        found = []
        for message in messages:
            admission = self._transport.admit([message])
            for site, answered, reason in admission.refused:
                self._say("refused", answered or self.server_round, site, reason)
            found += [(message, answered, reply) for answered, reply in admission.replies]
        found.sort(key=lambda entry: entry[2].site)
        return {entry[2].site: entry for entry in found if self._mergeable(*entry)}

    def _mergeable(self, message: Message, answered: int, reply: Reply) -> bool:
        """Tell whether a reply may count in this round; say why a late one may not."""
        if answered == self.server_round:
            return True
        dropped = self._settings.late == "drop"
        if not dropped and set(reply.params) == self._upload:
            return True
        why = "dropped" if dropped else "its layers are not this round's"
        reason = f"late: answers round {answered}, this is round {self.server_round}; {why}"
        self._refuse(message, answered, reply.site, reason)
        return False

    def _discounted(self, answered: int, reply: Reply) -> Reply:
        age = self.server_round - answered
        weight = reply.weight * (1.0 + age) ** -self._settings.late_exponent
        reason = f"answers round {answered}, merged in round {self.server_round}"
        self._say("late", answered, reply.site, reason, weight=weight)
        return replace(reply, weight=weight)

    def _refuse(self, message: Message, server_round: int, site: str, reason: str) -> None:
        self._say("refused", server_round, site, reason)
        self._transport.disown(message.metadata.src_node_id)

    def _say(self, kind: str, server_round: int, site: str, reason: str, **figures: float) -> None:
        self._note(RunEvent(kind, "", server_round, site, reason, figures))
