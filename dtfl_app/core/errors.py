"""Every error that DTFL raises on purpose.

DTFLError
├── ConfigError        a setting is unknown, of the wrong type or out of range
├── DataError          a site's or a recorded twin's data cannot be used as it is
│   └── SchemaError    channels, units, ranges or sampling differ from the schema
├── TwinError          the digital twin cannot be built or its scenario did not run
│   └── ScenarioError  one scenario failed; the others are unaffected
├── BundleError        a model's bundle is incomplete or changed, or detection began with another
├── CheckpointError    a checkpoint, or a site's state, is corrupt, cut short, or of another run
├── CredentialError    a certificate or key cannot be made, or is not fit for its use
├── FederationError    the federation as a whole cannot go on (no sites, too few replies)
├── ResultsError       results cannot be written; what was written before stays
├── ReplyError         one site's reply was refused; the round goes on without it
└── SiteError          a site cannot do its task; says why without a word of its data

A message says what was wrong, where (file, row, column or key), what was expected and
what to do next. The root, and what a twin raises too, stand in `twin.errors`: the twin's package
is used without this one.
"""

from twin.errors import DataError, DTFLError, ScenarioError, SchemaError, TwinError

__all__ = [
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "CredentialError",
    "DTFLError",
    "DataError",
    "FederationError",
    "ReplyError",
    "ResultsError",
    "ScenarioError",
    "SchemaError",
    "SiteError",
    "TwinError",
]


class ConfigError(DTFLError):
    """A setting is unknown, of the wrong type or out of range."""


class BundleError(DTFLError):
    """A model's bundle is incomplete or changed, or detection began with another."""


class CheckpointError(DTFLError):
    """A checkpoint, or a site's state, is corrupt, cut short, or belongs to another run."""


class CredentialError(DTFLError):
    """A certificate or key cannot be made, or is not fit for its use."""


class FederationError(DTFLError):
    """The federation as a whole cannot go on."""


class ResultsError(DTFLError):
    """Results cannot be written."""


class ReplyError(DTFLError):
    """One site's reply was refused."""


class SiteError(DTFLError):
    """A site cannot do its task; the text may leave the site, so it quotes none of its data."""
