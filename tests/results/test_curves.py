import pytest
from matplotlib.image import imread

from dtfl_app.results.curves import draw_curves, save_curves
from dtfl_app.results.drawing import PAPER, new_figure
from tests.support.figures import line_of

LINES = [
    line_of("fedavg", 0, 0.5),
    line_of("fedavg", 1, 0.6),
    line_of("fedavg", 2, None),
    line_of("cwa", 0, 0.55),
    line_of("cwa", 1, 0.9),
    line_of("cwa", 2, 0.95),
]


@pytest.fixture
def axes():
    """The two axes that were drawn."""
    figure = new_figure(11, 4)
    draw_curves(figure, LINES, 0.8, PAPER)
    return figure.axes


def drawn(axis) -> dict[str, list[list[float]]]:
    curves = [line for line in axis.get_lines() if not line.get_label().startswith("_")]
    return {c.get_label(): [list(c.get_xdata()), list(c.get_ydata())] for c in curves}


def test_accuracy_is_drawn_over_rounds_by_strategy(axes):
    assert drawn(axes[0]) == {
        "fedavg": [[0, 1], [0.5, 0.6]],
        "cwa": [[0, 1, 2], [0.55, 0.9, 0.95]],
    }


def test_accuracy_is_drawn_over_the_bytes_spent_so_far(axes):
    """A round costs 3 + 2 MB, the start nothing."""
    assert drawn(axes[1]) == {
        "fedavg": [[0.0, 5.0], [0.5, 0.6]],
        "cwa": [[0.0, 5.0, 10.0], [0.55, 0.9, 0.95]],
    }


def test_the_target_is_a_line_across_both(axes):
    for axis in axes:
        levels = [list(line.get_ydata()) for line in axis.get_lines()]
        assert [0.8, 0.8] in levels


def test_the_picture_can_be_opened(tmp_path):
    path = tmp_path / "curves.png"

    save_curves(LINES, 0.8, "a plant", path)

    height, width = imread(path).shape[:2]
    assert width > height > 300


def test_a_run_without_an_evaluation_gives_an_empty_picture(tmp_path):
    lines = [line_of("fedavg", 0, None)]
    figure = new_figure(11, 4)

    draw_curves(figure, lines, 0.8, PAPER)
    save_curves(lines, 0.8, "a plant", tmp_path / "curves.png")

    assert drawn(figure.axes[0]) == {"fedavg": [[], []]}
    assert imread(tmp_path / "curves.png").shape[0] > 300
