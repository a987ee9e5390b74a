"""Sites that go down parabolas through a method's own site half: rounds can be done by hand."""

from dataclasses import dataclass, field

import numpy as np
from flwr.app import Context, Message

from dtfl_app.client.rules import sent_and_kept
from dtfl_app.client.versions import keep_version, own_arrays
from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.detector.detector import Detector
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params, set_params
from dtfl_app.detector.training import TrainingSpec
from dtfl_app.messages.calibration import CalibrationReply, CalibrationTask
from dtfl_app.messages.training import TrainingReply, TrainingTask
from dtfl_app.messages.wire import compress, receive, with_prefix
from dtfl_app.rounds.site_rule import NoSettings, SiteRule, find_site_rule
from tests.support.line_model import LAST, LINE

__all__ = ["ConvexSites"]

SKETCH = Sketch(10, np.linspace(0.0, 1.0, len(SKETCH_LEVELS)))


@dataclass
class ConvexSites:
    """Site p learns one value, the last bias b, by SGD on ``curve[p] / 2 (b - goal[p])^2``.

    Parameters
    ----------
    goal, curve, steps : per site.
    lr : of every site.
    spoilt : (site, round) whose reply is refused after the site has done its work.
    """

    goal: tuple[float, ...] = (0.0, 3.0)
    curve: tuple[float, ...] = (1.0, 2.0)
    steps: tuple[int, ...] = (2, 2)
    lr: float = 0.1
    spoilt: tuple[tuple[str, int], ...] = ()
    model: Detector = field(default_factory=lambda: build_model(LINE, seed=0))
    own: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def __call__(self, message: Message, context: Context) -> Message:
        received = receive(message.content, context)
        if message.metadata.message_type == CalibrationTask.kind:
            return CalibrationReply((SKETCH,)).pack(message)
        task, place = TrainingTask.unpack(message), int(context.node_config["partition-id"])
        model, base = self.model, with_prefix("model", received)
        set_params(model, base)
        kept = {}
        if task.versions is not None:
            kept = own_arrays(task.site, task.versions, context, on_disk=False)
        cls = find_site_rule(task.rule) if task.rule else SiteRule
        rule = cls(
            NoSettings(), TrainingSpec(lr=self.lr, optimizer="sgd"), with_prefix("rule", kept)
        )
        extras = self._trained(rule, model, with_prefix("extra", received), place)
        sent, kept = sent_and_kept(rule, extras, task, kept)
        if task.versions is not None:
            keep_version(task.versions, kept, context)
        self.own[task.site] = with_prefix("rule", kept)
        layers = {key: value for key, value in get_params(model).items() if key in task.upload}
        if task.tag:
            layers = compress(layers, base, task.tag, task.follows, context)
        rows = -1 if (task.site, task.server_round) in self.spoilt else 10
        told = (task.site, task.server_round, layers, rows, 1.0, self.steps[place], (SKETCH,), sent)
        return TrainingReply(*told).pack(message)

    def _trained(self, rule, model, received, place):
        rule.before_training(model, received)
        value = dict(model.named_parameters())[LAST]
        optimiser = rule.spec.optimiser_of(model)
        for _ in range(self.steps[place]):
            optimiser.zero_grad()
            (self.curve[place] / 2 * (value - self.goal[place]) ** 2).sum().backward()
            rule.after_backward(model)
            optimiser.step()
        return rule.after_training(model, self.steps[place])
