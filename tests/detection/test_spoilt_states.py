"""The state of a followed file in which one thing is wrong: refused, in words, and nothing lost."""

import json
import os
import re

import pytest

from dtfl_app.core.errors import BundleError
from dtfl_app.detection.following import state_path
from tests.support.following import append, run
from tests.support.spoiling import dumped, spoilt

# What no check can know to be wrong: keys, what was done to them.
SOUND = [
    # States of earlier versions lack these.
    (
        r"file/endless|.*/(instance|readings|own|gaps|filled|longest_stretch|counts/baseline)",
        "missing",
    ),
    (r"detection/(episodes|skip|left_out|row_number)", "missing"),
    # Readings and residuals may be any number, a missing reading NaN, and times before 1970.
    (r".*/(readings|rows|before|means|kept)/.*", "NaN|infinite|negative|huge"),
    (r".*/scaled/.*|.*/(last|begin|end|peak)", "negative"),
    (r".*/judgement/(score|threshold)", "NaN|infinite|negative|huge|nothing"),
    (r".*/channels/0/(reading|expected)", "NaN|infinite|negative|huge|nothing"),
    (r".*/last", "nothing"),
    (r".*/ratio", "infinite|huge"),
    # Texts of lines may be any, and fewer steps or hours may have been kept.
    (r".*/(message|direction|channel|text|first|instance|header/.*)", "unknown name|empty"),
    (r".*/direction", "wrong type"),
    (r".*/(alarms|under_way|channels|strongest|cells|plc|balance)", "longer|shorter|empty"),
    (r".*/smoothed|.*/header", "shorter"),
    (r".*/form", "empty"),
    # True and 1 are the same option.
    (r"options/every-step", "a number"),
]


def sound(key, what):
    return any(re.fullmatch(keys, key) and re.fullmatch(done, what) for keys, done in SOUND)


def test_each_entry_that_is_wrong_is_refused(bundle, following, lines, whole):
    append(following, b"".join(lines[:70]))
    run(bundle, following)
    path, taken = state_path(following.out), []
    before, written = path.read_bytes(), following.out.read_bytes()
    for key, what, plain in spoilt(json.loads(before)):
        path.write_bytes(dumped(plain))
        following.out.write_bytes(written)
        try:
            run(bundle, following)
        except BundleError as error:
            assert str(path) in str(error) or "--reset" in str(error), (key, what, str(error))
        else:
            taken.append((key, what))

    assert [one for one in taken if not sound(*one)] == []
    path.write_bytes(before)
    following.out.write_bytes(written)
    append(following, b"".join(lines[70:]))
    run(bundle, following)
    assert following.out.read_text() == whole


PUT = {
    "a FIFO": os.mkfifo,
    "a folder": os.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a huge file": lambda path: (path.touch(), os.truncate(path, 1 << 40)),
}


@pytest.mark.parametrize("what", PUT)
def test_what_is_no_file_is_refused_and_never_waited_for(bundle, following, lines, what):
    append(following, b"".join(lines[:5]))
    PUT[what](state_path(following.out))

    with pytest.raises(BundleError, match=r"out\.jsonl\.state"):
        run(bundle, following)
