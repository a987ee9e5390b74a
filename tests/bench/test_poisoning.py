"""The poisoning grid: what its cells are, and what is counted."""

import json
import tomllib

import pandas as pd
import pytest

from benchmarks import poisoning
from benchmarks.altered_app import write_altered_app
from benchmarks.poisoning import Cell, attackers_of, cells, refusals, settings_of
from dtfl_app.core.config import RunConfig
from dtfl_app.core.settings import flat
from dtfl_app.strategies.registry import default_settings, strategy_names


def test_every_attack_by_two_shares_meets_every_defence():
    """Per data set clean and 2 shares of its attacks: (1 + 2 * 4) + (1 + 2 * 1) places, times 8."""
    assert len({cell.name for cell in cells()}) == (9 + 3) * 8


@pytest.mark.parametrize("cell", list(cells()), ids=lambda cell: cell.name)
def test_the_settings_of_every_cell_are_valid(cell):
    settings = settings_of(cell, rounds=12, seed=0)

    settings.pop(poisoning.KEY)
    config = RunConfig.from_mapping(settings)
    assert strategy_names(config) == ["cwa"]
    assert config.trust.norm_limit == (10.0 if cell.defence == "norm-limit" else 0.0)


def test_the_attackers_of_a_smaller_share_are_among_those_of_a_larger():
    few, many = attackers_of(0.2, seed=0), attackers_of(0.4, seed=0)

    assert (len(few), len(many)) == (2, 4)
    assert set(few) < set(many)
    assert attackers_of(0.0, seed=0) == []


def test_a_cell_counts_as_finished_with_its_own_settings_alone(tmp_path):
    cell = Cell("plants", "scaling", 0.2, "median")
    mine, others = (settings_of(cell, rounds, seed=0) for rounds in (12, 3))
    poisoning.path_of(cell, tmp_path).write_text(json.dumps({"settings": mine, "rows": []}))

    assert poisoning.stored(cell, mine, tmp_path) == {"settings": mine, "rows": []}
    assert poisoning.stored(cell, others, tmp_path) == {}


def test_refused_replies_are_counted_by_method_and_by_who_sent_them(tmp_path):
    told = [("refused", "cwa", "plant-01"), ("refused", "cwa", "plant-02")]
    told += [("refused", "cwa", "plant-02"), ("late", "cwa", "plant-02"), ("resumed", "", "")]
    events = [{"event": kind, "strategy": name, "site": site} for kind, name, site in told]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, events)))

    counted = refusals(tmp_path / "events.jsonl", malicious={"plant-02"})

    assert counted == {("cwa", True): 2, ("cwa", False): 1}


def test_a_row_of_the_page_has_each_method_their_mean_and_shares_of_refused_replies():
    """Two methods, 0.8 and 0.6; 36 of 48 attackers' replies refused, of 192 honest ones none."""
    row = {"defence": "median", "auc_pr": 0.5, "s": 0.25, "attackers": 24, "honest": 96}
    row |= {"refused_attackers": 18, "refused_honest": 0}
    group = pd.DataFrame(
        [
            {**row, "strategy": "fedavg", "balanced_accuracy": 0.8},
            {**row, "strategy": "cwa", "balanced_accuracy": 0.6},
        ]
    )

    line = poisoning.scenario_table(group).splitlines()[-1]

    failed = "failed | failed | failed"
    figures = f"0.800 | {failed} | 0.600 | failed | 0.700 | 0.500 | 0.250 | 75% | 0%"
    assert line == f"| median | {figures} |"


def test_an_altered_app_has_our_settings_and_one_more(tmp_path):
    (tmp_path / "module.py").write_text("")
    app = write_altered_app(tmp_path / "app", tmp_path / "module.py", "adversary")

    config = tomllib.loads((app / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    ours = {**RunConfig.from_mapping({}).to_mapping(), **default_settings()}
    assert flat(config) == {**ours, "adversary": ""}
