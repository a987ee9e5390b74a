"""Server and sites agree on what sites keep of their own, whichever replies count."""

import numpy as np
import pytest

from dtfl_app.client.versions import keep_version, own_arrays
from dtfl_app.messages.admission import Reply
from dtfl_app.messages.calibration import CalibrationTask
from dtfl_app.messages.training import TrainingTask
from dtfl_app.messages.versions import Versions
from dtfl_app.rounds.versions import SiteVersions
from dtfl_app.strategies.fedavg import FedAvg
from tests.support.federation import Federation
from tests.support.line_model import line, line_twin
from tests.support.scripted_site import scripted_site


class Counting(FedAvg):
    """Sites count the rounds in which they answered."""

    site_state = True


class Site:
    """Counts in its own arrays; `spoilt` are (site, round) whose reply is refused all the same."""

    def __init__(self, *spoilt):
        self.spoilt = spoilt
        self.counts = {}

    def __call__(self, message, context):
        reply, task = scripted_site(message, context), CalibrationTask.unpack(message)
        own = own_arrays(task.site, task.versions, context, on_disk=False)
        if not task.versions.result:
            return reply
        count = own.get("count", np.zeros(1)) + 1
        keep_version(task.versions, {"count": count}, context)
        self.counts.setdefault(task.site, []).append(int(count[0]))
        if (task.site, task.server_round) in self.spoilt:
            reply.content["metrics"]["num-examples"] = -1
        return reply


def told(federation, site="site-1"):
    """(from, as, keep) of every training task of a site."""
    tasks = [TrainingTask.unpack(message) for message in federation.grid.tasks()]
    own = [task.versions for task in tasks if task.site == site]
    return [(versions.start, versions.result, list(versions.keep)) for versions in own]


def test_a_method_without_state_names_no_version():
    federation = Federation("fedavg")

    federation.run(rounds=1)

    assert TrainingTask.unpack(federation.grid.tasks()[0]).versions is None


def test_a_reply_that_does_not_count_is_taken_back_at_its_site_too():
    """Site 1's replies of rounds 2 and 3 are refused: it counts 1, 2, 2, 2, 3."""
    site = Site(("site-1", 2), ("site-1", 3))
    federation = Federation(Counting, handler=site)

    federation.run(rounds=5)

    assert site.counts["site-1"] == [1, 2, 2, 2, 3]
    assert site.counts["site-2"] == [1, 2, 3, 4, 5]
    assert [start for start, _, _ in told(federation)] == ["", "own/1", "own/1", "own/1", "own/4"]


def test_an_update_that_is_undone_is_taken_back_at_all_sites():
    class Diverging(Counting):
        def update(self, state, replies):
            wrong = float("nan") if self.server_round == 2 else 0.0
            return super().update(state, replies) if not wrong else type(state)(line(wrong))

    site = Site()
    Federation(Diverging, line_twin(1.0), handler=site).run(rounds=3)

    assert site.counts == {f"site-{p}": [1, 2, 2] for p in range(3)}


@pytest.mark.parametrize("late", ["drop", "discount"])
def test_a_late_reply_s_version_is_gone_on_from_if_it_counts(late):
    """Site 0 answers a round late: dropped, it begins again; merged, it goes on from there."""
    site = Site()
    federation = Federation(Counting, handler=site, tardy={0}, round__late=late, round__quorum=0.1)

    federation.run(rounds=4)

    assert site.counts["site-0"] == ([1, 1] if late == "drop" else [1, 2])


def test_sites_keep_what_the_last_two_checkpoints_may_go_back_to():
    federation = Federation(Counting, handler=Site(), checkpoint_every=2)

    federation.run(rounds=8)

    assert told(federation)[-1] == ("own/7", "own/8", ["own/4", "own/6"])
    (context, *_) = federation.grid.contexts.values()
    own = sorted(name for name in context.state if name.startswith("own-arrays"))
    assert own == [f"own-arrays own/{number}" for number in (4, 6, 7, 8)]


def test_a_run_taken_up_goes_on_from_what_sites_had_at_the_checkpoint():
    site = Site()
    first = Federation(Counting, handler=site, checkpoint_every=2)
    first.run(rounds=5)
    again = Federation(Counting, handler=site, checkpoint_every=2)
    again.grid.contexts = first.grid.contexts
    site.counts.clear()

    again.run(rounds=5, snapshot=first.snapshots[-1])

    assert first.snapshots[-1].round == 4
    assert site.counts["site-0"] == [5]
    assert told(again) == [("own/4", "own/5", ["own/2"])]


def test_what_was_made_with_a_late_reply_is_kept_while_it_may_count():
    """Site 0 answers round 1 late, when round 2 is asked of it already: it holds 1 and 2 then."""
    versions = SiteVersions("m")

    first, again, second = versions.of("a", 1), versions.of("a", 1), versions.of("a", 2)
    late = Reply("a", {}, 1, 0.0, 1, (), 0, server_round=1)
    versions.count([late])

    assert first == again == Versions("", "m/1")
    assert second == Versions("", "m/2", ("m/1",))
    assert versions.of("a", 3) == Versions("m/1", "m/3", ("m/2",))
