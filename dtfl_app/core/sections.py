"""What can be set of a run and its federation: a frozen dataclass for each group of keys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import setting

__all__ = [
    "PrivacySettings",
    "RoundSettings",
    "RunSettings",
    "StateSettings",
    "TrustSettings",
    "WireSettings",
]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The run as a whole."""

    strategy: str = setting(
        "cwa", "method, import path (my_pkg.mine:Mine), or several separated by commas"
    )
    dataset: str = setting(
        "plants",
        "plants, batadal, threew, files (docs/your-site.md), or your own: my_pkg.mine:Mine "
        "(docs/your-dataset.md)",
    )
    sites: int = setting(0, "number of sites; 0 = one per SuperNode", low=0)
    rounds: int = setting(30, "federated rounds", low=1)
    target: float = setting(0.8, "balanced accuracy to reach", above=0.0, high=1.0)
    stop_at_target: bool = setting(False, "end the run in the round that reaches the target")
    seed: int = setting(0, "seed of weights, batches and sampling", low=0)
    device: str = setting("auto", "torch device", choices=("auto", "cpu", "cuda"))
    results_dir: str = setting("", "where runs are stored; empty = ./results", role="local-path")
    run_name: str = setting(
        "", "folder of this run; empty = date, dataset and strategy", role="local"
    )
    cache_dir: str = setting(
        "", "cache of simulated data; empty = ~/.cache/dtfl", role="local-path"
    )
    resume: str = setting("", "run folder, or checkpoint file, to go on from", role="local")
    checkpoint_every: int = setting(5, "rounds from checkpoint to checkpoint; 0 = none", low=0)
    join_timeout: float = setting(
        10.0, "seconds to wait for the sites to connect", low=0.0, role="local"
    )
    strategy_options: str = setting("", "settings of the strategies, your own too: key=value, ...")
    dataset_options: str = setting("", "settings of your own data set: key=value, ...")


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """Who is asked in a round, how long it waits, and how replies are averaged."""

    group: ClassVar[str] = "round"

    fraction: float = setting(1.0, "share of sites drawn for each round", above=0.0, high=1.0)
    weighting: str = setting(
        "uniform", "how replies are averaged; uniform = the paper", choices=("uniform", "examples")
    )
    timeout: float = setting(
        600.0, "seconds after which a round closes with the replies it has", above=0.0, role="local"
    )
    quorum: float = setting(
        0.5,
        "share of the sites drawn whose usable reply a round needs; at least one",
        low=0.0,
        high=1.0,
    )
    retries: int = setting(2, "times that a round below its quorum is repeated", low=0)
    late: str = setting(
        "drop",
        "a reply after its round closed: drop it, or let it count less in the next round",
        choices=("drop", "discount"),
    )
    late_exponent: float = setting(
        0.5, "a reply s rounds late weighs (1 + s)^-exponent", low=0.0, high=10.0
    )

    def needed(self, sites: int) -> int:
        """Return how many of `sites` make a quorum: ``ceil(quorum * sites)``, at least one."""
        # 0.7 * 10 is a little more than 7 in binary.
        return max(1, math.ceil(self.quorum * sites - 1e-9))


@dataclass(frozen=True, slots=True)
class StateSettings:
    """What a site keeps on disk between rounds."""

    group: ClassVar[str] = "state"

    dir: str = setting(
        "",
        "folder, from the root, where sites keep their state; empty = in memory; node config has "
        "precedence",
        role="local-path",
    )
    limit_mb: float = setting(
        256.0, "size of a site's state folder at most", above=0.0, role="local"
    )


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """Which replies count, how much, and how far the twin is trusted."""

    group: ClassVar[str] = "trust"

    aggregation: str = setting(
        "mean",
        "how replies become one model: mean, trimmed-mean, median, krum, multi-krum, or your own: "
        "my_pkg.mine:Mine (docs/trust.md)",
    )
    options: str = setting("", "settings of your own aggregation: key=value, ...")
    trim: float = setting(
        0.2, "trimmed-mean: share of replies left out at each end", low=0.0, high=0.49
    )
    malicious: float = setting(
        0.2, "krum, multi-krum: share of sites that may be malicious", low=0.0, high=0.49
    )
    clip: float = setting(
        0.0,
        "updates longer than this times the round's median are shortened to it; 0 = none",
        low=0.0,
    )
    norm_limit: float = setting(
        30.0,
        "updates longer than this (1 or more) times the running median are refused; 0 = none",
        low=0.0,
    )
    names: str = setting(
        "",
        "file that dtfl register wrote: a node takes part only by the name that its key was "
        "registered with; empty = by any that is free",
        role="local-path",
    )
    witness: str = setting(
        "off",
        "a reply far worse on twin data than its peers' is weighed down or refused",
        choices=("off", "weigh", "refuse"),
    )
    witness_limit: float = setting(
        8.0, "how far: a loss on twin data above this many times the replies' median", above=1.0
    )
    twin_limit: float = setting(
        3.0,
        "the sites' models' loss on twin data over that on their own, in the first rounds, above "
        "which the twin is not used; 0 = any",
        low=0.0,
    )
    twin_strikes: int = setting(
        3, "rounds in a row in which the twin diverges before it is not used any more", low=1
    )


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """Differential privacy at the sites, by Flower's LocalDpMod (docs/privacy.md)."""

    group: ClassVar[str] = "privacy"

    dp: bool = setting(False, "clip each site's update and add Gaussian noise before it leaves")
    clip: float = setting(0.1, "dp: length to which a site's update is clipped", above=0.0)
    epsilon: float = setting(
        8.0,
        "dp: privacy budget of one round by LocalDpMod's formula, which holds up to 1; the report "
        "has what is spent",
        above=0.0,
    )
    delta: float = setting(1e-5, "dp: probability that the promise fails", above=0.0, high=0.1)
    moments: bool = setting(
        False, "dp: noise on the moments of enrolment, too, counted as one more update"
    )

    def __post_init__(self) -> None:
        if self.moments and not self.dp:
            raise ConfigError(
                "run config: privacy.moments = true without privacy.dp would add no noise; set "
                "privacy.dp = true, or leave privacy.moments out"
            )


@dataclass(frozen=True, slots=True)
class WireSettings:
    """What travels between server and sites."""

    group: ClassVar[str] = "wire"

    upload_precision: str = setting(
        "float32", "a site's layers, or their rounded change", choices=("float32", "int8")
    )
    download_precision: str = setting(
        "float32", "the model, or its rounded change for each site", choices=("float32", "int8")
    )
