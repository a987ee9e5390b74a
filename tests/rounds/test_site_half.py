"""What a method sends that no site reads, or wants that none makes, is an error before a task."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import setting
from dtfl_app.messages.training import TrainingTask
from dtfl_app.rounds import site_rule
from dtfl_app.rounds.site_rule import SiteRule
from dtfl_app.strategies.fedavg import FedAvg
from tests.support.federation import Federation
from tests.support.line_model import LAST

HERE = "tests.rounds.test_site_half"


class Silent(SiteRule):
    """A site half that reads nothing and returns nothing."""


class Reading(SiteRule):
    """Reads arrays and one setting, returns an array."""

    @dataclass(frozen=True)
    class Settings:
        share: float = setting(0.5, "share", low=0.0)

    def before_training(self, model, received):
        self.got = received

    def after_training(self, model, steps):
        return self.got


not_a_rule = 3


def method(rule="", arrays=None, settings=None, upload=None):
    class Own(FedAvg):
        site_rule = rule

        def site_extras(self):
            return arrays or {}, settings or {}

        def upload_extras(self):
            return upload or {}

    return Own


ARRAYS = {"pull": np.ones(2, np.float32)}


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (method(arrays=ARRAYS), "sends pull, and nothing at a site reads them"),
        (method(f"{HERE}:Silent", arrays=ARRAYS), "sends pull, and nothing at a site reads them"),
        (method(settings={"share": 1.0}), "settings share, and nothing .* which has none"),
        (method(f"{HERE}:Reading", settings={"shar": 1.0}), r"settings shar, .* has \['share'\]"),
        (method(upload={"pull": (2,)}), "declares pull, and no site makes them"),
        (method(f"{HERE}:Silent", upload={"pull": (2,)}), "declares pull, and no site makes them"),
        (method("scafold"), "site_rule = 'scafold' is unknown; .* did you mean 'scaffold'"),
        (method("no_such:Rule"), "site half: site_rule = 'no_such:Rule' cannot be imported"),
        (method(f"{HERE}:not_a_rule"), "is 3, not a subclass of SiteRule"),
    ],
)
def test_what_nobody_at_a_site_reads_or_makes_is_refused(own, said):
    federation = Federation(own)

    with pytest.raises(ConfigError, match=said):
        federation.run(rounds=1)
    assert federation.grid.sent == []


def test_extra_arrays_and_noise_do_not_go_together():
    own = method(f"{HERE}:Reading", ARRAYS, upload={"pull": (2,)})

    with pytest.raises(ConfigError, match=r"pull besides .* privacy.dp puts noise on layers alone"):
        Federation(own, privacy__dp=True).run(rounds=1)


def test_a_task_names_the_site_half_and_what_it_is_to_have_and_to_return():
    own = method(f"{HERE}:Reading", ARRAYS, {"share": 0.25}, {"pull": (2,), "one": ()})
    federation = Federation(own)

    federation.run(rounds=1)

    message = federation.grid.tasks()[0]
    task = TrainingTask.unpack(message)
    assert task.rule == f"{HERE}:Reading"
    assert task.settings == {"share": 0.25}
    assert task.extras == {"pull": (2,), "one": ()}
    assert "extra/pull" in message.content["arrays"]


def test_replies_bring_the_extra_arrays_and_the_model_they_started_from():
    """Site p says p + 1; it started from a bias of 0, then of 2, the mean of 1, 2 and 3."""
    seen = []

    class Watching(method(f"{HERE}:Reading", upload={"pull": (2,)})):
        def update(self, state, replies):
            seen.append([(r.extras["pull"].tolist(), float(r.base[LAST][0])) for r in replies])
            return super().update(state, replies)

    Federation(Watching).run(rounds=2)

    assert seen[0] == [([1, 1], 0.0), ([2, 2], 0.0), ([3, 3], 0.0)]
    assert seen[1] == [([1, 1], 2.0), ([2, 2], 2.0), ([3, 3], 2.0)]


def test_extra_arrays_are_merged_by_the_run_s_rule():
    """The median of 1, 2, 3, 4 and 5."""
    merged = []

    class Merging(method(f"{HERE}:Reading", upload={"pull": (2,)})):
        def update(self, state, replies):
            merged.append(self.mean_extras(replies)["pull"].tolist())
            return super().update(state, replies)

    Federation(Merging, sites=5, trust__aggregation="median").run(rounds=1)

    assert merged == [[3.0, 3.0]]


def test_an_array_that_changes_goes_down_as_its_change_in_8_bits():
    """64 values: 256 bytes at first, then 64 and a scale of 4."""

    class Changing(method(f"{HERE}:Reading")):
        def site_extras(self):
            return {"pull": np.linspace(0, self.server_round, 64, dtype=np.float32)}, {}

    federation = Federation(Changing, wire__download_precision="int8")
    federation.run(rounds=3)

    told = [m.content["arrays"]["extra/pull"] for m in federation.grid.tasks()[::3]]
    assert [array.dtype for array in told] == ["float32", "int8", "int8"]
    (held, *_) = federation.grid.contexts.values()
    assert "extra/pull" not in held.state["held-arrays"]  # the closing query does without


def test_a_package_registers_its_site_half(monkeypatch):
    entry = EntryPoint("reading", f"{HERE}:Reading", site_rule._RULES.group)
    monkeypatch.setattr(
        "dtfl_app.core.registry.entry_points", lambda group: [entry] * (group == entry.group)
    )

    assert site_rule.find_site_rule("reading").__name__ == "Reading"
    assert entry.group == "dtfl.site_rules"
