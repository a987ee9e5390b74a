import pytest
from matplotlib.image import imread

from dtfl_app.results.drawing import PAPER, SERIES, draw_curve, new_figure, save_png, series_dash


def test_neighbouring_series_differ_in_colour_and_in_dashes():
    for index in range(SERIES - 1):
        assert PAPER.colour(index) != PAPER.colour(index + 1)
        assert series_dash(index) != series_dash(index + 1)
    assert PAPER.colour(SERIES) == PAPER.colour(0)
    assert series_dash(SERIES) != series_dash(0)


def test_a_file_has_a_white_ground_and_one_legend_entry_for_each_name(tmp_path):
    """Both panels show the same two series."""
    figure = new_figure(6, 3)
    for axes in figure.subplots(1, 2):
        for index, name in enumerate(("fedavg", "cwa")):
            draw_curve(axes, PAPER, index, name, [0, 1], [0.5, 0.6 + index / 10])

    save_png(figure, tmp_path / "picture.png", "a title")

    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["fedavg", "cwa"]
    corner = imread(tmp_path / "picture.png")[0, 0]
    assert corner.tolist() == pytest.approx([1.0] * len(corner))


def test_without_names_there_is_no_legend(tmp_path):
    figure = new_figure(4, 3)
    figure.subplots().plot([0, 1], [0, 1])

    save_png(figure, tmp_path / "picture.png")

    assert figure.legends == []
