import argparse
import stat

from flwr.cli.supernode.register import try_load_public_key
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.cli.flower_supernode import _try_setup_client_authentication
from typer.testing import CliRunner

from dtfl_app.cli.main import app


def run(*arguments):
    return CliRunner().invoke(app, ["keys", *map(str, arguments)])


def test_flower_reads_both_keys_and_they_belong_together(tmp_path):
    run("--out", tmp_path, "site-a", "site-b")
    arguments = argparse.Namespace(
        auth_supernode_private_key=str(tmp_path / "site-a"), auth_supernode_public_key=None
    )

    private, public = _try_setup_client_authentication(arguments)

    assert private.curve.name == "secp384r1"
    assert try_load_public_key(tmp_path / "site-a.pub") == public_key_to_bytes(public)
    assert try_load_public_key(tmp_path / "site-b.pub") != public_key_to_bytes(public)


def test_a_private_key_is_readable_by_its_owner_alone(tmp_path):
    run("--out", tmp_path, "site-a")

    assert stat.S_IMODE((tmp_path / "site-a").stat().st_mode) == 0o600


def test_the_command_says_how_to_register(tmp_path):
    result = run("--out", tmp_path, "site-a")

    wanted = f"dtfl register LINK {tmp_path / 'site-a.pub'}"
    assert result.exit_code == 0 and wanted in result.output


def test_a_key_is_never_written_over_and_no_other_is_written(tmp_path):
    run("--out", tmp_path, "site-b")
    before = (tmp_path / "site-b").read_bytes()

    result = run("--out", tmp_path, "site-a", "site-b")

    assert result.exit_code == 2 and "move the old pair away" in result.stderr
    assert (tmp_path / "site-b").read_bytes() == before
    assert not (tmp_path / "site-a").exists()


def test_a_name_that_is_no_file_name_is_refused(tmp_path):
    for name in ("../site", "site a", "site.pub", ".hidden", ""):
        result = run("--out", tmp_path, name)
        assert result.exit_code == 2 and "no name for a key file" in result.stderr, name
    assert not list(tmp_path.iterdir())


def test_a_site_named_twice_is_refused(tmp_path):
    result = run("--out", tmp_path, "site-a", "site-a")

    assert result.exit_code == 2 and "named twice" in result.stderr


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    result = run("--out", tmp_path / "file" / "keys", "site-a")

    assert result.exit_code == 2 and "cannot be made (Not a directory)" in result.stderr
