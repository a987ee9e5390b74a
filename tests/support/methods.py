"""Methods by what a run of them needs."""

from dtfl_app.strategies.registry import BUILT_IN

__all__ = ["PERSONAL", "SGD", "WITH_ADAM", "optimiser_for"]

SGD = {"train__optimizer": "sgd", "train__lr": 0.05}
_WITH_SGD = ("fednova", "scaffold")
# Sites have layers of their own: the server can neither judge nor deploy their models.
PERSONAL = [name for name, cls in BUILT_IN.items() if cls.has_personal_keys()]
# A run at the defaults can name them, and ends in a whole model of each.
WITH_ADAM = [name for name in BUILT_IN if name not in (*_WITH_SGD, *PERSONAL)]


def optimiser_for(name: str) -> dict[str, str | float]:
    """Settings of the sites' training that a method works with."""
    return SGD if name in _WITH_SGD else {}
