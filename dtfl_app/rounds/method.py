"""What a method is: the one class that its author reads.

A method says in `update` what the server does with the admitted replies; the hooks `prepare`,
`upload_keys`, `kept_keys`, `site_extras` and `upload_extras` are there for the few that need them.
What it does at the sites is a `dtfl_app.rounds.site_rule.SiteRule` that it names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value
from dtfl_app.detector.params import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.messages.wire import Arrays
from dtfl_app.rounds.aggregation import aggregate
from dtfl_app.rounds.site_rule import NoSettings
from dtfl_app.rounds.state import State
from dtfl_app.rounds.twin_trainer import TwinTrainer
from dtfl_app.rounds.workbench import Workbench

__all__ = ["Method", "NoSettings"]


class Method(ABC):
    """The half of `DTFLStrategy` that a method's author sees: its hooks, and what they work with.

    Parameters
    ----------
    name : what the run calls this method.
    settings : an instance of the class's `Settings`.
    bench : what the run provides.

    `site_rule` names its site half, by short name or import path; empty = sites only train.
    `site_state` says that sites keep arrays of their own from round to round
    (`dtfl_app.messages.versions`). `state` is what the server carries from round to round,
    `server_round` the round under way.

    Raises
    ------
    ConfigError : the method needs a twin and the run has none, though its data set does.
    """

    Settings: ClassVar[type] = NoSettings
    needs_twin: ClassVar[bool] = True
    site_rule: ClassVar[str] = ""
    site_state: ClassVar[bool] = False

    def __init__(self, name: str, settings: object, bench: Workbench) -> None:
        if self.needs_twin and bench.twin is None and not bench.twinless:
            raise ConfigError(
                f"strategy {name!r} needs a digital twin and this run has none; "
                "set twin to other than 'none' or use strategy \"fedavg\""
            )
        self.name = name
        self.settings = settings
        self.bench = bench
        self.state = State(model={})
        self.server_round = 0

    # --- what a method may override ---------------------------------------------------------

    @abstractmethod
    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Return the next state from the admitted replies, sorted by site name, at least one."""

    def prepare(self, state: State) -> State:
        """Return the state to begin with; called once before round 1, not after a resume."""
        return state

    def upload_keys(self, server_round: int) -> list[str]:
        """Parameter keys that sites return in this round; default: all that are not personal."""
        personal = set(self.personal_keys())
        return [key for key in self.state.model if key not in personal]

    def kept_keys(self) -> list[str]:
        """Parameter keys that sites keep between rounds, so unchanged ones need not travel."""
        return []

    def personal_keys(self) -> list[str]:
        """Parameter keys of which each site has values of its own; the same in every round.

        They never leave it: what `state` holds of them is where every site begins, and no reply has
        them. So sites judge the model, with their own layers in it, and the server does not.
        """
        return []

    def site_extras(self) -> tuple[Arrays, dict[str, Value]]:
        """Arrays the sites keep until they change, and settings for their training.

        Both are for the site half that `site_rule` names. What nobody at a site reads is refused.
        """
        return {}, {}

    def upload_extras(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape of the float32 arrays that every reply brings besides its layers."""
        return {}

    @classmethod
    def has_personal_keys(cls) -> bool:
        """Whether sites have layers of their own, so that the server never has a whole model."""
        return cls.personal_keys is not Method.personal_keys

    # --- for methods to use -----------------------------------------------------------------

    @property
    def twin(self) -> TwinTrainer:
        """The trainer on twin data; only methods with `needs_twin` may ask."""
        assert self.bench.twin is not None
        return self.bench.twin

    @property
    def twin_weight(self) -> float:
        """How much the twin counts, in [0, 1]: for terms that the sites' training has of it.

        What `update` returns is weighed by whoever called it.
        """
        return self.bench.agreement.twin_weight

    def weights(self, replies: Sequence[Reply]) -> list[float]:
        """How much each reply counts, > 0: what trust in it leaves.

        Times its examples where the setting `weighting` says so.
        """
        by_examples = self.bench.config.round.weighting == "examples"
        return [r.weight * (float(r.examples) if by_examples else 1.0) for r in replies]

    def mean(self, replies: Sequence[Reply], factors: Sequence[float] | None = None) -> Params:
        """Aggregate the replies by the run's rule (`aggregation`), by default their mean.

        A reply weighs as `weights` says, times its entry of `factors`, >= 0.
        """
        weights = self.weights(replies)
        if factors is not None:
            weights = [w * f for w, f in zip(weights, factors, strict=True)]
        return aggregate([r.params for r in replies], weights, self.bench.config.trust)

    def mean_extras(self, replies: Sequence[Reply]) -> Params:
        """Aggregate the replies' extra arrays by the run's rule, with the same weights."""
        extras = [reply.extras for reply in replies]
        return aggregate(extras, self.weights(replies), self.bench.config.trust)

    def require_sgd(self, why: str, *, momentum: bool = True) -> None:
        """Raise ConfigError unless sites train with SGD, and without momentum unless `momentum`."""
        train = self.bench.config.train
        if train.optimizer != "sgd" or (train.momentum and not momentum):
            raise ConfigError(
                f"strategy {self.name!r} needs train.optimizer=sgd"
                f"{'' if momentum else ' and train.momentum=0.0'}: {why}; found "
                f"{train.optimizer}, momentum {train.momentum:g}. Its train.lr is larger than "
                "Adam's, e.g. 0.5"
            )
