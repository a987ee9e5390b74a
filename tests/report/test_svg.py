import re
from xml.etree import ElementTree as ET

from dtfl_app.report.svg import PAGE, to_svg
from dtfl_app.results.drawing import draw_curve, new_figure, plain_axes

SVG = "{http://www.w3.org/2000/svg}"


def picture(name: str = "demo", title: str = "A curve", description: str = "It rises.") -> str:
    figure = new_figure(4, 3)
    axes = figure.subplots()
    plain_axes(axes, PAGE)
    for index in range(2):
        draw_curve(axes, PAGE, index, f"series {index}", [0, 1], [0, index + 1])
    axes.text(0, 0, "here <&>", color=PAGE.ink)
    return to_svg(figure, name, title, description)


def test_the_picture_is_well_formed_and_has_a_name_for_those_who_do_not_see_it():
    root = ET.fromstring(picture(title="Up & <down>"))

    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert (title.text, description.text) == ("Up & <down>", "It rises.")
    labels = [title.attrib["id"], description.attrib["id"]]
    assert root.attrib["aria-labelledby"].split() == labels


def test_text_stays_text():
    texts = [element.text for element in ET.fromstring(picture()).iter(f"{SVG}text")]

    assert "here <&>" in texts


def test_colours_come_from_the_page():
    """No colour is fixed, so all follow the scheme."""
    svg = picture()

    assert "var(--ink)" in svg
    assert {"var(--series-0)", "var(--series-1)"} <= set(re.findall(r"var\(--[a-z0-9-]+\)", svg))
    assert not re.search(r"(?:fill|stroke): #", svg)


def test_series_carry_their_number():
    marked = re.findall(r'<g class="series" data-series="(\d+)"', picture())

    assert marked == ["0", "1"]


def test_ids_of_two_pictures_never_meet_and_references_lead_somewhere():
    one, two = picture("one"), picture("two")

    ids = [re.findall(r' id="([^"]+)"', svg) for svg in (one, two)]
    assert not set(ids[0]) & set(ids[1])
    for svg, own in zip((one, two), ids, strict=True):
        assert len(own) == len(set(own))
        assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg)) <= set(own)
    assert "clip-path" in one


def test_the_same_figure_gives_the_same_bytes_without_a_date():
    assert picture() == picture()
    assert "<metadata" not in picture()


def test_nothing_of_the_picture_reaches_the_rest_of_the_page():
    """Matplotlib's style element would apply to every element of the document."""
    assert "<style" not in picture()
    assert not picture().startswith("<?xml")


def test_coordinates_are_not_finer_than_a_hundredth_of_a_point():
    paths = " ".join(re.findall(r' d="([^"]+)"', picture()))

    assert re.search(r"\b\d\.\d\d\b", paths)  # the round marks need them
    assert not re.search(r"\.\d{3}", paths)
    assert not re.search(r"\d\d\.\d\d", paths)
