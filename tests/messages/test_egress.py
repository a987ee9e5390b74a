"""What leaves a site is what is declared, whatever the method, and no reading is in it."""

import logging
import traceback
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict

import client_app
from dtfl_app.client import site as own_site
from dtfl_app.core.errors import (
    ConfigError,
    DataError,
    ReplyError,
    SchemaError,
    SiteError,
    TwinError,
)
from dtfl_app.core.node_config import NodeConfig, Part
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.inputs.preparation import model_spec, prepare, scaler_from_arrays
from dtfl_app.messages.calibration import CalibrationReply, CalibrationTask
from dtfl_app.messages.egress import deviations, discreet_errors, require_declared
from dtfl_app.messages.profile import PROFILE, Profile
from dtfl_app.messages.training import TrainingReply, TrainingTask
from dtfl_app.messages.wire import to_arrays, to_record
from dtfl_app.sites.columns import parse_numbers
from dtfl_app.testing.grid import identify
from tests.support.leaks import Readings
from tests.support.methods import SGD, WITH_ADAM
from tests.support.noise import known_noise
from tests.support.small_dataset import SmallDataset, use_small_dataset

SITES = 2
VARIANTS = {
    "float32": {},
    "int8": {"wire__upload_precision": "int8", "wire__download_precision": "int8"},
    "noise": {"privacy__dp": True, "privacy__epsilon": 1e6},
    "noise, int8": {"privacy__dp": True, "privacy__epsilon": 1e6, "wire__upload_precision": "int8"},
    "site halves, int8": {"strategy": "scaffold,fednova", "wire__upload_precision": "int8", **SGD},
    "own layers": {"strategy": "fedper", "detector__evidence": "instant,smoothed"},
    "own layers, int8": {"strategy": "fedper", "wire__upload_precision": "int8"},
    "physics": {"detector__evidence": "instant,smoothed,plc,pump,balance"},
}


@pytest.fixture(scope="module", params=VARIANTS)
def run(request, launcher):
    """Two rounds of every method with two of BATADAL's sites, in each variant."""
    settings = VARIANTS[request.param]
    with known_noise():
        told = {"strategy": ",".join(WITH_ADAM), "rounds": 2, "trust__norm_limit": 0.0}
        return launcher.run(sites=SITES, **{**told, **settings})


def exchanges(run):
    """Every task or query beside its answer, and the site that gave it."""
    for task, reply in zip(run.grid.sent, run.grid.received, strict=True):
        assert not reply.has_error(), reply.error.reason
        yield task, reply, run.grid.partition(task)


def site_of(run, place: int) -> own_site.Site:
    settings = tuple(sorted(run.grid.run_config.items()))
    return own_site._open_site(settings, NodeConfig(Part(place, SITES)))


def declaration(task: Message, site: own_site.Site):
    """From the run's config and what the task asks for, without looking at the reply."""
    config = site.config
    kinds = len(config.detector.evidence.split(","))
    if task.metadata.message_type == PROFILE:
        return Profile.declaration(43, 43, "balance" in config.detector.evidence)
    if task.metadata.message_type == CalibrationTask.kind:
        own = bool(CalibrationTask.unpack(task).personal)
        return CalibrationReply.declaration(kinds, judged=own)
    params = get_params(build_model(model_spec(config.detector, 43), seed=0))
    asked = TrainingTask.unpack(task)
    shapes = {key: params[key].shape for key in asked.upload}
    as_changes = config.wire.upload_precision == "int8"
    own = bool(asked.personal)
    return TrainingReply.declaration(shapes, as_changes, kinds, asked.extras, judged=own)


def unpacked(reply: Message):
    return to_arrays(reply.content.array_records.get("arrays", ArrayRecord()))


def test_every_reply_of_every_method_holds_what_is_declared_and_nothing_else(run):
    kinds = set()
    for task, reply, place in exchanges(run):
        found = deviations(reply.content, declaration(task, site_of(run, place)))
        assert found == []
        kinds.add(task.metadata.message_type)

    assert kinds == {"query.profile", "train", "query.calibrate"}


def test_no_reading_is_in_any_array_or_list_that_leaves_a_site(run):
    """Neither in physical units nor standardised, neither along a row nor along a channel."""
    secrets = [readings(run, place) for place in range(SITES)]

    for _, reply, place in exchanges(run):
        numbers = list(unpacked(reply).values())
        for record in reply.content.metric_records.values():
            numbers += [np.asarray(value) for value in record.values()]
        assert all(secrets[place].found_in(array) == 0 for array in numbers)


def test_a_reading_would_be_found(run):
    """The same search on weights in which someone hid the levels of four tanks at one hour."""
    secret, site = readings(run, 0), site_of(run, 0)
    weights = np.random.default_rng(0).normal(size=(16, 43)).astype(np.float32)

    assert secret.found_in(weights) == 0
    weights[3, 10:14] = site.data.features_train.values[7, :4]
    assert secret.found_in(weights) >= 1
    assert secret.found_in(weights.T) >= 1


def readings(run, place: int) -> Readings:
    site = site_of(run, place)
    first = next(t for t, _, p in exchanges(run) if p == place and t.content.array_records)
    sent = to_arrays(first.content.array_records["arrays"])
    scaler = scaler_from_arrays({k[7:]: v for k, v in sent.items() if k.startswith("scaler/")})
    parts = (site.data.features_train, site.data.features_cal)
    scaled = [prepare(part, scaler, 1).x for part in parts]
    return Readings(*[part.values for part in parts], *scaled)


# --- what is held back --------------------------------------------------------------------------

DECLARED = TrainingReply.declaration({"w": (2,)}, as_changes=False, kinds=1)
ARRAYS = {"model/w": np.ones(2, np.float32)}
METRICS = {
    "num-examples": 5,
    "loss": 0.5,
    "steps": 2,
    "calibration-counts": [3],
    "calibration-scores": [0.0] * 32,
}
IDENTITY = {"site": "a", "server-round": 1}


def reply(**changes) -> Message:
    identify()
    task = Message(RecordDict({}), message_type="train", dst_node_id=7)
    return Message(content(**changes), reply_to=task)


def content(arrays=ARRAYS, metrics=METRICS, identity=IDENTITY, **more) -> RecordDict:
    records = {"metrics": MetricRecord(metrics), "identity": ConfigRecord(identity)}
    return RecordDict({"arrays": to_record(arrays), **records, **more})


def test_a_reply_as_declared_passes():
    assert deviations(content(), DECLARED) == []
    without = {k: v for k, v in METRICS.items() if k != "calibration-scores"}
    assert deviations(content(metrics=without), DECLARED) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"arrays": {**ARRAYS, "rows": np.ones((5, 2))}}, "not asked for: 'rows'"),
        ({"arrays": {"model/w": np.ones(2)}}, "layer 'w' is float64"),
        ({"arrays": {"model/w": np.ones((9, 2), np.float32)}}, r"layer 'w' is float32 \(9, 2\)"),
        ({"arrays": {}}, "missing: 'model/w'"),
        ({"metrics": {**METRICS, "level": 3.5}}, "metrics not asked for: 'level'"),
        ({"metrics": {**METRICS, "loss": [0.5, 3.5]}}, "'loss' has lengths"),
        ({"metrics": {**METRICS, "loss": 1}}, "'loss' holds other than float"),
        ({"metrics": {**METRICS, "calibration-scores": [0.0] * 33}}, "'calibration-scores' has"),
        ({"metrics": {**METRICS, "calibration-counts": [1, 2]}}, "'calibration-counts' has"),
        ({"metrics": {"loss": 0.5}}, "no metric 'steps'"),
        ({"identity": {**IDENTITY, "note": "L_T1 = 3.5"}}, "entries not asked for: 'note'"),
        ({"identity": {"site": "a", "server-round": "1"}}, "'server-round' is no int"),
        ({"identity": {"site": "a"}}, "no entry 'server-round'"),
        ({"rows": ArrayRecord()}, "records not asked for: 'rows'"),
        ({"metrics2": MetricRecord({"a": 1})}, "records not asked for: 'metrics2'"),
    ],
)
def test_a_reply_with_more_or_other_content_is_held_back(changed, words):
    with pytest.raises(SiteError, match=f"held back .*{words}"):
        require_declared(reply(**changed), DECLARED)


def test_what_is_said_of_a_reply_held_back_holds_none_of_its_values():
    for metrics in ({**METRICS, "loss": [123.456]}, {**METRICS, "level": 123.456}):
        with pytest.raises(SiteError) as caught:
            require_declared(reply(metrics=metrics), DECLARED)

        assert "123" not in str(caught.value)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ConfigError, ReplyError, SiteError, TwinError])
def test_errors_about_settings_messages_and_the_twin_keep_their_words(kind):
    with pytest.raises(kind, match="tell them"), discreet_errors():
        raise kind("tell them")


QUOTING = "row 17: L_T1 = 3.5 m"


@pytest.mark.parametrize("kind", [DataError, SchemaError, ValueError, OSError, AssertionError])
def test_of_any_other_error_only_type_and_place_leave_the_site(kind, caplog, monkeypatch):
    caplog.set_level(logging.ERROR, logger="flwr.dtfl")
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)

    with pytest.raises(SiteError) as caught, discreet_errors():
        raise kind(QUOTING)

    assert str(caught.value).startswith(f"{kind.__name__} at test_egress.py:")
    # Flower's simulation sends the whole traceback, with the errors behind an error.
    assert QUOTING not in "".join(traceback.format_exception(caught.value))
    assert QUOTING in caplog.text


def test_an_error_may_say_whose_it_is():
    north = discreet_errors(lambda: "site north: ")

    with pytest.raises(SiteError, match=r"^site north: DataError at test_egress\.py"), north:
        raise DataError(QUOTING)


def test_the_place_is_the_app_s_own_line_and_not_a_library_s(tmp_path):
    frame = pd.DataFrame({"level": ["3.5", "secret"]})

    with pytest.raises(SiteError, match=r"^DataError at columns\.py:\d+;"), discreet_errors():
        parse_numbers(frame, ["level"], tmp_path / "site.csv")


@pytest.mark.parametrize("kind", ["query.profile", "train", "query.calibrate"])
def test_no_handler_lets_an_error_out_that_quotes_a_cell(monkeypatch, kind):
    """The site's file has a word where a number should be, and the reader's error quotes it."""
    use_small_dataset(monkeypatch, Misread())
    identify()
    task = ConfigRecord({"server-round": 1, "site": "site-0", "upload": []})
    message = Message(RecordDict({"task": task}), message_type=kind, dst_node_id=7)
    place = {"partition-id": 0, "num-partitions": 2}

    with pytest.raises(SiteError) as caught:
        client_app.app(message, Context(1, 7, place, RecordDict(), {"dataset": "small"}))

    assert "secret" not in str(caught.value)


class Misread(SmallDataset):
    """A data set whose files cannot be read."""

    def load_site(self, index: int, k: int):
        parse_numbers(pd.DataFrame({"level": ["secret"]}), ["level"], "site.csv")
        return replace(super().load_site(index, k))
