"""Attacks on the C-Town plant's controls: those on any plant, and one on pairs of set-points.

Source: Taormina et al. 2018, doi 10.1061/(ASCE)WR.1943-5452.0000969, tables of attacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from twin.epanet import attacks
from twin.epanet.effects import Assets, Choice, Effect, pick, uniform
from twin.epanet.plc import SetPoint

__all__ = ["ATTACKS"]


class AlteredThresholds(attacks.AlteredThresholds):
    """As on any plant; C-Town's tanks are 4.5 to 6.75 m high."""

    low, high = -4.0, 4.0


class CollapsedThresholds(attacks.OnTank):
    """The set-points of the tank's pumps close in on their middle: the pumps keep switching.

    Target: a tank. Strength: half the band that is left, in m.
    """

    unit = "half of the band that is left, in m"
    low, high = 0.0, 1.0

    @classmethod
    def draw(cls, assets: Assets, rng: np.random.Generator) -> Choice:
        return Choice(pick(assets.tanks, rng), uniform(0.02, 0.15, rng))

    def rule(self, link: str, rule: SetPoint) -> SetPoint:
        if rule.tank != self.event.target:
            return rule
        middle, half = (rule.on_below + rule.off_above) / 2.0, self.event.strength
        return replace(rule, on_below=middle - half, off_above=middle + half)


class FalsifiedLevel(attacks.FalsifiedLevel):
    """As on any plant; C-Town's tanks are 4.5 to 6.75 m high."""

    high = 10.0


class SignalAltered(attacks.SignalAltered):
    """As on any plant; C-Town's tanks are 4.5 to 6.75 m high."""

    low, high = -5.0, 5.0


_OWN: Mapping[str, type[Effect]] = {
    "altered_thresholds": AlteredThresholds,
    "collapsed_thresholds": CollapsedThresholds,
    "falsified_level": FalsifiedLevel,
    "signal_altered": SignalAltered,
}

#: Kind -> effect.
ATTACKS: Mapping[str, type[Effect]] = {
    **_OWN,
    **{kind: effect for kind, effect in attacks.ATTACKS.items() if kind not in _OWN},
}
