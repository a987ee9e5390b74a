"""What a site keeps of its own for a method: in versions, bounded, and never silently none."""

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from dtfl_app.client.state import SiteState
from dtfl_app.client.versions import keep_version, own_arrays
from dtfl_app.core.errors import ReplyError
from dtfl_app.messages.versions import Versions


def empty() -> Context:
    return Context(1, 7, {}, RecordDict(), {})


def counted(context: Context, versions: Versions, *, on_disk: bool = False) -> float:
    """One round of a site that counts; what it has come to."""
    own = own_arrays("north", versions, context, on_disk=on_disk)
    count = own.get("count", np.zeros(1)) + 1
    keep_version(versions, {"count": count}, context)
    return float(count[0])


def held(context: Context) -> list[str]:
    return sorted(name.removeprefix("own-arrays ") for name in context.state)


def test_a_site_goes_on_from_the_version_that_the_server_names():
    """Rounds 1, 2, 3; then the server goes back to 1, twice: both answers are 2."""
    context = empty()
    counted(context, Versions("", "m/1"))
    counted(context, Versions("m/1", "m/2", ("m/1",)))
    counted(context, Versions("m/2", "m/3", ("m/1",)))

    assert counted(context, Versions("m/1", "m/2")) == 2
    assert counted(context, Versions("m/1", "m/2")) == 2


def test_versions_that_nobody_goes_back_to_are_forgotten_but_not_another_methods():
    context = empty()
    counted(context, Versions("", "other/9"))
    for number in range(1, 8):
        start = f"m/{number - 1}" if number > 1 else ""
        counted(context, Versions(start, f"m/{number}", ("m/2",) if number > 2 else ()))

    assert held(context) == ["m/2", "m/6", "m/7", "other/9"]


@pytest.mark.parametrize(
    ("on_disk", "why"), [(False, "memory alone: set state.dir"), (True, "lost or damaged")]
)
def test_a_version_that_is_gone_is_an_error_that_says_what_to_do(on_disk, why):
    context = empty()
    counted(context, Versions("", "m/1"))

    with pytest.raises(ReplyError, match=rf"north: .* version 'm/5', the site holds m/1; .*{why}"):
        counted(context, Versions("m/5", "m/6"), on_disk=on_disk)


def test_a_version_outlives_the_process_even_without_arrays(tmp_path):
    first, second = empty(), empty()
    keep_version(Versions("", "m/1"), {}, first)
    SiteState(tmp_path, "north", "ab", 10**6).save(first)

    SiteState(tmp_path, "north", "ab", 10**6).load(second)

    assert own_arrays("north", Versions("m/1"), second, on_disk=True) == {}
