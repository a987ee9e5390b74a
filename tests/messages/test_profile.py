"""A site's profile, from one end of the wire to the other; bad ones are in test_enrolment."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message

from dtfl_app.core.errors import ReplyError
from dtfl_app.messages.declaration import ArraySpec, MetricSpec
from dtfl_app.messages.profile import Profile, profile_query, shares_of, site_name
from dtfl_app.sites.quality import assess
from dtfl_app.sites.scaling import ChannelSums
from dtfl_app.testing.grid import identify
from tests.support.small_dataset import SMALL, small_series
from twin.ctown.residuals import DemandSums

SOUND = {"missing": 0.0, "frozen": 0.25, "removed": 0.5}
PROFILE = Profile(
    site="north",
    schema=SMALL.digest(),
    moments=ChannelSums(np.array([8.0, 4.0]), np.array([1.0, 2.0]), np.array([0.5, 0.0])),
    quality={"level": SOUND, "flow": dict.fromkeys(SOUND, 0.0)},
)
DEMAND = DemandSums(np.ones((5, 168)), np.full((5, 168), 3.0))
RANGES = np.array([[0.0, 0.0], [8.0, 60.0]])


def up_to_four(site: str) -> np.ndarray:
    """Least and greatest demand of each of five districts, L/s."""
    return np.array([[-1.0] * 5, [4.0] * 5])


def answer(profile: Profile = PROFILE) -> Message:
    identify()
    return profile.pack(profile_query(7))


@pytest.mark.parametrize("demand", [None, DEMAND], ids=["without demand", "with demand"])
def test_the_server_reads_the_profile_that_was_packed(demand):
    asked = None if demand is None else up_to_four
    read = Profile.unpack(answer(replace(PROFILE, demand=demand)), SMALL, RANGES, asked)

    assert (read.site, read.schema) == ("north", SMALL.digest())
    assert read.quality == PROFILE.quality
    for name in ("n", "mean", "m2"):
        assert getattr(read.moments, name).tolist() == getattr(PROFILE.moments, name).tolist()
    assert (read.demand is None) == (demand is None)
    if read.demand is not None:
        np.testing.assert_array_equal(read.demand.total, DEMAND.total)


@pytest.mark.parametrize(
    "change",
    [
        {"count": -1.0},
        {"count": 0.5},
        {"count": 1e300},
        {"total": np.inf},
        {"total": np.nan},
        {"total": 4.1},
        {"total": -1.1},
        {"total": 1e300, "count": 1e300},
    ],
)
def test_sums_of_demands_that_make_no_sense_are_refused(change):
    sums = {"count": np.ones((5, 168)), "total": np.ones((5, 168))}
    for name, value in change.items():
        sums[name][2, 3] = value

    with pytest.raises(ReplyError, match=r"'north' sent .*demands are"):
        Profile.unpack(
            answer(replace(PROFILE, demand=DemandSums(**sums))), SMALL, RANGES, up_to_four
        )


@pytest.mark.parametrize(("demand", "asked"), [(DEMAND, None), (None, up_to_four)])
def test_demands_are_taken_where_they_were_asked_for_and_nowhere_else(demand, asked):
    with pytest.raises(ReplyError, match="arrays are not those asked for"):
        Profile.unpack(answer(replace(PROFILE, demand=demand)), SMALL, RANGES, asked)


@pytest.mark.parametrize("name", ["", " ", " north", "north\nsouth", "\x1b[31mnorth", "n" * 65])
def test_a_name_that_could_forge_a_line_or_colour_a_terminal_is_refused(name):
    with pytest.raises(ReplyError, match=r"it calls itself .* expected 1 to 64 characters") as told:
        Profile.unpack(answer(replace(PROFILE, site=name)), SMALL, RANGES)

    assert str(told.value).isprintable()


def test_records_and_entries_that_nobody_asked_for_are_refused():
    message = answer()
    message.content["extra"] = ArrayRecord({"more": Array(np.zeros(4_000_000))})

    with pytest.raises(ReplyError, match="records not asked for: 'extra'"):
        Profile.unpack(message, SMALL, RANGES)


def test_a_node_that_fails_says_so_in_its_own_words():
    identify()
    failed = Message(Error(code=2, reason="no such file"), reply_to=profile_query(7))

    with pytest.raises(ReplyError, match="site failed: no such file"):
        site_name(failed, SMALL)


def test_a_profile_tells_three_of_a_channel_s_shares():
    """Every fourth level is missing, the flow is sound."""
    series = small_series(0, 100)
    series.loc[::4, "level"] = np.nan

    shares = shares_of(assess("north", series, SMALL))

    assert shares["level"] == {"missing": 0.25, "frozen": 0.0, "removed": 0.0}
    assert list(shares) == ["level", "flow"]


def test_a_profile_is_three_moments_of_a_feature_and_three_shares_of_a_channel():
    declared = Profile.declaration(features=6, channels=2, with_demand=False)

    assert declared.arrays == dict.fromkeys(("n", "mean", "m2"), ArraySpec("float64", (6,)))
    shares = dict.fromkeys(("missing", "frozen", "removed"), MetricSpec(float, (2,)))
    assert declared.metrics == shares
    assert declared.identity == {"site": str, "schema": str}


def test_demand_is_summed_over_five_districts_and_the_hours_of_a_week():
    arrays = Profile.declaration(features=6, channels=2, with_demand=True).arrays

    assert arrays["demand-count"] == arrays["demand-total"] == ArraySpec("float64", (5, 7 * 24))
