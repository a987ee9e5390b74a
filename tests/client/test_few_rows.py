"""Sites with few rows, or few that are normal: what they tell, and what they do not."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Message, RecordDict

import client_app
from dtfl_app.core.errors import SiteError
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.messages.profile import profile_query
from dtfl_app.sites.federation import SiteData
from dtfl_app.testing.grid import identify
from tests.support.one_site import SPEC, admitted, ask, node
from tests.support.small_dataset import SmallDataset, use_small_dataset


class Surged(SmallDataset):
    """Rows 90 to 94 of every site are abnormal."""

    def load_site(self, index: int, k: int) -> SiteData:
        data = super().load_site(index, k)
        label = data.features_cal.label.copy()
        label[10:15] = 1
        return replace(data, features_cal=replace(data.features_cal, label=label))


@pytest.mark.parametrize("window", [2, 5])
def test_windows_work_at_a_site_also_without_calibration_rows(monkeypatch, window):
    """35 rows, none of them kept for calibration."""
    use_small_dataset(monkeypatch, SmallDataset(rows=35, calibration_share=0.0))
    start = get_params(build_model(replace(SPEC, window=window), seed=1))

    reply = admitted(ask(node(detector__window=window), start=start), start=start)

    assert (reply.examples, reply.sketches[0].count) == (35, 0)


@pytest.mark.parametrize("kind", ["query.profile", "train", "query.calibrate"])
@pytest.mark.parametrize("few", [SmallDataset(label=1), SmallDataset(rows=36)])
def test_a_site_with_fewer_than_thirty_windows_of_normal_operation_tells_nothing(
    monkeypatch, few, kind
):
    """All 100 rows abnormal; 36 rows, of which 7 are kept for calibration and 29 are left."""
    use_small_dataset(monkeypatch, few)
    identify()
    message = Message(RecordDict({}), message_type=kind, dst_node_id=7)

    with pytest.raises(SiteError, match="site site-0: it has fewer than 30 windows of normal"):
        client_app.app(message, node())


def test_thirty_windows_of_normal_operation_are_enough(monkeypatch):
    """37 rows, of which 7 are kept for calibration."""
    use_small_dataset(monkeypatch, SmallDataset(rows=37))

    reply = admitted(ask(node()))

    assert (reply.examples, reply.sketches[0].count) == (30, 7)


def test_a_classifier_needs_labels(monkeypatch):
    use_small_dataset(monkeypatch, SmallDataset(label=-1))
    start = get_params(build_model(replace(SPEC, kind="classifier"), seed=1))

    with pytest.raises(SiteError, match=r"site site-0: it has fewer than 30 labelled windows"):
        ask(node(detector__model="classifier"), start=start)


def test_calibration_leaves_abnormal_rows_out(monkeypatch):
    """The surge in rows 90 to 94 lies among the last 20; 15 normal rows remain."""
    use_small_dataset(monkeypatch, Surged())

    reply = admitted(ask(node()))

    assert (reply.examples, reply.sketches[0].count) == (80, 15)


def test_moments_of_fewer_than_thirty_readings_do_not_leave(monkeypatch):
    """Of the flow 29 readings are there, of the level all."""

    class Sparse(SmallDataset):
        def load_site(self, index: int, k: int) -> SiteData:
            data = super().load_site(index, k)
            values = data.features_train.values.copy()
            values[29:, 1] = np.nan
            return replace(data, features_train=replace(data.features_train, values=values))

    use_small_dataset(monkeypatch, Sparse())
    identify()
    told = client_app.app(profile_query(7), node()).content.array_records["arrays"]

    assert told["n"].numpy()[0] >= 30 and told["n"].numpy()[1] == 0
    assert told["mean"].numpy()[1] == told["m2"].numpy()[1] == 0
