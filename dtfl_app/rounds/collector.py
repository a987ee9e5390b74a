"""From the sites drawn for a round to the replies that count: quorum, deadline, who is there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from flwr.app import Message

from dtfl_app.core.errors import ConfigError, FederationError, ReplyError
from dtfl_app.messages.profile import PROFILE, profile_query
from dtfl_app.results.run_events import RunEvent
from dtfl_app.rounds.pending import Answers, PendingReplies
from dtfl_app.rounds.strategy import DTFLStrategy

__all__ = ["QuorumError", "RoundCollector"]

Ask = Callable[[], Iterable[Message]]


class QuorumError(FederationError):
    """Too few sites gave a usable reply, however often the round was repeated."""


class RoundCollector:
    """Asks sites and takes in what they say, for one strategy.

    Parameters
    ----------
    strategy : whose sites are asked; its `replies` take in what they say.
    pending : how messages are sent, and what is still to come.
    """

    def __init__(self, strategy: DTFLStrategy, pending: PendingReplies) -> None:
        self._strategy = strategy
        self._settings = strategy.bench.config.round
        self._directory = strategy.directory
        self._pending = pending

    def collect(self, server_round: int, ask: Ask, seconds: float) -> set[str]:
        """Play one round's exchange; repeat it for the missing sites while below the quorum.

        Return the sites that were drawn: of those that `ask` could have made a message for, the
        ones it made one for.

        Parameters
        ----------
        server_round : the round.
        ask : calls the strategy's `configure_train`.
        seconds : deadline of each attempt.

        Raises QuorumError when the repeats are used up.
        """
        drawn, answered, needed = set(self._strategy.draw(server_round)), set[str](), 0
        for attempt in range(self._settings.retries + 1):
            if attempt:
                reason = f"{len(answered)} usable replies, {needed} needed"
                self._say("repeated", server_round, reason=reason, attempt=attempt)
            self._call_roll(server_round, answered)
            free = {site for _, site in self._directory.due(drawn)}
            messages = self._tasks(server_round, ask)
            asked = self._sites(messages)
            drawn = (drawn - free) | asked
            needed = self._settings.needed(len(drawn))
            # Only below the quorum is a site waited for that owes an answer.
            owing = self._pending.busy & self._nodes(drawn) if attempt else set()
            self._take(self._exchange(messages, seconds, owing), server_round)
            self._close(messages, server_round)
            answered = self._strategy.replies.sites
            if len(answered) >= needed:
                return drawn
        raise QuorumError(
            f"round {server_round}: {len(answered)} of {len(drawn)} sites gave a usable "
            f"reply, {needed} are needed, after {self._settings.retries + 1} attempts; the "
            "reasons are in the log above and in events.jsonl"
        )

    def query(self, server_round: int, ask: Ask, seconds: float) -> list[Message]:
        """Ask all sites that can be reached once, and return their replies."""
        self._call_roll(server_round)
        messages = list(ask())
        asked = {message.metadata.dst_node_id for message in messages}
        answers = self._exchange(messages, seconds)
        return [r for r in answers.replies if r.metadata.src_node_id in asked]

    def _call_roll(self, server_round: int, answered: Collection[str] = ()) -> None:
        """See who is connected and may be asked; ask nodes that nobody knows who they are.

        Nothing is asked of a site that has `answered`, or that owes an answer which is not yet
        long due.
        """
        left, back = self._directory.refresh(self._pending.online())
        for site in left:
            self._say("away", server_round, site, "its node is not connected")
        for site in back:
            self._say("returned", server_round, site, "its node is connected again")
        for node in self._pending.give_up():
            self._strategy.transport.disown(node)
            reason = "its answer is three deadlines late and given up; it is asked again"
            self._say("given-up", server_round, self._directory.site(node), reason)
        busy = self._pending.busy
        strangers = [node for node in self._directory.strangers() if node not in busy]
        self._pending.send([profile_query(node) for node in strangers])
        owing = {site for site in self._directory.sites if self._directory.node(site) in busy}
        self._directory.excuse(owing.union(answered))

    def _tasks(self, server_round: int, ask: Ask) -> list[Message]:
        messages = list(ask())
        if self._strategy.server_round != server_round:
            raise ConfigError(
                f"strategy {self._strategy.name!r}: its configure_train does not call "
                "super().configure_train; expected it to build its messages with that"
            )
        self._strategy.withdraw_all_but({m.metadata.dst_node_id for m in messages})
        return messages

    def _sites(self, messages: Sequence[Message]) -> set[str]:
        """Sites that messages go to."""
        nodes = {message.metadata.dst_node_id for message in messages}
        return {site for site in self._directory.sites if self._directory.node(site) in nodes}

    def _nodes(self, sites: Collection[str]) -> set[int]:
        return {node for site in sites if (node := self._directory.node(site)) is not None}

    def _exchange(
        self, messages: Sequence[Message], seconds: float, owing: Collection[int] = ()
    ) -> Answers:
        if messages:
            return self._pending.exchange(messages, seconds, owing)
        if busy := self._pending.busy:
            return self._pending.collect(busy, seconds)
        self._pending.await_change(self._pending.online(), seconds)
        return Answers()

    def _take(self, answers: Answers, server_round: int) -> None:
        for node, reason in answers.lost.items():
            self._say("refused", server_round, self._directory.site(node), reason)
            self._strategy.transport.disown(node)
        training = []
        for reply in answers.replies:
            if reply.metadata.message_type == PROFILE:
                self._welcome(reply, server_round)
            else:
                training.append(reply)
        self._strategy.replies.admit(training)

    def _close(self, messages: Sequence[Message], server_round: int) -> None:
        """Say who did not answer in time; it is not asked again before it has."""
        for node in (message.metadata.dst_node_id for message in messages):
            if node in self._pending.busy:
                reason = "no reply within the round's timeout"
                self._say("refused", server_round, self._directory.site(node), reason)

    def _welcome(self, profile: Message, server_round: int) -> None:
        node = profile.metadata.src_node_id
        try:
            site = self._strategy.bench.identify(profile)
        except ReplyError as error:
            self._directory.turn_away(node)
            self._say("refused", server_round, f"node {node}", str(error))
            return
        if reason := self._directory.welcome(node, site):
            self._say("refused", server_round, f"node {node}", reason)
        else:
            self._say("returned", server_round, site, "with a new node id")

    def _say(
        self, kind: str, server_round: int, site: str = "", reason: str = "", **figures: float
    ) -> None:
        self._strategy.note(RunEvent(kind, "", server_round, site, reason, figures))
