import numpy as np
import pytest

from dtfl_app.messages.quantise import dequantise
from dtfl_app.rounds.state import State
from tests.support.line_model import bias, line, line_twin
from tests.support.workbench import reply, strategy_on

REPLIES = [reply("a", line(1)), reply("b", line(3))]


def started(side: str, twin=None, **settings):
    """DTKD whose teacher, trained for one step of 0.5 from 0 towards 10, says 0.5."""
    twin = twin or line_twin(10.0)
    dtkd = strategy_on("dtkd", twin, dtkd__side=side, twin__warm_steps=1, **settings)
    dtkd.state = dtkd.prepare(State(line(0)))
    return dtkd


def test_the_teacher_is_trained_on_twin_data_and_the_sites_start_untrained():
    dtkd = started("client")

    assert bias(dtkd.state.twin) == pytest.approx(0.5, abs=1e-6)
    assert bias(dtkd.state.model) == 0.0


@pytest.mark.parametrize("side", ["client", "server"])
def test_the_teacher_is_frozen(side):
    dtkd = started(side)

    state = dtkd.update(dtkd.state, REPLIES)

    assert bias(state.twin) == bias(dtkd.state.twin)


def test_on_the_client_side_the_server_takes_the_plain_mean():
    dtkd = started("client")

    assert bias(dtkd.update(dtkd.state, REPLIES).model) == 2.0


def test_on_the_client_side_sites_get_the_teacher_and_the_losses_weights():
    dtkd = started("client", dtkd__lambda=0.3, dtkd__temperature=4.0)

    arrays, settings = dtkd.site_extras()

    assert arrays["teacher/layers.6.bias"].tolist() == pytest.approx([0.5], abs=1e-6)
    assert len(arrays) == len(line(0))
    assert settings == {"teacher.weight": 0.3, "teacher.temperature": 4.0}


def test_on_the_server_side_the_aggregate_learns_from_the_teacher():
    """The mean 2 takes one step of 0.5 towards the teacher's 0.5, away from the twin's 10."""
    dtkd = started("server")

    state = dtkd.update(dtkd.state, REPLIES)

    assert bias(state.model) == pytest.approx(1.5, abs=1e-6)


def test_on_the_server_side_sites_hold_no_teacher():
    assert started("server").site_extras() == ({}, {})


def test_server_steps_are_counted_for_teacher_and_distillation():
    """One step for the teacher, then three per round of distillation."""
    twin = line_twin(10.0, steps=3)
    dtkd = started("server", twin)

    dtkd.update(dtkd.state, REPLIES)

    assert twin.steps_done == 1 + 3


def test_a_teacher_in_8_bits_is_sent_in_8_bits():
    dtkd = started("client", dtkd__precision="int8")

    arrays, _ = dtkd.site_extras()

    assert arrays["teacher/layers.6.bias"].dtype == np.int8
    whole = {name.removeprefix("teacher/"): array for name, array in arrays.items()}
    assert bias(dequantise(whole)) == pytest.approx(0.5, abs=0.5 / 254)


def test_the_teacher_sent_is_the_same_in_every_round():
    dtkd = started("client", dtkd__precision="int8")
    before, _ = dtkd.site_extras()

    dtkd.state = dtkd.update(dtkd.state, REPLIES)
    after, _ = dtkd.site_extras()

    assert all(np.array_equal(before[name], after[name]) for name in before)
