"""Errors about sensor data and twins; `dtfl_app.core.errors` has the whole tree.

A message says what was wrong, where (file, row, column or element), what was expected and what to
do next.
"""

__all__ = ["DTFLError", "DataError", "ScenarioError", "SchemaError", "TwinError"]


class DTFLError(Exception):
    """Base of all errors that DTFL raises on purpose."""


class DataError(DTFLError):
    """Data cannot be used as it is."""


class SchemaError(DataError):
    """Channels, units, ranges or sampling differ from the schema."""


class TwinError(DTFLError):
    """The digital twin cannot be built or run."""


class ScenarioError(TwinError):
    """One twin scenario failed to converge; it yields no data."""
