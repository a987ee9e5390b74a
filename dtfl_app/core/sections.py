"""What can be set: a frozen dataclass for each group of keys, with default, range and meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.evidence import KINDS, MODEL_KINDS, evidence_kinds, kind_names, laws_among
from dtfl_app.core.settings import setting

__all__ = [
    "DataSettings",
    "DetectorSettings",
    "FeatureSettings",
    "PlantSettings",
    "PrivacySettings",
    "RoundSettings",
    "RunSettings",
    "StateSettings",
    "TrainSettings",
    "TrustSettings",
    "TwinSettings",
    "WireSettings",
]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The run as a whole."""

    strategy: str = setting(
        "cwa", "method, import path (my_pkg.mine:Mine), or several separated by commas"
    )
    dataset: str = setting("plants", "plants, batadal, threew, files (docs/your-site.md)")
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
    strategy_options: str = setting("", "extra settings of your own strategy: key=value, ...")


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
        "how replies become one model (docs/trust.md)",
        choices=("mean", "trimmed-mean", "median", "krum", "multi-krum"),
    )
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


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Which data the sites hold and how it is cut."""

    group: ClassVar[str] = "data"

    dir: str = setting(
        "",
        "folder with batadal/ and 3w/; empty = DTFL_DATA, ../shared/data; files: folder with a "
        "file per site; empty = each node names its own",
        role="local-path",
    )
    schema: str = setting(
        "",
        "files: site schema, a path or a name in data.dir; empty = schema.toml there",
        role="data-file",
    )
    exclude: str = setting(
        "",
        "files: files in data.dir that are no sites, as names or patterns (*-test.csv), separated "
        "by commas",
    )
    pooling: str = setting(
        "mean",
        "how the sites' moments become the common scaling: mean = of all their rows, bounded = no "
        "site counting for more than three times the median one, median = those of a typical site",
        choices=("mean", "bounded", "median"),
    )
    partition: str = setting(
        "auto",
        "batadal: how the plant's year becomes K sites; auto = time-blocks; threew: auto = a site "
        "per well, recordings = a site per recording",
        choices=("auto", "time-blocks", "attack-per-site", "dirichlet", "recordings"),
    )
    dirichlet_alpha: float = setting(0.5, "skew of the dirichlet partition", above=0.0)
    protocol: str = setting(
        "unseen-events",
        "what the evaluation is (docs/evaluation.md)",
        choices=(
            "unseen-events",
            "unseen-families",
            "random-split",
            "leave-one-site-out",
            "pooled",
        ),
    )
    held_out: str = setting(
        "", "threew, plants: the well or plant that never takes part; empty = the last"
    )
    unseen_families: str = setting(
        "",
        "unseen-families: kinds of event that the twin never simulates, separated by commas; "
        "empty = falsified_level,signal_altered",
    )
    known_attacks: int = setting(
        0, "batadal: attacks of dataset04 that sites may learn from", low=0, high=7
    )
    evaluation_file: str = setting(
        "",
        "batadal: file to judge by; empty = dataset04; files: a labelled file, a path or a name in "
        "data.dir; empty = none",
        role="data-file",
    )
    event: int = setting(
        2, "threew: event type of the recordings (docs/evaluation.md)", low=1, high=9
    )
    channels: str = setting(
        "",
        "threew: channels, separated by commas; empty = P-TPT,T-TPT; of an event type other than 2 "
        "what its recordings hold",
    )
    seed: int = setting(0, "seed of partitions and of all simulated data", low=0)
    calibration_share: float = setting(
        0.2, "share of each site's rows kept to set the threshold", above=0.0, high=0.9
    )
    clip: float = setting(10.0, "standardised readings are cut at +- this", above=0.0)

    @property
    def excluded(self) -> tuple[str, ...]:
        """Names and patterns of files that are no sites."""
        return tuple(name.strip() for name in self.exclude.split(",") if name.strip())

    @property
    def unseen_kinds(self) -> tuple[str, ...]:
        """Kinds of event that neither twin nor sites may show the detector; () = all may occur."""
        if self.protocol != "unseen-families":
            return ()
        named = tuple(kind.strip() for kind in self.unseen_families.split(",") if kind.strip())
        # Both alter the level that a PLC receives: holding out one alone would hold out nothing.
        return named or ("falsified_level", "signal_altered")


@dataclass(frozen=True, slots=True)
class PlantSettings:
    """The simulated plants (dataset=plants)."""

    group: ClassVar[str] = "plants"

    days: int = setting(28, "plants: days of normal operation per site", low=7)
    gap: float = setting(
        0.5, "plants: how far the plants differ from the twin; 0 = not at all", low=0.0, high=3.0
    )


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """How readings become what the detector is shown."""

    group: ClassVar[str] = "features"

    window_s: int = setting(0, "seconds per feature window; 0 = the dataset's own", low=0)
    step_s: int = setting(0, "seconds between windows; 0 = the dataset's own", low=0)
    statistics: str = setting(
        "",
        "statistics per window, separated by commas, of last, mean, std, change; empty = the "
        "dataset's own",
    )


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What is learned and when it raises an alarm."""

    group: ClassVar[str] = "detector"

    model: str = setting("autoencoder", "detector to train", choices=("autoencoder", "classifier"))
    window: int = setting(1, "consecutive time steps the model sees at once", low=1)
    hidden: int = setting(256, "width of the outer hidden layers", low=1)
    latent: int = setting(24, "width of the innermost layer", low=1)
    evidence: str = setting(
        "smoothed",
        f"what raises an alarm: one or more of {kind_names(MODEL_KINDS)} (the model's residual), "
        f"{kind_names(laws_among(KINDS.values()))} (laws of physics; C-Town plants)",
    )
    smoothing: int = setting(8, "smoothed residuals: mean of this many past steps", low=1)
    false_alarm_rate: float = setting(
        0.005, "wanted share of normal steps with an alarm", above=0.0, high=0.5
    )
    thresholds: str = setting(
        "federated",
        "whose scores set the threshold at a site: federated = all sites' alike, site = its own, "
        "filled up by all others' to the 200 that tell a rate of 0.5%",
        choices=("federated", "site"),
    )
    settling: int = setting(
        24, "time steps after an event that observed false-alarm rates leave out", low=0
    )
    calibration_trim: float = setting(
        0.0,
        "share of sites at either end whose scores count only up to twice those of the others, "
        "and no site for more than three times the median one; 0 = all as they are",
        low=0.0,
        high=0.5,
    )

    def __post_init__(self) -> None:
        if self.model != "classifier":
            return
        # A logit may be negative, so it has no ratio to its threshold that others compare with.
        several = len(evidence_kinds(self.evidence)) > 1
        if several or self.thresholds == "site":
            wrong = f"evidence = {self.evidence!r}" if several else 'thresholds = "site"'
            raise ConfigError(
                f'run config: detector.{wrong} needs detector.model = "autoencoder"; a classifier '
                f"takes one of {kind_names(MODEL_KINDS)}, and federated thresholds"
            )


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Training at a site."""

    group: ClassVar[str] = "train"

    epochs: int = setting(2, "passes over a site's rows per round", low=1)
    lr: float = setting(0.001, "Adam's step size at the sites", above=0.0)
    batch_size: int = setting(128, "rows per mini-batch", low=1)


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


@dataclass(frozen=True, slots=True)
class TwinSettings:
    """The digital twin at the server."""

    group: ClassVar[str] = "twin"

    kind: str = setting(
        "auto", "auto = the dataset's own", choices=("auto", "ctown", "recorded", "none")
    )
    network: str = setting("", "EPANET file of the twin; empty = the dataset's own", role="path")
    plant: str = setting("", "calibrated plant (JSON of 'dtfl twin calibrate')", role="path")
    recording: str = setting(
        "",
        "another simulator's labelled series (Parquet or CSV), or a file written like the sites'",
        role="data-file",
    )
    scenarios: int = setting(60, "scenarios the twin simulates", low=1)
    hours: int = setting(384, "hours per scenario", low=24)
    families: str = setting("", "event kinds to simulate; empty = what the detector learns from")
    demand_factor: float = setting(1.0, "make the twin wrong in demand", above=0.0)
    roughness_factor: float = setting(1.0, "make the twin wrong in roughness", above=0.0)
    threshold_factor: float = setting(
        1.0, "make the twin wrong in the levels at which its PLCs switch", above=0.0
    )
    steps: int = setting(100, "mini-batches on twin data per round", low=0)
    lr: float = setting(0.001, "Adam's step size on twin data", above=0.0)
    warm_start: bool = setting(False, "start from a model trained on twin data")
    warm_steps: int = setting(2000, "mini-batches of the warm start and of a teacher", low=1)
    workers: int = setting(0, "processes that simulate; 0 = one per core", low=0, role="local")
