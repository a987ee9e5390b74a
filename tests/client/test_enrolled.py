"""A site's answers before round 1, one enrolment after the other."""

from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.client.enrolled import as_told
from dtfl_app.messages.profile import Profile
from dtfl_app.sites.scaling import ChannelSums
from twin.ctown.residuals import DemandSums

ROWS = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
DEMAND = DemandSums(np.ones((5, 168)), np.full((5, 168), 3.0))


def profile(rows: np.ndarray, **changes) -> Profile:
    shares = {"missing": 0.0, "frozen": 0.0, "removed": 0.0}
    told = Profile("north", "digest", ChannelSums.of(rows), {"level": shares, "flow": shares})
    return replace(told, **changes)


def means(told: Profile) -> list[float]:
    return told.moments.mean.tolist()


@pytest.mark.parametrize(
    "rows", [ROWS[:-1], ROWS[29:], np.concatenate([ROWS[:-10], ROWS[:10] + 1])]
)
def test_data_that_changed_by_fewer_than_thirty_rows_gives_the_answer_of_before(tmp_path, rows):
    """Grown, cut, or with rows in the place of others: 1, 29 and 20 rows differ."""
    before = as_told(profile(ROWS), ROWS, tmp_path, least=30)

    again = as_told(profile(rows), rows, tmp_path, least=30)

    assert means(again) == means(before) != means(profile(rows))


@pytest.mark.parametrize("rows", [ROWS[:-30], ROWS[:-40] + np.float32(1)])
def test_data_that_changed_by_thirty_rows_gives_an_answer_of_its_own(tmp_path, rows):
    as_told(profile(ROWS), ROWS, tmp_path, least=30)

    assert means(as_told(profile(rows), rows, tmp_path, least=30)) == means(profile(rows))


def test_small_steps_do_not_add_up_to_an_answer_for_each(tmp_path):
    """Ten rows more each time: the first answer stands twice, the third enrolment has its own."""
    found = [
        means(as_told(profile(ROWS[:n]), ROWS[:n], tmp_path, least=30))
        for n in (100, 110, 120, 130)
    ]

    assert found[0] == found[1] == found[2] == means(profile(ROWS[:100]))
    assert found[3] == means(profile(ROWS[:130]))


def test_a_channel_with_few_readings_in_many_new_rows_does_not_tell_them(tmp_path):
    """Fifty rows more, of which two have a flow."""
    sparse = ROWS.copy()
    sparse[150:198, 1] = np.nan
    as_told(profile(sparse[:150]), sparse[:150], tmp_path, least=30)

    again = as_told(profile(sparse), sparse, tmp_path, least=30)

    assert means(again) == means(profile(sparse[:150]))


def test_another_question_is_answered_anew(tmp_path):
    """With demands after without, and with another schema."""
    as_told(profile(ROWS), ROWS, tmp_path, least=30)

    with_demand = as_told(profile(ROWS, demand=DEMAND), ROWS, tmp_path, least=30)
    other = as_told(profile(ROWS[:-1], schema="other"), ROWS[:-1], tmp_path, least=30)

    assert with_demand.demand is DEMAND
    assert means(other) == means(profile(ROWS[:-1]))


def test_demands_are_told_as_before_too(tmp_path):
    as_told(profile(ROWS, demand=DEMAND), ROWS, tmp_path, least=30)
    more = DemandSums(DEMAND.count, DEMAND.total + 1)

    again = as_told(profile(ROWS[:-1], demand=more), ROWS[:-1], tmp_path, least=30)

    assert again.demand is not None
    np.testing.assert_array_equal(again.demand.total, DEMAND.total)


@pytest.mark.parametrize("content", [b"", b"junk" * 40])
def test_a_damaged_memory_is_told_and_the_site_enrols_anew(tmp_path, content, caplog):
    (tmp_path / "enrolment.safetensors").write_bytes(content)

    told = as_told(profile(ROWS), ROWS, tmp_path, least=30)

    assert means(told) == means(profile(ROWS))
    assert "the site enrols anew" in caplog.text
