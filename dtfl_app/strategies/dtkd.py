"""DTKD, digital twin knowledge distillation: a teacher trained on twin data guides the sites.

Belay et al., arXiv 2601.01701. Not server-side ensemble distillation (feddf.py): the teacher is the
twin's, the students are the sites or, in the server variant, the aggregate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dtfl_app.core.settings import Value, to_mapping
from dtfl_app.detector.params import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.messages.training import TeacherTerm
from dtfl_app.messages.wire import TEACHER, Arrays, prefixed
from dtfl_app.rounds.strategy import DTFLStrategy, State
from dtfl_app.strategies.equations.dtkd import DTKDSettings, guide, packed_teacher

__all__ = ["DTKD", "DTKDSettings"]


class DTKD(DTFLStrategy):
    """A teacher ``Theta_DT`` is trained on twin data before round 1 and frozen.

    client: it is sent to each site once, and site k minimises
    ``(1 - lambda) L(y, f) + lambda T^2 KL(teacher at T, student at T)``; plain mean at the server.
    server: sites hold no teacher; after each round the aggregate takes `twin.steps` steps towards
    the teacher's outputs on twin inputs.
    """

    Settings = DTKDSettings
    settings: DTKDSettings

    def prepare(self, state: State) -> State:
        """Train the teacher from the initial model; the sites start from the untrained one."""
        steps = self.bench.config.twin.warm_steps
        return replace(state, twin=self.twin.train(state.model, steps))

    def site_extras(self) -> tuple[Arrays, dict[str, Value]]:
        """Give the sites the teacher to keep, and the loss's weights."""
        s = self.settings
        if s.side == "server":
            return {}, {}
        assert self.state.twin is not None
        teacher = packed_teacher(self.state.twin, s.precision)
        term = TeacherTerm(s.lambda_ * self.twin_weight, s.temperature)
        return prefixed(TEACHER, teacher), to_mapping(term)

    def update(self, state: State, replies: Sequence[Reply]) -> State:
        """Average; on the server side, distil the aggregate."""
        assert state.twin is not None
        model = guide(self.mean(replies), state.twin, self._distil, self.settings.side)
        return replace(state, model=model)

    def _distil(self, student: Params, teacher: Params) -> Params:
        return self.twin.distil(student, [teacher])
