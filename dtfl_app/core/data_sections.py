"""What can be set of the data: a frozen dataclass for each group of keys (`core.sections`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dtfl_app.core.settings import setting

__all__ = [
    "DataSettings",
    "FeatureSettings",
    "PlantSettings",
]


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
    scaling: str = setting(
        "federated",
        "what readings are standardised by: federated = by the pooled moments of all sites, site = "
        "each site's by its own, recording = each recording's by the rows it begins with "
        "(docs/detection.md)",
        choices=("federated", "site", "recording"),
    )
    baseline: int = setting(
        300,
        "scaling = recording: rows at the beginning of each recording that its later rows are "
        "standardised by; they are taken as normal and not scored",
        low=2,
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
