"""What attackers make of an honest update, on numbers that can be followed by hand."""

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from benchmarks.adversaries import (
    altered,
    attack_text,
    gaussian,
    little_is_enough,
    little_z,
    scaled,
    sign_flipped,
)
from dtfl_app.client.site import open_site
from dtfl_app.messages.training import TrainingTask
from dtfl_app.messages.wire import Ledger, prefixed, to_arrays, with_prefix
from dtfl_app.testing.grid import identify
from tests.support.line_model import LAST, line
from tests.support.scripted_site import scripted_site
from tests.support.small_dataset import SmallDataset, use_small_dataset

UPDATE = {"w": np.array([1.0, -2.0], np.float32)}


def context(place: int, **settings: object) -> Context:
    node = {"partition-id": place, "num-partitions": 5}
    return Context(1, 1, node, RecordDict(), settings)


def task(b: float) -> Message:
    """A training task for the model that says `b`."""
    identify()
    packed = Ledger().pack(1, prefixed("model", line(b)), keep=[])
    return TrainingTask("site-0", 1, "", tuple(line(b))).pack(1, packed)


def said(attack: str, attackers: list[int], place: int, tmp_path) -> float:
    """Last bias that the site at `place` sends, asked to start from 10; site p would add p + 1."""
    handler = altered(scripted_site, attack_text(attack, attackers, sites=10), tmp_path)
    reply = handler(task(10.0), context(place))
    arrays = to_arrays(reply.content.array_records["arrays"])
    return float(with_prefix("model", arrays)[LAST][0])


def test_a_flipped_update_goes_the_other_way_four_times_as_far():
    assert sign_flipped(UPDATE)["w"].tolist() == [-4.0, 8.0]


def test_a_scaled_update_goes_ten_times_as_far():
    assert scaled(UPDATE)["w"].tolist() == [10.0, -20.0]


def test_noise_is_ten_times_the_root_mean_square_of_the_update():
    """An update of 3 everywhere has root mean square 3, so the noise has deviation 30."""
    update = {"w": np.full(20_000, 3.0, np.float32)}

    noisy = gaussian(update, np.random.default_rng(0))["w"]

    assert noisy.mean() == pytest.approx(3.0, abs=1.0)
    assert noisy.std() == pytest.approx(30.0, rel=0.02)


def test_a_little_is_mean_minus_z_deviations():
    """Of 1 and 5 the mean is 3 and the deviation 2: 3 - 1.5 * 2 = 0; of -2 and -2 it is -2."""
    updates = [{"w": np.array([1.0, -2.0])}, {"w": np.array([5.0, -2.0])}]

    assert little_is_enough(updates, z=1.5)["w"].tolist() == [0.0, -2.0]


@pytest.mark.parametrize(
    ("sites", "attackers", "z"), [(50, 12, 0.3360), (10, 4, 0.4307), (10, 2, 0.0)]
)
def test_the_bound_on_z_is_the_published_one(sites, attackers, z):
    """s = 26 - 12 = 14, Phi^-1(24 / 38); s = 6 - 4 = 2, Phi^-1(4 / 6); s = 4, Phi^-1(4 / 8)."""
    assert little_z(sites, attackers) == pytest.approx(z, abs=1e-4)


def test_an_attacker_poisons_what_it_adds_to_the_model_it_received(tmp_path):
    """Site 1 would add 2: flipped -8, scaled 20."""
    assert said("sign-flip", [1, 3], 1, tmp_path) == 10.0 - 8.0
    assert said("scaling", [1, 3], 1, tmp_path) == 10.0 + 20.0


def test_honest_sites_stay_honest(tmp_path):
    assert said("sign-flip", [1, 3], 0, tmp_path) == 10.0 + 1.0
    assert said("sign-flip", [], 1, tmp_path) == 10.0 + 2.0


@pytest.mark.parametrize("place", [1, 3])
def test_colluding_attackers_all_send_the_same(place, tmp_path):
    """Sites 1 and 3 would add 2 and 4: mean 3, deviation 1, z = 1, so both add 2."""
    assert said("little-is-enough", [1, 3], place, tmp_path) == pytest.approx(12.0)


def test_a_label_flipper_trains_on_inverted_labels_and_never_flips_them_back(monkeypatch, tmp_path):
    use_small_dataset(monkeypatch, SmallDataset(label=0))
    seen = []

    def looking(message: Message, where: Context) -> Message:
        seen.append(set(open_site(where).data.features_train.label.tolist()))
        return Message(RecordDict(), reply_to=message)

    handler = altered(looking, attack_text("label-flip", [1], sites=5), tmp_path)
    for place in (1, 1, 0):
        handler(task(0.0), context(place, dataset="small"))

    assert seen == [{1}, {1}, {0}]
