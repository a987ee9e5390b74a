"""A file of attacked hours at a gateway, and what one pass over it gives."""

import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.detection.following import Following
from dtfl_app.detection.once import score_file
from tests.support.following import OPTIONS


@pytest.fixture(scope="module")
def bundle(model):
    return read_folder(model)


@pytest.fixture(scope="module")
def lines(dataset04):
    """Header and 80 hours about the beginning of the first attack, with a gap of five."""
    text = dataset04.read_bytes().splitlines(keepends=True)
    return [text[0], *text[1710:1760], *text[1765:1795]]


@pytest.fixture(scope="module")
def whole(bundle, lines, tmp_path_factory):
    """What one pass over the finished file gives."""
    data = tmp_path_factory.mktemp("whole") / "site.csv"
    data.write_bytes(b"".join(lines))
    _, found = score_file(bundle, OPTIONS, data)
    return "".join(f"{line}\n" for line in found)


@pytest.fixture
def following(tmp_path):
    return Following(tmp_path / "site.csv", tmp_path / "out.jsonl", until_idle=1e-9)
