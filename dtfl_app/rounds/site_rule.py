"""The half of a method that runs at its sites: hooks around a site's training of one round.

A method names its site half, `Method.site_rule`, and sends it settings and arrays with every task;
the site looks the name up, as it stands in this app, in a package that it has installed, or in
modules that travel with the app.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.registry import Registry
from dtfl_app.detector.params import Params
from dtfl_app.detector.training import TrainingSpec
from dtfl_app.messages.wire import Arrays

__all__ = ["NoSettings", "SiteRule", "find_site_rule", "overrides"]


@dataclass(frozen=True, slots=True)
class NoSettings:
    """Settings of a method, or of its site half, that has none of its own."""


class SiteRule:
    """What a site does for a method besides training: nothing, until a hook is overridden.

    An object serves one round. What `state` holds once `after_training` has returned is what the
    next round's object is given, unless the server did not count the reply: then that is what this
    one was given. A method whose rule keeps any says so by `Method.site_state`.

    Parameters
    ----------
    settings : an instance of the class's `Settings`, with the values that the method sent.
    spec : how the site trains: step size, rows per step, optimiser, momentum.
    state : the site's own arrays, by name; empty in its first round.
    """

    Settings: ClassVar[type] = NoSettings

    def __init__(self, settings: object, spec: TrainingSpec, state: Arrays) -> None:
        self.settings = settings
        self.spec = spec
        self.state = state

    def before_training(self, model: nn.Module, received: Arrays) -> None:
        """Take the arrays of the method's `site_extras`; `model` has the received parameters."""

    def after_backward(self, model: nn.Module) -> None:
        """Change gradients before the optimiser's step; `model` is as it was before that step."""

    def after_training(self, model: nn.Module, steps: int) -> Params:
        """Return the arrays that the method's `upload_extras` declares, after `steps` >= 0 steps.

        They are float32. Nothing else may leave a site by this way.
        """
        return {}


def _is_rule(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, SiteRule)


_RULES = Registry(
    key="site_rule",
    what="a subclass of SiteRule",
    built_in={"scaffold": "dtfl_app.strategies.scaffold:ControlVariates"},
    group="dtfl.site_rules",
    fits=_is_rule,
)


def find_site_rule(name: str) -> type[SiteRule]:
    """Return the site half that `name` stands for, or raise ConfigError."""
    try:
        found: type[SiteRule] = _RULES.find(name)
    except ConfigError as error:
        # It is the method's class that names it, not a user.
        said = str(error).removeprefix("run config: ")
        raise ConfigError(f"the method's site half: {said}") from error
    return found


def overrides(rule: type[SiteRule], hook: str) -> bool:
    """Tell whether a site half does anything in one of its hooks."""
    return getattr(rule, hook) is not getattr(SiteRule, hook)
