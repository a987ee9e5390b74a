"""FedPer: which layers are each site's own, what becomes of the others, and what it refuses."""

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError, FederationError
from dtfl_app.results.run_events import EVENTS, read_events
from dtfl_app.rounds.state import State
from dtfl_app.rounds.strategy import DTFLStrategy
from dtfl_app.testing.plant import SITES, SmallPlant
from dtfl_app.testing.runs import PowerCut, cut_in, play
from tests.support.federation import Federation
from tests.support.line_model import line_twin
from tests.support.workbench import reply, strategy_on

MODEL = {f"layers.{i}.{part}": np.full(2, float(i), np.float32)
         for i in (0, 2, 4, 6) for part in ("weight", "bias")}  # fmt: skip


def fedper(layers: int = 1):
    made = strategy_on("fedper", fedper__layers=layers)
    made.state = State(MODEL)
    return made


@pytest.mark.parametrize(
    ("layers", "first"), [(1, "layers.6.weight"), (2, "layers.4.weight"), (3, "layers.2.weight")]
)
def test_the_last_layers_are_each_site_s_own(layers, first):
    made, keys = fedper(layers), list(MODEL)

    assert made.personal_keys() == keys[keys.index(first) :]
    assert made.upload_keys(1) == keys[: keys.index(first)]


def test_the_other_layers_are_the_mean_and_these_stay_what_sites_began_with():
    """Means of 1 and 3; layer 6 is 6 as before."""
    made = fedper()
    replies = [
        reply(site, {key: np.full(2, value, np.float32) for key in made.upload_keys(1)})
        for site, value in (("east", 1.0), ("west", 3.0))
    ]

    model = made.update(made.state, replies).model

    assert list(model) == list(MODEL)
    assert {key: float(value[0]) for key, value in model.items()} == {
        key: 6.0 if key.startswith("layers.6") else 2.0 for key in MODEL
    }


def test_one_layer_at_least_is_everybody_s():
    with pytest.raises(ConfigError, match=r"fedper.layers = 4; the detector has 4 layers.*1 to 3"):
        Federation("fedper", fedper__layers=4).run(rounds=1)


class Unknown(DTFLStrategy):
    needs_twin = False

    def personal_keys(self):
        return ["layers.7.bias"]

    def update(self, state, replies):
        return state


class Everything(Unknown):
    def personal_keys(self):
        return list(self.state.model)


class Greedy(Unknown):
    def personal_keys(self):
        return ["layers.6.bias"]

    def upload_keys(self, server_round):
        return list(self.state.model)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("Unknown", {}, "personal_keys names layers.7.bias; expected keys of the model"),
        ("Everything", {}, "all 8 parameters are each site's own"),
        ("Greedy", {}, "upload_keys asks for layers.6.bias, which its personal_keys says never"),
        ("fedper", {"trust__witness": "refuse"}, "set trust.witness=off"),
    ],
)
def test_what_could_not_be_a_site_s_own_is_refused_before_anything_is_sent(name, settings, said):
    path = name if name == "fedper" else f"{__name__}:{name}"
    federation = Federation(path, line_twin(1.0), **settings)

    with pytest.raises(ConfigError, match=said):
        federation.run(rounds=1)

    assert federation.sites_asked() == []


def small_run(folder, **changes) -> dict:
    plant = SmallPlant.write(folder / "plant")
    run = {"results-dir": str(folder), "run-name": "run", "checkpoint-every": 2, "rounds": 3}
    return {**plant.settings(), "strategy": "fedper", **run, **changes}


def test_what_sites_say_of_the_first_model_is_what_the_server_finds(tmp_path):
    """Before round 1 no layer is any site's own: FedAvg's model is judged at the server."""
    run = play(small_run(tmp_path, strategy="fedavg,fedper"), len(SITES))

    server, sites = (line.metrics for line in run.lines if line.round == 0)
    for name in ("balanced_accuracy", "auc_pr", "roc_auc", "precision", "recall", "f1",
                 "false_alarm_rate", "base_rate", "threshold", "far_at_05pct"):  # fmt: skip
        assert getattr(sites, name) == pytest.approx(getattr(server, name), abs=1e-12), name
    assert (server.events, sites.events) == (1, 0)
    last = [line.metrics.auc_pr for line in run.lines if line.round == 3]
    assert last[0] != last[1]


def test_a_run_cannot_go_on_where_sites_kept_their_layers_in_memory(tmp_path):
    config = small_run(tmp_path)
    with pytest.raises(PowerCut):
        play(config, len(SITES), handler=cut_in(3))

    with pytest.raises(FederationError, match="0 of 3 sites gave a usable reply"):
        play({**config, "resume": str(tmp_path / "run")}, len(SITES))

    told = [e.reason for e in read_events(tmp_path / "run" / EVENTS) if e.kind == "refused"]
    assert told and all("version 'fedper/2'" in text and "set state.dir" in text for text in told)
