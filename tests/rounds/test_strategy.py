"""Rounds of a strategy, with sites that learn by arithmetic (see `scripted_site`).

Site p adds p + 1 to the bias, so three sites and FedAvg add (1 + 2 + 3) / 3 = 2 a round, and the
model after t rounds says 2 t.
"""

import math

import pytest
from flwr.app import Message, MetricRecord, RecordDict

from dtfl_app.core.errors import FederationError
from dtfl_app.core.logs import read_line
from dtfl_app.messages.wire import to_record
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.testing.grid import InProcessGrid
from tests.support.federation import MODEL_BYTES, SCALER_BYTES, Federation
from tests.support.line_model import LAST, bias, line, line_twin
from tests.support.scripted_site import scripted_site


def wrong(*places: int, key: str = "num-examples", value=-1, kind: str = "train"):
    """The scripted site, but the sites `places` report one metric wrongly."""

    def handler(message: Message, context) -> Message:
        reply = scripted_site(message, context)
        right_kind = message.metadata.message_type == kind
        if right_kind and context.node_config["partition-id"] in places:
            reply.content["metrics"][key] = value
        return reply

    return handler


def test_the_model_goes_on_from_the_mean_of_all_sites():
    federation = Federation()

    result = federation.run(rounds=3)

    assert bias(federation.strategy.state.model) == 6.0
    assert result.arrays[f"{LAST}"].numpy().tolist() == [6.0]


def test_each_model_is_judged_at_the_threshold_of_its_own_scores():
    """The sites' scores are the bias of the model they received: 0, 2, 4, and 6 at the end."""
    federation = Federation(accuracy=lambda b: 0.5)

    federation.run(rounds=3)

    assert federation.judged == [(0, 0), (2, 2), (4, 4), (6, 6)]
    assert federation.threshold == 6.0


def test_every_model_has_its_line_from_the_first_to_the_last():
    """Losses 0, 1 and 2 have the mean 1; three sites take two steps each."""
    federation = Federation(accuracy=lambda b: b / 10)

    federation.run(rounds=2)

    first, *others = federation.lines
    assert (first.round, first.sites, first.site_steps, first.bytes_up) == (0, 0, 0, 0)
    assert math.isnan(first.loss)
    assert [line.round for line in others] == [1, 2]
    assert [line.loss for line in others] == [1.0, 1.0]
    assert [(line.sites, line.refused, line.site_steps) for line in others] == [(3, 0, 6)] * 2
    accuracies = [line.metrics.balanced_accuracy for line in federation.lines]
    assert accuracies == pytest.approx([0.0, 0.2, 0.4])
    assert all(line.seconds > 0 for line in others)


def test_bytes_are_those_of_the_arrays_and_the_scaler_travels_once():
    federation = Federation()

    federation.run(rounds=3)

    assert [line.bytes_up for line in federation.lines] == [0, *[3 * MODEL_BYTES] * 3]
    down = [3 * (MODEL_BYTES + SCALER_BYTES), 3 * MODEL_BYTES, 3 * MODEL_BYTES]
    assert [line.bytes_down for line in federation.lines] == [0, *down]


def test_optimiser_steps_of_the_server_are_told_apart_from_the_sites():
    """DTKD: 5 steps for the teacher before round 1, then 3 a round of distillation."""
    twin = line_twin(10.0, steps=3)
    federation = Federation("dtkd", twin, dtkd__side="server", twin__warm_steps=5)

    federation.run(rounds=2)

    assert [line.server_steps for line in federation.lines] == [5, 3, 3]


def test_without_an_evaluation_set_there_are_no_figures_and_no_early_end():
    federation = Federation(accuracy=None, stop_at_target=True, target=0.1)

    result = federation.run(rounds=3)

    assert [line.metrics for line in federation.lines] == [None] * 4
    assert result.evaluate_metrics_serverapp == {}
    assert list(result.train_metrics_clientapp) == [1, 2, 3]


def test_a_run_stops_with_the_model_that_reached_the_target():
    """The model of round 2 says 4 and is the first at 0.8; its line is the last."""
    federation = Federation(accuracy=lambda b: 0.2 * b, stop_at_target=True, target=0.8)

    federation.run(rounds=10)

    assert bias(federation.strategy.state.model) == 4.0
    assert federation.threshold == 4.0
    assert [line.round for line in federation.lines] == [0, 1, 2]


def test_a_target_does_not_stop_a_run_that_was_not_asked_to():
    federation = Federation(accuracy=lambda b: 1.0, stop_at_target=False, target=0.5)

    federation.run(rounds=4)

    assert [line.round for line in federation.lines] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("missing", [{"failing": {0}}, {"silent": {0}}, {"handler": wrong(0)}])
def test_the_round_goes_on_without_a_bad_site(missing):
    """Sites 1 and 2 add 2 and 3, so 2.5 a round; their losses are 1 and 2."""
    federation = Federation(**missing)

    federation.run(rounds=2)

    assert bias(federation.strategy.state.model) == 5.0
    assert [(line.sites, line.refused) for line in federation.lines] == [(0, 0), (2, 1), (2, 1)]
    assert [line.loss for line in federation.lines[1:]] == [1.5, 1.5]
    assert [line.bytes_up for line in federation.lines[1:]] == [2 * MODEL_BYTES] * 2


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ({"failing": {1}}, "site failed: the gateway is on fire"),
        ({"silent": {1}}, "no reply within the round's timeout"),
        ({"handler": wrong(1)}, "metric 'num-examples' is -1"),
    ],
)
def test_the_reason_is_in_the_log(caplog, missing, reason):
    Federation(**missing).run(rounds=1)

    told = [read_line(record.getMessage()) for record in caplog.records]
    refusals = [dict(line.event) for line in told if line.kind]
    assert len(refusals) == 1
    assert refusals[0].pop("reason").startswith(reason)
    assert refusals[0] == {"event": "refused", "strategy": "fedavg", "round": 1, "site": "site-1"}


def test_a_refused_site_is_sent_everything_again():
    """Nobody knows what it still holds: the scaler travels to it in every round."""
    federation = Federation(failing={1})

    federation.run(rounds=3)

    down = [line.bytes_down for line in federation.lines[1:]]
    first, later = 3 * (MODEL_BYTES + SCALER_BYTES), 3 * MODEL_BYTES + SCALER_BYTES
    assert down == [first, later, later]


def test_a_site_that_lost_its_state_misses_one_round_and_is_back_in_the_next(caplog):
    forgotten = []

    def forgetful(message, context):
        task = message.content.config_records["task"]
        if task["site"] == "site-2" and task["server-round"] == 2 and not forgotten:
            forgotten.append(len(context.state))
            context.state.clear()
        return scripted_site(message, context)

    federation = Federation(handler=forgetful)

    federation.run(rounds=3)

    assert forgotten == [1]
    assert [line.sites for line in federation.lines[1:]] == [3, 2, 3]
    down = [line.bytes_down for line in federation.lines[1:]]
    assert down[1:] == [3 * MODEL_BYTES, 3 * MODEL_BYTES + SCALER_BYTES]
    assert "was neither sent nor held" in caplog.text


def test_without_a_single_usable_reply_the_run_fails():
    federation = Federation(failing={0, 1, 2})

    with pytest.raises(FederationError, match="round 1: 0 of 3 sites gave a usable reply, 2 are"):
        federation.run(rounds=3)


def test_a_run_that_fails_has_the_lines_of_the_rounds_before():
    """Sites answer in round 1 only."""
    federation = Federation(
        handler=lambda message, context: (
            scripted_site(message, context)
            if message.content.config_records["task"]["server-round"] < 2
            else 1 / 0
        )
    )

    with pytest.raises(FederationError, match="round 2"):
        federation.run(rounds=3)

    assert [line.round for line in federation.lines] == [0]


def test_a_reply_of_a_stranger_or_a_second_one_does_not_count():
    federation = Federation()
    grid, stranger = federation.grid, InProcessGrid(1, handler=scripted_site, ids_seed=5)
    pull = grid.pull_messages

    def doubled(message_ids):
        replies = pull(message_ids)
        task = next(m for m in reversed(grid.sent) if m.metadata.message_type == "train")
        aside = Message(task.content, dst_node_id=stranger.get_node_ids()[0], message_type="train")
        foreign = Message(RecordDict({}), reply_to=aside)
        is_round = len(replies) == 3 and replies[0].metadata.message_type == "train"
        return [foreign, *replies, replies[0]] if is_round else replies

    grid.pull_messages = doubled

    federation.run(rounds=1)

    assert bias(federation.strategy.state.model) == 2.0
    assert federation.lines[1].sites == 3
    assert [event.reason.split(":")[0] for event in federation.events] == ["not expected"] * 2


@pytest.mark.parametrize("ids_seed", [1, 2])
@pytest.mark.parametrize("backwards", [False, True])
def test_updates_see_the_replies_by_site_name(ids_seed, backwards):
    seen = []

    class Own(DTFLStrategy):
        needs_twin = False

        def update(self, state, replies):
            seen.append([r.site for r in replies])
            return State(model=self.mean(replies))

    Federation(Own, sites=4, ids_seed=ids_seed, backwards=backwards).run(rounds=2)

    assert seen == [["site-0", "site-1", "site-2", "site-3"]] * 2


def test_sampling_draws_the_asked_share_by_name_whatever_the_node_ids():
    first, again = (Federation(sites=6, round__fraction=0.5, ids_seed=s, seed=3) for s in (1, 2))
    for federation in (first, again):
        federation.run(rounds=4)

    drawn = first.sites_asked()
    assert [len(set(sites)) for sites in drawn] == [3, 3, 3, 3]
    assert len({tuple(sites) for sites in drawn}) > 1
    assert drawn == again.sites_asked()


def test_another_seed_draws_other_sites():
    first, other = (Federation(sites=6, round__fraction=0.5, seed=s) for s in (0, 1))
    for federation in (first, other):
        federation.run(rounds=4)

    assert first.sites_asked() != other.sites_asked()


def test_at_least_one_site_is_drawn():
    federation = Federation(sites=3, round__fraction=0.01)

    federation.run(rounds=2)

    assert [len(sites) for sites in federation.sites_asked()] == [1, 1]


def test_sites_that_are_not_drawn_are_not_refused():
    federation = Federation(sites=4, round__fraction=0.5)

    federation.run(rounds=2)

    assert [(line.sites, line.refused) for line in federation.lines[1:]] == [(2, 0), (2, 0)]


def test_all_sites_calibrate_the_last_model():
    federation = Federation(sites=4, round__fraction=0.5)

    federation.run(rounds=1)

    assert len(federation.grid.tasks("query.calibrate")) == 4


@pytest.mark.parametrize("value", [[-5], [10, 10], 10])
def test_a_bad_answer_to_the_closing_query_is_left_out(caplog, value):
    handler = wrong(1, key="calibration-counts", value=value, kind="query.calibrate")
    federation = Federation(handler=handler)

    federation.run(rounds=1)

    assert federation.threshold == 2.0
    assert "did not calibrate the last model: calibration-counts" in caplog.text


def test_a_site_that_fails_in_the_closing_query_is_left_out(caplog):
    def failing(message, context):
        asked = message.metadata.message_type == "query.calibrate"
        if asked and context.node_config["partition-id"] == 1:
            raise RuntimeError("out of memory")
        return scripted_site(message, context)

    federation = Federation(handler=failing)

    federation.run(rounds=1)

    assert "did not calibrate the last model: site failed: out of memory" in caplog.text
    assert federation.threshold == 2.0


def test_a_twin_begins_every_round_afresh():
    """Rounds are told to the twin before the update, so a repeated run draws equal batches."""
    rounds = []
    twin = line_twin(10.0)
    twin.begin_round = rounds.append

    Federation("cwa", twin).run(rounds=3)

    assert rounds == [1, 2, 3]


def test_the_settings_are_logged_before_the_work_starts(caplog):
    caplog.set_level("INFO")

    Federation("fpf", line_twin(10.0), fpf__gamma=0.25).run(rounds=1)

    first = caplog.records[0].getMessage()
    assert "fpf: fpf.gamma=0.25, fpf.temperature=" in first


def test_sites_do_not_evaluate_in_a_round_of_their_own():
    federation = Federation()
    federation.run(rounds=2)

    kinds = {message.metadata.message_type for message in federation.grid.sent}

    assert kinds == {"train", "query.calibrate"}
    strategy, record = federation.strategy, to_record(line(0))
    assert list(strategy.configure_evaluate(1, record, None, federation.grid)) == []
    assert strategy.aggregate_evaluate(1, []) is None


def test_flower_gets_figures_it_can_hold():
    federation = Federation(accuracy=lambda b: 0.5)

    result = federation.run(rounds=1)

    figures = result.evaluate_metrics_serverapp[1]
    assert isinstance(figures, MetricRecord)
    assert figures["balanced_accuracy"] == 0.5
    assert result.train_metrics_clientapp[1]["loss"] == 1.0
