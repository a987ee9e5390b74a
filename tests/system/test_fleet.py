"""A SuperLink and three gateways over TLS, as processes, each site with a file of its own."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dtfl_app.engine.launch import SuperLink, simulate
from dtfl_app.results.comparison import compare_runs
from dtfl_app.results.lines import RoundLine, read_lines
from dtfl_app.results.run_events import EVENTS, read_events
from tests.support.fleet import Fleet, Process, fleet, wait_until
from tests.support.places import REPOSITORY
from tests.support.site_folder import SITES, SiteFolder, make_site_folder

# Seconds to wait for what takes a few: a machine may be busy with other things.
PATIENCE = 240

SETTINGS = {
    "dataset": "files",
    "sites": 3,
    "rounds": 3,
    "strategy": "cwa",
    "twin.scenarios": 1,
    "twin.steps": 10,
    "twin.warm-steps": 10,
    "detector.hidden": 16,
    "detector.latent": 2,
    "join-timeout": 60.0,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SiteFolder:
    return make_site_folder(tmp_path_factory.mktemp("fleet-data"))


@pytest.fixture(scope="module")
def settings(data: SiteFolder) -> dict[str, object]:
    places = {
        "data.schema": str(data.schema),
        "data.evaluation-file": str(data.evaluation),
        "twin.recording": str(data.recording),
        "cache-dir": str(data.folder / "cache"),
    }
    return {**SETTINGS, **places}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("fleet")) as made:
        made.superlink()
        yield made


@pytest.fixture(scope="module")
def gateways(running: Fleet, data: SiteFolder) -> dict[str, Process]:
    for name in SITES:
        running.key(name)
    started = {name: running.site(name, data.site(name), data.schema) for name in SITES}
    for process in started.values():
        process.says("SuperNode ID", PATIENCE)
    return started


@pytest.fixture(scope="module")
def simulated(
    engine: SuperLink, data: SiteFolder, settings: dict[str, object], tmp_path_factory
) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    places = {"data.dir": str(data.folder), "results-dir": str(folder), "run-name": "run"}
    list(simulate(engine, REPOSITORY, {**settings, **places}, sites=3, actors=2))
    return folder / "run"


def lines_of(run: Path) -> list[RoundLine]:
    return read_lines(run / "metrics.jsonl") if (run / "metrics.jsonl").exists() else []


def test_two_runs_at_once_both_end_as_the_simulation_does(
    running: Fleet,
    gateways: dict[str, Process],
    simulated: Path,
    settings: dict[str, object],
) -> None:
    """Node ids, order of replies, processes and TLS leave no trace: same bytes everywhere."""
    settings = {**settings, "trust.names": running.names}
    first = running.submitting("first", **settings)
    # Flower's own copying of an app is not made for two runs within a second (docs/operate.md).
    wait_until((running.results / "first").exists, PATIENCE, "the first run has begun")
    started = [first, running.submitting("second", **settings)]
    printed = [process.communicate(timeout=600)[0] for process in started]

    assert [process.returncode for process in started] == [0, 0], printed
    for name in ("first", "second"):
        assert [line.sites for line in lines_of(running.results / name)] == [0, 3, 3, 3]
        found = compare_runs(simulated, running.results / name)
        assert not found.differences
        assert found.tensors > 8
    assert re.search(r"cwa round 3/3: balanced accuracy 0\.\d", printed[0])


def test_tasks_run_in_forks_that_end_with_their_gateway(
    running: Fleet, gateways: dict[str, Process], data: SiteFolder
) -> None:
    folder = str(running.folder / "sites" / "east" / "warm")
    (waiting,) = (
        p for p in psutil.process_iter(["cmdline"]) if folder in (p.info["cmdline"] or [])
    )

    gateways["east"].end()

    waiting.wait(timeout=10)
    gateways["east"] = running.site("east", data.site("east"), data.schema)
    gateways["east"].says("SuperNode ID", PATIENCE)


def test_a_site_with_another_schema_and_one_without_its_file_are_left_out_by_name(
    running: Fleet, gateways: dict[str, Process], data: SiteFolder, settings: dict[str, object]
) -> None:
    other = data.folder / "other.toml"
    other.write_text(data.schema.read_text().replace('unit = "m"', 'unit = "cm"'))
    gateways["west"].end()
    gateways["west"] = running.site("west", data.site("west"), other)
    gateways["west"].says("SuperNode ID", PATIENCE)

    out = running.submit("left-out", **{**settings, "rounds": 1, "strategy": "fedavg"})

    assert "site 'west' has schema" in out.replace("\n", "")
    assert [line.sites for line in lines_of(running.results / "left-out")] == [0, 2]
    gateways["west"].end()
    gateways["west"] = running.site("west", data.site("west"), data.schema)
    gateways["west"].says("SuperNode ID", PATIENCE)


def test_a_node_that_calls_itself_by_another_s_name_is_refused_also_while_that_one_is_away(
    running: Fleet, gateways: dict[str, Process], data: SiteFolder, settings: dict[str, object]
) -> None:
    """East's key, under north's name, with north switched off."""
    for name in ("north", "east"):
        gateways[name].end()
    posing = running.site("east", data.site("east"), data.schema, DTFL_SITE="north")
    posing.says("SuperNode ID", PATIENCE)
    chosen = {**settings, "rounds": 1, "strategy": "fedavg", "sites": 0, "round.quorum": 0.4}

    running.submit("posing", **chosen, **{"trust.names": running.names})

    (reason,) = {event.reason for event in read_events(running.results / "posing" / EVENTS)}
    assert "calls itself 'north', which is not the name that its key was" in reason
    assert [line.sites for line in lines_of(running.results / "posing")] == [0, 1]
    posing.end()
    for name in ("north", "east"):
        gateways[name] = running.site(name, data.site(name), data.schema)
        gateways[name].says("SuperNode ID", PATIENCE)


def test_a_gateway_with_pins_runs_the_app_it_knows_and_tells_of_another(
    running: Fleet, gateways: dict[str, Process], data: SiteFolder, settings: dict[str, object]
) -> None:
    """North knows this app; east, pinned to another, starts none of its code."""
    pins = {"north": running.dtfl("pin", "--app", str(REPOSITORY)).strip(), "east": 64 * "0"}
    for name, pin in pins.items():
        gateways[name].end()
        gateways[name] = running.site(name, data.site(name), data.schema, DTFL_PIN=pin)
        gateways[name].says("SuperNode ID", PATIENCE)

    running.submit("pinned", **{**settings, "rounds": 1, "strategy": "fedavg"})

    # It is asked who it is before round 1, and again in it.
    (reason,) = {event.reason for event in read_events(running.results / "pinned" / EVENTS)}
    assert "this gateway runs the apps it is pinned to and no other" in reason
    assert [line.sites for line in lines_of(running.results / "pinned")] == [0, 2]
    gateways["east"].end()
    gateways["east"] = running.site("east", data.site("east"), data.schema)
    gateways["east"].says("SuperNode ID", PATIENCE)


@pytest.fixture(scope="module")
def bad_day(
    running: Fleet, gateways: dict[str, Process], data: SiteFolder, settings: dict[str, object]
) -> Path:
    """A gateway loses its power in a round and returns; then the SuperLink does, and returns."""
    run = running.results / "bad-day"
    chosen = {**settings, "rounds": 500, "round.timeout": 10.0, "checkpoint-every": 1}
    first = running.submitting("bad-day", **chosen)
    wait_until(lambda: len(lines_of(run)) > 2, PATIENCE, "two rounds")
    train = "Receiving: train"
    before = gateways["north"].text.count(train)
    wait_until(lambda: gateways["north"].text.count(train) > before, PATIENCE, "a task")
    gateways["north"].end(hard=True)
    gateways["north"] = _return(running, data)
    _await_full_rounds(run)
    running.started[0].end(hard=True)
    first.communicate(timeout=60)
    assert first.returncode != 0
    (run / "lines-before").write_text((run / "metrics.jsonl").read_text())

    running.started[0] = running.superlink()
    again = running.submitting("bad-day", **chosen, resume=run)
    wait_until(lambda: "resumed" in (run / "events.jsonl").read_text(), PATIENCE, "it goes on")
    _await_full_rounds(run)
    again.terminate()
    again.communicate(timeout=30)
    return run


def _await_full_rounds(run: Path) -> None:
    played = len(lines_of(run))
    wait_until(
        lambda: len(lines_of(run)) >= played + 2 and lines_of(run)[-1].sites == 3,
        PATIENCE,
        "rounds",
    )


def _return(running: Fleet, data: SiteFolder) -> Process:
    """Start the gateway again, as its supervisor does until its old session is over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        process = running.site("north", data.site("north"), data.schema)
        while process.process.poll() is None:
            if "SuperNode ID" in process.text:
                return process
            time.sleep(0.2)
        assert "Exit Code: 305" in process.text
    raise AssertionError("the gateway was never let in again")


def test_a_gateway_that_lost_its_power_is_not_waited_for_and_returns(bad_day: Path) -> None:
    sites = [json.loads(line)["sites"] for line in (bad_day / "lines-before").open()]

    assert sites[1:3] == [3, 3]
    assert 2 in sites
    assert sites[-1] == 3
    kinds = {json.loads(line)["event"] for line in (bad_day / "events.jsonl").open()}
    assert {"refused", "given-up", "resumed"} <= kinds


def test_a_superlink_that_lost_its_power_returns_and_the_run_goes_on(
    bad_day: Path, gateways: dict[str, Process]
) -> None:
    before = (bad_day / "lines-before").read_text().splitlines()
    after = (bad_day / "metrics.jsonl").read_text().splitlines()

    assert [line.round for line in lines_of(bad_day)] == list(range(len(after)))
    assert len(after) > len(before)
    # The last round may not have reached a checkpoint; it is then played anew, to the same line.
    assert after[: len(before)] == before
    assert all(process.process.poll() is None for process in gateways.values())
