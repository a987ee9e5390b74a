"""What the twin as a witness sees: how far honest replies differ, and which attacks stand out.

Run it from the repository: python -m benchmarks.witness_spread
Honest federations are played without Flower. In every round each attack is tried on the honest
replies, then thrown away, so that all rounds are those of a sound run: what is measured is how soon
a first attack is seen, not what a lasting one does (benchmarks.poisoning shows that). Two rules are
compared: the loss on twin data against the median of the round's (`dtfl_app.rounds.witness`),
and its change since the model that was sent against the median size of the round's changes. The
folder that DTFL_DATA names (default ../shared/data) must hold batadal/ and 3w/. About ten minutes
on one core, plus simulating what is not cached. Writes benchmarks/results/witness_spread.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.adversaries import gaussian, little_is_enough, little_z, scaled, sign_flipped
from dtfl_app.bench.provenance import Provenance, provenance_line
from dtfl_app.core.config import RunConfig
from dtfl_app.core.settings import Value
from dtfl_app.core.text_tables import markdown
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import Params, get_params, set_params
from dtfl_app.detector.training import Rows, TrainingSpec, train
from dtfl_app.evaluation.baselines import Material, gather
from dtfl_app.inputs.preparation import model_spec
from dtfl_app.rounds.parameters import weighted_mean
from dtfl_app.rounds.twin_trainer import TwinTrainer
from dtfl_app.rounds.witness import suspects
from dtfl_app.sites.catalogue import open_dataset

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "witness_spread.md"
STRATEGIES = ("fedavg", "cwa")
SHARES = (0.2, 0.4)
EARLY = 3
THREEW: dict[str, Value] = {
    "dataset": "threew",
    "detector.model": "classifier",
    "data.protocol": "leave-one-site-out",
}
# Left out in turn; five wells are too few for two shares of attackers, so none attacks.
WELLS = tuple(f"WELL-{number:05}" for number in (3, 9, 10, 11, 12, 13))
HONEST = {f"3W without {well}" for well in WELLS}
# (title, sites, settings)
FEDERATIONS: tuple[tuple[str, int, dict[str, Value]], ...] = (
    ("plants, plants.gap 0.5", 10, {}),
    ("plants, plants.gap 1.0", 10, {"plants.gap": 1.0}),
    ("plants, plants.gap 2.0", 10, {"plants.gap": 2.0}),
    ("BATADAL", 10, {"dataset": "batadal"}),
    ("BATADAL, dirichlet", 7, {"dataset": "batadal", "data.partition": "dirichlet"}),
    ("BATADAL, twin's demand +30%", 10, {"dataset": "batadal", "twin.demand-factor": 1.3}),
    ("3W, six wells", 6, {**THREEW, "protocol": "pooled"}),
    *((f"3W without {well}", 5, {**THREEW, "held-out": well}) for well in WELLS),
)
Losses = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Round:
    """What the witness saw in one round.

    Parameters
    ----------
    number : from 1.
    before : loss on twin data of the model that was sent.
    chance : loss up to which the witness suspects nobody.
    honest : site -> loss on twin data of its honest reply.
    training : site -> mean training loss of that reply, on its own rows.
    attacked : (attack, share) -> attacker -> loss on twin data of its poisoned reply.
    """

    number: int
    before: float
    chance: float
    honest: Losses
    training: Losses
    attacked: dict[tuple[str, float], Losses] = field(default_factory=dict)


# What is seen of a round, and the losses that the witness is shown -> whom it accuses.
Rule = Callable[[Round, Losses], set[str]]


def by_loss(limit: float) -> Rule:
    """Accuse above `limit` times the median loss."""
    return lambda seen, losses: set(suspects(losses, limit, seen.chance))


def by_change(limit: float) -> Rule:
    """Accuse who is above the median loss by more than `limit` times the median change."""

    def accused(seen: Round, losses: Losses) -> set[str]:
        change = median(abs(loss - seen.before) for loss in losses.values())
        usual = median(losses.values()) + limit * change
        return {site for site, loss in losses.items() if not loss <= usual}

    return accused


RULES: dict[str, Rule] = {
    "loss > 2": by_loss(2.0),
    "loss > 4": by_loss(4.0),
    "loss > 8": by_loss(8.0),
    "change > 1.5": by_change(1.5),
    "change > 3": by_change(3.0),
}
SHOWN = ("loss > 2", "loss > 8", "change > 3")


class Federation:
    """Honest sites and the twin of one federation.

    Parameters
    ----------
    config : the run's settings.
    material : the sites' and the twin's rows.
    """

    def __init__(self, config: RunConfig, material: Material) -> None:
        assert material.twin is not None
        cpu = torch.device("cpu")
        self._config = config
        self._spec = model_spec(config.detector, len(material.evaluation.features.names))
        self._model = build_model(self._spec, config.run.seed)
        rows = {
            name: part.rows(cpu)
            for name, (part, _) in zip(material.names, material.sites, strict=True)
        }
        self._rows = {name: rows[name].for_model(self._model) for name in sorted(rows)}
        size, seed = config.train.batch_size, config.run.seed
        spec, steps = TrainingSpec(config.twin.lr, size), config.twin.steps
        self._twin = TwinTrainer(
            build_model(self._spec, seed), material.twin.rows(cpu), spec, steps, seed
        )

    def play(self, strategy: str, rounds: int, hostile: bool = True) -> Iterator[Round]:
        """Play an honest run and yield what the witness sees in each round.

        Parameters
        ----------
        strategy : one of `STRATEGIES`.
        rounds : how many.
        hostile : whether to try the attacks in each round.
        """
        model = get_params(build_model(self._spec, self._config.run.seed))
        for number in range(1, rounds + 1):
            self._twin.begin_round(number)
            trained = {name: self._trained(model, name, number) for name in self._rows}
            replies = {name: reply for name, (reply, _) in trained.items()}
            training = {name: loss for name, (_, loss) in trained.items()}
            updates = {
                name: {key: value - model[key] for key, value in reply.items()}
                for name, reply in replies.items()
            }
            honest = {name: self._twin.loss(reply) for name, reply in replies.items()}
            attacked = {
                (attack, share): {
                    name: self._twin.loss({key: model[key] + u for key, u in update.items()})
                    for name, update in poisoned.items()
                }
                for attack, share, poisoned in (attacks(updates, number) if hostile else ())
            }
            before, chance = self._twin.loss(model), self._twin.chance
            yield Round(number, before, chance, honest, training, attacked)
            mean = weighted_mean(list(replies.values()))
            model = self._twin.train(mean) if strategy == "cwa" else mean

    def _trained(self, model: Params, name: str, number: int) -> tuple[Params, float]:
        rows: Rows = self._rows[name]
        settings = self._config.train
        steps = settings.epochs * math.ceil(len(rows) / settings.batch_size)
        place = sorted(self._rows).index(name)
        rng = np.random.default_rng([self._config.run.seed, place, number])
        spec = TrainingSpec(settings.lr, settings.batch_size)
        set_params(self._model, model)
        loss = train(self._model, rows, steps, spec, rng)
        return get_params(self._model), loss


def attacks(
    updates: Mapping[str, Params], number: int
) -> Iterator[tuple[str, float, dict[str, Params]]]:
    """Yield (attack, share, attacker -> poisoned update) for every attack of this round."""
    order = np.random.default_rng(len(updates)).permutation(sorted(updates)).tolist()
    for share in SHARES:
        who = sorted(order[: round(share * len(updates))])
        rng = np.random.default_rng([number, len(who)])
        z = max(little_z(len(updates), len(who)), 1.0)
        little = little_is_enough([updates[name] for name in who], z)
        poisoned: dict[str, Callable[[Params], Params]] = {
            "sign-flip, -u": lambda u: sign_flipped(u, 1.0),
            "sign-flip, -4 u": lambda u: sign_flipped(u, 4.0),
            "scaling, 10 u": lambda u: scaled(u, 10.0),
            "gaussian, 1 rms": lambda u, rng=rng: gaussian(u, rng, 1.0),
            "gaussian, 10 rms": lambda u, rng=rng: gaussian(u, rng, 10.0),
            "little is enough": lambda u, little=little: little,
        }
        for attack, poison in poisoned.items():
            yield attack, share, {name: poison(updates[name]) for name in who}


def spread_row(title: str, strategy: str, rounds: Sequence[Round]) -> list[str]:
    """Largest loss of an honest reply over its round's median, and whom each rule would accuse."""
    early = [r for r in rounds if r.number <= EARLY]
    late = [r for r in rounds if r.number > EARLY]
    shares = (accused_share(rule, rounds) for rule in RULES.values())
    return [title, strategy, largest(early), largest(late), *(f"{s:.1%}" for s in shares)]


def largest(rounds: Sequence[Round]) -> str:
    """Largest honest loss as a multiple of its round's median."""
    return f"{max(max(r.honest.values()) / median(r.honest.values()) for r in rounds):.2f}"


def accused_share(rule: Rule, rounds: Sequence[Round]) -> float:
    """Share of honest replies that a rule accuses where all are honest."""
    found = sum(len(rule(r, r.honest)) for r in rounds)
    return found / sum(len(r.honest) for r in rounds)


def attack_row(attack: str, rounds: Sequence[Round]) -> list[str]:
    """Shares of attackers / honest sites accused by each rule, for each share of attackers."""
    cells = [attack]
    for share in SHARES:
        for rule in SHOWN:
            caught, blamed, malicious, honest = 0, 0, 0, 0
            for r in rounds:
                attackers = r.attacked[attack, share]
                accused = RULES[rule](r, {**r.honest, **attackers})
                caught += len(accused & set(attackers))
                blamed += len(accused - set(attackers))
                malicious += len(attackers)
                honest += len(r.honest) - len(attackers)
            cells.append(f"{caught / malicious:.0%} / {blamed / honest:.0%}")
    return cells


def report(found: Mapping[tuple[str, str], Sequence[Round]], rounds: int) -> str:
    """Write the page."""
    head = ("federation", "method", f"largest, rounds 1-{EARLY}", "largest, later", *RULES)
    spread = [spread_row(*which, seen) for which, seen in found.items()]
    rules = [f"{rule}, {share:.0%}" for share in SHARES for rule in SHOWN]
    parts = [NOTES.format(rounds=rounds), markdown(head, spread)]
    for (title, strategy), seen in found.items():
        names = dict.fromkeys(attack for attack, _ in seen[0].attacked)
        if names:
            table = markdown(("attack", *rules), [attack_row(name, seen) for name in names])
            parts.append(f"## {title}, {strategy}\n\n{table}")
    origin = Provenance.here(ROOT).to_mapping()
    parts.append(provenance_line("python -m benchmarks.witness_spread", [origin]))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Play all federations and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    found: dict[tuple[str, str], list[Round]] = {}
    for title, sites, settings in FEDERATIONS:
        config = RunConfig.from_mapping(settings)
        federation = Federation(config, gather(config, open_dataset(config), sites))
        for strategy in STRATEGIES:
            hostile = title not in HONEST
            found[title, strategy] = list(federation.play(strategy, rounds, hostile))
            print(*spread_row(title, strategy, found[title, strategy]), sep=" | ", flush=True)
    OUT.write_text(report(found, rounds))
    print(OUT)


NOTES = """\
# The twin as a witness: how far honest replies differ, and which attacks stand out

{rounds} rounds, seed 0, default settings. Largest: the worst honest reply's loss on twin data as \
a multiple of its round's median. Then, of all honest replies without attackers, the share that a \
rule accuses. `loss > a`: above a times the round's median, as `trust.witness-limit=a` does; no \
classifier that is better than chance. `change > a`: above the median by a times the median size \
of the change since the model that was sent.

Further down, per attack on an update u: attackers accused / honest sites accused, for 20% and 40% \
of the sites. Little is enough takes z of at least 1, as in benchmarks.poisoning."""


if __name__ == "__main__":
    main()
