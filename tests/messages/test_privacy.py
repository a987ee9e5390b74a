"""Clipping, noise and what they cost; expected figures by hand or by SciPy."""

import json
import subprocess
import sys
from pathlib import Path

import flwr.clientapp.mod
import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.compat.common.recorddict_compat import recorddict_to_fitres
from flwr.server.workflow import SecAggPlusWorkflow
from scipy.optimize import minimize_scalar
from scipy.stats import kstest

from dtfl_app.core.sections import PrivacySettings
from dtfl_app.messages.privacy import PrivacyLedger, noise_multiplier, privatise
from dtfl_app.messages.wire import to_arrays
from dtfl_app.testing.grid import identify
from tests.support.noise import known_noise

NEXT_TO_NO_NOISE = 1e9


def settings(**changes) -> PrivacySettings:
    return PrivacySettings(**{"dp": True, "clip": 1.0, "epsilon": 8.0, **changes})


def noised(trained, received, **changes):
    """What leaves a site, by noise of the seed 0."""
    with known_noise():
        return released(trained, received, **changes)


def released(trained, received, **changes):
    """What leaves a site, by noise that nobody knows before."""
    identify()
    message = Message(RecordDict({"task": ConfigRecord()}), message_type="train", dst_node_id=7)
    context = Context(1, 7, {}, RecordDict(), {})
    return privatise(trained, received, settings(**changes), message, context)


def params(**values):
    return {key: np.asarray(value, dtype=np.float32) for key, value in values.items()}


# --- clipping and noise ---------------------------------------------------------------------------


def test_a_long_update_is_shortened_over_all_layers_together():
    """(3, 4) over two layers is 5 long; clipped to 1 it is (0.6, 0.8), from where it started."""
    out = noised(params(a=[3.0], b=[[14.0]]), params(a=[0.0], b=[[10.0]]), epsilon=NEXT_TO_NO_NOISE)

    np.testing.assert_allclose(out["a"], [0.6], atol=1e-6)
    np.testing.assert_allclose(out["b"], [[10.8]], atol=1e-6)


def test_a_short_update_keeps_its_length():
    out = noised(params(a=[0.3, 0.4]), params(a=[0.0, 0.0]), epsilon=NEXT_TO_NO_NOISE)

    np.testing.assert_allclose(out["a"], [0.3, 0.4], atol=1e-6)


def test_the_noise_is_gaussian_with_the_deviation_of_the_formula():
    """2 C sqrt(2 ln(1.25 / delta)) / epsilon = 2 x 0.5 x 4.8448 / 8 = 0.6056 for C = 0.5.

    The deviation of n draws has a standard error of 1 / sqrt(2 n), 0.16% of it here; 1% is six.
    """
    start = params(a=np.zeros(200_000))

    noise = noised(start, start, clip=0.5)["a"]

    assert noise.std() == pytest.approx(0.6056, rel=0.01)
    assert kstest(noise / 0.6056, "norm").pvalue > 1e-6


def test_noise_goes_on_float32_layers_and_leaves_keys_order_and_shapes():
    start = params(b=np.ones((2, 3)), a=np.ones(4))

    out = noised(start, {**start, "other": np.ones(9, np.float32)})

    assert [(k, v.dtype, v.shape) for k, v in out.items()] == [
        ("b", np.float32, (2, 3)),
        ("a", np.float32, (4,)),
    ]


@pytest.mark.parametrize("change", [0.0, 1e-30])
def test_a_site_that_learned_nothing_sends_noise_like_any_other(change):
    """The mod alone would divide by the length of the update: 0, as is the square of 1e-30.

    The deviation of 1,000 draws has a standard error of 1 / sqrt(2,000) = 2.2%; 15% is six.
    """
    start = params(a=np.zeros(1000))

    noise = noised(params(a=np.full(1000, change)), start)["a"]

    assert noise.std() == pytest.approx(2 * 0.6056, rel=0.15)


def test_nothing_is_released_where_no_layer_is_asked_for():
    assert noised({}, params(a=[1.0])) == {}


def test_an_update_that_is_not_finite_does_not_become_so():
    """It stays for the server's gate to refuse."""
    out = noised(params(a=[np.nan, 1.0]), params(a=[0.0, 0.0]))

    assert not np.isfinite(out["a"]).all()


def test_no_seed_that_someone_set_gives_the_noise_away():
    """Eight draws of 24 bits each are never the same twice by chance."""
    start = params(a=np.zeros(8))
    draws = []
    for _ in range(2):
        np.random.seed(0)  # noqa: NPY002 - what a careless library would do
        draws.append(released(start, start)["a"])

    assert not np.array_equal(*draws)


def test_two_processes_draw_other_noise():
    """Four draws, printed to eight digits, are never the same twice by chance."""
    code = "from tests.messages.test_privacy import *; s = params(a=np.zeros(4)); "
    command = [sys.executable, "-c", code + "print(released(s, s)['a'])"]

    drawn = {
        subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
        ).stdout
        for _ in range(2)
    }

    assert len(drawn) == 2


# --- in a run -------------------------------------------------------------------------------------

METHODS = ("fedavg", "fedprox", "lpe", "cwa", "dtkd")


def uploads(run):
    """The layers of every training reply, in the order in which the sites gave them."""
    trained = [m for m in run.grid.received if m.metadata.message_type == "train"]
    return [to_arrays(message.content.array_records["arrays"]) for message in trained]


def test_next_to_no_noise_and_a_wide_clip_change_no_method_s_uploads(launcher):
    """Deviation s = 2 x 100 x 4.8448 / 1e9 = 9.7e-7 on each of some 20,000 weights below 4.

    The largest of 20,000 normal draws exceeds 6 s once in 25,000 seeds, and the seed is known.
    Subtracting what was received, adding it again and adding the noise round three times, each by
    at most half the distance of float32 numbers between 2 and 4, 1.2e-7.
    """
    plain = launcher.run(sites=2, rounds=1, strategy=",".join(METHODS))
    with known_noise():
        noisy = launcher.run(
            sites=2,
            rounds=1,
            strategy=",".join(METHODS),
            privacy__dp=True,
            privacy__clip=100.0,
            privacy__epsilon=1e9,
        )

    pairs = list(zip(uploads(plain), uploads(noisy), strict=True))
    assert len(pairs) == 2 * len(METHODS)
    for one, other in pairs:
        assert max(np.abs(value).max() for value in one.values()) < 4
        furthest = max(np.abs(one[key] - other[key]).max() for key in one)
        assert 0 < furthest < 6 * 9.7e-7 + 3 * 1.2e-7


def distance(one, other, strategy: str) -> float:
    first, second = one.model(strategy).params, other.model(strategy).params
    return float(np.sqrt(sum(((first[key] - second[key]) ** 2).sum() for key in first)))


def test_each_site_adds_its_own_noise_to_the_mean(launcher):
    """The mean of two sites' noise has deviation 0.6056 x 2 x 0.01 / sqrt(2) = 0.00857 per weight.

    FedAvg's model after one round, with updates clipped to 0.01, is the start plus that noise, give
    or take a clipped mean of at most 0.01. Over 2,000 weights the noise is 0.383 long, with a
    standard error of 1 / sqrt(4,000) = 1.6%, and 0.01 of it is 2.6%: 10% leaves more than four.
    """
    with known_noise():
        start = launcher.run(
            sites=2, rounds=1, strategy="fedavg", privacy__dp=True, privacy__clip=1e-9
        )
        noisy = launcher.run(
            sites=2, rounds=1, strategy="fedavg", privacy__dp=True, privacy__clip=0.01
        )

    weights = sum(value.size for value in noisy.model("fedavg").params.values())
    expected = 0.00857 * np.sqrt(weights)
    assert distance(start, noisy, "fedavg") == pytest.approx(expected, rel=0.1)


def test_the_run_s_folder_tells_what_each_site_has_spent(launcher):
    """Three rounds of FedAvg, then of LPE: three releases each, six on the same rows."""
    run = launcher.run(sites=2, strategy="fedavg,lpe", lpe__low=2, lpe__high=2, privacy__dp=True)

    told = json.loads((run.path / "privacy.json").read_text())

    sites = sorted(told["releases"]["fedavg"])
    assert told["releases"] == {name: dict.fromkeys(sites, 3) for name in ("fedavg", "lpe")}
    assert len(sites) == 2
    for site in sites:
        assert told["epsilon"]["lpe"][site] == pytest.approx(spent(3), rel=0.02)
        assert told["epsilon_all_strategies"][site] == pytest.approx(spent(6), rel=0.02)


def spent(releases: int) -> float:
    return renyi_epsilon(noise_multiplier(settings()), 1e-5, releases)


# --- secure aggregation ---------------------------------------------------------------------------


def test_flower_s_secure_aggregation_is_still_for_its_older_api_alone():
    """The reasons that docs/privacy.md gives for not offering it; when one falls, look again."""
    assert not [name for name in dir(flwr.clientapp.mod) if "secagg" in name.lower()]
    with pytest.raises(TypeError, match="Expect a LegacyContext"):
        SecAggPlusWorkflow(3, 2)(None, Context(1, 7, {}, RecordDict(), {}))
    with pytest.raises(KeyError, match="fitres"):
        recorddict_to_fitres(RecordDict({"arrays": ArrayRecord()}), keep_input=True)


# --- accounting -----------------------------------------------------------------------------------


def renyi_epsilon(multiplier: float, delta: float, releases: int) -> float:
    """min over a > 1 of  n a / (2 z^2) + ln((a - 1) / a) - (ln delta + ln a) / (a - 1).

    The Gaussian's Renyi divergence, and Canonne, Kamath and Steinke 2020, proposition 12.
    """

    def bound(log_order: float) -> float:
        a = 1 + np.exp(log_order)
        spent = releases * a / (2 * multiplier**2)
        return spent + np.log((a - 1) / a) - (np.log(delta) + np.log(a)) / (a - 1)

    return float(minimize_scalar(bound, bounds=(-8, 8), method="bounded").fun)


@pytest.mark.parametrize("releases", [1, 5, 30])
def test_epsilon_adds_up_as_renyi_divergences_do(releases):
    """Within 2%: the accountant looks at some orders, this test at all."""
    ledger = PrivacyLedger(settings())
    for _ in range(releases):
        ledger.count("cwa", ["a"])

    expected = renyi_epsilon(noise_multiplier(settings()), 1e-5, releases)
    assert ledger.spent()["cwa"]["a"] == pytest.approx(expected, rel=0.02)


def test_noise_over_sensitivity_is_the_mod_s():
    """sqrt(2 ln(125000)) / 8 = 4.8448 / 8."""
    assert noise_multiplier(settings()) == pytest.approx(0.60560, abs=1e-5)


def test_the_wanted_epsilon_is_kept_only_where_the_formula_holds():
    """The formula's theorem asks for epsilon <= 1; at 50 the accountant finds twice as much."""
    small, large = (
        PrivacyLedger(settings(epsilon=wanted)).report()["epsilon_per_round"]
        for wanted in (1.0, 50.0)
    )

    assert small < 1.0
    assert large > 100.0


def test_each_site_is_counted_for_itself_and_over_all_methods_together():
    ledger = PrivacyLedger(settings())
    ledger.count("cwa", ["a", "b"])
    ledger.count("cwa", ["a"])
    ledger.count("fedavg", ["a"])

    spent, total = ledger.spent(), ledger.total()
    one, two, three = (renyi_epsilon(0.6056, 1e-5, n) for n in (1, 2, 3))
    assert spent["cwa"]["a"] == pytest.approx(two, rel=0.02)
    assert spent["cwa"]["b"] == spent["fedavg"]["a"] == pytest.approx(one, rel=0.02)
    assert total == {"a": pytest.approx(three, rel=0.02), "b": spent["cwa"]["b"]}


def test_a_resumed_run_goes_on_counting():
    ledger = PrivacyLedger(settings())
    ledger.count("cwa", ["a", "b"])

    again = PrivacyLedger(settings(), json.loads(json.dumps(ledger.state())))
    again.count("cwa", ["a"])

    assert again.state() == {"cwa": {"a": 2, "b": 1}}
    assert ledger.state() == {"cwa": {"a": 1, "b": 1}}


def test_the_report_is_json_and_says_what_no_epsilon_covers():
    ledger = PrivacyLedger(settings(clip=0.5))
    ledger.count("cwa", ["a"])

    report = json.loads(json.dumps(ledger.report()))

    assert (report["clip"], report["sensitivity"]) == (0.5, 1.0)
    assert report["noise_deviation"] == pytest.approx(0.6056, abs=1e-4)
    assert any("calibration" in item for item in report["not_covered"])
    assert any("loss" in item for item in report["not_covered"])
