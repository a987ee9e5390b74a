"""fading_twin.py: trust the twin early, the sites later."""

from dataclasses import dataclass, replace

from dtfl_app.core.settings import setting
from dtfl_app.rounds.parameters import blend
from dtfl_app.rounds.strategy import DTFLStrategy


@dataclass(frozen=True)
class FadingTwinSettings:
    half_life: float = setting(5.0, "rounds until the twin's share halves", above=0.0)


class FadingTwin(DTFLStrategy):
    """``Theta^(t+1) = a Theta_twin + (1 - a) Theta_agg`` with ``a = 2^(-t / half_life)``."""

    Settings = FadingTwinSettings

    def update(self, state, replies):
        share = 2.0 ** (-self.server_round / self.settings.half_life)
        aggregate = self.mean(replies)
        return replace(state, model=blend(self.twin.train(aggregate), aggregate, share))
