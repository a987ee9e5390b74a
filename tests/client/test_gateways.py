"""A gateway's own process: what it loads, and whose physics it goes by."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from flwr.app import Context, RecordDict

from dtfl_app.client.site import open_site
from dtfl_app.sites.batadal import DATASET03, SCADA
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from tests.support.places import REPOSITORY
from tests.support.station import write_station
from twin.ctown.defaults import default_plant
from twin.ctown.plant import SetPoint
from twin.schema import Schema

# Seconds of loading each, at every message, and of no use to a site with data of its own.
HEAVY = {"scipy", "sklearn", "wntr", "epyt", "matplotlib", "networkx", "ray"}

# Every message starts a fresh process at a gateway; so does this.
PROCESS = """
import json, sys
from dtfl_app.client.app import app
before = sorted(set(sys.modules))
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
run, node = json.loads(sys.argv[1])
message = Message(RecordDict({}), message_type="query.profile", dst_node_id=7)
reply = app(message, Context(1, 7, node, RecordDict(), run))
site = reply.content.config_records["identity"]["site"]
print(json.dumps([before, sorted(set(sys.modules)), site]))
"""


def test_a_gateway_loads_neither_solver_nor_statistics_nor_plots(tmp_path):
    folder = write_station(tmp_path)
    run = {"dataset": "files", "data.schema": str(folder / "schema.toml")}
    node = {"data-path": str(folder / "north.csv"), "site-name": "north"}

    done = subprocess.run(
        [sys.executable, "-c", PROCESS, json.dumps([run, node])],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip

    imported, answered, site = json.loads(done.stdout.splitlines()[-1])
    assert site == "north"
    assert "dtfl_app.client.tasks" in imported
    assert HEAVY.isdisjoint(imported)
    assert HEAVY.isdisjoint(answered)


@pytest.fixture
def ctown(data_dir: Path, tmp_path: Path) -> Path:
    """Two weeks of BATADAL's plant as a site's own file, and its schema."""
    frame = pd.read_csv(data_dir / "batadal" / DATASET03, skipinitialspace=True)
    frame.head(336).to_csv(tmp_path / "plant.csv", index=False)
    labels = LabelColumn("ATT_FLAG", unlabelled=(-999.0,))
    site = SiteSchema(
        Schema("c-town", SCADA.channels, 3600.0), {}, "DATETIME", ("%d/%m/%y %H",), labels, "ctown"
    )
    (tmp_path / "schema.toml").write_text(site.to_toml())
    return tmp_path


def test_a_c_town_site_has_physical_evidence_of_its_own_plant(ctown):
    """The owner says that PU2 comes on at 0.2 m; here it comes on earlier, so it contradicts."""
    plant = default_plant()
    setpoints = {**plant.setpoints, "PU2": SetPoint("T1", 0.2, 4.5)}
    (ctown / "plant.json").write_text(replace(plant, setpoints=setpoints).to_json())
    run = {
        "dataset": "files",
        "detector.evidence": "plc,smoothed",
        "data.schema": str(ctown / "schema.toml"),
    }
    node = {"data-path": str(ctown / "plant.csv"), "site-name": "c-town"}

    sites = [
        open_site(Context(1, 7, {**node, **own}, RecordDict(), run))
        for own in ({}, {"twin.plant": str(ctown / "plant.json")})
    ]

    found = [site.physics.plant_of(site.name).setpoints["PU2"].on_below for site in sites]
    assert found == [plant.setpoints["PU2"].on_below, 0.2]
    rows = sites[1].data.features_train
    evidence = [site.physics.evidence(rows, None)["plc"].max(axis=1) for site in sites]
    assert len(evidence[0]) == len(rows)
    assert evidence[1].max() > evidence[0].max() + 0.1
