"""What only PostgreSQL has: columns with bounds. Every other promise is kept on both databases (conftest.py)."""

from __future__ import annotations

import pytest

from actors.answering import answer
from actors.desk import Desk

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.mark.parametrize("value", [2**31, 2**62])
def test_values_beyond_a_column_are_refused(desk: Desk, value: int) -> None:
    payload = {"host": "h", "cpus": value, "memory": 1.0, "engines": []}
    assert answer(desk, "RegisterRunner", payload, "k")["code"] == "refused"
