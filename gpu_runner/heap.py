"""Memory that was freed, given back to the system: glibc keeps what lies between blocks that are still in use."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache


def give_back() -> None:
    """Give back all that is free in the heap; nothing where the C library has no way to."""
    if (trim := _trim()) is not None:
        trim(0)


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim  # malloc_trim(3), GNU
    except (OSError, AttributeError):
        return None
    return found
