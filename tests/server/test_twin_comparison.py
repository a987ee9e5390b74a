"""What a run says of its twin before round 1."""

import logging

import pandas as pd
import pytest

from twin.ctown.channels import SCADA


@pytest.mark.parametrize(("factor", "warned"), [(1.0, False), (0.7, True)])
def test_a_twin_far_from_the_sites_is_warned_of_before_the_first_round(
    launcher, tmp_path, caplog, factor, warned
):
    """The recording is the plant's own; with 30% less flow and pressure it is another's."""
    series = pd.read_parquet(launcher.recording)
    measured = [name for name in SCADA.names if name.startswith(("F_", "P_"))]
    series[measured] *= factor
    series.to_parquet(tmp_path / "recording.parquet")

    with caplog.at_level(logging.INFO, logger="flwr.dtfl"):
        launcher.run(
            strategy="fedavg", rounds=1, twin__recording=str(tmp_path / "recording.parquet")
        )

    said = [r for r in caplog.records if "standard deviations from the sites'" in r.getMessage()]
    assert [r.levelno for r in said] == [logging.WARNING if warned else logging.INFO]
    assert ("check its calibration" in said[0].getMessage()) == warned
