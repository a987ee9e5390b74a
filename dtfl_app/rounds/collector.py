"""From the sites drawn for a round to the replies that count: quorum, deadline, late replies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from flwr.app import Message

from dtfl_app.core.config import RoundSettings
from dtfl_app.core.errors import FederationError, ReplyError
from dtfl_app.messages.admission import Reply
from dtfl_app.messages.profile import PROFILE, profile_query
from dtfl_app.results.events import RunEvent
from dtfl_app.rounds.directory import NodeDirectory
from dtfl_app.rounds.pending import Answers, PendingReplies
from dtfl_app.rounds.transport import Transport

__all__ = ["QuorumError", "RoundCollector", "RoundReplies"]

# Replies of one attempt -> those that count, perhaps less than fully, and why others do not.
Judge = Callable[[Sequence[Reply]], tuple[list[Reply], dict[str, str]]]
Ask = Callable[[list[tuple[int, str]]], list[Message]]


class QuorumError(FederationError):
    """Too few sites gave a usable reply, however often the round was repeated."""


@dataclass(slots=True)
class RoundReplies:
    """What a round has so far.

    Parameters
    ----------
    server_round : the round.
    drawn : sites drawn for it.
    replies : site -> its usable reply.
    late : usable replies to earlier rounds, with the weight that their age leaves them.
    """

    server_round: int
    drawn: list[str]
    replies: dict[str, Reply] = field(default_factory=dict)
    late: dict[str, Reply] = field(default_factory=dict)

    def all(self) -> list[Reply]:
        """Replies to merge, by site name; a site's late one does not count beside a new one."""
        merged = {**self.late, **self.replies}
        return [merged[site] for site in sorted(merged)]


class RoundCollector:
    """Asks sites and takes in what they say, for one strategy.

    Parameters
    ----------
    settings : quorum, repeats and what becomes of late replies.
    transport, mailbox, roster : how messages are made, sent, and to whom.
    identify : reads the site's name from a profile reply, or raises ReplyError.
    judge : holds the replies of one attempt against each other.
    note : takes (kind, round, site, reason) of everything worth telling.
    """

    def __init__(
        self,
        settings: RoundSettings,
        transport: Transport,
        mailbox: PendingReplies,
        roster: NodeDirectory,
        identify: Callable[[Message], str],
        judge: Judge,
        note: Callable[[RunEvent], None],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._mailbox = mailbox
        self._roster = roster
        self._identify = identify
        self._judge = judge
        self._note = note

    def gather(
        self, server_round: int, drawn: list[str], ask: Ask, upload: set[str], seconds: float
    ) -> RoundReplies:
        """Play one round's exchange; repeat it for the missing sites while below the quorum.

        Parameters
        ----------
        server_round : the round.
        drawn : the sites to ask.
        ask : makes the messages for (node, site) pairs.
        upload : keys that a reply must have; a late one with others cannot be merged.
        seconds : deadline of each attempt.

        Raises QuorumError when the repeats are used up.
        """
        intake = RoundReplies(server_round, drawn)
        needed = self._settings.needed(len(drawn))
        for attempt in range(self._settings.retries + 1):
            if attempt:
                reason = f"{len(intake.replies)} usable replies, {needed} needed"
                self._say("repeated", server_round, reason=reason, attempt=attempt)
            self.call_roll(server_round)
            due = [
                (node, site)
                for site in drawn
                if site not in intake.replies and (node := self._free_node(site)) is not None
            ]
            # Only below the quorum is a site waited for that owes an answer.
            owing = self._mailbox.busy & self._nodes(drawn) if attempt else set()
            self._take(self._exchange(due, ask, seconds, owing), intake, upload)
            self._close(due, intake)
            if len(intake.replies) >= needed:
                return intake
        raise QuorumError(
            f"round {server_round}: {len(intake.replies)} of {len(drawn)} sites gave a usable "
            f"reply, {needed} are needed, after {self._settings.retries + 1} attempts; the "
            "reasons are in the log above and in events.jsonl"
        )

    def query(self, server_round: int, ask: Ask, seconds: float) -> list[Message]:
        """Ask all sites that can be reached once, and return their replies."""
        self.call_roll(server_round)
        due = [
            (node, site)
            for site in self._roster.sites
            if (node := self._free_node(site)) is not None
        ]
        asked = {node for node, _ in due}
        mail = self._exchange(due, ask, seconds)
        return [r for r in mail.replies if r.metadata.src_node_id in asked]

    def call_roll(self, server_round: int) -> None:
        """See who is connected; ask nodes that nobody knows; wait no more for answers long due."""
        left, back = self._roster.refresh(self._mailbox.online())
        for site in left:
            self._say("away", server_round, site, "its node is not connected")
        for site in back:
            self._say("returned", server_round, site, "its node is connected again")
        for node in self._mailbox.give_up():
            self._transport.disown(node)
            reason = "its answer is three deadlines late and given up; it is asked again"
            self._say("given-up", server_round, self._roster.site(node), reason)
        strangers = [n for n in self._roster.strangers() if n not in self._mailbox.busy]
        self._mailbox.send([profile_query(node) for node in strangers])

    def _free_node(self, site: str) -> int | None:
        node = self._roster.node(site)
        return None if node in self._mailbox.busy else node

    def _nodes(self, sites: Sequence[str]) -> set[int]:
        return {node for site in sites if (node := self._roster.node(site)) is not None}

    def _exchange(
        self,
        due: list[tuple[int, str]],
        ask: Ask,
        seconds: float,
        owing: Collection[int] = (),
    ) -> Answers:
        if due:
            return self._mailbox.exchange(ask(due), seconds, owing)
        if busy := self._mailbox.busy:
            return self._mailbox.collect(busy, seconds)
        self._mailbox.await_change(self._mailbox.online(), seconds)
        return Answers()

    def _take(self, mail: Answers, intake: RoundReplies, upload: set[str]) -> None:
        for node, reason in mail.lost.items():
            self._say("refused", intake.server_round, self._roster.site(node), reason)
            self._transport.disown(node)
        profiles = [r for r in mail.replies if r.metadata.message_type == PROFILE]
        for profile in profiles:
            self._welcome(profile, intake.server_round)
        rest = [r for r in mail.replies if r.metadata.message_type != PROFILE]
        admission = self._transport.admit(rest)
        for site, answered, reason in admission.refused:
            self._say("refused", answered or intake.server_round, site, reason)
        heard = [
            (round_, reply)
            for round_, reply in admission.replies
            if self._mergeable(round_, reply, intake, upload)
        ]
        usable, suspected = self._judge([reply for _, reply in heard])
        for site, reason in suspected.items():
            self._refuse(site, intake.server_round, reason)
        rounds = {reply.site: round_ for round_, reply in heard}
        for reply in usable:
            if rounds[reply.site] == intake.server_round:
                intake.replies[reply.site] = reply
            else:
                intake.late[reply.site] = self._discounted(rounds[reply.site], reply, intake)

    def _mergeable(
        self, answered: int, reply: Reply, intake: RoundReplies, upload: set[str]
    ) -> bool:
        """Tell whether a reply may count in this round; say why a late one may not."""
        if answered == intake.server_round:
            return True
        dropped = self._settings.late == "drop"
        if not dropped and set(reply.params) == upload:
            return True
        why = "dropped" if dropped else "its layers are not this round's"
        reason = f"late: answers round {answered}, this is round {intake.server_round}; {why}"
        self._refuse(reply.site, answered, reason)
        return False

    def _discounted(self, answered: int, reply: Reply, intake: RoundReplies) -> Reply:
        age = intake.server_round - answered
        weight = reply.weight * (1.0 + age) ** -self._settings.late_exponent
        reason = f"answers round {answered}, merged in round {intake.server_round}"
        self._say("late", answered, reply.site, reason, weight=weight)
        return replace(reply, weight=weight)

    def _close(self, due: list[tuple[int, str]], intake: RoundReplies) -> None:
        """Say who did not answer in time; it is not asked again before it has."""
        for node, site in due:
            if node in self._mailbox.busy:
                reason = "no reply within the round's timeout"
                self._say("refused", intake.server_round, site, reason)

    def _refuse(self, site: str, server_round: int, reason: str) -> None:
        self._say("refused", server_round, site, reason)
        node = self._roster.node(site)
        if node is not None:
            self._transport.disown(node)

    def _welcome(self, profile: Message, server_round: int) -> None:
        node = profile.metadata.src_node_id
        try:
            site = self._identify(profile)
        except ReplyError as error:
            self._roster.turn_away(node)
            self._say("refused", server_round, f"node {node}", str(error))
            return
        if reason := self._roster.welcome(node, site):
            self._say("refused", server_round, f"node {node}", reason)
        else:
            self._say("returned", server_round, site, "with a new node id")

    def _say(
        self, kind: str, server_round: int, site: str = "", reason: str = "", **figures: float
    ) -> None:
        self._note(RunEvent(kind, "", server_round, site, reason, figures))
