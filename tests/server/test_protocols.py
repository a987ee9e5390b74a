"""Whole runs, in one process, with other protocols than the default one."""

import json

from tests.support.methods import WITH_ADAM


def test_a_classifier_of_every_method_learns_from_hours_split_at_random(launcher):
    """As in the paper; all seven attacks have hours on the evaluation's side."""
    run = launcher.run(
        strategy=",".join(WITH_ADAM),
        detector__model="classifier",
        data__protocol="random-split",
        lpe__low=2,
        lpe__high=2,
    )

    for strategy in WITH_ADAM:
        assert [line.sites for line in run.lines(strategy)[1:]] == [3, 3, 3]
        assert all(0 < line.metrics.roc_auc < 1 for line in run.lines(strategy))
        assert [line.metrics.events for line in run.lines(strategy)] == [7] * 4


def test_figures_of_simulated_and_held_out_families_are_shown_apart(launcher, caplog):
    """Of dataset04's attacks 3, 4 and 7 alter what the PLC receives; 1, 2, 5 and 6 do not."""
    run = launcher.run(
        strategy="fedavg,cwa", detector__model="classifier", data__protocol="unseen-families",
        rounds=1, twin__kind="auto", twin__recording="", twin__scenarios=3, twin__hours=48,
    )  # fmt: skip

    groups = json.loads((run.path / "groups.json").read_text())
    counts = {name: {g: m["events"] for g, m in found.items()} for name, found in groups.items()}
    expected = {"simulated": 4, "held-out": 3}
    assert counts == {"fedavg": expected, "cwa": expected}
    summaries = json.loads((run.path / "summary.json").read_text())
    assert {s["strategy"]: s["groups"] for s in summaries} == groups
    whole, parts = summaries[1]["final"], groups["cwa"].values()
    assert whole["events_found"] == sum(part["events_found"] for part in parts)
    assert {part["false_alarm_rate"] for part in parts} == {whole["false_alarm_rate"]}
    assert "held-out" in caplog.text


def test_other_protocols_store_no_groups(launcher):
    run = launcher.run(strategy="fedavg", rounds=1)

    assert not (run.path / "groups.json").exists()
    assert json.loads((run.path / "summary.json").read_text())[0]["groups"] == {}
