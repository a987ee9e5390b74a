"""Whole runs on files: every strategy, with and without a twin; each node with its own file."""

import json
import logging

import numpy as np
import pandas as pd
import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.core.errors import BundleError, ConfigError, FederationError, SchemaError, TwinError
from dtfl_app.evaluation.saved_model import evaluate_file, find_model
from dtfl_app.results.run_events import read_events
from tests.support.methods import WITH_ADAM
from tests.support.runs import Run
from tests.support.station import SITES, STATION, station_frame, write_station
from tests.support.station_runs import Station

SEVEN = ("fedavg", "dtml", "fpf", "lpe", "cwa", "dtkd", "feddf")


@pytest.fixture(scope="module")
def station(tmp_path_factory) -> Station:
    folder = tmp_path_factory.mktemp("station")
    return Station(write_station(folder / "files"), folder / "results")


@pytest.fixture(scope="module")
def gateways(station, tmp_path_factory) -> list[dict[str, str]]:
    """Node configs of three gateways whose files lie in folders of their own, in one order."""
    nodes = []
    for name in ("west", "north", "south"):
        folder = tmp_path_factory.mktemp(name)
        (folder / "readings.csv").write_bytes((station.folder / f"{name}.csv").read_bytes())
        (folder / "schema.toml").write_text(STATION)
        nodes.append(
            {
                "data-path": str(folder / "readings.csv"),
                "site-name": name,
                "data.schema": str(folder / "schema.toml"),
            }
        )
    return nodes


@pytest.fixture(scope="module")
def twinless(station) -> Run:
    """Three rounds of all built-in strategies without a twin."""
    return station.run(strategy=",".join(WITH_ADAM))


def model_bytes(run: Run, strategy: str) -> bytes:
    return (run.path / "models" / f"{strategy}.safetensors").read_bytes()


@pytest.fixture(scope="module")
def recorded(station, tmp_path_factory) -> Run:
    """The six methods with a twin that was recorded in the sites' own columns."""
    path = tmp_path_factory.mktemp("twin") / "recorded.csv"
    station_frame(20, rows=300).to_csv(path, index=False)
    return station.run(
        strategy=",".join(SEVEN),
        twin__kind="recorded",
        twin__recording=str(path),
        trust__twin_limit=0.0,
    )


@pytest.mark.parametrize("strategy", SEVEN)
def test_every_method_runs_with_a_recorded_twin(recorded, strategy):
    lines = recorded.lines(strategy)

    assert [(line.sites, line.refused) for line in lines[1:]] == [(3, 0)] * 3
    assert all(np.isfinite(line.twin_loss) for line in lines[1:])
    steps = {"dtml": 2, "fpf": 4, "lpe": 4, "cwa": 4, "feddf": 4}.get(strategy, 0)
    assert [line.server_steps for line in lines[1:]] == [steps] * 3
    assert lines[-1].metrics.events == 1


@pytest.mark.parametrize("strategy", SEVEN)
def test_without_a_twin_every_method_is_fedavg(twinless, strategy):
    """To the last byte of the model, and of what travels."""
    assert model_bytes(twinless, strategy) == model_bytes(twinless, "fedavg")
    costs = [
        [(line.bytes_up, line.bytes_down, line.server_steps) for line in twinless.lines(name)]
        for name in (strategy, "fedavg")
    ]
    assert costs[0] == costs[1]


def test_a_method_that_lacks_its_twin_says_so_once(twinless):
    events = [e for e in read_events(twinless.path / "events.jsonl") if e.kind == "twin-off"]

    assert [event.strategy for event in events] == ["dtml", "fpf", "lpe", "cwa", "dtkd", "feddf"]
    assert {event.reason for event in events} == {
        "the sites' data has no twin, which this method needs; the run goes on as fedavg"
    }


def test_a_run_without_its_twin_goes_on_from_a_checkpoint(station):
    short = station.run(strategy="lpe", checkpoint_every=2)
    whole = model_bytes(short, "lpe")
    (short.path / "models" / "lpe.safetensors").unlink()
    (checkpoint,) = (short.path / "checkpoints").glob("*-lpe-000002*")

    station.run(
        strategy="lpe", checkpoint_every=2, resume=str(checkpoint), run_name=short.path.name
    )

    assert model_bytes(short, "lpe") == whole


def test_no_twin_asked_for_is_refused_as_ever(station):
    with pytest.raises(ConfigError, match="strategy 'cwa' needs a digital twin"):
        station.run(strategy="cwa", twin__kind="none")


def test_a_warm_start_without_a_twin_is_refused_as_ever(station):
    with pytest.raises(ConfigError, match=r"twin\.warm-start needs a twin"):
        station.run(strategy="fedavg", twin__warm_start=True)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"twin__kind": "recorded"}, ConfigError, "needs twin.recording.*in the sites' schema"),
        (
            {"twin__kind": "ctown"},
            ConfigError,
            "channels are not the sites'.*only .* L_T1",
        ),
        ({"detector__evidence": "plc"}, ConfigError, "needs hourly readings of a C-Town plant"),
    ],
)
def test_a_twin_that_does_not_fit_is_refused(station, change, error, message):
    with pytest.raises(error, match=message):
        station.run(strategy="fedavg", **change)


def test_the_schema_says_what_the_twin_is(station, tmp_path):
    write_station(tmp_path, schema=STATION.replace("period-s", 'twin = "recorded"\nperiod-s'))

    with pytest.raises(ConfigError, match=r"needs twin\.recording"):
        Station(tmp_path, station.results / "other").run(strategy="cwa")


@pytest.mark.parametrize("labelled", [True, False])
def test_a_recording_may_be_a_labelled_series_or_in_the_sites_columns(station, tmp_path, labelled):
    frame = station_frame(20, rows=300)
    if labelled:
        frame = frame.rename(columns={"Tank 1 [m]": "level", "Q": "flow", "P1": "pump"})
        frame = frame.rename(columns={"flag": "label"}).assign(instance="run", event="")
        frame["time"] = pd.to_datetime(frame.pop("when"), format="%d/%m/%Y %H:%M")
    frame.to_parquet(tmp_path / "twin.parquet")

    run = station.run(
        strategy="cwa",
        twin__kind="recorded",
        twin__recording=str(tmp_path / "twin.parquet"),
        rounds=1,
    )

    assert run.lines("cwa")[1].server_steps == 4


def test_a_recording_with_gaps_is_refused(station, tmp_path):
    frame = station_frame(20, rows=300)
    frame.loc[7, "Q"] = np.nan
    frame.to_csv(tmp_path / "twin.csv", index=False)

    with pytest.raises(TwinError, match="column 'flow' holds no number"):
        station.run(
            strategy="cwa", twin__kind="recorded", twin__recording=str(tmp_path / "twin.csv")
        )


def test_a_recording_out_of_range_is_refused(station, tmp_path):
    frame = station_frame(20, rows=300)
    frame.loc[7, "Q"] = 500.0
    frame.to_csv(tmp_path / "twin.csv", index=False)

    with pytest.raises(SchemaError, match=r"column 'flow': 500 is outside \[-10, 80\]"):
        station.run(
            strategy="cwa", twin__kind="recorded", twin__recording=str(tmp_path / "twin.csv")
        )


def test_nodes_with_their_own_files_end_in_the_bytes_of_the_simulation(station, gateways, twinless):
    """Other order of the nodes, other folders, no data at the server but the evaluation file."""
    deployed = station.deployed(gateways, strategy="fedavg,lpe")

    for strategy in ("fedavg", "lpe"):
        assert model_bytes(deployed, strategy) == model_bytes(twinless, strategy)
    assert (deployed.path / "quality.json").read_bytes() == (
        twinless.path / "quality.json"
    ).read_bytes()
    assert list(json.loads((deployed.path / "quality.json").read_text())) == list(SITES)


def test_nodes_may_read_by_the_runs_schema(station, gateways):
    nodes = [{k: v for k, v in node.items() if k != "data.schema"} for node in gateways]

    run = station.deployed(nodes, strategy="fedavg", rounds=1)

    assert run.lines("fedavg")[1].sites == 3


def test_columns_are_each_sites_own(station, gateways, twinless, tmp_path):
    """The gateway in the west calls its flow otherwise: nothing else changes."""
    frame = pd.read_csv(gateways[0]["data-path"]).rename(columns={"Q": "Durchfluss"})
    frame.to_parquet(tmp_path / "west.parquet")
    (tmp_path / "west.toml").write_text(STATION.replace('"Q"', '"Durchfluss"'))
    west = {
        **gateways[0],
        "data-path": str(tmp_path / "west.parquet"),
        "data.schema": str(tmp_path / "west.toml"),
    }

    run = station.deployed([west, *gateways[1:]], strategy="fedavg")

    assert model_bytes(run, "fedavg") == model_bytes(twinless, "fedavg")


def test_a_node_whose_schema_differs_is_left_out_by_name(station, gateways, tmp_path):
    (tmp_path / "other.toml").write_text(STATION.replace('unit = "L/s"', 'unit = "m3/h"'))
    strange = {**gateways[0], "data.schema": str(tmp_path / "other.toml")}

    run = station.deployed([strange, *gateways[1:]], strategy="fedavg", rounds=1)

    assert run.lines("fedavg")[1].sites == 2
    (event,) = [e for e in read_events(run.path / "events.jsonl") if e.kind == "left-out"]
    assert "site 'west' has schema" in event.reason and "must use the same schema" in event.reason


def test_a_node_that_names_no_site_is_left_out_with_what_to_do(station, gateways):
    nameless = {k: v for k, v in gateways[0].items() if k != "site-name"}

    run = station.deployed([nameless, *gateways[1:]], strategy="fedavg", rounds=1)

    (event,) = [e for e in read_events(run.path / "events.jsonl") if e.kind == "left-out"]
    assert "node config: site-name = None; expected the name of the site" in event.reason


def test_nodes_with_files_on_a_run_of_other_data_are_refused(station, gateways, data_dir):
    with pytest.raises(FederationError, match=r"data-path is given, but .* dataset = 'batadal'"):
        station.run(
            gateways, dataset="batadal", data__dir=str(data_dir), data__evaluation_file="",
            strategy="fedavg", twin__kind="none",
        )  # fmt: skip


def test_what_a_site_may_not_say_stays_there(station, gateways, tmp_path):
    """A bad cell is told in the site's own log; the server learns the kind of error alone."""
    frame = pd.read_csv(gateways[0]["data-path"]).astype({"Q": object})
    frame.loc[3, "Q"] = "secret"
    frame.to_csv(tmp_path / "bad.csv", index=False)
    bad = {**gateways[0], "data-path": str(tmp_path / "bad.csv")}

    run = station.deployed([bad, *gateways[1:]], strategy="fedavg", rounds=1)

    (event,) = [e for e in read_events(run.path / "events.jsonl") if e.kind == "left-out"]
    assert "DataError at intake.py" in event.reason and "secret" not in event.reason


def test_without_an_evaluation_file_a_run_has_losses_and_models(station):
    run = station.run(strategy="fedavg", data__evaluation_file="", sites=4, rounds=1)

    assert [line.metrics for line in run.lines("fedavg")] == [None, None]
    assert run.model("fedavg").schema


def test_a_model_that_no_site_could_calibrate_says_so_and_no_gateway_takes_it(
    station, caplog, monkeypatch
):
    """A window takes 201 of 400 rows: a stretch is too short to be divided."""
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    caplog.set_level(logging.WARNING)

    run = station.run(
        strategy="fedavg", rounds=1, features__window_s=201 * 60, features__step_s=60,
        features__statistics="mean",
    )  # fmt: skip

    with pytest.raises(BundleError, match="hence no threshold, and would raise no alarm"):
        read_folder(run.path / "deploy" / "fedavg")
    told = caplog.text
    assert "site north: no window of normal operation is left to calibrate on" in told
    assert "fedavg: it raises no alarm: no site had a window of normal operation" in told
    card = (run.path / "deploy" / "fedavg" / "card.md").read_text()
    assert "**It raises no alarm: no site had a window of normal operation" in card


@pytest.mark.parametrize("labels", ["column", "table"])
def test_a_saved_model_judges_a_file_by_the_schema_in_its_run(station, tmp_path, labels):
    """The folder the run was on is gone by then."""
    text = STATION if labels == "column" else STATION.replace('column = "flag"', 'events = "e.csv"')
    folder = write_station(tmp_path / "files", schema=text)
    (folder / "e.csv").write_text(
        "start,end,event,site\n2024-01-30T23:20,2024-01-30T23:59,surge,judge\n"
    )
    if labels == "column":
        (folder / "e.csv").unlink()
    run = Station(folder, tmp_path / "results").run(strategy="fedavg")
    judged = tmp_path / "judge.csv"
    judged.write_bytes((folder / "judge.csv").read_bytes())
    for path in folder.iterdir():
        path.unlink()

    found = evaluate_file(*find_model(run.path), judged)

    assert found.metrics == run.lines("fedavg")[-1].metrics
    assert set(found.alarms["event"]) == {"", "flagged-1" if labels == "column" else "surge"}
