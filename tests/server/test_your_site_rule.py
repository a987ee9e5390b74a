"""The method of docs/your-site-rule.md, as it stands there, in a whole run."""

import re

import numpy as np
import pytest

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.naming import file_name
from tests.support.places import REPOSITORY

FEW = {"rounds": 2, "train__epochs": 4, "twin__kind": "none", "twin__recording": ""}
INT8 = {"wire__upload_precision": "int8", "wire__download_precision": "int8"}


@pytest.fixture
def code(tmp_path, monkeypatch) -> str:
    page = (REPOSITORY / "docs" / "your-site-rule.md").read_text()
    (found,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "leaning.py").write_text(found)
    monkeypatch.syspath_prepend(tmp_path)
    return found


def test_the_page_s_method_runs_beside_fedavg_and_differs_from_its_second_round_on(code, launcher):
    run = launcher.run(strategy="leaning:Leaning,fedavg", strategy_options="share=0.5", **FEW)

    mine, plain = (run.lines(name) for name in ("leaning:Leaning", "fedavg"))
    assert [line.sites for line in mine[1:]] == [3, 3]
    # twice a model each way, and the scaling
    assert mine[1].bytes_up == 2 * plain[1].bytes_up
    assert mine[2].bytes_down == 2 * plain[2].bytes_down
    assert len([row for row in code.splitlines() if row.strip()]) <= 45


def test_the_page_s_method_runs_in_8_bits(code, launcher):
    exact, coarse = (launcher.run(strategy="leaning:Leaning", **FEW, **wire) for wire in ({}, INT8))

    first, second = (run.model(file_name("leaning:Leaning")).params for run in (exact, coarse))
    assert all(np.abs(first[key] - second[key]).max() < 0.05 for key in first)
    assert coarse.lines("leaning:Leaning")[1].bytes_up < 0.3 * (
        exact.lines("leaning:Leaning")[1].bytes_up
    )


def test_its_option_is_checked(code, launcher):
    with pytest.raises(ConfigError, match=r"share = 1.5; expected at least 0 and at most 1"):
        launcher.run(strategy="leaning:Leaning", strategy_options="share=1.5", **FEW)
