"""What a site insists on, whoever starts the run: its policy, a TOML file at its node.

::

    dp = true                     # a run must have privacy.dp on
    max-epsilon = 8.0             # and privacy.epsilon no larger than this
    max-clip = 0.5                # and privacy.clip no larger than this
    strategies = ["cwa", "lpe"]   # a run may use no others
    evidence = ["smoothed"]       # nor weigh other evidence
    site-rules = ["scaffold"]     # nor have other site halves of methods run here
    least-readings = 30           # moments of fewer readings do not leave; default 30

All keys may be left out. The file's path is the key ``policy`` of the node config.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError
from dtfl_app.sites.federation import LEAST_READINGS

__all__ = ["SitePolicy"]


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """What a run must be for a site to take part.

    Parameters
    ----------
    dp : whether it must add noise to the site's updates.
    max_epsilon, max_clip : largest `privacy.epsilon` and `privacy.clip` where it does, > 0.
    strategies : strategies it may use; empty = any.
    evidence : kinds of evidence it may weigh; empty = any.
    site_rules : site halves of methods that may run at the site; empty = any.
    least_readings : readings of a channel whose moments may leave, >= 1.
    """

    dp: bool = False
    max_epsilon: float = math.inf
    max_clip: float = math.inf
    strategies: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    site_rules: tuple[str, ...] = ()
    least_readings: int = LEAST_READINGS

    @classmethod
    def read(cls, path: Path) -> SitePolicy:
        """Read a policy; ConfigError naming the key that is wrong."""
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(
                f"policy {path}: not a TOML file that can be read ({error})"
            ) from error
        if unknown := sorted(set(found) - set(_KEYS)):
            raise ConfigError(
                f"policy {path}: unknown keys {unknown}; expected some of {sorted(_KEYS)}"
            )
        for key, (fits, expected) in _KEYS.items():
            if key in found and not fits(found[key]):
                raise ConfigError(f"policy {path}: {key} = {found[key]!r}; expected {expected}")
        return cls(**_arguments(found))

    def require(self, config: RunConfig) -> None:
        """Raise ConfigError, with all reasons, where a run is not what the site insists on."""
        if reasons := self._reasons(config):
            raise ConfigError(f"the site's policy refuses this run: {'; '.join(reasons)}")

    def require_rule(self, name: str) -> None:
        """Raise ConfigError where the site half of a method may not run here; "" = it has none."""
        if name and self.site_rules and name not in self.site_rules:
            raise ConfigError(
                f"the site's policy refuses this method: its site half is {name}, allowed: "
                f"{', '.join(self.site_rules)}"
            )

    def _reasons(self, config: RunConfig) -> list[str]:
        privacy, found = config.privacy, []
        wants_dp = self.dp or not math.isinf(min(self.max_epsilon, self.max_clip))
        if wants_dp and not privacy.dp:
            found.append("privacy.dp is off, it must be on")
        for key, value, most in (
            ("epsilon", privacy.epsilon, self.max_epsilon),
            ("clip", privacy.clip, self.max_clip),
        ):
            if privacy.dp and value > most:
                found.append(f"privacy.{key} = {value:g}, it may be {most:g} at most")
        for key, asked, allowed in (
            ("strategy", config.run.strategy, self.strategies),
            ("detector.evidence", config.detector.evidence, self.evidence),
        ):
            names = [name.strip() for name in asked.split(",")]
            if allowed and (others := [name for name in names if name not in allowed]):
                found.append(f"{key} = {', '.join(others)}, allowed: {', '.join(allowed)}")
        return found


def _arguments(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key.replace("-", "_"): tuple(value) if isinstance(value, list) else value
        for key, value in found.items()
    }


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


_KEYS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "dp": (lambda value: isinstance(value, bool), "true or false"),
    "max-epsilon": (_positive, "a number above 0"),
    "max-clip": (_positive, "a number above 0"),
    "strategies": (_names, 'names, e.g. ["cwa", "lpe"]'),
    "evidence": (_names, 'kinds of evidence, e.g. ["smoothed"]'),
    "site-rules": (_names, 'names of site halves, e.g. ["scaffold"]'),
    "least-readings": (_count, "a whole number, 1 or more"),
}
