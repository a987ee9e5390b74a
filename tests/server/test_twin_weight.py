"""A run whose twin counts by its distance from what the sites tell of themselves."""

import pandas as pd
import pytest

import client_app
from dtfl_app.results.run_events import read_events
from dtfl_app.testing.runs import PowerCut, round_of
from twin.ctown.channels import SCADA

AUTO = {"strategy": "cwa", "twin__weight": "auto"}


def told(run) -> dict[str, float]:
    (event,) = [e for e in read_events(run.path / "events.jsonl") if e.kind == "twin-weight"]
    return {**event.figures, "reason": event.reason}


@pytest.fixture(scope="module")
def biased(launcher, tmp_path_factory) -> str:
    """The plant's own recording, with 30% less flow and pressure: another plant's."""
    series = pd.read_parquet(launcher.recording)
    measured = [name for name in SCADA.names if name.startswith(("F_", "P_"))]
    series[measured] *= 0.7
    path = tmp_path_factory.mktemp("biased") / "recording.parquet"
    series.to_parquet(path)
    return str(path)


def test_a_twin_like_the_sites_counts_nearly_in_full_and_a_biased_one_less(launcher, biased):
    good = told(launcher.run(**AUTO, rounds=1))
    wrong = told(launcher.run(**AUTO, rounds=1, twin__recording=biased))

    assert good["weight"] > 0.7
    assert wrong["weight"] < 0.3
    assert "farthest P_J" in wrong["reason"] or "farthest F_P" in wrong["reason"]


def test_a_run_that_goes_on_keeps_its_weight_and_ends_the_same(launcher, biased):
    def cut(message, context):
        if round_of(message) == 3:
            raise PowerCut
        return client_app.app(message, context)

    settings = {**AUTO, "rounds": 4, "checkpoint_every": 1, "twin__weight": "auto"}
    whole = launcher.run(**settings)
    config = launcher.config(**settings)
    launcher.started -= 1
    with pytest.raises(PowerCut):
        launcher.run(grid={"handler": cut}, **settings)

    again = launcher.run(resume=str(launcher.path(config)), **settings)

    assert told(again) == told(whole)
    model = "models/cwa.safetensors"
    assert (again.path / model).read_bytes() == (whole.path / model).read_bytes()


def test_a_weight_of_one_is_the_run_as_it_was_and_half_is_another_and_is_told(launcher):
    plain, one, half = (
        launcher.run(strategy="cwa,dtkd", rounds=2, **settings)
        for settings in ({}, {"twin__weight": "1.0"}, {"twin__weight": "0.5"})
    )

    for name in ("cwa", "dtkd"):
        first, same, other = (
            (run.path / "models" / f"{name}.safetensors").read_bytes() for run in (plain, one, half)
        )
        assert first == same != other
    assert told(half)["weight"] == 0.5
    kinds = {event.kind for event in read_events(plain.path / "events.jsonl")}
    assert "twin-weight" not in kinds
