"""Checks on every reply before it may touch the model: a bad one is refused, the round goes on.

A reply holds exactly what its message class declares, by which sites check what they send. What a
site wrote stands in a reason only cut and escaped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from flwr.app import Message

from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.params import Params
from dtfl_app.detector.samples import Judged
from dtfl_app.messages.calibration import CalibrationReply
from dtfl_app.messages.payload import check_layers
from dtfl_app.messages.training import Expected, TrainingReply

__all__ = ["Reply", "admit", "admit_calibration"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One admitted reply.

    Parameters
    ----------
    site : the site's name.
    params : the returned layers.
    examples : rows the site trained on, > 0.
    loss : mean training loss.
    steps : optimiser steps taken.
    sketches : calibration scores of the model the site received, per kind of evidence.
    payload : bytes of the arrays that travelled.
    weight : how much the reply counts beside the others, in (0, 1].
    server_round : the round whose task it answers.
    base : the model that the site started from, all of it, as the site received it.
    extras : name -> array, of what the method's `upload_extras` declares.
    judged : scores of the site's labelled rows by its own model, as it was before training.
    """

    site: str
    params: Params
    examples: int
    loss: float
    steps: int
    sketches: tuple[Sketch, ...]
    payload: int
    weight: float = 1.0
    server_round: int = 0
    base: Params = field(default_factory=dict)
    extras: Params = field(default_factory=dict)
    judged: Judged = ()


def admit(message: Message, expected: Expected) -> Reply:
    """Turn a site's message into a `Reply`, or raise ReplyError with the reason for refusing it."""
    said = TrainingReply.unpack(message, expected)
    # An extra array is no change of anything that was sent: its change is one of zeros.
    zeros = {name: np.zeros(shape, np.float32) for name, shape in expected.extras.items()}
    none = None if expected.base is None else zeros
    travelled = [*said.layers.values(), *said.extras.values()]
    return Reply(
        site=said.site,
        params=check_layers(said.layers, expected.shapes, expected.base),
        examples=said.examples,
        loss=said.loss,
        steps=said.steps,
        sketches=said.sketches,
        payload=sum(array.nbytes for array in travelled),
        server_round=said.server_round,
        base=expected.start,
        extras=check_layers(said.extras, expected.extras, none, what="extra array"),
        judged=said.judged,
    )


def admit_calibration(message: Message, kinds: int, *, judged: bool = False) -> CalibrationReply:
    """Read a site's answer to the closing query, or raise ReplyError.

    `judged` : whether the site, which alone has its model whole, may score labelled rows.
    """
    return CalibrationReply.unpack(message, kinds, judged=judged)
