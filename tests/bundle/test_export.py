"""What a run hands to a gateway: for other data sets, and with less than everything there."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.config import RunConfig
from dtfl_app.detection.detection import DetectionOptions
from dtfl_app.detection.once import score_file
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.sites.federation import SiteData
from dtfl_app.sites.site_schema import read_site_schema
from tests.support.small_dataset import SmallDataset, small_series, use_small_dataset


@dataclass(frozen=True)
class Bare(SmallDataset):
    """No evaluation set, and no site has ever read the flow."""

    def load_site(self, index: int, k: int) -> SiteData:
        site = super().load_site(index, k)
        parts = [site.features_train, site.features_cal]
        for part in parts:
            part.values[:, 1] = np.nan
        return site

    def load_evaluation(self, k: int) -> None:
        return None


def deployed(launcher, monkeypatch, dataset, **settings) -> Path:
    use_small_dataset(monkeypatch, dataset)
    run = launcher.run(
        dataset="small", strategy="fedavg", rounds=1, detector__smoothing=1, **settings
    )
    return run.path / "deploy" / "fedavg"


def steps(folder: Path, series: pd.DataFrame, path: Path) -> list[dict]:
    series.to_csv(path, index=False)
    _, lines = score_file(read_folder(folder), DetectionOptions(every_step=True), path)
    return [line for line in map(json.loads, lines) if "event" not in line]


def test_a_channel_that_no_site_ever_read_is_missing_whatever_a_gateway_reads(
    launcher, monkeypatch, tmp_path
):
    folder = deployed(launcher, monkeypatch, Bare(), twin__kind="none")
    series = small_series(99, 60, event=slice(30, 40))
    told = json.loads((folder / "features.json").read_text())

    with_flow = steps(folder, series, tmp_path / "with.csv")
    without = steps(folder, series.drop(columns="flow"), tmp_path / "without.csv")

    assert told["unread"] == ["flow"]
    assert "No site had a reading of flow" in (folder / "card.md").read_text()
    assert with_flow == without
    assert any(step["alarm"] for step in with_flow)
    named = {cause["channel"]: cause["reading"] for cause in with_flow[35]["channels"]}
    assert named["level"] > 10
    assert named.get("flow") is None


def test_a_card_without_an_evaluation_set_claims_nothing(launcher, monkeypatch):
    folder = deployed(launcher, monkeypatch, Bare(), twin__kind="none")

    card = (folder / "card.md").read_text()

    assert "nothing is known of what this model finds or misses" in card
    assert "balanced accuracy" not in card
    assert read_folder(folder).usual_of == ""


@pytest.mark.parametrize("dataset", [Bare(), SmallDataset()], ids=["unjudged", "judged"])
def test_what_is_usual_comes_from_the_twin_never_from_the_evaluation_set(
    dataset, launcher, monkeypatch, tmp_path
):
    recording = tmp_path / "twin.parquet"
    small_series(5, 200).to_parquet(recording)

    folder = deployed(launcher, monkeypatch, dataset, twin__recording=str(recording))

    found = read_folder(folder)
    assert found.usual_of == "twin"
    assert found.usual["instant"].shape == (2,)
    assert (found.usual["instant"] > 0).any()


def test_a_data_set_of_somebody_s_own_is_scored_in_its_labelled_form(
    launcher, monkeypatch, tmp_path
):
    """The run's alarms again, from the file that its evaluation set would be."""
    dataset = SmallDataset()
    folder = deployed(launcher, monkeypatch, dataset, twin__kind="none")

    found = steps(folder, dataset.attacked(), tmp_path / "site.csv")

    stored = pd.read_csv(folder.parents[1] / "alarms" / "fedavg.csv")
    np.testing.assert_allclose([step["score"] for step in found], stored["score"], rtol=1e-5)
    assert [step["alarm"] for step in found] == stored["alarm"].tolist()
    assert stored["alarm"].sum() >= 10


@pytest.mark.parametrize(
    ("name", "time"), [("batadal", "DATETIME"), ("threew", "timestamp"), ("plants", "time")]
)
def test_a_site_s_files_are_described_in_the_schema_that_travels(name, time, data_dir, tmp_path):
    settings = {"dataset": name, "data.dir": str(data_dir), "cache-dir": str(tmp_path)}
    dataset = open_dataset(RunConfig.from_mapping(settings))
    described = dataset.site_schema
    (tmp_path / "schema.toml").write_text(described.to_toml())

    found = read_site_schema(tmp_path / "schema.toml")

    assert found == replace(described, columns=dict(described.columns))
    assert found.schema.digest() == dataset.schema.digest()
    assert found.time == time
    # Wells are cleaned of dead sensors before training; a plant's pumps may rest for months.
    assert dataset.frozen_as_missing == (name == "threew")
