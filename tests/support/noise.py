"""Noise of the sites' updates that is the same in every run of a test."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from dtfl_app.messages import privacy

__all__ = ["known_noise"]


@contextmanager
def known_noise() -> Iterator[None]:
    """Blur the first update of the block by the seed 0, the second by 1, and so on.

    Only for updates of this process: nothing outside it can reach the noise of a site.
    """
    seeds = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(privacy, "reseed", lambda: np.random.seed(next(seeds)))  # noqa: NPY002
        yield
