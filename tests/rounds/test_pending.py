"""Messages out and replies in, on a clock that only the server's own pauses move."""

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from dtfl_app.rounds.pending import PendingReplies
from dtfl_app.testing.grid import InProcessGrid


def echo(message, context):
    return Message(message.content, reply_to=message)


class Post:
    """A grid of echoing nodes, what is pending on it, and a clock."""

    def __init__(self, sites=3, **options):
        self.grid = InProcessGrid(sites, handler=echo, **options)
        self.nodes = self.grid.get_node_ids()
        self.now = 0.0
        self.pending = PendingReplies(
            self.grid, patience=60.0, clock=lambda: self.now, sleep=self._sleep
        )

    def _sleep(self, seconds):
        self.now += seconds

    def letters(self, *places):
        content = RecordDict({"task": ConfigRecord({"server-round": 1, "site": "x"})})
        return [
            Message(content, dst_node_id=self.nodes[p], message_type="train") for p in places
        ]  # fmt: skip


def senders(answers):
    return [reply.metadata.src_node_id for reply in answers.replies]


def test_all_replies_that_are_there_are_taken_without_a_pause():
    post = Post()

    answers = post.pending.exchange(post.letters(0, 1, 2), seconds=100)

    assert senders(answers) == post.nodes
    assert (post.now, post.pending.busy, answers.lost) == (0.0, set(), {})


def test_a_silent_node_costs_the_deadline_and_is_busy():
    post = Post(silent={1})

    answers = post.pending.exchange(post.letters(0, 1, 2), seconds=20)

    assert senders(answers) == [post.nodes[0], post.nodes[2]]
    assert post.now == pytest.approx(20.0)
    assert post.pending.busy == {post.nodes[1]}


def test_nobody_waits_again_for_a_node_that_was_not_asked_again():
    post = Post(silent={1})
    post.pending.exchange(post.letters(0, 1, 2), seconds=20)

    post.pending.exchange(post.letters(0, 2), seconds=20)

    assert post.now == pytest.approx(20.0)


def test_a_node_that_owes_an_answer_is_waited_for_when_named():
    post = Post(silent={1})
    post.pending.exchange(post.letters(1), seconds=20)

    answers = post.pending.exchange(post.letters(0), seconds=30, owing=[post.nodes[1]])

    assert senders(answers) == [post.nodes[0]]
    assert post.now == pytest.approx(50.0)


def test_a_late_reply_comes_along_with_the_next_round():
    post = Post(tardy={1})
    post.pending.exchange(post.letters(0, 1), seconds=5)

    answers = post.pending.exchange(post.letters(0), seconds=5)

    assert sorted(senders(answers)) == sorted(post.nodes[:2])
    assert post.pending.busy == set()


def test_a_reply_that_flower_gives_up_is_named_with_its_node():
    """Flower answers itself, as the SuperLink, when a reply cannot be had any more."""
    post = Post(silent={0})
    (letter,) = post.letters(0)
    post.pending.send([letter])
    excuse = echo(letter, None)
    excuse.metadata.__dict__["_src_node_id"] = 1
    post.grid.pull_messages = lambda ids: [excuse]

    answers = post.pending.collect([post.nodes[0]], seconds=5)

    assert answers.replies == []
    assert list(answers.lost) == [post.nodes[0]]


def test_a_message_that_is_not_accepted_is_lost_at_once():
    post = Post()
    push = post.grid.push_messages
    post.grid.push_messages = lambda messages: [None, *push(messages)[1:]]

    answers = post.pending.exchange(post.letters(0, 1), seconds=5)

    assert list(answers.lost) == [post.nodes[0]]
    assert senders(answers) == [post.nodes[1]]


def test_waiting_for_nodes_ends_when_one_leaves_or_comes():
    post = Post()

    post.pending.await_change(post.nodes[:2], seconds=60)
    assert post.now == 0.0
    post.pending.await_change(post.nodes, seconds=60)
    assert post.now == pytest.approx(60.0)


def test_an_answer_long_due_is_given_up_and_dropped_when_it_comes():
    """Asked at 0 s, patience 60 s: at 60 s it is still owed, a moment later it is not."""
    post = Post(tardy={1})
    post.pending.exchange(post.letters(0, 1), seconds=5)
    post.now = 60.0
    assert post.pending.give_up() == []

    post.now = 60.1

    assert post.pending.give_up() == [post.nodes[1]]
    assert post.pending.busy == set()
    assert senders(post.pending.exchange(post.letters(0), seconds=20)) == [post.nodes[0]]
    assert post.pending.give_up() == []
