import json
from dataclasses import replace

import numpy as np
import pytest

from dtfl_app.core.errors import DataError
from dtfl_app.results.comparison import compare_runs
from dtfl_app.results.saved_models import save_model
from tests.results.test_run_directory import MODEL
from tests.support.figures import line_of
from tests.support.run_folder import alarms_of, make_run


def with_model(path, **changes):
    params = {name: array.copy() for name, array in MODEL.params.items()} | changes
    save_model(path / "models" / "cwa.safetensors", replace(MODEL, params=params))
    return path


@pytest.fixture
def first(tmp_path):
    return with_model(make_run(tmp_path / "first"))


@pytest.fixture
def second(tmp_path):
    return with_model(make_run(tmp_path / "second"))


def differences(first, second) -> list[str]:
    return list(compare_runs(first, second).differences)


def test_two_runs_that_did_the_same_are_the_same_whatever_time_they_took(first, second):
    """Two strategies with three lines each; two tables of alarms and quality.json."""
    text = (second / "timings.jsonl").read_text()
    (second / "timings.jsonl").write_text(text.replace("0.5", "9.5"))

    found = compare_runs(first, second)

    assert found.differences == ()
    assert (found.lines, found.files, found.settings) == (6, 3, "")
    assert found.tensors > len(MODEL.params)


def test_a_run_from_before_times_stood_apart_compares_with_a_new_one(first, second):
    lines = [line_of("fedavg", n, a) for n, a in enumerate((0.5, 0.55, 0.6))]
    lines += [line_of("cwa", n, a) for n, a in enumerate((0.5, 0.85, 0.9))]
    old = [json.dumps({**json.loads(line.to_json()), "seconds": 7.0}) for line in lines]
    (second / "metrics.jsonl").write_text("\n".join(old))

    assert differences(first, second) == []


def test_the_first_line_that_differs_is_named_with_both_figures(first, second):
    text = (second / "metrics.jsonl").read_text()
    (second / "metrics.jsonl").write_text(
        text.replace('"balanced_accuracy": 0.8', '"balanced_accuracy": 0.7')
    )

    assert differences(first, second) == [
        "metrics.jsonl, line 5 (cwa, round 1): balanced_accuracy is 0.85 in the first, 0.75 in "
        "the second"
    ]


def test_a_run_that_ended_sooner_differs(first, second):
    lines = (second / "metrics.jsonl").read_text().splitlines()
    (second / "metrics.jsonl").write_text("\n".join(lines[:4]))

    assert differences(first, second) == ["metrics.jsonl, line 5: the second run ends before it"]


def test_weights_are_compared_bit_by_bit(first, tmp_path):
    """One value of a bias by the smallest step that float32 has, and a zero's sign."""
    name = "layers.0.bias"
    zeros = np.zeros_like(MODEL.params[name])
    nudged, negative = zeros.copy(), zeros.copy()
    nudged[1], negative[0] = np.nextafter(np.float32(0), np.float32(1)), -0.0
    with_model(first, **{name: zeros})

    for place, changed in ((1, nudged), (0, negative)):
        (said,) = differences(first, with_model(make_run(tmp_path / str(place)), **{name: changed}))
        where = f"models/cwa.safetensors, model/{name}"
        assert said.startswith(f"{where}: 1 of {zeros.size} values differ, first [{place}]")


def test_a_model_that_only_one_run_has_is_named(first, second):
    (second / "models" / "cwa.safetensors").unlink()

    (said,) = differences(first, second)

    assert said.startswith("models/cwa.safetensors, ")
    assert said.endswith("only in the first run")


def test_a_tensor_of_another_shape_is_named(first, second):
    with_model(second, **{"layers.0.bias": np.zeros(9, dtype=np.float32)})

    (said,) = differences(first, second)

    assert "model/layers.0.bias: float32 (" in said
    assert said.endswith("float32 (9,) in the second")


def test_other_files_are_compared_as_bytes(first, second):
    """The leak's first alarm moves from hour 6, line 8 under the head, to hour 8."""
    alarms_of(3).to_csv(second / "alarms" / "cwa.csv", index=False)
    (second / "quality.json").unlink()

    assert differences(first, second) == [
        "alarms/cwa.csv: differs from line 8 on",
        "quality.json: only in the first run",
    ]


def test_settings_that_differ_are_told(first, tmp_path):
    other = with_model(make_run(tmp_path / "other", seed=1, **{"results-dir": "x"}))

    assert compare_runs(first, other).settings == "seed is 0 in the first, 1 in the second"


def test_a_folder_that_is_no_run_is_refused(first, tmp_path):
    with pytest.raises(DataError, match="nothing: not the folder of a run"):
        compare_runs(first, tmp_path / "nothing")


def test_a_damaged_model_is_named(first, second):
    (second / "models" / "cwa.safetensors").write_bytes(b"damaged")

    with pytest.raises(DataError, match=r"cwa\.safetensors: cannot be read as a model"):
        compare_runs(first, second)
