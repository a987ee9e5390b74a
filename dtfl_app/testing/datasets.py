"""Does a data set keep what the app relies on?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from dtfl_app.core.config import RunConfig
from dtfl_app.core.naming import SITE_NAME, is_site_name
from dtfl_app.core.settings import Value
from dtfl_app.sites.catalogue import open_dataset
from dtfl_app.sites.features import Features
from dtfl_app.sites.federation import FederatedDataset, SiteData
from dtfl_app.testing.findings import Findings
from dtfl_app.testing.runs import play, require_same

__all__ = ["check_dataset"]


def check_dataset(
    name: str, folder: Path, sites: int = 3, settings: Mapping[str, Value] | None = None
) -> list[str]:
    """Open a data set, and hold it against all that the app promises of one.

    Names of sites print, differ and do not change; a site read twice is the same site; all share
    one schema; features are finite, of one width, and some are normal; what a site is judged by
    holds normal and abnormal rows; a small federated run on it repeats byte for byte.

    Parameters
    ----------
    name : as the setting `dataset` takes it, e.g. "mine:Mine".
    folder : new or empty; holds the runs.
    sites : how many sites to cut it into.
    settings : further run config, ``dataset-options`` among it.

    Returns the promises that were tried. Raises AssertionError with those that are broken.
    """
    config: dict[str, Value] = {"dataset": name, "seed": 0, **(settings or {})}
    found = Findings(f"data set {name}")
    with found.trying("it can be opened as the run config says"):
        dataset = open_dataset(RunConfig.from_mapping(config))
        dataset.prepare(sites, lambda done, total: None)
        with found.trying("names of sites print, differ and do not change"):
            _require_names(dataset, sites)
        with found.trying("every site has finite features of one width, and normal rows"):
            for index, called in enumerate(dataset.sites(sites)):
                _require_site(dataset, dataset.load_site(index, sites), called)
        with found.trying("a site that is read twice is the same site"):
            _require_equal(dataset.load_site(0, sites), dataset.load_site(0, sites))
        with found.trying("what it is judged by holds normal and abnormal rows"):
            if (evaluation := dataset.load_evaluation(sites)) is not None:
                _require_features(dataset, evaluation)
                kinds = set(evaluation.label.tolist())
                assert {0, 1} <= kinds, f"labels are {sorted(kinds)}, expected 0 and 1 among them"
        with found.trying("a federated run on it ends, and repeats byte for byte"):
            first, second = (
                play(_small_run(config, folder, number), sites, ids_seed=number)
                for number in range(2)
            )
            require_same(first, second)
    return found.conclude()


def _small_run(config: Mapping[str, Value], folder: Path, number: int) -> dict[str, Value]:
    return {
        "strategy": "fedavg",
        "rounds": 2,
        "sites": 0,
        "twin.kind": "none",
        "detector.hidden": 8,
        "detector.latent": 2,
        "train.epochs": 1,
        "device": "cpu",
        "join-timeout": 0.0,
        "cache-dir": str(folder / "cache"),
        "results-dir": str(folder),
        "run-name": f"run-{number}",
        **config,
    }


def _require_names(dataset: FederatedDataset, sites: int) -> None:
    names = dataset.sites(sites)
    assert names == dataset.sites(sites), "asked twice, it gives other names"
    assert len(set(names)) == sites, f"{len(set(names))} different names of {sites} sites"
    bad = [name for name in names if not is_site_name(name)]
    assert not bad, f"{bad[0]!r} is no name of a site; expected {SITE_NAME}"


def _require_site(dataset: FederatedDataset, site: SiteData, called: str) -> None:
    assert site.name == called, f"site {called!r} calls itself {site.name!r} once it is loaded"
    assert site.schema == dataset.schema, f"site {site.name!r} has a schema of its own"
    for part in (site.features_train, site.features_cal):
        _require_features(dataset, part)
    assert site.normal[0], f"site {site.name!r} has no normal row to train on"


def _require_features(dataset: FederatedDataset, features: Features) -> None:
    width = len(dataset.feature_spec.names(dataset.schema))
    assert features.values.shape == (len(features), width), (
        f"features are {features.values.shape}, expected {(len(features), width)}"
    )
    infinite = int(np.isinf(features.values).sum())
    assert not infinite, f"{infinite} features are infinite"


def _require_equal(first: SiteData, second: SiteData) -> None:
    for part in ("features_train", "features_cal"):
        one, two = getattr(first, part), getattr(second, part)
        for field in fields(one):
            a, b = getattr(one, field.name), getattr(two, field.name)
            assert np.array_equal(a, b, equal_nan=field.name == "values"), (
                f"{part}, {field.name}: read twice it differs"
            )
