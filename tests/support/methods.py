"""The methods that a run at the defaults can name: those that leave the sites their Adam."""

from dtfl_app.strategies.registry import BUILT_IN

__all__ = ["SGD", "WITH_ADAM", "optimiser_for"]

SGD = {"train__optimizer": "sgd", "train__lr": 0.05}
WITH_ADAM = [name for name in BUILT_IN if name not in ("fednova", "scaffold")]


def optimiser_for(name: str) -> dict[str, str | float]:
    """Settings of the sites' training that a method works with."""
    return {} if name in WITH_ADAM else SGD
