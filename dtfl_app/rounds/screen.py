"""The second half of the gate: replies of sound form are held against each other and the twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dtfl_app.core.sections import TrustSettings
from dtfl_app.detector.params import Params
from dtfl_app.messages.admission import Reply
from dtfl_app.rounds.aggregation import clip_updates
from dtfl_app.rounds.norms import ExtrasBound, NormBound, update_norm
from dtfl_app.rounds.twin_trainer import TwinTrainer
from dtfl_app.rounds.witness import suspects, weigh, witness_losses

__all__ = ["ReplyScreen"]


class ReplyScreen:
    """Refuses updates that are far too long, asks the twin as a witness, shortens what is long.

    Parameters
    ----------
    settings : which of these, and how strictly.
    """

    def __init__(self, settings: TrustSettings) -> None:
        self._settings = settings
        self._bound = NormBound(settings.norm_limit)
        self._extras_bound = ExtrasBound(settings.norm_limit)

    def state(self) -> list[float]:
        """What the norm bound remembers, for a checkpoint."""
        return self._bound.history

    def extras_state(self) -> list[float]:
        """What the bound on extra arrays remembers, for a checkpoint."""
        return self._extras_bound.history

    def restore(self, history: Sequence[float], extras: Sequence[float] = ()) -> None:
        """Go on from what `state` and `extras_state` returned."""
        self._bound = NormBound(self._settings.norm_limit, history)
        self._extras_bound = ExtrasBound(self._settings.norm_limit, extras)

    def screen(
        self, replies: Sequence[Reply], model: Params, twin: TwinTrainer | None
    ) -> tuple[list[Reply], dict[str, str]]:
        """Return the replies that count, with their weights, and why the others do not.

        Parameters
        ----------
        replies : of one round, by site name.
        model : what the sites started from.
        twin : the witness; None where there is none, or it is not trusted.
        """
        refused: dict[str, str] = {}
        if self._settings.norm_limit:
            norms = {r.site: update_norm(r.params, model) for r in replies}
            refused = self._bound.refusals(norms)
            extras = {r.site: update_norm(r.extras) for r in replies if r.extras}
            refused |= self._extras_bound.refusals(extras)
        kept = [reply for reply in replies if reply.site not in refused]
        if self._settings.witness != "off" and twin is not None:
            kept, doubted = self._ask_twin(kept, model, twin)
            refused |= doubted
        if self._settings.clip:
            clipped = clip_updates([r.params for r in kept], model, self._settings.clip)
            kept = [replace(r, params=p) for r, p in zip(kept, clipped, strict=True)]
        return kept, refused

    def _ask_twin(
        self, replies: Sequence[Reply], model: Params, twin: TwinTrainer
    ) -> tuple[list[Reply], dict[str, str]]:
        losses, limit = witness_losses(replies, model, twin), self._settings.witness_limit
        if self._settings.witness == "refuse":
            doubted = suspects(losses, limit, twin.chance)
            return [reply for reply in replies if reply.site not in doubted], doubted
        weights = weigh(losses, limit, twin.chance)
        reasons = suspects(losses, limit, twin.chance)
        weighed = [
            replace(reply, weight=reply.weight * weights[reply.site])
            for reply in replies
            if weights[reply.site] > 0.0
        ]
        return weighed, {site: why for site, why in reasons.items() if weights[site] <= 0.0}
