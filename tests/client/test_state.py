"""What a site keeps on disk: across processes, whole or set aside, within its limit."""

import json
import logging
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, MetricRecord, RecordDict

from dtfl_app.client.state import SiteState, site_state
from dtfl_app.core.errors import ConfigError, ReplyError
from dtfl_app.core.sections import StateSettings
from dtfl_app.messages.wire import to_arrays, to_record
from tests.support.places import REPOSITORY

MODEL = np.arange(6, dtype=np.float32).reshape(2, 3)
TEACHER = np.array([-3, 7], dtype=np.int8)


def memory(home: Path, run: str = "ab12", limit: int = 10**6, site: str = "pump 1") -> SiteState:
    return SiteState(home, site, run, limit)


def empty() -> Context:
    return Context(1, 7, {}, RecordDict(), {})


def filled(model: np.ndarray = MODEL, run: str = "ab12") -> Context:
    """A site that holds a model and a teacher, owes rounding errors and has been calibrated."""
    context = empty()
    context.state["state-of"] = ConfigRecord({"run": run})
    context.state["held-arrays"] = to_record({"model/w": model, "teacher/w:0": TEACHER})
    context.state["upload-errors"] = to_record({"w": model * 0.1})
    context.state["upload-errors-of"] = ConfigRecord({"tag": "cwa/3"})
    context.state["calibration"] = MetricRecord({"calibration-counts": [2], "scores": [0.1, 1e-17]})
    return context


def plain(context: Context):
    """The state as comparable values."""
    state = context.state
    arrays = {
        (record, name): (array.dtype.str, array.shape, array.tobytes())
        for record, held in state.array_records.items()
        for name, array in to_arrays(held).items()
    }
    others = {**state.metric_records, **state.config_records}
    return arrays, {name: dict(record) for name, record in others.items()}


def loaded(home: Path, **which) -> Context:
    context = empty()
    memory(home, **which).load(context)
    return context


def bare(run: str = "ab12"):
    """What a site that holds nothing knows: whose state it is."""
    return {}, {"state-of": {"run": run}}


def files(home: Path) -> dict[str, int]:
    """Every file of the site's folder, with the moment it was written."""
    return {
        str(path.relative_to(home)): path.stat().st_mtime_ns
        for path in home.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def warnings(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("flwr"), "propagate", True)
    caplog.set_level(logging.INFO, logger="flwr.dtfl")
    return caplog


# --- there and back -------------------------------------------------------------------------------


def test_what_a_site_keeps_outlives_its_process(tmp_path):
    memory(tmp_path).save(filled())

    assert plain(loaded(tmp_path)) == plain(filled())


def test_the_state_in_memory_is_newer_than_the_one_on_disk(tmp_path):
    memory(tmp_path).save(filled())
    context = filled(MODEL + 1)

    memory(tmp_path).load(context)

    assert plain(context) == plain(filled(MODEL + 1))


def test_runs_do_not_see_each_other_s_state(tmp_path):
    memory(tmp_path).save(filled())
    context = filled()

    memory(tmp_path, run="cd34").load(context)

    assert plain(context) == bare("cd34")


def test_what_did_not_change_is_not_written_again(tmp_path):
    """Model and errors change, the teacher stays: two new files of arrays, and the index."""
    memory(tmp_path).save(filled())
    before = files(tmp_path)

    memory(tmp_path).save(filled(MODEL + 1))

    after = files(tmp_path)
    kept = {name for name in before if after.get(name) == before[name]}
    assert (len(before), len(after), len(kept)) == (4, 4, 1)
    assert TEACHER.tobytes() in (tmp_path / kept.pop()).read_bytes()


def test_no_file_holds_a_pickle(tmp_path):
    memory(tmp_path).save(filled())

    contents = {Path(name).name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    assert json.loads(contents.pop("state.json"))["site"] == "pump 1"
    for content in contents.values():
        size = int.from_bytes(content[:8], "little")
        assert json.loads(content[8 : 8 + size])


def test_only_the_site_s_own_account_may_look(tmp_path):
    memory(tmp_path / "site").save(filled())

    assert (tmp_path / "site").stat().st_mode & 0o077 == 0


# --- damage ---------------------------------------------------------------------------------------


def damage_index(folder: Path) -> None:
    (folder / "state.json").write_text("{")


def other_checksum(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text().replace("cwa/3", "cwa/4"))


def listed_index(folder: Path) -> None:
    (folder / "state.json").write_text("[1, 2]")


def no_index(folder: Path) -> None:
    (folder / "state.json").unlink()


def no_array(folder: Path) -> None:
    next(p for p in folder.iterdir() if p.name != "state.json").unlink()


def flipped_bit(folder: Path) -> None:
    path = next(p for p in folder.iterdir() if p.name != "state.json")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def cut_short(folder: Path) -> None:
    path = next(p for p in folder.iterdir() if p.name != "state.json")
    path.write_bytes(path.read_bytes()[:-3])


def of_another_site(folder: Path) -> None:
    other = folder.parent.parent / "other"
    memory(other, site="pump 2").save(filled())
    (other / "ab12" / "state.json").replace(folder / "state.json")


DAMAGE = [
    damage_index,
    other_checksum,
    listed_index,
    no_index,
    no_array,
    flipped_bit,
    cut_short,
    of_another_site,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_state_is_set_aside_and_the_site_holds_nothing(
    tmp_path, warnings, damage
):
    home = tmp_path / "site"
    memory(home).save(filled())
    damage(home / "ab12")

    context = loaded(home)

    assert plain(context) == bare()
    assert (home / "ab12.damaged").is_dir()
    assert not (home / "ab12").exists()
    assert "state set aside as" in warnings.text


def test_after_damage_the_next_state_is_whole_and_a_second_damage_replaces_the_first(tmp_path):
    for model in (MODEL, MODEL + 1):
        memory(tmp_path).save(filled(model))
        assert plain(loaded(tmp_path)) == plain(filled(model))
        flipped_bit(tmp_path / "ab12")
        assert plain(loaded(tmp_path)) == bare()

    assert [path.name for path in tmp_path.iterdir()] == ["ab12.damaged"]


def test_what_a_killed_process_left_half_written_does_not_count(tmp_path):
    """A file aside, and arrays whose index was never written: the last state is still whole."""
    memory(tmp_path).save(filled())
    (tmp_path / "ab12" / ".state.json.999").write_text('{"for')
    (tmp_path / "ab12" / ("0" * 64)).write_bytes(b"arrays")

    assert plain(loaded(tmp_path)) == plain(filled())
    memory(tmp_path).save(filled())
    assert len(files(tmp_path)) == 4


# --- limits ---------------------------------------------------------------------------------------


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_older_runs_make_room_the_oldest_first(tmp_path, warnings):
    for age, run in enumerate(("c3", "b2", "a1")):
        memory(tmp_path, run=run).save(filled(run=run))
        os.utime(tmp_path / run, ns=(0, (100 - age) * 10**9))
    size = size_of(tmp_path / "a1")

    memory(tmp_path, run="d4", limit=3 * size + size // 2).save(filled(run="d4"))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["b2", "c3", "d4"]
    assert "state of run a1 makes room" in warnings.text


def test_a_state_above_the_limit_stays_in_memory_and_an_older_one_does_not_pass_for_it(
    tmp_path, warnings
):
    memory(tmp_path).save(filled())
    context = filled(MODEL + 1)

    memory(tmp_path, limit=500).save(context)

    assert plain(context) == plain(filled(MODEL + 1))
    assert plain(loaded(tmp_path)) == bare()
    assert "state.limit-mb is 0.0005" in warnings.text


def test_a_folder_that_cannot_be_made_costs_no_round(tmp_path, warnings):
    (tmp_path / "site").write_text("a file where the folder should be")
    context = filled()

    memory(tmp_path / "site").save(context)
    memory(tmp_path / "site").load(context)

    assert plain(context) == plain(filled())
    assert "state stays in memory" in warnings.text


def test_a_folder_that_cannot_be_read_leaves_the_site_without_state(tmp_path, warnings):
    (tmp_path / "site").write_text("a file where the folder should be")

    assert plain(loaded(tmp_path / "site")) == bare()
    assert "cannot be read" in warnings.text


def test_a_full_disk_costs_no_round_and_leaves_the_last_state(tmp_path):
    """In a process that may write files of 4 kB at most, a state of 40 kB follows one of 1 kB."""
    memory(tmp_path).save(filled())
    code = f"""
        import resource
        from pathlib import Path
        import numpy as np
        from tests.client.test_state import filled, memory, plain
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        context = filled(np.zeros((100, 100), np.float32))
        memory(Path({str(tmp_path)!r})).save(context)
        assert plain(context) == plain(filled(np.zeros((100, 100), np.float32)))
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "state stays in memory" in done.stderr
    assert plain(loaded(tmp_path)) == plain(filled())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_two_processes_of_one_site_leave_the_state_of_one_of_them_whole(tmp_path):
    """Both write states, all arrays of one are of one value, until a reader has seen 20 of them."""
    home, enough = tmp_path / "home", tmp_path / "enough"
    home.mkdir()
    code = f"""
        import sys
        from itertools import count
        from pathlib import Path
        import numpy as np
        from tests.client.test_state import filled, memory
        for number in count():
            value = np.float32(int(sys.argv[1]) * 100_000 + number)
            memory(Path({str(home)!r})).save(filled(np.full((2, 3), value)))
            if Path({str(enough)!r}).exists():
                break
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    writers = [subprocess.Popen([*command, str(n)], cwd=REPOSITORY) for n in (1, 2)]

    seen = set()
    try:
        while len(seen) < 20 and all(writer.poll() is None for writer in writers):
            arrays, _ = plain(loaded(home))
            if arrays:
                model = np.frombuffer(arrays["held-arrays", "model/w"][2], np.float32)
                lost = np.frombuffer(arrays["upload-errors", "w"][2], np.float32)
                np.testing.assert_allclose(lost, model * 0.1, rtol=1e-6)
                seen.add(float(model[0]))
    finally:
        enough.touch()

    assert [writer.wait() for writer in writers] == [0, 0]
    assert not (home / "ab12.damaged").exists()
    assert plain(loaded(home))[0]
    assert len(files(home)) == 4
    assert len(seen) == 20


# --- where ----------------------------------------------------------------------------------------


def found(node=None, run="ab12", **settings):
    context = Context(1, 7, node or {}, RecordDict(), {})
    return site_state("pump/1", run, context, StateSettings(**settings))


def test_the_node_s_folder_comes_before_the_run_s(tmp_path):
    state = found({"state.dir": str(tmp_path)}, dir="/elsewhere", limit_mb=2.5)

    assert state == SiteState(tmp_path / "pump%2F1", "pump/1", "ab12", 2_500_000)
    assert found(dir="/elsewhere").home == Path("/elsewhere/pump%2F1")


def test_without_a_folder_or_a_run_nothing_is_kept_on_disk():
    assert found() is None
    assert found({"state.dir": ""}, dir="/elsewhere") is None
    assert found(run="", dir="/elsewhere") is None


@pytest.mark.parametrize("run", ["../ab", "ab/cd", "AB12", ".", "a" * 65])
def test_a_server_cannot_choose_another_folder_by_the_run_s_name(run):
    with pytest.raises(ReplyError, match="expected up to 64 hexadecimal digits"):
        found(run=run, dir="/elsewhere")


@pytest.mark.parametrize("folder", [5, True, "state", "./state"])
def test_a_folder_that_depends_on_where_a_process_starts_is_an_error(folder):
    with pytest.raises(ConfigError, match=rf"state.dir = {folder!r}; expected .* from the root"):
        found({"state.dir": folder})
