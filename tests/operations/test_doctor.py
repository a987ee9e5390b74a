import json
import os

import pandas as pd
import pytest
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.operations.keys import write_key_pairs
from dtfl_app.operations.site_data import check_data
from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from tests.support.certificates import make_certificates
from tests.support.servers import free_port, serve
from twin.schema import Channel, Schema


def doctor(*arguments, env=None):
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)], env=env)


@pytest.fixture
def site(tmp_path):
    """A site's key, file and schema: one level, minute by minute."""
    write_key_pairs(tmp_path, ["site-a"])
    time = pd.date_range("2026-01-01", periods=5, freq="1min")
    frame = pd.DataFrame({"when": time, "Tank [m]": [1.0, 2, 3, 2, 1], "attack": [0, 0, 1, 0, 0]})
    frame.to_csv(tmp_path / "readings.csv", index=False)
    schema = SiteSchema(
        Schema("plant", (Channel("level", "m", "level", 0.0, 8.0),), 60.0),
        columns={"level": "Tank [m]"},
        time="when",
        labels=LabelColumn("attack"),
    )
    (tmp_path / "site.toml").write_text(schema.to_toml())
    return tmp_path


@pytest.fixture
def variables(site, certs):
    return {
        "DTFL_CERTS": str(certs),
        "DTFL_KEY": str(site / "site-a"),
        "DTFL_DATA": str(site / "readings.csv"),
        "DTFL_SCHEMA": str(site / "site.toml"),
        "DTFL_STATE": str(site / "state"),
        "DTFL_NODE_PORT": str(free_port()),
    }


def test_a_sound_gateway_passes_by_the_variables_of_its_start_script(certs, variables):
    with serve(certs) as port:
        result = doctor(env={**variables, "DTFL_SUPERLINK": f"localhost:{port}"})

    assert result.exit_code == 0
    assert "failed" not in result.output and "5 rows, as the schema says" in result.output


def test_one_failure_makes_exit_code_1_and_the_other_checks_are_still_done(variables):
    result = doctor("--superlink", f"localhost:{free_port()}", "--json", env=variables)

    verdicts = {f["check"]: f["verdict"] for f in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert verdicts["port"] == "failed" and verdicts["data"] == "ok" and verdicts["disk"]


def test_a_failure_is_printed_with_how_to_mend_it(variables):
    os.chmod(variables["DTFL_KEY"], 0o644)  # noqa: PTH101 # a text in the environment

    result = doctor("--superlink", f"localhost:{free_port()}", env=variables)

    assert f"to mend: chmod 600 {variables['DTFL_KEY']}" in result.output


def test_a_sound_server_passes_before_it_is_started(tmp_path):
    certs = make_certificates(tmp_path / "certs")
    (certs / "ca.key").unlink()
    where = ("--certs", certs, "--state", tmp_path / "state", "--host", "127.0.0.1")

    assert doctor("--server", *where, "--port", free_port()).exit_code == 0


def test_a_server_with_an_expired_certificate_does_not(tmp_path):
    certs = make_certificates(tmp_path / "certs", starts=-10, ends=-1)

    result = doctor("--server", "--certs", certs, "--state", tmp_path, "--port", free_port())

    assert result.exit_code == 1 and "superlink.crt expiry: expired" in result.output


@pytest.mark.parametrize(
    ("missing", "named"),
    [("DTFL_KEY", "--key"), ("DTFL_STATE", "--state"), ("DTFL_SCHEMA", "--schema")],
)
def test_a_missing_option_is_wrong_usage(variables, missing, named):
    left = {name: value for name, value in variables.items() if name != missing}

    result = doctor("--superlink", "localhost:1", env=left)

    assert result.exit_code == 2 and f"no {named} ({missing})" in result.stderr


def test_no_role_is_wrong_usage(variables):
    result = doctor(env=variables)

    assert result.exit_code == 2 and "--server" in result.stderr


def test_a_schema_that_cannot_be_read_ends_the_check_of_the_data(site):
    (site / "site.toml").write_text("x")

    assert [f.check for f in check_data(site / "readings.csv", site / "site.toml")] == ["schema"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Tank [m]", "Tank", r"columns ['Tank [m]'] are missing"),
        ("00:02:00", "soon", "data row 3, column 'when': "),
        ("3.0", "high", "data row 3, column 'Tank [m]': 'high' is not a number"),
    ],
)
def test_data_that_its_schema_does_not_fit_fails_with_row_or_column(site, old, new, message):
    path = site / "readings.csv"
    path.write_text(path.read_text().replace(old, new))

    found = check_data(path, site / "site.toml")[-1]

    assert (found.check, found.verdict) == ("data", "failed") and message in found.found
