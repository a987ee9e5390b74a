"""A data set, a twin and an aggregation rule of somebody's own, from the pages that show them."""

import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from dtfl_app.bundle.folder import read_folder
from dtfl_app.core import registry
from dtfl_app.core.config import RunConfig
from dtfl_app.core.errors import ConfigError, FederationError, TwinError
from dtfl_app.evaluation.saved_model import evaluate_file
from dtfl_app.inputs.twin_data import make_twin_data
from dtfl_app.inputs.twins import TWINS
from dtfl_app.rounds.aggregation import aggregate, shortfall
from dtfl_app.rounds.rules import RULES
from dtfl_app.sites.catalogue import DATASETS, open_dataset
from dtfl_app.strategies.registry import STRATEGIES
from tests.support.places import REPOSITORY
from tests.support.runs import Launcher, Run
from tests.support.settings import keyed

OWN = {
    "dataset": "tank_sites:TankSites",
    "twin__kind": "two_tanks:TwoTanks",
    "twin__recording": "",
    "twin__scenarios": 3,
    "twin__hours": 24,
    "trust__aggregation": "middle:Middle",
    "trust__options": "steps=4",
}


def code_of(page: str) -> str:
    """The one Python module that a page shows."""
    text = (REPOSITORY / "docs" / page).read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    return code


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    pages = {
        "tank_sites": "your-dataset.md",
        "two_tanks": "your-twin.md",
        "middle": "trust.md",
    }
    for name, page in pages.items():
        (folder / f"{name}.py").write_text(code_of(page))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return Launcher(tmp_path_factory.mktemp("runs"), Path(), Path())


@pytest.fixture(scope="module")
def whole(launcher) -> Run:
    return launcher.run(strategy="cwa,fedavg", **OWN)


def config(**settings) -> RunConfig:
    return RunConfig.from_mapping(keyed(**{**OWN, **settings}))


def twin_data(folder, **settings):
    chosen = config(cache_dir=str(folder), **settings)
    return make_twin_data(chosen, open_dataset(chosen))


def test_the_pages_show_what_is_written_for_their_readers():
    thin = REPOSITORY / "dtfl_app" / "cli" / "thin"

    assert code_of("your-dataset.md") == (thin / "tank_sites.py").read_text()
    assert code_of("your-twin.md") == (thin / "two_tanks.py").read_text()


def test_all_three_take_part_in_a_run_to_its_end(whole):
    last = whole.lines("cwa")[-1]
    about = json.loads((whole.path / "config.json").read_text())

    assert [line.round for line in whole.lines("cwa")] == [0, 1, 2, 3]
    assert (last.sites, last.server_steps > 0) == (3, True)
    assert last.metrics is not None and last.metrics.events == 3
    assert (about["twin"], about["scored"]) == ("two_tanks:TwoTanks", False)
    assert read_folder(whole.path / "deploy" / "cwa").site_schema.schema.name == "two-tanks"


def test_a_run_with_parts_of_ones_own_repeats_byte_for_byte(whole, launcher):
    again = launcher.run(strategy="cwa,fedavg", grid={"backwards": True, "ids_seed": 9}, **OWN)

    for name in ("cwa", "fedavg"):
        first, second = (run.path / "models" / f"{name}.safetensors" for run in (whole, again))
        assert first.read_bytes() == second.read_bytes()


def test_a_further_file_is_judged_by_the_model(whole, tmp_path):
    dataset = open_dataset(config(data__seed=5))
    dataset.recorded(0, 1, leak=True).to_csv(tmp_path / "later.csv", index=False)

    found = evaluate_file(
        whole.path, whole.path / "models" / "cwa.safetensors", tmp_path / "later.csv"
    )

    assert len(found.alarms) == 1440
    assert found.alarms["label"].sum() == 59


def test_a_data_set_can_bring_its_twin_and_the_run_s_options_come_first(modules, tmp_path):
    (modules / "with_twin.py").write_text(
        "from dtfl_app.sites.federation import OwnTwin\n"
        "from tank_sites import TankSites\n\n\n"
        "class WithTwin(TankSites):\n"
        "    own_twin = OwnTwin('two_tanks:TwoTanks', options='valve=1.4, leak=1.0')\n"
    )
    brought = {"dataset": "with_twin:WithTwin", "twin__kind": "auto"}

    own = twin_data(tmp_path, **brought)
    changed = twin_data(tmp_path, **brought, twin__options="valve=1.5")
    named = twin_data(tmp_path, twin__options="valve=1.4, leak=1.0")

    assert own is not None and changed is not None and named is not None
    assert own.fingerprint == named.fingerprint != changed.fingerprint


def test_a_twin_s_data_is_cached_and_a_failed_scenario_counted_and_named(modules, tmp_path, caplog):
    (modules / "frail.py").write_text(
        "from two_tanks import TwoTanks\n\n\n"
        "class Frail(TwoTanks):\n"
        "    def simulate(self, scenario):\n"
        "        if scenario.name.endswith('001'):\n"
        "            raise ValueError('the step size is too small')\n"
        "        return super().simulate(scenario)\n"
    )

    made = twin_data(tmp_path, twin__kind="frail:Frail", twin__workers=2)
    again = twin_data(tmp_path, twin__kind="frail:Frail", twin__workers=1)

    assert made is not None and again is not None
    assert made.source.endswith("simulated h/s, 1 dropped")
    assert again.source.endswith("from the cache, 1 dropped")
    assert "'two-tanks-001' dropped: ValueError: the step size is too small" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("channels=SCHEMA.channels[:2]", r"only the sites have lower \[m\]"),
        ("channels=SCHEMA.channels[::-1]", r"their order is lower \[m\], upper \[m\], inflow"),
        ("period_s=30.0", "the twin gives a sample every 30 s, the sites one every 60 s"),
    ],
)
def test_a_twin_of_other_channels_than_the_sites_is_refused(modules, tmp_path, change, message):
    name = re.sub(r"\W+", "_", change)
    (modules / f"{name}.py").write_text(
        "from dataclasses import replace\n"
        "from two_tanks import SCHEMA, TwoTanks\n\n\n"
        f"class Other(TwoTanks):\n    schema = replace(SCHEMA, {change})\n"
    )

    with pytest.raises(ConfigError, match=message):
        twin_data(tmp_path, twin__kind=f"{name}:Other")


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("return 7", ConfigError, "builds int, which is no twin; expected schema, fingerprint"),
        ("return open('none')", TwinError, "cannot be built: FileNotFoundError: .*'none'"),
    ],
)
def test_what_is_built_and_is_no_twin_is_refused(modules, tmp_path, body, error, message):
    name = "no_twin_" + body.partition(" ")[2][:1]
    (modules / f"{name}.py").write_text(
        "class Mine:\n"
        "    @classmethod\n"
        f"    def from_options(cls, options, around):\n        {body}\n"
    )

    with pytest.raises(error, match=message):
        twin_data(tmp_path, twin__kind=f"{name}:Mine")


def test_settings_of_our_twins_are_not_dropped_for_another(tmp_path):
    with pytest.raises(ConfigError, match=r"twin\.demand-factor = 1\.3 is for the twins ctown"):
        twin_data(tmp_path, twin__demand_factor=1.3)


def test_sites_that_disagree_on_the_schema_are_one_error_that_names_them(modules, launcher):
    (modules / "torn.py").write_text(
        "from dataclasses import replace\n"
        "from tank_sites import TankSites\n\n\n"
        "class Torn(TankSites):\n"
        "    def load_site(self, index, k):\n"
        "        data = super().load_site(index, k)\n"
        "        return replace(data, schema=replace(data.schema, period_s=60.0 + index))\n"
    )

    with pytest.raises(FederationError, match=r"site 'site-02' has schema .*must use the same"):
        launcher.run(strategy="fedavg", **{**OWN, "dataset": "torn:Torn", "round__quorum": 1.0})


@pytest.mark.parametrize(
    ("known", "path"),
    [
        (DATASETS, "tank_sites:TankSites"),
        (TWINS, "two_tanks:TwoTanks"),
        (RULES, "middle:Middle"),
        (STRATEGIES, "dtfl_app.strategies.fedavg:FedAvg"),
    ],
)
def test_a_package_can_register_a_short_name_for_each_kind(monkeypatch, known, path):
    there = [EntryPoint("mine", path, known.group)]
    monkeypatch.setattr(registry, "entry_points", lambda group: there * (group == known.group))

    assert known.find("mine") is known.find(path)
    with pytest.raises(
        ConfigError, match=r"is unknown; expected one of .*\bmine\b.*you mean 'mine'"
    ):
        known.find("minne")


def replies(*values: float) -> list[dict[str, np.ndarray]]:
    return [{"w": np.array([value], dtype=np.float32)} for value in values]


def test_the_page_s_rule_goes_towards_the_middle():
    """From the mean of 0, 0 and 9, 3, distances are 3, 3 and 6: 9 (1/6) / (1/3 + 1/3 + 1/6)."""
    trust = config(trust__options="steps=1").trust

    assert aggregate(replies(0, 0, 9), [1.0] * 3, trust)["w"] == pytest.approx([1.8])
    assert aggregate(replies(0, 0, 9, 7), [1.0, 1.0, 1.0, 0.0], trust)["w"] == pytest.approx([1.8])
    assert shortfall(2, trust) == "the middle of 2 replies is their mean"
    assert shortfall(3, trust) is None


@pytest.mark.parametrize(
    ("merged", "message"),
    [
        ("{}", r"gives \[\], expected layers \['w'\]; mend its merge"),
        ("None", "gives NoneType, expected layers"),
        ("{'w': replies[0]['w'][None]}", r"layer 'w' as float32 \(1, 1\), expected \(1,\)"),
        ("{'w': replies[0]['w'] / 0}", "layer 'w' with values that are not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_rule_that_gives_no_model_is_named(modules, merged, message):
    name = "broken" + re.sub(r"\W+", "_", merged)
    (modules / f"{name}.py").write_text(
        "from dtfl_app.rounds.rules import Rule\n\n\n"
        f"class Broken(Rule):\n    def merge(self, replies, weights):\n        return {merged}\n"
    )

    trust = config(trust__aggregation=f"{name}:Broken", trust__options="").trust

    with pytest.raises(FederationError, match=message):
        aggregate(replies(1, 2), [1.0, 1.0], trust)
