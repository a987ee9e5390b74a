"""The benchmark's plant as files with a schema: the same run, to the last byte."""

from pathlib import Path

import pandas as pd
import pytest

from dtfl_app.sites.batadal import ATTACKS, DATASET03, DATASET04, SCADA, read_batadal
from dtfl_app.sites.partition import time_blocks
from dtfl_app.sites.site_schema import EventTable, SiteSchema
from twin.schema import INSTANCE

TWIN = {
    "twin__kind": "auto",
    "twin__recording": "",
    "twin__scenarios": 2,
    "twin__hours": 48,
    "rounds": 2,
}


@pytest.fixture
def folder(data_dir: Path, tmp_path: Path) -> Path:
    """Three blocks of dataset03, dataset04 to judge by, and the attacks as a table of events."""
    source = data_dir / "batadal"
    year = pd.read_csv(source / DATASET03, skipinitialspace=True)
    blocks = time_blocks(read_batadal(source / DATASET03), 3)
    first = 0
    for name, block in blocks.items():
        year.iloc[first : first + len(block)].to_csv(tmp_path / f"{name}.csv", index=False)
        first += len(block)
    judged = pd.read_csv(source / DATASET04, skipinitialspace=True)
    judged.to_parquet(tmp_path / "judge.parquet")
    table = [{"start": a.start, "end": a.end, "event": a.event} for a in ATTACKS]
    pd.DataFrame(table).to_csv(tmp_path / "attacks.csv", index=False)
    labels = EventTable(tmp_path / "attacks.csv")
    site = SiteSchema(SCADA, {}, "DATETIME", ("%d/%m/%y %H",), labels, "ctown")
    (tmp_path / "schema.toml").write_text(site.to_toml())
    assert all(block[INSTANCE].nunique() == 1 for block in blocks.values())
    return tmp_path


def test_a_run_on_the_files_is_the_run_on_the_benchmark(launcher, data_dir, folder):
    """Twin, physical evidence, calibration, model and figures."""
    settings = {
        **TWIN,
        "strategy": "fedavg,cwa",
        "detector.evidence": "smoothed,plc,pump,balance",
        "twin__network": str(data_dir / "ctown" / "ctown_map.inp"),
    }

    benchmark = launcher.run(dataset="batadal", **settings)
    files = launcher.run(
        dataset="files", data__dir=str(folder), data__evaluation_file="judge.parquet", **settings
    )

    for name in ("metrics.jsonl", "models/fedavg.safetensors", "models/cwa.safetensors"):
        assert (files.path / name).read_bytes() == (benchmark.path / name).read_bytes()
    assert files.lines("cwa")[-1].metrics.events == 7
    assert files.lines("cwa")[-1].server_steps == 4
