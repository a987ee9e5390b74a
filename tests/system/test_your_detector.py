"""The commands of docs/your-detector.md, run as they stand in an empty folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tests.support.places import REPOSITORY

PAGE = (REPOSITORY / "docs" / "your-detector.md").read_text()


def test_the_detector_of_the_page_is_trained_exported_and_scores_a_file_as_torch_does(
    tmp_path: Path,
) -> None:
    """With fewer rounds: what `dtfl detect` says of each step is what `dtfl evaluate` says."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (script,) = re.findall(r"```sh run\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "stencil.py").write_text(code)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["sh", "-eu", "-c", script.replace("rounds=20", "rounds=2")],
        cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    app = tmp_path / "my-detector"
    steps = [json.loads(line) for line in (app / "alarms.jsonl").read_text().splitlines()]
    found = [step["score"] for step in steps if "event" not in step]
    stored = pd.read_csv(app / "judged" / "alarms.csv")
    assert len(found) == 2016
    np.testing.assert_allclose(found, stored["score"], rtol=1e-5, atol=1e-5)
    card = (app / "results" / "stencil" / "deploy" / "fedavg" / "card.md").read_text()
    assert "- stencil:Stencil (width=4), window 6, 6 features" in card
