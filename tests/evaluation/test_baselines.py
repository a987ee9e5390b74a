"""Baselines are judged like federated models, and each does what its name says."""

from collections.abc import Iterator

import pytest

from dtfl_app.core.config import RunConfig
from dtfl_app.detector.metrics import Metrics
from dtfl_app.evaluation.baselines import BASELINES, gather, measure
from dtfl_app.results.lines import read_lines
from dtfl_app.server.session import open_session
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.testing.grid import InProcessGrid
from tests.support.small_dataset import SmallDataset, use_small_dataset

SITES = 3
SETTINGS = {
    "dataset": "small",
    "strategy": "fedavg",
    "sites": SITES,
    "rounds": 1,
    "detector.hidden": 8,
    "detector.latent": 1,
    "detector.evidence": "instant,smoothed",
    "detector.smoothing": 3,
    "detector.false-alarm-rate": 0.1,
    "join-timeout": 0.0,
    "device": "cpu",
}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunConfig]:
    use_small_dataset(monkeypatch, SmallDataset())
    yield RunConfig.from_mapping(SETTINGS)
    monkeypatch.undo()


@pytest.fixture
def rows(config: RunConfig) -> dict[str, list[Metrics]]:
    return dict(measure(gather(config, open_dataset(config), SITES)))


def test_without_twin_and_physics_the_other_baselines_are_measured_in_order(
    rows: dict[str, list[Metrics]],
) -> None:
    expected = [name for name in BASELINES if name not in ("twin only", "physics alone")]

    assert list(rows) == expected
    assert {name: len(entries) for name, entries in rows.items() if len(entries) > 1} == {
        "site alone": SITES
    }


def test_the_untrained_model_is_judged_exactly_as_round_0_of_a_federation(
    config: RunConfig, rows: dict[str, list[Metrics]], tmp_path
) -> None:
    told = {**SETTINGS, "results-dir": str(tmp_path), "run-name": "run"}
    grid = InProcessGrid(SITES, told)
    session = open_session(grid, RunConfig.from_mapping(told))
    session.play("fedavg", grid)
    start = read_lines(session.results.path / "metrics.jsonl")[0]

    (untrained,) = rows["untrained model"]

    assert start.metrics is not None
    assert start.metrics.as_dict() == pytest.approx(untrained.as_dict(), rel=0, abs=0, nan_ok=True)


def test_a_random_score_ranks_like_chance_and_pca_is_blind_along_its_own_line(
    rows: dict[str, list[Metrics]],
) -> None:
    """The two channels are one wave and its double: standardised, the line (x, x) and noise.

    The surge is cut at +10 on both, exactly on that line: no residual for PCA, and nothing found.
    The trained autoencoder knows how far along the line normal operation goes.

    Chance: 10 rows against 50, so ROC-AUC has standard deviation sqrt(61 / (12 * 10 * 50)) = 0.1.
    """
    (chance,), (pca,), (best,) = (
        rows[name] for name in ("random score", "one-class PCA", "centralised")
    )

    assert 0.2 < chance.roc_auc < 0.8
    assert (pca.roc_auc < 0.2, pca.events_found) == (True, 0)
    assert (best.roc_auc > 0.9, best.events_found) == (True, 1)
    assert all(0.0 <= rate <= 1.0 for rate in (best.far_at_1pct, best.far_at_01pct))
