from dtfl_app.core.text_tables import markdown, plain


def test_plain_text_is_aligned_and_has_no_spaces_at_the_end():
    text = plain(("name", "n", "last"), [["a", "100", "x"], ["longer", "7", "y"]])

    assert text.splitlines() == ["name    n    last", "a       100  x", "longer  7    y"]


def test_a_table_without_rows_is_its_head():
    assert plain(("a", "b"), []) == "a  b"
    assert markdown(("a", "b"), []) == "| a | b |\n| --- | --- |"


def test_markdown_has_one_line_per_row():
    assert markdown(("a", "b"), [["1", "2"]]).splitlines()[2:] == ["| 1 | 2 |"]
