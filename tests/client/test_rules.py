"""A method's site half at a real site: what it is given, what leaves, what is refused."""

import numpy as np
import pytest
from flwr.app import Context, RecordDict

import client_app
from dtfl_app.core.errors import ConfigError, SiteError
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.inputs.preparation import scaler_to_arrays
from dtfl_app.messages.admission import Reply, admit
from dtfl_app.messages.quantise import dequantise, quantise
from dtfl_app.messages.training import Expected, TrainingTask
from dtfl_app.messages.versions import Versions
from dtfl_app.messages.wire import Ledger, prefixed
from dtfl_app.rounds.site_rule import SiteRule
from dtfl_app.sites.scaling import Scaler
from dtfl_app.testing.grid import identify
from tests.support.settings import keyed
from tests.support.small_dataset import SmallDataset, use_small_dataset

HERE = "tests.client.test_rules"
START = get_params(build_model(ModelSpec("autoencoder", features=2, hidden=6, latent=2), seed=1))
SCALER = Scaler(np.array([0.5, 1.0]), np.array([2.0, 4.0]), clip=10.0)
SETTINGS = {"dataset": "small", "detector.hidden": 6, "detector.latent": 2, "detector.smoothing": 3}
SHAPES = {key: value.shape for key, value in START.items()}


class Counting(SiteRule):
    """Counts backward passes, over all rounds; returns the count beside what it received."""

    def before_training(self, model, received):
        self.received = received
        self.count = self.state.get("count", np.zeros(1))

    def after_backward(self, model):
        assert all(p.grad is not None for p in model.parameters())
        self.count = self.count + 1

    def after_training(self, model, steps):
        self.state = {"count": self.count}
        return {"pull": self.received["pull"] * np.float32(self.count[0])}


class Thirds(SiteRule):
    """Returns what 8 bits cannot hold."""

    def after_training(self, model, steps):
        return {"pull": np.array([1.0, 1 / 3], np.float32)}


class Wrong(SiteRule):
    """Returns what was not asked for, of another shape."""

    def after_training(self, model, steps):
        return {"pull": np.ones((1, 3), np.float32)}


@pytest.fixture
def dataset(monkeypatch) -> None:
    use_small_dataset(monkeypatch, SmallDataset())


def node(policy="", **settings) -> Context:
    place = {"partition-id": 0, "num-partitions": 2, **({"policy": policy} if policy else {})}
    return Context(1, 7, place, RecordDict(), {**SETTINGS, **keyed(**settings)})


def ask(context: Context, rule: str, **changes) -> Reply:
    """Send the task of round 1 and read the reply as the server does."""
    identify()
    arrays = {**prefixed("model", START), **prefixed("scaler", scaler_to_arrays(SCALER))}
    arrays["extra/pull"] = np.array([1.0, 2.0], np.float32)
    told = {"extras": {"pull": (2,)}, **changes}
    task = TrainingTask("site-0", 1, "", tuple(START), rule=rule, **told)
    reply = client_app.app(task.pack(7, Ledger().pack(7, arrays, keep=[])), context)
    base = START if task.tag else None
    return admit(reply, Expected("site-0", 1, SHAPES, base, extras=told["extras"], start=START))


def test_its_hooks_have_arrays_gradients_and_a_state_of_their_own(dataset):
    """80 rows in batches of 16, twice: ten steps a round, of two rounds."""
    context = node(train__batch_size=16)

    first = ask(context, f"{HERE}:Counting", versions=Versions("", "m/1"))
    second = ask(context, f"{HERE}:Counting", versions=Versions("m/1", "m/2"))
    again = ask(context, f"{HERE}:Counting", versions=Versions("m/1", "m/2"))

    assert first.steps == 10
    assert first.extras["pull"].tolist() == [10.0, 20.0]
    assert second.extras["pull"].tolist() == again.extras["pull"].tolist() == [20.0, 40.0]
    assert first.base is START
    assert first.payload == sum(a.nbytes for a in START.values()) + 8


def test_what_extra_arrays_lose_in_8_bits_is_in_the_next_ones(dataset):
    """1/3 of 127 steps is 42.33: each upload is off by a third of a step, two of them by less."""
    context, exact = node(), np.float32(1 / 3)
    told = {"tag": "m/1", "versions": Versions("", "m/1")}

    first = ask(context, f"{HERE}:Thirds", **told)
    once = dequantise(quantise({"pull": np.array([1.0, exact], np.float32)}))["pull"]
    second = ask(context, f"{HERE}:Thirds", tag="m/2", versions=Versions("m/1", "m/2"))

    assert first.extras["pull"].tolist() == once.tolist()
    owed = exact - once[1]
    assert second.extras["pull"][1] == pytest.approx(exact + owed, abs=0.5 / 127)
    assert second.extras["pull"][1] != first.extras["pull"][1]
    assert first.payload == sum(a.size + 4 for a in START.values()) + 2 + 4


def test_a_method_without_state_owes_nothing(dataset):
    """Each upload in 8 bits is what the first was."""
    context = node()

    first, second = (ask(context, f"{HERE}:Thirds", tag="m/1") for _ in range(2))

    assert first.extras["pull"].tolist() == second.extras["pull"].tolist()


@pytest.mark.parametrize(
    ("rule", "changes", "said"),
    [
        ("Thirds", {"extras": {"push": (2,)}}, r"returned \['pull'\], .* declares \['push'\]"),
        ("Thirds", {"extras": {}}, r"returned \['pull'\], .* declares \[\]"),
        ("Wrong", {}, r"held back at the site, .*'extra/pull' is float32 \(1, 3\), expected"),
        ("Counting", {}, r"keeps \['count'\] .* expected site_state = True"),
    ],
)
def test_what_a_rule_returns_or_keeps_must_be_declared(dataset, rule, changes, said):
    with pytest.raises(SiteError, match=said):
        ask(node(), f"{HERE}:{rule}", **changes)


def test_a_rule_that_this_site_cannot_import_is_a_clear_refusal(dataset):
    with pytest.raises(
        ConfigError, match=r"site_rule = 'plant_pkg:Rule' cannot be imported: .*No mo"
    ):
        ask(node(), "plant_pkg:Rule")


def test_a_site_s_policy_says_which_rules_run_there(dataset, tmp_path):
    (tmp_path / "policy.toml").write_text('site-rules = ["scaffold"]')
    context = node(str(tmp_path / "policy.toml"))

    with pytest.raises(ConfigError, match=r"policy refuses .*test_rules:Thirds, allowed: scaffold"):
        ask(context, f"{HERE}:Thirds")


def test_with_noise_on_layers_nothing_else_leaves(dataset):
    with pytest.raises(SiteError, match=r"privacy.dp puts noise on layers alone; nothing is"):
        ask(node(privacy__dp=True), f"{HERE}:Thirds")
