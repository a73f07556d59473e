"""What the tests of handlers share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import func, select

from actors.desk import Desk


def together(number: int, do: Callable[[int], Any]) -> list[Any]:
    """What `do` returns for each index, called in as many threads that start at one moment."""
    barrier = threading.Barrier(number)

    def one(index: int) -> Any:
        barrier.wait()
        return do(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def count(desk: Desk, table: type[Any]) -> int:
    """How many rows a table has."""
    with desk.store.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0
