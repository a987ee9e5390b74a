"""Runs whose sites or recordings have a scaling of their own, in this process."""

from pathlib import Path

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError, TwinError
from dtfl_app.inputs.preparation import scaling_from_arrays
from dtfl_app.messages.wire import to_arrays
from tests.support.rigs import RIGS, rig_frame, write_rigs
from tests.support.runs import Run
from tests.support.station_runs import Station

OWN = ("site", "recording")
SETTINGS = {
    "strategy": "fedavg",
    "checkpoint_every": 2,
    "data__baseline": 100,
    "wire__upload_precision": "int8",
    "wire__download_precision": "int8",
}


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> Station:
    folder = tmp_path_factory.mktemp("rigs")
    return Station(write_rigs(folder / "files"), folder / "results")


@pytest.fixture(scope="module")
def runs(rigs: Station) -> dict[str, Run]:
    return {
        scaling: rigs.run(sites=len(RIGS), data__scaling=scaling, **SETTINGS) for scaling in OWN
    }


def model_bytes(run: Run, strategy: str = "fedavg") -> bytes:
    return (run.path / "models" / f"{strategy}.safetensors").read_bytes()


@pytest.mark.parametrize("scaling", OWN)
def test_nodes_with_files_of_their_own_end_with_the_same_bytes(
    scaling: str, rigs: Station, runs: dict[str, Run], tmp_path: Path
) -> None:
    """The gateways in another order, each with schema and file in a folder of its own."""
    nodes = []
    for name in reversed(RIGS):
        own = tmp_path / name
        own.mkdir()
        (own / "readings.csv").write_bytes((rigs.folder / f"{name}.csv").read_bytes())
        (own / "schema.toml").write_bytes((rigs.folder / "schema.toml").read_bytes())
        nodes.append(
            {
                "data-path": str(own / "readings.csv"),
                "site-name": name,
                "data.schema": str(own / "schema.toml"),
            }
        )

    deployed = rigs.deployed(nodes, sites=len(RIGS), data__scaling=scaling, **SETTINGS)

    assert model_bytes(deployed) == model_bytes(runs[scaling])


@pytest.mark.parametrize("scaling", OWN)
def test_a_run_goes_on_from_a_checkpoint_to_the_same_bytes(
    scaling: str, rigs: Station, runs: dict[str, Run]
) -> None:
    run, whole = runs[scaling], model_bytes(runs[scaling])
    (run.path / "models" / "fedavg.safetensors").unlink()
    (checkpoint,) = (run.path / "checkpoints").glob("*-fedavg-000002*")

    rigs.run(
        sites=len(RIGS), data__scaling=scaling, resume=str(checkpoint), run_name=run.path.name,
        **SETTINGS,
    )  # fmt: skip

    assert model_bytes(run) == whole


def test_a_site_is_told_its_own_scaler_and_no_other_s(runs: dict[str, Run]) -> None:
    run = runs["site"]
    scaling = scaling_from_arrays(run.model("fedavg").scaler)

    for node in run.grid.contexts:
        first, *later = (t for t in run.grid.tasks() if t.metadata.dst_node_id == node)
        sent = to_arrays(first.content.array_records["arrays"])
        own = scaling.at(RIGS[run.grid.partition(first)])
        told = {name: array for name, array in sent.items() if name.startswith("scaler/")}
        assert set(told) == {"scaler/mean", "scaler/scale", "scaler/clip"}
        np.testing.assert_array_equal(told["scaler/mean"], own.mean)
        assert not any("scaler" in name for t in later for name in _names(t))


def _names(task) -> set[str]:
    return set(to_arrays(task.content.array_records["arrays"]))


def test_nothing_more_leaves_a_site_than_with_the_common_scaling(
    rigs: Station, runs: dict[str, Run]
) -> None:
    federated = rigs.run(sites=len(RIGS), data__scaling="federated", **SETTINGS)

    for run in runs.values():
        for one, other in zip(run.grid.received, federated.grid.received, strict=True):
            assert _shape(one) == _shape(other)


def _shape(message) -> dict[str, list[str]]:
    return {
        record: sorted(held if record != "arrays" else to_arrays(held))
        for record, held in message.content.items()
    }


@pytest.mark.parametrize("scaling", OWN)
def test_a_twin_is_scaled_by_its_own_operating_point(
    scaling: str, rigs: Station, tmp_path: Path
) -> None:
    """A twin at the point of no rig, whose rows are far out in the common scaling."""
    path = tmp_path / "twin.csv"
    twin = rig_frame(0, 9, 300).assign(instance="normal")
    twin["pressure"] += 120
    twin.to_csv(path, index=False)
    told = {"twin__kind": "recorded", "twin__recording": str(path), "trust__twin_limit": 0.0}

    losses = {
        one: rigs.run(
            sites=len(RIGS), data__scaling=one, data__baseline=100, strategy="cwa", **told
        ).lines("cwa")[-1].twin_loss
        for one in ("federated", scaling)
    }  # fmt: skip

    assert losses[scaling] < 0.7 * losses["federated"]


def test_a_twin_whose_scenarios_end_within_their_baseline_is_refused(
    rigs: Station, tmp_path: Path
) -> None:
    path = tmp_path / "twin.csv"
    rig_frame(0, 9, 90).to_csv(path, index=False)

    with pytest.raises(TwinError, match=r"has 90 rows, all within the baseline of 100 .*twin\.ho"):
        rigs.run(
            sites=len(RIGS), strategy="cwa", data__scaling="recording", data__baseline=100,
            twin__kind="recorded", twin__recording=str(path),
        )  # fmt: skip


def test_laws_of_physics_need_readings_in_their_units(tmp_path: Path) -> None:
    station = Station(tmp_path, tmp_path / "results")

    with pytest.raises(ConfigError, match=r"'plc' needs readings in their units, .*'recording'"):
        station.run(
            dataset="plants", data__dir="", data__evaluation_file="", strategy="fedavg",
            detector__evidence="plc", data__scaling="recording", data__baseline=24,
            plants__days=7,
        )  # fmt: skip
