"""What the server asks before round 1, answered by the real ClientApp over small sites."""

import io
import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord

import client_app
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, DataError, FederationError
from dtfl_app.server.enrolment import Enrolment, await_nodes, enrol
from dtfl_app.sites.federation import SiteData, build_site
from dtfl_app.sites.quality import assess
from dtfl_app.testing.grid import InProcessGrid
from tests.support.small_dataset import SMALL, SmallDataset, small_series, use_small_dataset

SETTINGS = {
    "dataset": "small",
    "join-timeout": 0.0,
    "round.timeout": 0.05,
    "data.clip": 7.0,
    "round.quorum": 1.0,
}
CONFIG = RunConfig.from_mapping(SETTINGS)


@pytest.fixture
def dataset(monkeypatch) -> SmallDataset:
    made = SmallDataset()
    use_small_dataset(monkeypatch, made)
    return made


class Attacked(SmallDataset):
    """Rows 10 to 39 of every site are abnormal."""

    def load_site(self, index: int, k: int) -> SiteData:
        return self.made(index, k, small_series(index, self.rows, event=slice(10, 40)))

    def made(self, index: int, k: int, series: pd.DataFrame) -> SiteData:
        name, share = self.sites(k)[index], self.calibration_share
        quality = assess(name, series, self.schema)
        return build_site(name, series, self.schema, self.feature_spec, share, quality)


@dataclass(frozen=True)
class Sparse(Attacked):
    """Only the first `readings` of the flow are there."""

    readings: int = 0

    def load_site(self, index: int, k: int) -> SiteData:
        series = small_series(index, self.rows)
        series.loc[self.readings :, "flow"] = np.nan
        return self.made(index, k, series)


def grid_of(sites: int, change=None, **options) -> InProcessGrid:
    """A grid whose sites answer truly, except for what `change(reply, place)` does to a reply."""

    def handler(message, context):
        reply = client_app.app(message, context)
        if change is not None:
            change(reply.content, context.node_config["partition-id"])
        return reply

    return InProcessGrid(sites, SETTINGS, handler=handler, **options)


def enrolled(grid: InProcessGrid, dataset):
    return enrol(grid, grid.get_node_ids(), CONFIG, dataset)


def test_every_node_is_known_by_its_sites_name(dataset):
    grid = grid_of(3)

    directory = enrolled(grid, dataset).directory

    assert list(directory) == grid.get_node_ids()
    assert list(directory.values()) == ["site-0", "site-1", "site-2"]


def test_the_scaling_is_that_of_all_training_rows_together(dataset):
    scaler = enrolled(grid_of(3), dataset).scaler

    rows = np.concatenate([dataset.load_site(i, 3).features_train.values for i in range(3)])
    np.testing.assert_allclose(scaler.mean, rows.mean(axis=0, dtype=np.float64), atol=1e-9)
    np.testing.assert_allclose(scaler.scale, rows.std(axis=0, dtype=np.float64), rtol=1e-9)
    assert scaler.clip == 7.0


def test_the_shift_is_how_far_the_median_sites_means_lie_from_all_rows(dataset):
    rows = [dataset.load_site(i, 3).features_train.values.astype(float) for i in range(3)]
    pooled = np.concatenate(rows)
    distances = [
        np.abs((site.mean(axis=0) - pooled.mean(axis=0)) / pooled.std(axis=0)).mean()
        for site in rows
    ]

    assert enrolled(grid_of(3), dataset).shift == pytest.approx(np.median(distances), rel=1e-5)


@pytest.mark.parametrize("options", [{"ids_seed": 5}, {"backwards": True}])
def test_the_scaling_does_not_depend_on_node_ids_or_who_answers_first(dataset, options):
    scaler, other = (enrolled(grid_of(4, **o), dataset).scaler for o in ({}, options))

    assert scaler.to_dict() == other.to_dict()


def test_rows_known_to_be_abnormal_do_not_count(monkeypatch):
    """Rows 10 to 39 lie 20 higher at both sites, which would raise the means by about 7."""
    dataset = Attacked()
    use_small_dataset(monkeypatch, dataset)

    assert (np.abs(enrolled(grid_of(2), dataset).scaler.mean) < 1.0).all()


def test_of_a_channel_with_fewer_than_thirty_readings_a_site_tells_no_moments(monkeypatch):
    """29 readings of the flow at each of two sites, where 30 would do: it counts as unread."""
    few, enough = (Sparse(readings=count) for count in (29, 30))

    use_small_dataset(monkeypatch, few)
    kept_back = enrolled(grid_of(2), few)
    use_small_dataset(monkeypatch, enough)
    told = enrolled(grid_of(2), enough)

    assert (kept_back.unread, kept_back.scaler.mean[1]) == (("flow",), 0.0)
    assert told.unread == () and told.scaler.mean[1] != 0.0
    assert kept_back.scaler.mean[0] == told.scaler.mean[0] != 0.0


def test_every_site_says_how_sound_its_readings_are(dataset):
    quality = enrolled(grid_of(2), dataset).quality

    sound = {"missing": 0.0, "frozen": 0.0, "removed": 0.0}
    assert quality == {f"site-{i}": {"level": sound, "flow": sound} for i in range(2)}


def test_findings_name_site_channel_and_share():
    """A channel frozen throughout is a stand-by pump; one frozen at times is a finding."""
    sound = {"missing": 0.0, "frozen": 0.0, "removed": 0.0}
    quality = {
        "south": {"level": {**sound, "missing": 0.125, "removed": 0.25}, "flow": sound},
        "north": {"level": {**sound, "frozen": 0.5}, "flow": {**sound, "frozen": 1.0}},
    }

    assert Enrolment({}, None, quality).findings() == [
        "north, level: 50.0% frozen",
        "south, level: 12.5% missing, 25.0% removed",
    ]


@pytest.mark.parametrize("broken", ["absent", "number", "short", "nan", "no metrics"])
def test_a_site_that_does_not_say_how_sound_its_readings_are_is_refused(dataset, broken):
    def change(content, place):
        metrics = content.metric_records["metrics"]
        if broken == "no metrics":
            del content["metrics"]
        elif broken == "absent":
            del metrics["frozen"]
        else:
            metrics["frozen"] = {"number": 0.5, "short": [0.5], "nan": [math.nan, 0.0]}[broken]

    with pytest.raises(
        FederationError, match=r"site 'site-0' sent (no share of|an unusable profile)"
    ):
        enrolled(grid_of(2, change), dataset)


def test_two_sites_of_one_name_are_refused(monkeypatch):
    dataset = SmallDataset(names=("north", "north"))
    use_small_dataset(monkeypatch, dataset)

    with pytest.raises(FederationError, match="2 nodes call themselves 'north'"):
        enrolled(grid_of(2), dataset)


def test_nodes_of_one_name_are_left_out_and_the_others_go_on(monkeypatch):
    dataset = SmallDataset(names=("north", "north", "south", "west"))
    use_small_dataset(monkeypatch, dataset)
    config = RunConfig.from_mapping({**SETTINGS, "round.quorum": 0.5})
    grid = grid_of(4)

    enrolment = enrol(grid, grid.get_node_ids(), config, dataset)

    assert sorted(enrolment.directory.values()) == ["south", "west"]
    assert list(enrolment.left_out) == [f"node {node}" for node in grid.get_node_ids()[:2]]


def test_a_site_with_another_schema_is_refused(dataset):
    other = replace(dataset, schema=replace(SMALL, name="other"))

    with pytest.raises(FederationError, match=r"site 'site-\d' has schema .*, the server .*other"):
        enrolled(grid_of(2), other)


@pytest.mark.parametrize(
    ("entry", "value"),
    [("mean", 1e154), ("mean", -1e3), ("m2", 1e300), ("n", 1e12), ("n", 2.5), ("n", math.inf)],
)
def test_a_site_whose_moments_no_readings_can_have_is_left_out(dataset, entry, value):
    """Sites 0 and 2 of three go on with the scaling of their own rows."""

    def change(content, place):
        if place == 1:
            arrays = content.array_records["arrays"]
            arrays[entry] = Array(np.array([value, *arrays[entry].numpy()[1:]]))

    config = RunConfig.from_mapping({**SETTINGS, "round.quorum": 0.5})
    grid = grid_of(3, change)

    enrolment = enrol(grid, grid.get_node_ids(), config, dataset)

    assert sorted(enrolment.directory.values()) == ["site-0", "site-2"]
    assert "'site-1' sent an unusable profile" in next(iter(enrolment.left_out.values()))
    rows = np.concatenate([dataset.load_site(i, 3).features_train.values for i in (0, 2)])
    np.testing.assert_allclose(
        enrolment.scaler.mean, rows.mean(axis=0, dtype=np.float64), atol=1e-9
    )


@pytest.mark.parametrize("broken", ["nan", "missing", "bytes", "negative"])
def test_moments_that_make_no_sense_are_refused_with_the_sites_name(dataset, broken):
    def change(content, place):
        if place != 1:
            return
        arrays = content.array_records["arrays"]
        if broken == "missing":
            del arrays["m2"]
        elif broken == "bytes":
            arrays["m2"] = Array("float64", (2,), "numpy.ndarray", b"junk")
        else:
            arrays["m2"] = Array(np.array([np.nan if broken == "nan" else -1.0, 1.0]))

    with pytest.raises(FederationError, match="site 'site-1' sent an unusable profile"):
        enrolled(grid_of(2, change), dataset)


def test_moments_of_another_number_of_channels_are_refused(dataset):
    def change(content, place):
        if place == 1:
            three = {key: Array(np.ones(3)) for key in ("n", "mean", "m2")}
            content["arrays"] = ArrayRecord(three)

    with pytest.raises(FederationError, match=r"'site-1' sent .*\(3,\), expected float64 \(2,\)"):
        enrolled(grid_of(2, change), dataset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content, _: content.pop("identity"), "does not say who it is: 'identity'"),
        (
            lambda content, _: content.update({"identity": ConfigRecord({"site": "x"})}),
            "does not say who it is: 'schema'",
        ),
        (lambda content, _: content.pop("arrays"), "site 'site-0' sent an unusable profile"),
    ],
    ids=["no identity", "no schema", "no arrays"],
)
def test_a_profile_without_its_parts_is_refused(dataset, change, message):
    with pytest.raises(FederationError, match=message):
        enrolled(grid_of(2, change), dataset)


def failing(*places: int):
    """Sites that fail when asked who they are."""

    def change(content, place):
        if place in places:
            raise RuntimeError("no such file")

    return change


def test_below_the_quorum_the_run_stops_with_the_first_reason(dataset):
    expected = r"1 of 3 sites cannot take part and 3 are needed; .*: no such file"
    with pytest.raises(FederationError, match=expected):
        enrolled(grid_of(3, failing(1)), dataset)


def test_a_site_that_does_not_answer_counts_as_missing(dataset, monkeypatch):
    monkeypatch.setattr("dtfl_app.server.enrolment._COLD_START", 0.05)
    grid = grid_of(3)
    silent, pull = grid.get_node_ids()[0], grid.pull_messages
    grid.pull_messages = lambda ids: [m for m in pull(ids) if m.metadata.src_node_id != silent]

    with pytest.raises(FederationError, match=r"1 of 3 sites cannot .*no reply in time"):
        enrolled(grid, dataset)


def test_at_the_quorum_the_others_go_on_and_the_reason_is_kept(dataset):
    """Sites 0 and 2 of three; the pooled moments are theirs."""
    config = RunConfig.from_mapping({**SETTINGS, "round.quorum": 0.5})
    grid = grid_of(3, failing(1))

    enrolment = enrol(grid, grid.get_node_ids(), config, dataset)

    assert sorted(enrolment.directory.values()) == ["site-0", "site-2"]
    rows = np.concatenate([dataset.load_site(i, 3).features_train.values for i in (0, 2)])
    np.testing.assert_allclose(
        enrolment.scaler.mean, rows.mean(axis=0, dtype=np.float64), atol=1e-9
    )
    assert list(enrolment.left_out) == [f"node {grid.get_node_ids()[1]}"]
    assert "no such file" in next(iter(enrolment.left_out.values()))


def test_a_run_agreed_on_before_keeps_its_sites_and_its_scaling(dataset):
    """Site 0 is away, site 9 is new: the one stands under a node that nobody has."""
    agreed = replace(enrolled(grid_of(3), dataset), unread=("F_PU3",))
    now = replace(
        agreed, unread=(), directory={11: "site-1", 12: "site-2", 13: "site-9"}, scaler=None
    )

    again = now.restore(agreed.agreement)

    assert again.unread == ("F_PU3",)
    assert again.directory == {11: "site-1", 12: "site-2", -1: "site-0"}
    assert again.agreement.sites == ["site-0", "site-1", "site-2"]
    np.testing.assert_array_equal(again.scaler.mean, agreed.scaler.mean)


def test_nodes_are_taken_as_they_are_when_no_number_is_asked_for(dataset):
    grid = grid_of(3)

    assert await_nodes(grid, CONFIG, dataset) == grid.get_node_ids()


@pytest.mark.parametrize(("wanted", "connected"), [(4, 3), (2, 3), (0, 0), (3, 0)])
def test_another_number_of_nodes_is_refused_with_what_to_do(dataset, wanted, connected):
    config = RunConfig.from_mapping({**SETTINGS, "sites": wanted})

    with pytest.raises(
        ConfigError, match=f"sites = {wanted}, but {connected} SuperNodes .*num-sup"
    ):
        await_nodes(grid_of(connected), config, dataset)


def test_the_server_waits_for_sites_that_connect_late(dataset, monkeypatch):
    """The clock is a list: at each look one more second has gone and one more node is there."""
    moments = iter(range(100))
    monkeypatch.setattr("dtfl_app.server.enrolment.time.monotonic", lambda: float(next(moments)))
    monkeypatch.setattr("dtfl_app.server.enrolment.time.sleep", lambda seconds: None)
    grid, looks = grid_of(3), iter([0, 1, 2, 3])
    nodes = grid.get_node_ids()
    grid.get_node_ids = lambda: nodes[: next(looks)]
    config = RunConfig.from_mapping({**SETTINGS, "sites": 3, "join-timeout": 50.0})

    assert await_nodes(grid, config, dataset) == nodes


def test_a_data_set_that_cannot_be_cut_so_is_refused_before_sites_are_asked():
    class Two(SmallDataset):
        def sites(self, k):
            raise DataError("there are two wells")

    with pytest.raises(DataError, match="two wells"):
        await_nodes(grid_of(3), CONFIG, Two())


def test_an_archive_in_a_profile_is_not_opened(dataset):
    """NumPy would open it, however large it says that it is inside."""
    archive = io.BytesIO()
    np.savez_compressed(archive, m2=np.zeros(2))

    def change(content, place):
        if place == 1:
            data = archive.getvalue()
            content.array_records["arrays"]["m2"] = Array("float64", (2,), "numpy.ndarray", data)

    with pytest.raises(FederationError, match=r"array 'm2' cannot be read: .*never opened"):
        enrolled(grid_of(2, change), dataset)
