"""Files of many channels: work is counted, in calls and comparisons, not in seconds."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from dtfl_app.sites.cells import repeated_columns
from dtfl_app.sites.features import make_features
from dtfl_app.sites.files_sites import each_reading
from dtfl_app.sites.own_files import load_own_file
from dtfl_app.sites.site_check import check_file
from dtfl_app.sites.site_draft import draft_schema
from dtfl_app.sites.site_schema import SiteSchema, read_site_schema
from twin.schema import Channel, Schema


class Name(str):
    """A name that counts how often it is compared with another."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def calls_of(work: Callable[[], object]) -> Counter[str]:
    """Function name -> how often it is called, Python's and C's functions alike."""
    calls = Counter[str]()

    def count(frame, event, argument) -> None:
        if event == "call":
            calls[frame.f_code.co_name] += 1
        elif event == "c_call":
            calls[argument.__name__] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def wide_file(folder: Path, channels: int) -> tuple[Path, SiteSchema]:
    path = folder / f"wide-{channels}.csv"
    time = pd.date_range("2024-01-01", periods=60, freq="min").astype(str)
    readings = np.random.default_rng(1).normal(size=(60, channels))
    names = [f"c{i}" for i in range(channels)]
    pd.DataFrame(readings, columns=names).assign(time=time).to_csv(path, index=False)
    (folder / "schema.toml").write_text(draft_schema(path).toml)
    return path, read_site_schema(folder / "schema.toml")


def test_names_of_a_thousand_channels_are_not_all_compared_with_one_another():
    """Each with each would be half a million comparisons; a set makes none, or one for each."""
    names = [Name(f"c{i}") for i in range(1000)]
    Name.compared = 0

    schema = Schema("wide", tuple(Channel(name, "m", "level", 0.0, 1.0) for name in names), 60.0)
    repeated = repeated_columns(names)

    assert (schema.names, repeated) == (names, "")
    assert Name.compared <= 10 * len(names)


def test_work_grows_with_the_channels_and_not_with_their_square(tmp_path):
    """Twice as many channels more make twice as much work more; four times if in the square:
    (160² - 80²) / (80² - 40²). What happens once, falls out of the differences.
    """
    narrow, middle, wide = (wide_file(tmp_path, channels) for channels in (40, 80, 160))

    def counts(work: Callable[[Path, SiteSchema], object]) -> list[int]:
        return [calls_of(lambda f=f: work(*f)).total() for f in (narrow, middle, wide)]

    def features(path: Path, site: SiteSchema) -> object:
        series, _ = load_own_file(path, site)
        return make_features(series, site.schema, each_reading(site.schema))

    for work in (lambda path, _: draft_schema(path), check_file, features):
        work(*narrow)  # what is imported or compiled once
        few, more, most = counts(work)
        assert most - more <= 2.1 * (more - few)


def test_recordings_are_numbered_once_and_not_once_per_channel(tmp_path):
    few, many = (
        calls_of(lambda f=f: load_own_file(*f))["factorize"]
        for f in (wide_file(tmp_path, 5), wide_file(tmp_path, 50))
    )

    assert few == many
