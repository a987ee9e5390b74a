"""The commands of docs/your-twin.md, in its order, in an empty folder and this process."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from pythonfmu.builder import FmuBuilder
from typer.testing import CliRunner

from dtfl_app.cli.main import app
from dtfl_app.cli.run import parse_settings
from dtfl_app.testing.runs import PlayedRun, play
from tests.support.places import REPOSITORY

PAGE = (REPOSITORY / "docs" / "your-twin.md").read_text()
BLOCKS = re.findall(r"^```(\S+) (\S+)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)

#: So that a run takes seconds.
SMALL = {
    "rounds": 2, "twin.scenarios": 2, "twin.steps": 5, "twin.warm-steps": 10, "twin.workers": 1,
    "detector.hidden": 8, "detector.latent": 2, "train.batch-size": 512, "join-timeout": 0.0,
    "results-dir": "results", "cache-dir": "cache",
}  # fmt: skip


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> dict[str, PlayedRun]:
    """The page's runs by name, in a folder where all its commands have been given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        patch.setattr(sys, "path", [*sys.path])
        # Other pages have modules of these names, and other tests may have imported them.
        for name in [n for n in sys.modules if n in ("two_tanks", "station", "tanks")]:
            patch.delitem(sys.modules, name)
        runs = {}
        for language, name, text in BLOCKS:
            if (language, name) != ("sh", "run"):
                Path(name).parent.mkdir(exist_ok=True)
                Path(name).write_text(text)
                continue
            for line in text.splitlines():
                runs |= follow(shlex.split(line), patch)
        yield runs


def follow(words: list[str], patch: pytest.MonkeyPatch) -> dict[str, PlayedRun]:
    """Do what one line says; a run is played in this process."""
    if words[0] == "cd":
        patch.chdir(words[1])
    elif words[0] == "pythonfmu":
        FmuBuilder.build_FMU(words[3], dest=words[5])
    elif words[1] == "run":
        given = parse_settings(words[2:])
        settings = {**given, **SMALL, "data.dir": str(Path(str(given["data.dir"])).absolute())}
        return {str(settings["run-name"]): play(settings, 2)}
    else:
        done = CliRunner().invoke(app, words[1:])
        usable = (0, 1) if words[1] == "site" else (0,)
        assert done.exit_code in usable, f"{words}\n{done.output}"
    return {}


def test_each_kind_leads_from_files_to_a_model_for_gateways_and_alarms(played):
    assert set(played) == {"by-function", "by-fmu", "by-epanet", "by-recording", "by-class"}
    for name, run in played.items():
        strategies = {line.strategy for line in run.lines}
        assert len(strategies) == 2, name
        assert all(
            line.server_steps > 0 for line in run.lines if line.round and line.strategy != "dtkd"
        )
        assert (run.path.absolute().parents[1] / f"{name}.jsonl").exists(), name
