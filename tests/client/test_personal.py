"""Layers that are a site's own, at a real site: kept, trained, laid over, never sent."""

import numpy as np
import pytest
from flwr.app import Context, RecordDict

import client_app
from dtfl_app.client.site import open_site
from dtfl_app.client.versions import held_version
from dtfl_app.core.errors import ReplyError, SiteError
from dtfl_app.detector.detector import ModelSpec
from dtfl_app.detector.models import build_model
from dtfl_app.detector.params import get_params
from dtfl_app.inputs.preparation import scaler_to_arrays
from dtfl_app.messages.admission import Reply, admit, admit_calibration
from dtfl_app.messages.calibration import CalibrationTask
from dtfl_app.messages.training import Expected, TrainingTask
from dtfl_app.messages.versions import Versions
from dtfl_app.messages.wire import Ledger, prefixed, to_arrays
from dtfl_app.sites.scaling import Scaler
from dtfl_app.testing.grid import identify
from dtfl_app.testing.plant import SmallPlant
from tests.support.settings import keyed
from tests.support.small_dataset import SmallDataset, use_small_dataset

START = get_params(build_model(ModelSpec("autoencoder", features=2, hidden=6, latent=2), seed=1))
OWN = ("layers.6.weight", "layers.6.bias")
SHARED = tuple(key for key in START if key not in OWN)
SCALER = Scaler(np.array([0.5, 1.0]), np.array([2.0, 4.0]), clip=10.0)
SETTINGS = {"dataset": "small", "detector.hidden": 6, "detector.latent": 2, "detector.smoothing": 3}
FIRST, SECOND = Versions("", "m/1"), Versions("m/1", "m/2")


@pytest.fixture(autouse=True)
def dataset(monkeypatch) -> None:
    use_small_dataset(monkeypatch, SmallDataset())


def node(**settings) -> Context:
    place = {"partition-id": 0, "num-partitions": 2}
    return Context(1, 7, place, RecordDict(), {**SETTINGS, **keyed(**settings)})


def arrays() -> dict:
    return {**prefixed("model", START), **prefixed("scaler", scaler_to_arrays(SCALER))}


def send(context: Context, versions=FIRST, upload=SHARED, personal=OWN, **more):
    identify()
    task = TrainingTask("site-0", 1, "", upload, versions=versions, personal=personal, **more)
    return client_app.app(task.pack(7, Ledger().pack(7, arrays(), keep=[])), context)


def train(context: Context, versions=FIRST, **more) -> Reply:
    """Send a task and read the reply as the server does."""
    reply = send(context, versions, **more)
    assert set(to_arrays(reply.content.array_records["arrays"])) == {
        f"model/{key}" for key in SHARED
    }
    shapes = {key: START[key].shape for key in SHARED}
    return admit(reply, Expected("site-0", 1, shapes, start=START, judged=True))


def close(context: Context, versions) -> Reply:
    identify()
    task = CalibrationTask("site-0", 2, "", versions=versions, personal=OWN)
    reply = client_app.app(task.pack(7, Ledger().pack(7, arrays(), keep=[])), context)
    return admit_calibration(reply, kinds=1, judged=True)


def prefixed_own(context: Context, version: str) -> dict:
    return {key: held_version(version, context)[f"personal/{key}"] for key in OWN}


def test_a_site_goes_on_from_its_own_layers_and_sends_the_others():
    """Both tasks carry the same model; with layers of its own the site scores lower."""
    context = node()

    first, second = train(context), train(context, SECOND)

    once, twice = prefixed_own(context, "m/1"), prefixed_own(context, "m/2")
    assert all(not np.array_equal(once[key], START[key]) for key in OWN)
    assert all(not np.array_equal(once[key], twice[key]) for key in OWN)
    assert second.sketches[0].values[16] < first.sketches[0].values[16]
    assert set(first.params) == set(SHARED)


def test_the_closing_query_is_answered_with_the_layers_of_the_version_that_it_names():
    context = node()
    first, _ = train(context), train(context, SECOND)

    start, own = close(context, Versions("")), close(context, Versions("m/1"))

    assert np.array_equal(start.sketches[0].values, first.sketches[0].values)
    assert not np.array_equal(own.sketches[0].values, first.sketches[0].values)


def test_a_site_judges_its_own_model_by_the_labelled_rows():
    """60 rows with an event of 10; those of the plant as a whole, since they are of no site."""
    first, again = train(node()), close(node(), Versions(""))

    abnormal, settled, recovering = first.judged
    assert abnormal.count == 10 and settled.count + recovering.count == 50
    assert abnormal.evidence.mean() > settled.evidence.mean()
    assert [sample.count for sample in again.judged] == [sample.count for sample in first.judged]


@pytest.mark.parametrize(
    ("task", "error", "said"),
    [
        ({"upload": tuple(START)}, SiteError, "asks for 'layers.6.bias', 'layers.6.weight', which"),
        ({"upload": OWN[:1], "personal": ()}, SiteError, "asks for 'layers.6.weight', which"),
        ({"extras": {OWN[1]: (2,)}}, SiteError, "asks for 'layers.6.bias', which are the site's"),
        ({"personal": ()}, SiteError, "names none as the site's own, which so far were"),
        ({"personal": OWN[:1]}, SiteError, "names 'layers.6.weight' as the site's own, which so"),
        ({"versions": None}, ReplyError, "personal-keys and no state-from"),
    ],
)
def test_a_hostile_task_gets_nothing(task, error, said):
    """It may name version m/1, which holds own layers, and leave unsaid that they are."""
    context = node()
    train(context)

    with pytest.raises(error, match=said):
        send(context, **{"versions": SECOND, **task})


def test_a_task_without_version_trains_on_the_layers_that_came():
    """A hostile server that keeps quiet about both learns what one round of FedAvg tells."""
    context = node()
    train(context)

    shapes = {key: value.shape for key, value in START.items()}
    told = {"versions": None, "upload": tuple(START), "personal": ()}
    quiet = admit(send(context, **told), Expected("site-0", 1, shapes))
    plain = admit(send(node(), **told), Expected("site-0", 1, shapes))

    assert all(np.array_equal(quiet.params[key], plain.params[key]) for key in START)


def test_a_site_with_a_file_of_its_own_has_no_rows_to_judge_by(tmp_path):
    plant = SmallPlant.write(tmp_path)
    run = {"dataset": "files", "data.schema": str(tmp_path / "schema.toml")}
    own = {"data-path": str(plant.folder / "north.csv"), "site-name": "north"}
    scaler = prefixed("scaler", scaler_to_arrays(Scaler(np.zeros(3), np.ones(3), clip=10.0)))

    assert open_site(Context(1, 7, own, RecordDict(), run)).labelled(scaler) is None


def test_keys_of_no_parameter_are_refused():
    with pytest.raises(ReplyError, match=r"'layers\.9\.bias', no such parameter came"):
        send(node(), personal=("layers.9.bias",))
