"""A site that learns by arithmetic, so that a test knows every number of a round."""

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict

from dtfl_app.detector.calibration import SKETCH_LEVELS
from dtfl_app.messages.wire import compress, prefixed, receive, to_record, with_prefix
from tests.support.line_model import LAST

__all__ = ["scripted_site"]


def scripted_site(message: Message, context: Context) -> Message:
    """Answer like a site; node p (partition-id) adds p + 1 to the bias that it receives.

    All its calibration scores are the bias of the model it was asked to score, so the threshold
    tells which model it belongs to. It claims 10 (p + 1) rows, a loss of p and 2 steps.
    """
    place = int(context.node_config["partition-id"])
    content = message.content
    arrays = receive(content.array_records["arrays"], content.config_records["listing"], context)
    model = with_prefix("model", arrays)
    scores = [float(model[LAST][0])] * len(SKETCH_LEVELS)
    sketch = {"calibration-counts": [10], "calibration-scores": scores}
    if message.metadata.message_type == "query.calibrate":
        return Message(RecordDict({"metrics": MetricRecord(sketch)}), reply_to=message)
    task = content.config_records["task"]
    learned = {**model, LAST: model[LAST] + place + 1}
    claims = {"num-examples": 10 * (place + 1), "loss": float(place), "steps": 2}
    upload = {key: learned[key] for key in task["upload"]}
    if "upload-tag" in task:
        upload = compress(upload, model, task["upload-tag"], task["upload-follows"], context)
    records = {
        "arrays": to_record(prefixed("model", upload)),
        "identity": ConfigRecord({key: task[key] for key in ("site", "server-round")}),
        "metrics": MetricRecord({**claims, **sketch}),
    }
    return Message(RecordDict(records), reply_to=message)
