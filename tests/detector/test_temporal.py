"""The temporal detector: what it sees, learns and refuses."""

import pytest
import torch

from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params


def slopes(window, step, kernel=3):
    """|d output / d input| of one step of the window, by input step, shape (w,)."""
    spec = ModelSpec("temporal", 2, window, options=f"channels=4, code=3, kernel={kernel}")
    model = build_model(spec, seed=3)
    # Weights all positive: no path through the ReLUs is shut, and none cancels another.
    for parameter in model.parameters():
        parameter.data.abs_()
    x = torch.ones(1, 2 * window, requires_grad=True)
    model.steps(model(x))[0, step].sum().backward()
    return model.steps(x.grad)[0].abs().sum(1)


@pytest.mark.parametrize(("window", "kernel"), [(2, 3), (3, 3), (4, 3), (8, 3), (24, 2)])
def test_the_last_step_sees_the_whole_window(window, kernel):
    assert (slopes(window, window - 1, kernel) > 0).all()


def test_no_step_sees_those_after_it():
    found = slopes(window=8, step=4)

    assert (found[:5] > 0).all()
    assert (found[5:] == 0).all()


def test_weights_are_shared_over_time():
    """Two blocks see 1 + 2 + 4 = 7 steps, so a window of 4 takes as many weights as one of 7."""
    sizes = [
        sum(
            value.size for value in get_params(build_model(ModelSpec("temporal", 5, w), 0)).values()
        )
        for w in (4, 7, 8)
    ]

    assert sizes[0] == sizes[1] < sizes[2]


def test_layers_are_in_order_from_the_input():
    model = build_model(ModelSpec("temporal", 2, 4), seed=0)

    layers = model.layer_keys(list(get_params(model)))

    assert [layer[0].removesuffix(".weight") for layer in layers] == [
        "enter", "blocks.0.first", "blocks.0.second", "blocks.1.first", "blocks.1.second",
        "narrow", "widen", "leave",
    ]  # fmt: skip
