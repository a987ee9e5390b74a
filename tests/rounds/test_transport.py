"""Messages to the sites and back in 8 bits, with sites that learn by arithmetic.

Site p adds p + 1 to the last bias and nothing to the other seven parameters, so every change that a
site uploads is (p + 1) = 127 steps of (p + 1) / 127: exact up to float32.
"""

import numpy as np
import pytest
from flwr.app import Message

from dtfl_app.messages.calibration import CalibrationTask
from dtfl_app.messages.training import TrainingTask
from tests.support.federation import MODEL_BYTES, SCALER_BYTES, Federation
from tests.support.line_model import LAST, bias
from tests.support.scripted_site import scripted_site

CHANGE_BYTES = 8 * (1 + 4)  # eight arrays of one value, each with a scale
BOTH = {"wire__upload_precision": "int8", "wire__download_precision": "int8"}


def tags(federation: Federation, site: str) -> list[tuple[str, str]]:
    """(tag, tag of the upload it follows) of every training task of one site."""
    told = [TrainingTask.unpack(message) for message in federation.grid.tasks()]
    return [(task.tag, task.follows) for task in told if task.site == site]


def refusing_in_round(server_round: int, site: str):
    """The scripted site, but one reply is refused after the site has done its work."""

    def handler(message: Message, context) -> Message:
        reply = scripted_site(message, context)
        task = CalibrationTask.unpack(message)
        if (task.site, task.server_round) == (site, server_round):
            reply.content["metrics"]["num-examples"] = -1
        return reply

    return handler


@pytest.mark.parametrize("down", ["float32", "int8"])
@pytest.mark.parametrize("up", ["float32", "int8"])
def test_the_model_goes_on_from_the_mean_in_any_precision(up, down):
    federation = Federation(wire__upload_precision=up, wire__download_precision=down)

    federation.run(rounds=3)

    assert bias(federation.strategy.state.model) == pytest.approx(6.0, abs=1e-5)


def test_changes_take_a_byte_a_value_and_four_a_scale():
    """The first model travels in full, to each of three sites."""
    federation = Federation(**BOTH)

    federation.run(rounds=3)

    assert [line.bytes_up for line in federation.lines[1:]] == [3 * CHANGE_BYTES] * 3
    # one array of eight changed, the others are held as they are
    down = [3 * (MODEL_BYTES + SCALER_BYTES), 3 * (1 + 4), 3 * (1 + 4)]
    assert [line.bytes_down for line in federation.lines[1:]] == down


def test_without_asking_for_it_nothing_travels_in_8_bits():
    federation = Federation()

    federation.run(rounds=2)

    for message in federation.grid.tasks():
        assert set(message.content.config_records["task"]) == {"server-round", "site", "upload"}
        assert message.content.config_records["listing"]["array-changes"] == []
    arrays = [a for m in federation.grid.received for a in m.content.array_records.values()]
    assert {array.dtype for record in arrays for array in record.values()} == {"float32"}


def test_every_upload_says_which_one_it_follows():
    federation = Federation(**BOTH)

    federation.run(rounds=3)

    assert tags(federation, "site-1") == [
        ("fedavg/1", ""), ("fedavg/2", "fedavg/1"), ("fedavg/3", "fedavg/2")
    ]  # fmt: skip


def test_a_refused_upload_does_not_count():
    """What site-1's second upload lost was lost with it; the third follows the first."""
    federation = Federation(handler=refusing_in_round(2, "site-1"), **BOTH)

    federation.run(rounds=3)

    assert [line.refused for line in federation.lines[1:]] == [0, 1, 0]
    assert tags(federation, "site-1")[2] == ("fedavg/3", "fedavg/1")


def test_a_refused_site_is_sent_the_model_in_full_again():
    federation = Federation(handler=refusing_in_round(2, "site-1"), **BOTH)

    federation.run(rounds=3)

    full = MODEL_BYTES + SCALER_BYTES
    assert federation.lines[3].bytes_down == full + 2 * (1 + 4)


def test_a_site_that_lost_its_state_is_back_after_one_round(caplog):
    forgotten = []

    def forgetful(message, context):
        task = CalibrationTask.unpack(message)
        if (task.site, task.server_round) == ("site-2", 2) and not forgotten:
            forgotten.append(list(context.state))
            context.state.clear()
        return scripted_site(message, context)

    federation = Federation(handler=forgetful, **BOTH)

    federation.run(rounds=3)

    assert forgotten == [["held-arrays", "upload-errors", "upload-errors-of"]]
    assert [line.sites for line in federation.lines[1:]] == [3, 2, 3]
    assert "was neither sent nor held" in caplog.text


def test_sites_that_sat_out_rounds_are_sent_the_change_of_what_they_hold():
    """Half of four sites a round; the model ends at the sum of the rounds' means all the same."""
    federation = Federation(sites=4, round__fraction=0.5, seed=3, **BOTH)

    federation.run(rounds=6)

    asked = federation.sites_asked()
    assert len({tuple(sites) for sites in asked}) > 1
    means = [np.mean([int(site[-1]) + 1 for site in sites]) for sites in asked]
    assert bias(federation.strategy.state.model) == pytest.approx(sum(means), abs=1e-4)
    assert [line.refused for line in federation.lines[1:]] == [0] * 6


def test_the_closing_query_carries_the_model_itself():
    """The scores are the bias that the sites were sent: the threshold is that of the last model."""
    federation = Federation(**BOTH)

    federation.run(rounds=2)

    closing = federation.grid.tasks("query.calibrate")
    sent = [m.content.array_records["arrays"][f"model/{LAST}"].numpy() for m in closing]
    assert {array.dtype for array in sent} == {np.dtype(np.float32)}
    assert federation.threshold == bias(federation.strategy.state.model)
