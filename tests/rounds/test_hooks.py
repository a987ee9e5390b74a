"""A method that overrides Flower's two hooks is honoured by our loop, and by Flower's alike.

Site p adds p + 1 to the bias, so FedAvg of sites 0, 1 and 2 adds 2 a round.
"""

import pytest
from flwr.app import ConfigRecord, Message, MetricRecord

from dtfl_app.core.errors import ConfigError
from dtfl_app.detector.params import as_params
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.strategies.fedavg import FedAvg
from tests.support.federation import MODEL_BYTES, SCALER_BYTES, Federation
from tests.support.line_model import LAST, bias, line
from tests.support.scripted_site import scripted_site


def task_of(message):
    return message.content.config_records["task"]


def site_of(message):
    return task_of(message)["site"]


class Tells(FedAvg):
    """Adds an entry to every task."""

    def configure_train(self, server_round, arrays, config, grid):
        more = ConfigRecord({**config, "season": server_round})
        return super().configure_train(server_round, arrays, more, grid)


class Spares(FedAvg):
    """Leaves site-1 out of the second round."""

    def configure_train(self, server_round, arrays, config, grid):
        tasks = super().configure_train(server_round, arrays, config, grid)
        return [t for t in tasks if server_round != 2 or site_of(t) != "site-1"]


class Drops(FedAvg):
    """Does without the replies of site-2."""

    def aggregate_train(self, server_round, replies):
        kept = [r for r in replies if r.content["identity"]["site"] != "site-2"]
        return super().aggregate_train(server_round, kept)


class Adds(FedAvg):
    """Adds 10 to the bias of every aggregate."""

    def aggregate_train(self, server_round, replies):
        arrays, figures = super().aggregate_train(server_round, replies)
        model = as_params(to_arrays(arrays))
        return to_record({**model, LAST: model[LAST] + 10}), MetricRecord({**figures, "added": 10})


class Starts(FedAvg):
    """Sends the sites a model of its own."""

    def configure_train(self, server_round, arrays, config, grid):
        return super().configure_train(server_round, to_record(line(100.0)), config, grid)


class Vetoes(FedAvg):
    """Has no use for the second round."""

    def aggregate_train(self, server_round, replies):
        arrays, figures = super().aggregate_train(server_round, replies)
        return (None if server_round == 2 else arrays), figures


def ends(cls, rounds=2, **settings):
    """Biases that a run of the strategy ends with in our loop and in Flower's."""
    ours, theirs = (Federation(cls, checkpoint_every=0, **settings) for _ in range(2))
    results = ours.run(rounds), theirs.run_as_flower(rounds)
    return [bias(to_arrays(result.arrays)) for result in results]


def test_an_entry_added_to_the_config_reaches_every_task():
    federation = Federation(Tells)

    federation.run(rounds=2)

    assert [m.content.config_records["method"]["season"] for m in federation.grid.tasks()] == [
        1,
        1,
        1,
        2,
        2,
        2,
    ]


def test_a_task_left_out_is_not_sent_not_counted_and_not_missed():
    """Round 1 adds 2; round 2 is of sites 0 and 2 alone and adds (1 + 3) / 2 = 2; round 3 adds 2.

    What site-1 holds is unknown after a task that was built for it, so it is sent all again.
    """
    federation = Federation(Spares, round__quorum=1.0)

    federation.run(rounds=3)

    all_three = ["site-0", "site-1", "site-2"]
    assert federation.sites_asked() == [all_three, ["site-0", "site-2"], all_three]
    assert bias(federation.strategy.state.model) == 6.0
    assert [(line.sites, line.refused) for line in federation.lines[1:]] == [(3, 0), (2, 0), (3, 0)]
    down = [3 * (MODEL_BYTES + SCALER_BYTES), 2 * MODEL_BYTES, 3 * MODEL_BYTES + SCALER_BYTES]
    assert [line.bytes_down for line in federation.lines[1:]] == down
    assert federation.events == []


def test_a_reply_dropped_before_the_aggregate_counts_as_refused():
    """Sites 0 and 1 add 1.5 a round."""
    federation = Federation(Drops)

    federation.run(rounds=2)

    assert [(line.sites, line.refused) for line in federation.lines[1:]] == [(2, 1), (2, 1)]
    assert [(e.kind, e.site) for e in federation.events] == [("refused", "site-2")] * 2
    assert ends(Drops) == [3.0, 3.0]
    ours, theirs = ends(
        Drops, rounds=4, wire__upload_precision="int8", wire__download_precision="int8"
    )
    assert ours == theirs == pytest.approx(6.0, rel=0.01)


def test_the_arrays_that_are_returned_become_the_model():
    """Every round adds 2 + 10; the sites of round 2 are sent 12 and score it."""
    federation = Federation(Adds)

    result = federation.run(rounds=2)

    assert bias(federation.strategy.state.model) == federation.threshold == 24.0
    assert result.train_metrics_clientapp[2]["added"] == 10
    assert ends(Adds) == [24.0, 24.0]


def test_a_model_put_in_the_arrays_place_is_sent_and_scored():
    """Both rounds begin at 100: the sites learn 102 of it, and its threshold is 100."""
    federation = Federation(Starts, accuracy=lambda b: 0.5)

    federation.run(rounds=2)

    assert federation.judged == [(100, 100), (100, 100), (102, 102)]
    assert ends(Starts) == [102.0, 102.0]


def test_without_arrays_the_model_stays_as_it_was():
    """Rounds 1 and 3 add 2 each."""
    assert ends(Vetoes, rounds=3) == [4.0, 4.0]


@pytest.mark.parametrize(("cls", "model"), [(Spares, 4.0), (Drops, 3.0), (Adds, 24.0)])
def test_the_hooks_are_honoured_when_a_round_is_repeated_for_its_quorum(cls, model):
    """Site-0 fails on its first task of every round, and all must answer: two attempts each.

    Spares: (1 + 2 + 3) / 3 and (1 + 3) / 2. Drops: (1 + 2) / 2, twice. Adds: 2 + 10, twice.
    """
    seen = set()

    def handler(message, context):
        if message.metadata.message_type == "train" and site_of(message) == "site-0":
            number = task_of(message)["server-round"]
            if number not in seen:
                seen.add(number)
                raise RuntimeError("not yet")
        return scripted_site(message, context)

    federation = Federation(cls, handler=handler, round__quorum=1.0)

    federation.run(rounds=2)

    told = [event.kind for event in federation.events if event.site != "site-2"]
    assert told == ["refused", "repeated"] * 2
    assert bias(federation.strategy.state.model) == model
    first, second = federation.sites_asked()
    assert first == ["site-0", "site-1", "site-2", "site-0"]
    assert second == [s for s in first if cls is not Spares or s != "site-1"]


def test_a_resumed_run_goes_on_from_the_arrays_that_were_returned():
    whole = Federation(Adds, checkpoint_every=1)
    whole.run(rounds=3)
    resumed = Federation(Adds, checkpoint_every=1)

    resumed.run(rounds=3, snapshot=whole.snapshots[1])

    assert bias(whole.snapshots[1].state.model) == 12.0
    assert bias(resumed.strategy.state.model) == bias(whole.strategy.state.model) == 36.0


def test_a_hook_that_does_not_call_its_base_is_an_error():
    class Alone(FedAvg):
        def configure_train(self, server_round, arrays, config, grid):
            return []

    with pytest.raises(ConfigError, match="does not call super"):
        Federation(Alone).run(rounds=1)


def test_a_message_put_in_a_replys_place_is_refused_and_says_so():
    class Forges(FedAvg):
        def aggregate_train(self, server_round, replies):
            return super().aggregate_train(server_round, [rewritten(m) for m in replies])

    def rewritten(reply):
        task = next(
            m
            for m in federation.grid.sent
            if m.metadata.message_id == reply.metadata.reply_to_message_id
        )
        return Message(reply.content, reply_to=task)

    federation = Federation(Forges)

    federation.run(rounds=1)

    assert bias(federation.strategy.state.model) == 0.0
    reasons = [event.reason.split(":")[0] for event in federation.events]
    assert reasons == ["left out by aggregate_train"] * 3 + ["not expected"] * 3
    assert (federation.lines[1].sites, federation.lines[1].refused) == (0, 3)


class Evaluates(FedAvg):
    """Has a hook of Flower's that only Flower's own loop calls."""

    def aggregate_evaluate(self, server_round, replies):
        raise AssertionError("not called")


def test_an_override_that_has_no_effect_here_is_said(caplog):
    with caplog.at_level("WARNING"):
        Federation(Evaluates).run(rounds=1)
        Federation(Adds).run(rounds=1)

    said = [line for line in caplog.messages if "only Flower's own loop calls" in line]
    assert len(said) == 1
    assert "Evaluates overrides aggregate_evaluate" in said[0]
