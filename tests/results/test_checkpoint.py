import json
import math
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dtfl_app.core.errors import CheckpointError
from dtfl_app.results.checkpoint import Checkpoint, CheckpointFolder, require_same_run

SETTINGS = {"plants.days": 9, "train.lr": 0.001, "strategy": "cwa", "privacy.dp": False}


def checkpoint_of(round_number: int, strategy: str = "cwa", **changes) -> Checkpoint:
    """A model that counts the rounds, and one line of history per round."""
    made = {
        "settings": SETTINGS,
        "arrays": {"model/weight": np.full((2, 3), round_number, dtype=np.float32)},
        "notes": {"rounds": round_number},
        "history": [f'{{"round": {n}}}' for n in range(round_number)],
        "timings": [f'{{"round": {n}, "seconds": 0.5}}' for n in range(round_number)],
    }
    return Checkpoint(strategy=strategy, round=round_number, **{**made, **changes})


@pytest.fixture
def folder(tmp_path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints")


def names(folder: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def refusal(folder: CheckpointFolder, path=None) -> str:
    with pytest.raises(CheckpointError) as error:
        folder.latest() if path is None else folder.read(path)
    return str(error.value)


def test_a_checkpoint_comes_back_as_it_was_written(folder):
    """Every type that travels, no number, no row, and a matrix that does not lie in memory as read.

    safetensors' own writer copies the memory of such a matrix: 0 1 2 3 4 5 for 0 3 1 4 2 5.
    """
    arrays = {
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "every second": np.arange(10)[::2],
        "double": np.array([0.1, math.nan, -0.0]),
        "steps": np.array([-128, 127], dtype=np.int8),
        "flags": np.array([True, False]),
        "count": np.array(7),
        "empty": np.zeros((0, 3)),
    }
    written = checkpoint_of(3, arrays=arrays, notes={"order": [1, None, "ä\n\u202e"], "state": {}})

    path = folder.write(written)
    back = folder.read(path)

    assert path.name == "0001-cwa-000003.safetensors"
    assert (back.strategy, back.round, back.settings) == ("cwa", 3, SETTINGS)
    assert (back.history, back.timings) == (written.history, written.timings)
    assert back.notes == written.notes
    assert back.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(back.arrays[name], array)
    assert np.signbit(back.arrays["double"][2])


def test_numbers_that_are_not_finite_come_back_and_the_file_holds_strict_json(folder):
    notes = {"median": math.nan, "limits": [-math.inf, math.inf], "twin": None, "big": 2**127}

    path = folder.write(checkpoint_of(1, notes=notes))
    back = folder.read(path).notes

    assert math.isnan(back["median"])
    assert (back["limits"], back["twin"], back["big"]) == ([-math.inf, math.inf], None, 2**127)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header["__metadata__"]["dtfl-checkpoint"].split(" ", 2)[2]
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(
    ("notes", "named"),
    [
        ({"a": {"b": [0, np.float32(1)]}}, r"checkpoint\.notes\.a\.b\[1\] is a float32"),
        ({"sites": {1: "one"}}, r"checkpoint\.notes\.sites has the key 1; expected text"),
        ({"rng": object()}, r"checkpoint\.notes\.rng is a object"),
    ],
)
def test_notes_that_would_come_back_as_something_else_are_refused(folder, notes, named):
    with pytest.raises(TypeError, match=named):
        folder.write(checkpoint_of(1, notes=notes))

    assert not folder.path.exists() or names(folder) == []


def test_the_same_checkpoint_has_the_same_bytes_in_every_process(tmp_path):
    """Maps of safetensors are ordered by a hash that every process seeds anew."""
    script = (
        "import sys, pathlib, numpy as np\n"
        "from dtfl_app.results.checkpoint import *\n"
        "folder = CheckpointFolder(pathlib.Path(sys.argv[1]))\n"
        "arrays = {c: np.zeros(2) for c in 'abcdefgh'}\n"
        "folder.write(Checkpoint('cwa', 1, {}, arrays, {'x': 1, 'y': 2}, [], []))\n"
    )
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", script, tmp_path / name], check=True)

    one, two = (tmp_path / name / "0001-cwa-000001.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_the_last_two_are_kept_also_when_the_next_strategy_begins(folder):
    for round_number in (0, 5, 10):
        folder.write(checkpoint_of(round_number, "lpe"))
    folder.write(checkpoint_of(0, "cwa", history=["{}"] * 11))

    assert names(folder) == ["0003-lpe-000010.safetensors", "0004-cwa-000000.safetensors"]
    assert folder.latest().strategy == "cwa"


def test_as_many_as_asked_for_are_kept_and_never_less_than_two(tmp_path):
    for keep, kept in ((1, 2), (5, 5)):
        folder = CheckpointFolder(tmp_path / str(keep), keep)
        for round_number in range(7):
            folder.write(checkpoint_of(round_number))
            assert len(names(folder)) == min(kept, round_number + 1)


def test_a_strategy_of_ones_own_gets_a_file_name_every_system_takes(folder):
    folder.write(checkpoint_of(1, "my_pkg.mine:Mine"))

    assert names(folder) == ["0001-my_pkg.mine.Mine-000001.safetensors"]
    assert folder.latest().strategy == "my_pkg.mine:Mine"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> bytes:
    folder = CheckpointFolder(tmp_path_factory.mktemp("written"))
    return folder.write(checkpoint_of(5)).read_bytes()


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_found(written, tmp_path_factory, place, bit):
    """Length, version, digest, metadata, padding, tensors: all are under the digest or of fixed
    form."""
    content = bytearray(written)
    content[int(place * len(content))] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "0001-cwa-000005.safetensors"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"checkpoint .*0001-cwa-000005\.safetensors: "):
        CheckpointFolder(path.parent / "none").read(path)


def test_every_byte_of_the_head_counts(written, tmp_path):
    """The first 200 bytes, one by one: length, name of the entry, version, digest, first notes."""
    path = tmp_path / "0001-cwa-000005.safetensors"
    for place in range(200):
        path.write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
        with pytest.raises(CheckpointError):
            CheckpointFolder(tmp_path).read(path)


@pytest.mark.parametrize(
    ("share", "said"), [(0.0, "empty"), (0.02, "head is damaged"), (0.5, "cut short")]
)
def test_a_file_cut_short_says_so(written, tmp_path, share, said):
    path = tmp_path / "0001-cwa-000005.safetensors"
    for length in (int(share * len(written)), len(written) - 1):
        path.write_bytes(written[:length])
        reason = refusal(CheckpointFolder(tmp_path))
        assert (said if length < len(written) - 1 else "cut short") in reason


def test_bytes_too_many_are_found(written, tmp_path):
    (tmp_path / "0001-cwa-000005.safetensors").write_bytes(written + b"\0")

    assert "damaged: its content is not what was written" in refusal(CheckpointFolder(tmp_path))


def test_a_safetensors_file_of_others_is_no_checkpoint(folder, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"weight": np.zeros(3)}, path, metadata={"dtfl": "{}"})

    assert "not a checkpoint of this app" in refusal(folder, path)


def test_a_later_format_is_named(folder, written, tmp_path):
    path = tmp_path / "0001-cwa-000005.safetensors"
    path.write_bytes(written.replace(b'"dtfl-checkpoint":"1 ', b'"dtfl-checkpoint":"2 ', 1))

    assert "of format 2, and this version of the app reads format 1" in refusal(folder, path)


def test_a_copy_elsewhere_verifies_itself(folder, tmp_path):
    copy = shutil.copy(folder.write(checkpoint_of(5)), tmp_path / "copy.safetensors")

    assert CheckpointFolder(tmp_path).read(copy).round == 5


def test_a_damaged_checkpoint_is_not_replaced_by_itself_but_the_one_before_is_offered(folder):
    before, last = folder.write(checkpoint_of(5)), folder.write(checkpoint_of(10))
    last.write_bytes(last.read_bytes()[:-3])

    reason = refusal(folder)

    assert reason.startswith(f"checkpoint {last}: cut short (")
    assert reason.endswith(f"the last good one is that of cwa after round 5: resume={before}")
    assert folder.read(before).round == 5


def test_where_none_is_good_the_run_must_start_anew(folder):
    for round_number in (5, 10):
        folder.write(checkpoint_of(round_number)).write_bytes(b"\0" * 500)

    assert refusal(folder).endswith("no good one beside it, so the run must be started anew")


def test_a_missing_checkpoint_names_the_one_there_is(folder):
    there = folder.write(checkpoint_of(5))

    reason = refusal(folder, folder.path / "0009-cwa-000045.safetensors")

    assert "0009-cwa-000045.safetensors: there is no such file" in reason
    assert f"resume={there}" in reason


def test_a_folder_without_checkpoints_says_how_they_come_about(folder):
    assert "no checkpoint here; the setting checkpoint-every" in refusal(folder)


def test_what_a_killed_process_left_is_ignored_and_removed(folder):
    folder.write(checkpoint_of(5))
    leftover = folder.path / ".0002-cwa-000010.safetensors.4711"
    leftover.write_bytes(b"half a checkpoint")

    assert folder.latest().round == 5
    assert leftover.exists()
    folder.write(checkpoint_of(10))

    assert names(folder) == ["0001-cwa-000005.safetensors", "0002-cwa-000010.safetensors"]


WRITE_ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from dtfl_app.core.errors import CheckpointError
from dtfl_app.results.checkpoint import Checkpoint, CheckpointFolder

folder = CheckpointFolder(Path(sys.argv[1]))
big = Checkpoint("cwa", 10, {}, {"model": np.zeros(100_000)}, {}, [], [])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    folder.write(big)
except CheckpointError as error:
    print(error)
"""


def test_a_full_disk_leaves_those_before_and_no_half_file(folder):
    """The system takes 50 of 800 kB and then no more, as on a full disk."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    folder.write(checkpoint_of(0))
    folder.write(checkpoint_of(5))

    done = subprocess.run(
        [sys.executable, "-c", WRITE_ON_A_FULL_DISK, folder.path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "0003-cwa-000010.safetensors: the checkpoint cannot be written" in done.stdout
    assert "those before it are as they were" in done.stdout
    assert names(folder) == ["0001-cwa-000000.safetensors", "0002-cwa-000005.safetensors"]
    assert folder.latest().round == 5


def test_a_place_that_takes_no_files_is_one_clear_error(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")

    with pytest.raises(CheckpointError, match=r"cannot be written .*\(results-dir\)"):
        CheckpointFolder(tmp_path / "checkpoints").write(checkpoint_of(5))


def test_all_are_listed_with_what_is_wrong_with_them(folder):
    folder.write(checkpoint_of(5, "my:Own"))
    folder.write(checkpoint_of(10)).write_bytes(b"")

    good, bad = folder.stored()

    assert (good.number, good.strategy, good.round, good.fault) == (1, "my.Own", 5, "")
    assert good.size == good.path.stat().st_size
    assert (bad.number, bad.strategy, bad.round, bad.size) == (2, "cwa", 10, 0)
    assert bad.fault == "empty (0 bytes)"


def test_what_came_after_is_removed_and_so_is_what_is_damaged(folder):
    """Taken up after round 5: its history is that of round 5, and part of round 10's."""
    folder = CheckpointFolder(folder.path, keep=4)
    for round_number in (0, 5, 10, 15):
        folder.write(checkpoint_of(round_number))
    (folder.path / "0001-cwa-000000.safetensors").write_bytes(b"damaged")

    folder.cut(checkpoint_of(5).history)

    assert names(folder) == ["0002-cwa-000005.safetensors"]
    assert folder.write(checkpoint_of(10)).name == "0003-cwa-000010.safetensors"


def test_settings_that_shape_no_result_may_differ():
    places = {"results-dir": "/elsewhere", "resume": "x", "twin.workers": 3, "state.dir": "s"}

    require_same_run(checkpoint_of(5), {**SETTINGS, **places})


def test_every_setting_that_differs_is_named_with_both_values():
    now = {**SETTINGS, "plants.days": 28, "strategy": "lpe", "twin.kind": "none"}
    del now["train.lr"]

    with pytest.raises(CheckpointError) as error:
        require_same_run(checkpoint_of(5), now)

    assert str(error.value) == (
        "the checkpoint is of a run with other settings: plants.days is 9 in the checkpoint, 28 "
        'now; strategy is "cwa" in the checkpoint, "lpe" now; train.lr is 0.001 in the checkpoint, '
        'not set now; twin.kind is not set in the checkpoint, "none" now. Give the checkpoint\'s '
        "settings, or start a new run"
    )


def test_a_setting_that_came_after_the_run_may_have_its_default():
    require_same_run(checkpoint_of(5), {**SETTINGS, "data.event": 2})

    with pytest.raises(CheckpointError, match=r"data\.event is not set .*, 6 now"):
        require_same_run(checkpoint_of(5), {**SETTINGS, "data.event": 6})


def test_many_differences_are_cut_short():
    now = {**SETTINGS, **{f"key-{i}": i for i in range(10)}}

    with pytest.raises(CheckpointError, match=r"key-7 is not set .*; and 2 more\. Give"):
        require_same_run(checkpoint_of(5), now)


def test_arrays_come_back_in_the_order_in_which_they_went(folder):
    """Layers are grouped by their order; safetensors alone gives them in another each time."""
    layers = [f"model/layers.{place}.{part}" for place in (2, 0, 10) for part in ("weight", "bias")]
    arrays = {name: np.full(2, place, np.float32) for place, name in enumerate(layers)}
    path = folder.write(checkpoint_of(1, arrays=arrays))

    assert all(list(folder.read(path).arrays) == layers for _ in range(20))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from dtfl_app.results.checkpoint import Checkpoint, CheckpointFolder
folder = CheckpointFolder(Path(sys.argv[1]))
for n in range(10**6):
    arrays = {"model/weight": np.full(500_000, n, dtype=np.float32)}
    folder.write(Checkpoint("cwa", n, {}, arrays, {}, [], []))
    print(n, flush=True)
"""


def test_a_process_killed_while_it_writes_leaves_a_good_checkpoint(folder):
    """It does nothing but write 2 MB checkpoints, and is killed at some moment after the third.

    The last one that it said was written is there whole, or a later one.
    """
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(folder.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            said = [int(process.stdout.readline()) for _ in range(3)]
            process.kill()
            said += [int(line) for line in process.stdout]

        latest = folder.latest()

        assert latest.round >= said[-1]
        assert (latest.arrays["model/weight"] == latest.round).all()
        assert all(not stored.fault for stored in folder.stored())
        shutil.rmtree(folder.path)
