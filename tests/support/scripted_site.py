"""A site that learns by arithmetic, so that a test knows every number of a round."""

import numpy as np
from flwr.app import Context, Message

from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.messages.calibration import CalibrationReply, CalibrationTask
from dtfl_app.messages.quantise import quantise
from dtfl_app.messages.training import TrainingReply, TrainingTask
from dtfl_app.messages.wire import compress, receive, with_prefix
from tests.support.line_model import LAST

__all__ = ["scripted_site"]


def scripted_site(message: Message, context: Context) -> Message:
    """Answer like a site; node p (partition-id) adds p + 1 to the bias that it receives.

    All its calibration scores are the bias of the model it was asked to score, so the threshold
    tells which model it belongs to. It claims 10 (p + 1) rows, a loss of p and 2 steps; what a
    method wants besides is p + 1 everywhere.
    """
    place = int(context.node_config["partition-id"])
    model = with_prefix("model", receive(message.content, context))
    sketch = Sketch(10, np.full(len(SKETCH_LEVELS), float(model[LAST][0])))
    if message.metadata.message_type == CalibrationTask.kind:
        return CalibrationReply((sketch,)).pack(message)
    task = TrainingTask.unpack(message)
    learned = {**model, LAST: model[LAST] + place + 1}
    layers = {key: learned[key] for key in task.upload}
    if task.tag:
        layers = compress(layers, model, task.tag, task.follows, context)
    examples, loss = 10 * (place + 1), float(place)
    extras = {name: np.full(shape, place + 1, np.float32) for name, shape in task.extras.items()}
    told = (task.site, task.server_round, layers, examples, loss, 2, (sketch,))
    return TrainingReply(*told, quantise(extras) if task.tag else extras).pack(message)
