from pathlib import Path

import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import DataError
from dtfl_app.sites.folders import cache_dir, file_in, resolve_data_dir


def test_the_data_folder_is_the_setting_then_the_environment_then_the_neighbour(
    tmp_path, monkeypatch
):
    explicit, named, neighbour = (tmp_path / name for name in ("a", "b", "shared/data"))
    for folder in (explicit, named, neighbour, tmp_path / "checkout"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "checkout")

    monkeypatch.setenv("DTFL_DATA", str(named))
    assert resolve_data_dir(str(explicit)) == explicit
    assert resolve_data_dir("") == named
    monkeypatch.delenv("DTFL_DATA")
    assert resolve_data_dir("") == neighbour


def test_without_a_data_folder_all_three_places_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DTFL_DATA", raising=False)

    with pytest.raises(DataError, match=r"data.dir=''.*DTFL_DATA.*shared.data"):
        resolve_data_dir("")


@pytest.mark.parametrize(("name", "found"), [("absent", "does not exist"), ("file", "is a file")])
def test_a_named_folder_that_is_none_is_named_alone(tmp_path, name, found):
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError) as caught:
        resolve_data_dir(str(tmp_path / name))

    assert f"{tmp_path / name} {found}; expected the folder that holds the data" in str(
        caught.value
    )
    assert "batadal" not in str(caught.value)


def test_a_named_file_lies_in_data_dir_unless_it_has_a_path_from_the_root():
    config = RunConfig.from_mapping({"data.dir": "/stations"})

    assert file_in(config, "judge.csv") == Path("/stations/judge.csv")
    assert file_in(config, "/elsewhere/judge.csv") == Path("/elsewhere/judge.csv")


def test_simulated_data_is_cached_at_home_until_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert cache_dir(RunConfig.from_mapping({})) == tmp_path / ".cache" / "dtfl"
    assert cache_dir(RunConfig.from_mapping({"cache-dir": "/tmp/kept"})) == Path("/tmp/kept")
