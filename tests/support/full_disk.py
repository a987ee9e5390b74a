"""A disk that takes no more: the system refuses every file beyond a size, as a full one does."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["full_beyond"]


@contextmanager
def full_beyond(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size` bytes; Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
