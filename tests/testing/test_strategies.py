"""Our own methods keep every promise, and a strategy that breaks one is told which."""

import re

import pytest

from dtfl_app.strategies.registry import BUILT_IN
from dtfl_app.testing.strategies import check_strategy
from tests.support.methods import PERSONAL, optimiser_for
from tests.support.settings import keyed

# It normalises, so FedBN has something to leave at the sites.
STENCIL = {"detector.model": "tests.support.own_detectors:Stencil", "detector.window": 4}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_method_of_ours_keeps_all_promises(name, tmp_path):
    needed = {**keyed(**optimiser_for(name)), **(STENCIL if name == "fedbn" else {})}
    kept = check_strategy(name, tmp_path, settings=needed)

    assert "a resumed run in int8 ends as one that was never cut off" in kept
    assert ("a site that is asked for its own layers refuses" in kept) == (name in PERSONAL)
    assert len(kept) >= 10


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("Forgetful", ["a resumed run in float32 ends", "a resumed run in int8 ends"]),
        (
            "Unseeded",
            [
                "same seed, same bytes in float32",
                "a resumed run in float32 ends",
                "same seed, same bytes in int8",
                "a resumed run in int8 ends",
            ],
        ),
        ("Explosive", ["share = 0.0 gives a finite model: .*values that are not finite"]),
        (
            "Thirsty",
            [
                "a reply that is not finite is refused, and the run goes on: KeyError",
                "a site that fails is done without: KeyError",
            ],
        ),
    ],
)
def test_a_broken_promise_is_named_and_no_other(name, broken, tmp_path):
    path = f"tests.testing.bad_strategies:{name}"

    with pytest.raises(AssertionError, match=r"breaks what the app relies on") as caught:
        check_strategy(path, tmp_path)

    told = str(caught.value).splitlines()[1:]
    lines = [line for line in told if line.startswith("- ")]
    assert len(lines) == len(broken), caught.value
    for line, wanted in zip(lines, broken, strict=True):
        assert re.match(f"- {wanted}", line), line


def test_a_name_that_stands_for_nothing_is_told_before_anything_is_played(tmp_path):
    with pytest.raises(Exception, match="nothing:Here"):
        check_strategy("nothing:Here", tmp_path)
