"""docs/protocol.md names every record and every entry that the message classes pack."""

import hashlib
import re

import numpy as np
import pytest
from flwr.app import Message

from dtfl_app.core.settings import to_mapping
from dtfl_app.detector.calibration import SKETCH_LEVELS, Sketch
from dtfl_app.messages.calibration import EXAMPLES_LIMIT, CalibrationReply, CalibrationTask
from dtfl_app.messages.declaration import Declaration
from dtfl_app.messages.payload import HEADER_LIMIT, WEIGHT_LIMIT
from dtfl_app.messages.profile import Profile, profile_query
from dtfl_app.messages.training import ProximalTerm, TeacherTerm, TrainingReply, TrainingTask
from dtfl_app.messages.versions import Versions
from dtfl_app.messages.wire import Ledger, prefixed
from dtfl_app.testing.grid import identify
from tests.support.places import REPOSITORY
from twin.schema import Channel, Schema

PAGE = (REPOSITORY / "docs" / "protocol.md").read_text()
NAMED = set(re.findall(r"`([^`\n]+)`", PAGE))
MODEL = {"layers.0.weight": np.ones((2, 2), np.float32)}
KINDS = 5
EXTRAS = {"control": (2, 2)}


def section(kind: str) -> set[str]:
    """What is named between a message's headline and the next."""
    return set(
        re.findall(r"`([^`\n]+)`", PAGE.partition(f"\n## `{kind}`")[2].partition("\n## ")[0])
    )


def tasks() -> list[Message]:
    """One of each kind, with every entry that it can have."""
    identify()
    packed = Ledger().pack(1, prefixed("model", MODEL), [])
    settings = {**to_mapping(ProximalTerm(0.1)), **to_mapping(TeacherTerm(0.5, 2.0))}
    own = Versions("cwa/0", "cwa/1", ("cwa/0",))
    rule = {"rule": "mine:Rule", "extras": EXTRAS, "versions": own, "personal": tuple(MODEL)}
    full = TrainingTask("north", 1, "a1", tuple(MODEL), "cwa/1", "cwa/0", settings, **rule)
    asked = CalibrationTask("north", 1, "a1", versions=own, personal=tuple(MODEL))
    return [profile_query(1), full.pack(1, packed), asked.pack(1, packed)]


def declared() -> dict[str, Declaration]:
    """Message type -> all that the reply may hold."""
    shapes = {key: value.shape for key, value in MODEL.items()}
    return {
        "query.profile": Profile.declaration(2, 2, with_demand=True),
        "train": TrainingReply.declaration(shapes, True, KINDS, EXTRAS, judged=True),
        "query.calibrate": CalibrationReply.declaration(KINDS, judged=True),
    }


@pytest.mark.parametrize("number", range(3))
def test_every_record_and_entry_of_a_task_is_on_the_page(number):
    task = tasks()[number]
    content, told = task.content, section(task.metadata.message_type)

    assert set(content) <= told
    for name, record in content.config_records.items():
        # The closing query's listing is explained with the training task.
        assert set(record) <= (NAMED if name == "listing" else told)


@pytest.mark.parametrize("kind", declared())
def test_every_entry_of_a_reply_is_on_the_page_with_its_type(kind):
    reply, told = declared()[kind], section(kind)
    arrays = {re.sub(r"layers\.0\.weight", "<key>", name) for name in reply.arrays or {}}
    arrays = {re.sub(r"control", "<name>", name) for name in arrays}

    assert {*arrays, *reply.metrics, *(reply.identity or {})} <= told
    assert ("arrays" in told, "metrics" in told) == (True, True)
    assert reply.identity is None or "identity" in told


def test_the_limits_on_the_page_are_those_of_the_gate():
    assert f"{EXAMPLES_LIMIT}" in PAGE
    assert f"{WEIGHT_LIMIT:.0f}" in PAGE
    assert f"more than {HEADER_LIMIT} bytes" in PAGE


def test_the_levels_of_the_page_are_those_of_a_sketch():
    ratio = (0.0005 / 0.08) ** (1 / 20)
    levels = [*(k / 10 for k in range(10)), *(1 - 0.08 * ratio**k for k in range(21)), 1.0]

    assert np.allclose(levels, SKETCH_LEVELS)
    assert f"{len(levels)} levels" in PAGE
    assert Sketch(1, SKETCH_LEVELS).values.shape == (32,)


def test_the_schema_of_the_page_has_the_digest_that_the_page_says():
    (text,) = re.findall(r"```json\n(.*?)\n```", PAGE, flags=re.DOTALL)
    schema = Schema("small", (Channel("level", "m", "level", -50.0, 50.0),), 60.0)

    assert hashlib.sha256(text.encode()).hexdigest()[:16] == schema.digest()
