"""Run-config keys as Python names: ``twin__warm_start`` for ``twin.warm-start``."""

from dtfl_app.core.settings import Value

__all__ = ["keyed"]


def keyed(**settings: Value) -> dict[str, Value]:
    """Return the settings under their keys."""
    return {name.replace("__", ".").replace("_", "-"): v for name, v in settings.items()}
