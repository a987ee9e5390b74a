import pytest

from dtfl_app.core.errors import ConfigError, ReplyError
from dtfl_app.core.site_names import SiteNames


def test_a_node_may_call_itself_by_the_name_of_its_own_key_alone(tmp_path):
    file = tmp_path / "names.toml"
    file.write_text('"north" = "18446744073709551615"\n"öst" = "2"\n', encoding="utf-8")
    names = SiteNames.of(str(file))

    names.require(2**64 - 1, "north")
    names.require(2, "öst")
    for node, site in ((2, "north"), (3, "öst"), (3, "west")):
        with pytest.raises(ReplyError, match=rf"node {node} calls itself '{site}'"):
            names.require(node, site)


def test_without_a_file_any_node_may_have_any_name():
    SiteNames.of("").require(7, "north")


@pytest.mark.parametrize(
    "content", ["north = 7", "north = '-7'", "north = '\u0663'", "[north", b"\xff"]
)
def test_a_file_that_is_none_of_names_is_refused(tmp_path, content):
    file = tmp_path / "names.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigError, match=r"names\.toml: .*dtfl register"):
        SiteNames.of(str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no file of names"):
        SiteNames.of(str(tmp_path / "nothing.toml"))
