"""Checks on every reply before it may touch the model: a bad one is refused, the round goes on.

A reply holds exactly what its message class declares, by which sites check what they send. What a
site wrote stands in a reason only cut and escaped.
"""

from __future__ import annotations

from dataclasses import dataclass

from flwr.app import Message

from dtfl_app.detector.calibration import Sketch
from dtfl_app.detector.models import Params
from dtfl_app.messages.calibration import CalibrationReply
from dtfl_app.messages.payload import check_layers
from dtfl_app.messages.training import Expected, TrainingReply

__all__ = ["Reply", "admit", "admit_sketches"]


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


def admit(message: Message, expected: Expected) -> Reply:
    """Turn a site's message into a `Reply`, or raise ReplyError with the reason for refusing it."""
    said = TrainingReply.unpack(message, expected)
    return Reply(
        site=said.site,
        params=check_layers(said.layers, expected.shapes, expected.base),
        examples=said.examples,
        loss=said.loss,
        steps=said.steps,
        sketches=said.sketches,
        payload=sum(array.nbytes for array in said.layers.values()),
        server_round=said.server_round,
    )


def admit_sketches(message: Message, kinds: int) -> tuple[Sketch, ...]:
    """Turn a site's answer to the closing query into a sketch per kind, or raise ReplyError."""
    return CalibrationReply.unpack(message, kinds).sketches
