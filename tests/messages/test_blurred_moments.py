"""Noise on the moments that a site enrols with: how much, of what, and what it has cost."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.client.enrolled import as_told
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.core.sections import PrivacySettings
from dtfl_app.messages.privacy import (
    ENROLMENT,
    MOMENT_ROWS,
    PrivacyLedger,
    blur_moments,
    noise_multiplier,
)
from dtfl_app.sites.scaling import ChannelSums
from tests.client.test_enrolled import ROWS, means, profile
from tests.support.noise import known_noise
from tests.support.station import SITES, write_station
from tests.support.station_runs import Station

D = 400
RANGES = np.stack([np.full(D, -2.0), np.full(D, 6.0)])  # shape: (2, d); spans of 8


def settings(**changes) -> PrivacySettings:
    return replace(PrivacySettings(dp=True, moments=True), **changes)


# sqrt(2 ln(125000)) / 1e15: noise of 1e-13 spans.
EXACT = settings(epsilon=1e15)


def told(rows: np.ndarray, wanted: PrivacySettings) -> np.ndarray:
    """Means and deviations in spans, shape (2, d)."""
    found = blur_moments(ChannelSums.of(rows), RANGES[:, : rows.shape[1]], wanted)
    return np.stack([(found.mean + 2.0) / 8.0, np.sqrt(found.m2 / found.n) / 8.0])


def test_without_noise_mean_and_deviation_are_those_of_the_rows_and_the_count_is_not():
    """Rows 0 and 4: mean 2, deviation 2, of a thousand."""
    found = blur_moments(ChannelSums.of(np.array([[0.0], [4.0]])), RANGES[:, :1], EXACT)

    assert found.n == MOMENT_ROWS
    assert found.mean == pytest.approx([2.0])
    assert found.m2 == pytest.approx([MOMENT_ROWS * 4.0])


def test_no_two_data_sets_are_farther_apart_than_the_sensitivity():
    """All at one end against all at the other is sqrt(d) exactly; half and half lies between."""
    generator = np.random.default_rng(1)
    low, high = np.full((9, D), -2.0), np.full((9, D), 6.0)
    mixed = np.where(generator.random((9, D)) < 0.5, low, high)
    uniform = generator.uniform(-2.0, 6.0, (9, D))
    outside, nothing = np.full((9, D), 1e9), np.full((9, D), np.nan)
    points = [told(rows, EXACT) for rows in (low, high, mixed, uniform, outside, nothing)]

    apart = [np.linalg.norm(a - b) for a in points for b in points]

    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(np.sqrt(D))
    assert max(apart) <= np.sqrt(D) + 1e-9


def test_the_noise_has_the_deviation_that_the_account_counts_with():
    """sqrt(400) times 4.8448e-4; of 400 draws the deviation is known to 3.5%: four are 15%.

    Rows whose means and deviations lie far from the ends, so that nothing is drawn in.
    """
    wanted = settings(epsilon=1e4)
    rows = np.tile([[0.0], [4.0]], (1, D))

    with known_noise():
        found = told(rows, wanted)

    sigma = np.sqrt(D) * noise_multiplier(wanted)
    assert sigma == pytest.approx(20 * 4.8448e-4, rel=1e-3)
    for row, true in zip(found, (0.5, 0.25), strict=True):
        assert np.std(row - true) == pytest.approx(sigma, rel=0.15)
        # Four standard errors of a mean of 400.
        assert abs(np.mean(row - true)) < 4 * sigma / 20


@pytest.mark.parametrize("epsilon", [0.1, 8.0, 1e4])
def test_noisy_moments_are_such_as_readings_can_have(epsilon):
    rows = np.random.default_rng(2).uniform(-2.0, 6.0, (50, D))

    with known_noise():
        found = blur_moments(ChannelSums.of(rows), RANGES, settings(epsilon=epsilon))

    found.require_possible(RANGES, 10_000_000)


def test_a_channel_that_nobody_read_looks_like_any_other():
    rows = np.array([[0.0, np.nan], [4.0, np.nan]])

    found = blur_moments(ChannelSums.of(rows), RANGES[:, :2], EXACT)

    assert found.n.tolist() == [MOMENT_ROWS, MOMENT_ROWS]
    assert found.mean[1] == pytest.approx(2.0)


def test_the_same_seed_gives_the_same_bytes_and_another_draw_others():
    moments = ChannelSums.of(np.tile([[0.0], [4.0]], (1, D)))
    with known_noise():
        first, second = (blur_moments(moments, RANGES, settings()) for _ in range(2))
    with known_noise():
        again = blur_moments(moments, RANGES, settings())

    assert first.mean.tobytes() == again.mean.tobytes()
    assert first.m2.tobytes() == again.m2.tobytes()
    assert first.mean.tobytes() != second.mean.tobytes()


def test_moments_cost_what_one_more_update_costs():
    """The same noise over sensitivity is the same Gaussian mechanism."""
    three, both = PrivacyLedger(settings()), PrivacyLedger(settings())
    for _ in range(3):
        three.count("cwa", ["a"])
    both.count(ENROLMENT, ["a"])
    both.count("cwa", ["a"])
    both.count("cwa", ["a"])

    report = json.loads(json.dumps(both.report()))
    assert report["epsilon_all_strategies"] == three.total()
    assert report["releases"] == {ENROLMENT: {"a": 1}, "cwa": {"a": 2}}
    assert not any("squared deviations" in item for item in report["not_covered"])
    without = PrivacyLedger(PrivacySettings(dp=True)).report()["not_covered"]
    assert any("squared deviations" in item for item in without)


def test_the_same_data_has_the_same_noisy_answer_until_thirty_rows_are_others(tmp_path):
    ranges = np.array([[-9.0, -9.0], [9.0, 9.0]])

    def noisy(one):
        return replace(one, moments=blur_moments(one.moments, ranges, settings()))

    with known_noise():
        found = [
            means(as_told(profile(rows), rows, tmp_path, 30, noisy, "0.6"))
            for rows in (ROWS, ROWS, ROWS[:-1], ROWS[:-29], ROWS[:-30])
        ]

    assert found[0] == found[1] == found[2] == found[3] != means(profile(ROWS))
    assert found[4] != found[0]


def test_answers_with_and_without_noise_are_remembered_each_by_itself(tmp_path):
    """Else a run between with noise would have the one before without it forgotten."""
    ranges = np.array([[-9.0, -9.0], [9.0, 9.0]])
    plain = means(as_told(profile(ROWS), ROWS, tmp_path, 30))
    rows = ROWS[:-1]

    as_told(
        profile(rows), rows, tmp_path, 30,
        lambda one: replace(one, moments=blur_moments(one.moments, ranges, settings())), "0.6",
    )  # fmt: skip

    assert means(as_told(profile(rows), rows, tmp_path, 30)) == plain


def test_moments_without_dp_would_have_no_noise_and_are_refused():
    with pytest.raises(ConfigError, match=r"privacy\.moments = true without privacy\.dp"):
        RunConfig.from_mapping({"privacy.moments": True})


def test_a_run_counts_them_at_each_enrolment_and_goes_on_with_other_noise(tmp_path):
    """Without a state folder a resumed run is told new noise, which is no other data."""
    station = Station(write_station(tmp_path / "files"), tmp_path / "results")
    wanted = {
        "strategy": "fedavg", "rounds": 1, "checkpoint_every": 1,
        "privacy__dp": True, "privacy__moments": True, "privacy__epsilon": 1e6,
    }  # fmt: skip
    begun = station.run(**wanted).path
    first = json.loads((begun / "privacy.json").read_text())

    station.run(**wanted, resume=str(begun), run_name=begun.name)

    again = json.loads((begun / "privacy.json").read_text())
    assert first["releases"] == {name: dict.fromkeys(SITES, 1) for name in (ENROLMENT, "fedavg")}
    assert again["releases"][ENROLMENT] == dict.fromkeys(SITES, 2)
