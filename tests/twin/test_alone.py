"""The twin's package without the app."""

import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "twin"

ALONE = """
import importlib, pkgutil, sys
from importlib.util import find_spec
from pathlib import Path
sys.path[:] = [sys.argv[1], *(p for p in sys.path if not (Path(p) / "dtfl_app").is_dir())]
# An editable install finds its packages without a path.
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
assert find_spec("dtfl_app") is None
import twin
assert Path(twin.__file__).is_relative_to(sys.argv[1])
for module in pkgutil.walk_packages(twin.__path__, "twin."):
    importlib.import_module(module.name)
from twin.base import Scenario
from twin.ctown.defaults import default_plant
from twin.ctown.simulate import CTownTwin
print(len(CTownTwin(default_plant()).simulate(Scenario("day", 24, seed=0))))
"""


def test_the_twin_imports_and_simulates_where_the_app_is_not_installed(tmp_path):
    (tmp_path / "twin").symlink_to(PACKAGE)

    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stderr == ""
    assert done.stdout == "24\n"
