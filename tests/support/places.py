"""Where the repository is, and a run so small that it takes seconds."""

from pathlib import Path

__all__ = ["REPOSITORY", "SMALL"]

REPOSITORY = Path(__file__).resolve().parents[2]

#: Three plants with nine days each.
SMALL = {
    "dataset": "plants",
    "sites": 3,
    "plants.days": 9,
    "twin.scenarios": 4,
    "twin.hours": 120,
    "twin.warm-steps": 50,
    "detector.hidden": 32,
    "detector.latent": 8,
    "rounds": 3,
}
