import matplotlib.pyplot as plt
import pytest
from matplotlib.image import imread

from dtfl_app.results import plots
from dtfl_app.results.curves import plot_curves
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
def axes(tmp_path, monkeypatch):
    """The two axes that were drawn, with their figure still open."""
    monkeypatch.setattr(plots.plt, "close", lambda figure: None)
    plot_curves(LINES, target=0.8, title="a plant", path=tmp_path / "curves.png")
    yield plt.gcf().axes
    plt.switch_backend("agg")  # closes what is open


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


def test_the_picture_can_be_opened_and_its_figure_is_closed(tmp_path):
    path = tmp_path / "curves.png"
    before = plt.get_fignums()

    plot_curves(LINES, 0.8, "a plant", path)

    height, width = imread(path).shape[:2]
    assert width > height > 300
    assert plt.get_fignums() == before


def test_a_run_without_an_evaluation_gives_an_empty_picture(tmp_path):
    plot_curves([line_of("fedavg", 0, None)], 0.8, "a plant", tmp_path / "curves.png")

    assert (tmp_path / "curves.png").stat().st_size > 0
