import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtfl_app.core.errors import ConfigError, DataError
from dtfl_app.detector.scoring import stack_windows
from dtfl_app.sites.features import FeatureSpec, make_features
from dtfl_app.sites.partition import (
    attack_per_site,
    by_column,
    dirichlet,
    random_split,
    site_names,
    split_calibration,
    time_blocks,
)
from tests.sites.demo_series import DEMO, make_series

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=5)
SEEDS = st.integers(0, 2**32 - 1)
fast = settings(max_examples=40, deadline=None)


@st.composite
def labelled(draw: st.DrawFn) -> pd.DataFrame:
    """Instances of any length with runs of events in them, some rows unlabelled."""
    lengths = draw(LENGTHS)
    n = sum(lengths)
    runs = draw(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=20))
    events = [f"event{i}" if bad else "" for i, (size, bad) in enumerate(runs) for _ in range(size)]
    unlabelled = draw(st.frozensets(st.integers(0, n - 1), max_size=5))
    return make_series(lengths, (events + [""] * n)[:n], unlabelled)


def rows_of(series: pd.DataFrame) -> list[float]:
    """Row numbers in the original series; `make_series` hides them in the level."""
    return (series["level"] * 1000).round().astype(int).tolist()


def assert_a_partition(parts: list[pd.DataFrame], whole: pd.DataFrame) -> None:
    rows = [rows_of(part) for part in parts]
    assert sorted(row for part in rows for row in part) == rows_of(whole)
    assert all(part == sorted(part) for part in rows)
    names = [name for part in parts for name in part["instance"].unique()]
    assert len(names) == len(set(names))
    for part in parts:
        assert list(part.columns) == list(whole.columns)
        assert part.index.tolist() == list(range(len(part)))
        for _, piece in part.groupby("instance"):
            pieces = rows_of(piece)
            assert pieces == list(range(pieces[0], pieces[0] + len(pieces)))
            assert whole["instance"].iloc[pieces].nunique() == 1


@fast
@given(series=labelled(), data=st.data())
def test_time_blocks_lose_no_row_and_are_equal_to_one_row(series, data):
    k = data.draw(st.integers(1, len(series)))

    sites = time_blocks(series, k)

    assert list(sites) == site_names(k)
    assert_a_partition(list(sites.values()), series)
    sizes = [len(site) for site in sites.values()]
    assert max(sizes) - min(sizes) <= 1
    assert [row for site in sites.values() for row in rows_of(site)] == rows_of(series)


@fast
@given(series=labelled(), data=st.data())
def test_every_attack_is_known_to_one_site_that_has_normal_operation_too(series, data):
    events = [event for event in series["event"].unique() if event]
    quiet = int((series["event"] == "").sum())
    most = min(len(events), quiet)
    if not most:
        with pytest.raises(DataError, match="cannot be made"):
            attack_per_site(series, 1)
        return
    k = data.draw(st.integers(1, most))

    sites = attack_per_site(series, k)

    assert_a_partition(list(sites.values()), series)
    known = [set(site["event"]) - {""} for site in sites.values()]
    assert sum(len(names) for names in known) == len(set.union(*known)) == len(events)
    assert all(known)
    assert all((site["event"] == "").any() for site in sites.values())


@fast
@given(series=labelled(), seed=SEEDS, alpha=st.sampled_from([0.01, 0.5, 100.0]), data=st.data())
def test_dirichlet_deals_whole_chunks_and_is_the_same_for_the_same_seed(series, seed, alpha, data):
    chunks = sum(-(-len(rows) // 7) for _, rows in series.groupby("instance"))
    k = data.draw(st.integers(1, chunks))

    first, second = (
        dirichlet(series, DEMO, k, alpha, np.random.default_rng(seed), chunk=7) for _ in range(2)
    )

    assert_a_partition(list(first.values()), series)
    assert all(len(site) for site in first.values())
    for name in first:
        pd.testing.assert_frame_equal(first[name], second[name])


def test_a_small_alpha_separates_operating_regimes_and_a_large_one_mixes_them():
    """Two regimes, low and high level, of 40 chunks each, to 2 sites.

    The measure is the share of each site's rows in its commoner regime: 1 = pure, 0.5 = mixed.
    """
    series = make_series([800])
    series["level"] = np.repeat(np.tile([1.0, 9.0], 40), 10) + np.linspace(0, 0.1, 800)

    def purity(alpha: float) -> float:
        draws = [
            dirichlet(series, DEMO, 2, alpha, np.random.default_rng(seed), chunk=10, regimes=2)
            for seed in range(10)
        ]
        high = [(site["level"] > 5).mean() for draw in draws for site in draw.values()]
        return float(np.mean([max(share, 1 - share) for share in high]))

    assert purity(0.05) > 0.8
    assert purity(1000.0) < 0.65


def test_dirichlet_bears_channels_that_are_missing_or_constant():
    series = make_series([40]).assign(level=np.nan)

    sites = dirichlet(series, DEMO, 3, 0.5, np.random.default_rng(0), chunk=5)

    assert sum(len(site) for site in sites.values()) == 40


@fast
@given(series=labelled())
def test_by_column_makes_one_site_per_name(series):
    sites = by_column(series, lambda instance: f"well{int(instance[3:]) % 2}")

    assert list(sites) == sorted(sites)
    assert_a_partition(list(sites.values()), series)
    assert set(series["instance"]) == {i for site in sites.values() for i in site["instance"]}


@fast
@given(series=labelled(), share=st.floats(0, 1), seed=SEEDS)
def test_random_split_takes_the_share_of_each_label(series, share, seed):
    first, second = random_split(series, share, np.random.default_rng(seed))

    assert_a_partition([first, second], series)
    for label in (-1, 0, 1):
        whole = int((series["label"] == label).sum())
        assert int((second["label"] == label).sum()) == round(share * whole)


@fast
@given(
    series=labelled(),
    share=st.floats(0, 0.9),
    per=st.sampled_from(["stretch", "label"]),
    least=st.integers(1, 9),
)
def test_calibration_rows_are_disjoint_tails(series, share, per, least):
    train, calibration = split_calibration(series, share, per, least)

    assert_a_partition([train, calibration], series)
    keys = series[["instance", "label"]]
    runs = (keys != keys.shift()).any(axis=1).cumsum()
    group = series["label"] if per == "label" else runs
    held = np.isin(np.arange(len(series)), rows_of(calibration))
    for _, run in pd.Series(held).groupby(group):
        assert run.is_monotonic_increasing
        assert not run.any() or least <= run.sum() <= len(run) - least
    if share == 0:
        assert calibration.empty


def test_the_calibration_tail_by_hand():
    """Runs of 10 normal, 4 abnormal, 2 normal; a fifth of each, at least 2 rows, 2 left to train.

    10 -> 2 (rows 8, 9); 4 -> 0.8, raised to 2 (rows 12, 13); 2 -> none, as nothing would be left.
    """
    series = make_series([16], ["", *[""] * 9, *["leak"] * 4, "", ""])

    _, calibration = split_calibration(series, 0.2, least=2)

    assert rows_of(calibration) == [8, 9, 12, 13]
    assert calibration["instance"].tolist() == ["run0/part-2"] * 2 + ["run0/part-4"] * 2


def test_an_uncut_recording_keeps_its_name():
    sites = time_blocks(make_series([4, 4, 4]), 2)

    assert sites["site-01"]["instance"].unique().tolist() == ["run0", "run1/part-1"]
    assert sites["site-02"]["instance"].unique().tolist() == ["run1/part-2", "run2"]


def test_site_names_sort_in_their_order():
    assert site_names(2) == ["site-01", "site-02"]
    assert sorted(site_names(120)) == site_names(120)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda s: time_blocks(s, 7), "7 sites cannot be made of 6 rows"),
        (lambda s: time_blocks(s, 0), "0 sites cannot be made of 6 rows"),
        (lambda s: attack_per_site(s, 2), "2 sites cannot be made of 1 events"),
        (
            lambda s: dirichlet(s, DEMO, 3, 1.0, np.random.default_rng(0), chunk=3),
            "3 sites cannot be made of 2 chunks of 3 rows",
        ),
    ],
)
def test_more_sites_than_data_is_one_clear_error(cut, message):
    with pytest.raises(DataError, match=message):
        cut(make_series([6], ["", "leak", "leak", "", "", ""]))


def test_settings_without_meaning_are_refused():
    series = make_series([6])

    with pytest.raises(ConfigError, match="alpha must be above 0"):
        dirichlet(series, DEMO, 2, 0.0, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="calibration share must be in"):
        split_calibration(series, 1.0)


@fast
@given(
    series=labelled(),
    share=st.floats(0.05, 0.9),
    per=st.sampled_from(["stretch", "label"]),
    window=st.integers(1, 6),
    step=st.integers(1, 6),
    stacked=st.integers(1, 3),
)
def test_no_window_for_calibration_shares_a_row_with_one_for_training(
    series, share, per, window, step, stacked
):
    """Windows longer than a step overlap, and a model may be shown several: none spans the border.

    A reading is the number of its row, so a window of w rows that ends with r holds r - w + 1 to r.
    """
    spec = FeatureSpec(window * DEMO.period_s, step * DEMO.period_s, ("last",))
    held = []
    for part in split_calibration(series, share, per, least=window):
        features = make_features(part, DEMO, spec)
        shown = stack_windows(features.values[:, :1], features.instance, stacked)
        ends = np.unique(np.rint(shown.ravel() * 1000).astype(int))
        held.append({row for end in ends.tolist() for row in range(end - window + 1, end + 1)})

    assert not held[0] & held[1]
