"""A twin of any torch model: its steps, its seed, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from dtfl_app.core.errors import ConfigError, TwinError
from dtfl_app.flower import TorchTwin
from tests.support.stock_app import loss_of, network, stripes, twin


class Line(torch.nn.Module):
    """A model that says b whatever it sees, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.b = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer("asked", torch.tensor(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return self.b.expand(len(x))


def line(b: float, asked: int = 0):
    return {"b": np.array([b], np.float32), "asked": np.array(asked)}


def squares(model, batch):
    return ((model(batch) - batch) ** 2).mean()


def params_of(model):
    return {key: value.numpy() for key, value in model.state_dict().items()}


def shuffling(generator=None):
    x, y = (torch.cat(parts) for parts in zip(*stripes(0.5, seed=3), strict=True))
    return DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, generator=generator)


def test_the_gradient_of_the_twins_loss_by_hand():
    """L = mean (b - x)^2 over x = 1, 1, 4: slope 2 (b - 2) = -4 at b = 0, whatever the batches."""
    ones, four = torch.ones(2), torch.full((1,), 4.0)

    slope = TorchTwin(Line, squares, [ones, four]).gradient(line(0.0, asked=7), rows=3)

    assert slope["b"].tolist() == [-4.0]
    assert slope["asked"].tolist() == 0


def test_a_gradient_takes_whole_batches_until_it_has_its_rows():
    """Two rows of 1 are enough for 2 rows: slope 2 (0 - 1). For 100 there is one pass."""
    twin = TorchTwin(Line, squares, [torch.ones(2), torch.full((1,), 4.0)])

    assert [twin.gradient(line(0.0), rows)["b"].tolist() for rows in (1, 2, 100)] == [
        [-2.0],
        [-2.0],
        [-4.0],
    ]


def test_steps_lead_towards_the_twins_data():
    """Adam's first step is the step size, whatever the slope; the counter goes on from 5."""
    twin = TorchTwin(Line, squares, [torch.full((4,), 10.0)], steps=1, lr=0.5)

    after = twin.train(line(4.0, asked=5))

    assert after["b"] == pytest.approx([4.5])
    assert after["asked"].tolist() == 6


def test_no_steps_leave_the_model_as_it_is():
    assert TorchTwin(Line, squares, [torch.ones(1)], steps=0).train(line(4.0)) == line(4.0)


@pytest.mark.parametrize("generator", [None, torch.Generator()])
def test_a_round_repeats_exactly_whatever_was_drawn_before(generator):
    first = TorchTwin(network, loss_of, shuffling(generator), steps=5)
    second = TorchTwin(network, loss_of, shuffling(generator), steps=5)
    start = params_of(network(seed=1))

    first.begin_round(2)
    here = first.train(start)
    torch.rand(3)
    second.begin_round(1)
    second.train(start)
    second.begin_round(2)
    there = second.train(start)

    assert all(np.array_equal(here[key], there[key]) for key in start)


def test_rounds_and_seeds_draw_other_batches():
    start = params_of(network(seed=1))
    drawn = []
    for seed, server_round in [(0, 1), (0, 2), (1, 1)]:
        twin = TorchTwin(network, loss_of, shuffling(), steps=5, seed=seed)
        twin.begin_round(server_round)
        drawn.append(twin.train(start)["4.weight"].tobytes())

    assert len(set(drawn)) == 3


def test_the_apps_own_random_numbers_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    TorchTwin(network, loss_of, shuffling(), steps=3).train(params_of(network()))

    assert torch.equal(torch.rand(3), expected)


def test_distilling_leads_to_the_teachers_outputs():
    student, teacher = params_of(network(seed=1)), params_of(network(seed=2))
    steps = twin(steps=60)

    after = steps.distil(student, teacher)

    def gap(params):
        x = stripes(0.0, seed=9)[0][0]
        outputs = []
        for values in (params, teacher):
            model = network().eval()
            model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in values.items()})
            outputs.append(torch.softmax(model(x), dim=1))
        return float((outputs[0] - outputs[1]).abs().detach().mean())

    assert gap(after) < gap(student) / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "TorchTwin: steps = -1; expected at least 0"),
        ({"lr": 0.0}, "TorchTwin: lr = 0.0; expected above 0"),
        ({"seed": -3}, "TorchTwin: seed = -3; expected at least 0"),
        ({"warm_steps": 0}, "TorchTwin: warm-steps = 0; expected at least 1"),
    ],
)
def test_a_number_out_of_its_range_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        twin(**options)


def test_a_loader_without_batches_is_refused():
    with pytest.raises(TwinError, match="the loader gave no batch"):
        TorchTwin(Line, squares, []).train(line(0.0))


def test_a_loader_that_is_used_up_is_refused():
    twin = TorchTwin(Line, squares, (torch.ones(1) for _ in range(3)), steps=5)

    with pytest.raises(TwinError, match="a generator is used up after its first pass"):
        twin.train(line(0.0))


def test_a_loss_that_is_not_finite_says_where():
    twin = TorchTwin(Line, squares, [torch.ones(1), torch.tensor([torch.nan])], steps=5)
    twin.begin_round(3)

    with pytest.raises(TwinError, match="the loss is nan in step 2 of 5 of round 3"):
        twin.train(line(0.0))
    with pytest.raises(TwinError, match="the loss is nan in a gradient of round 3"):
        twin.gradient(line(0.0), rows=2)


def test_a_loss_per_row_is_refused():
    twin = TorchTwin(Line, lambda model, batch: (model(batch) - batch) ** 2, [torch.ones(3)])

    with pytest.raises(TwinError, match=r"the loss is \(3,\), expected a tensor of one number"):
        twin.train(line(0.0))


def test_a_batch_without_rows_to_count_is_refused_where_they_are_needed():
    twin = TorchTwin(Line, lambda model, batch: model(torch.ones(1)).mean(), [object()])

    with pytest.raises(TwinError, match="a batch is object, so its rows cannot be counted"):
        twin.gradient(line(0.0), rows=1)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"b": np.zeros(1, np.float32)}, "asked"),
        ({**line(0.0), "c": np.zeros(1)}, "c"),
        ({**line(0.0), "b": np.zeros(2, np.float32)}, "b"),
    ],
)
def test_arrays_of_another_model_are_refused(params, name):
    with pytest.raises(TwinError, match=f"array '{name}' has shape .* model_fn must make"):
        TorchTwin(Line, squares, [torch.ones(1)]).train(params)


def test_the_room_comes_without_data_sets_simulators_and_pictures():
    """What torch and Flower bring themselves is all that is loaded."""
    heavy = "wntr onnx onnxruntime matplotlib pandas scipy sklearn ray dtfl_app.sites twin.ctown"
    code = "import sys, dtfl_app.flower; print([m for m in sys.argv[1:] if m in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code, *heavy.split()], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
