"""What a long line goes on with stands under its text, and nothing of it is lost or wider than its room."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tui.view.hanging import BAR, hung
from tui.view.planned import Line


def texts(line: Line, width: int) -> list[str]:
    return ["".join(text for text, _ in row) for row in hung([line], width)]


def test_a_label_stands_before_the_first_row_alone() -> None:
    line: Line = [("runner  ", "dim"), ("✓ fits", "good"), (" a host with room for it", "")]
    assert texts(line, 24) == ["runner  ✓ fits a host ", "        with room for it"]
    assert [meaning for _, meaning in next(iter(hung([line], 24)))] == ["dim", "good", ""]


def test_a_quoted_text_has_its_bar_before_every_row() -> None:
    assert texts([(BAR, "dim"), ("x" * 12, "")], 8) == ["│ xxxxxx", "│ xxxxxx"]


def test_a_label_that_leaves_no_room_is_text_like_the_rest() -> None:
    assert texts([("a label of many words  ", "dim"), ("said", "")], 14) == ["a label of ", "many words  ", "said"]


@pytest.mark.parametrize("width", [5, 10, 40, 79])
def test_nothing_is_lost_and_no_row_is_wider_than_its_room(width: int) -> None:
    text = "長い " * 9 + "👩‍🚀 " + "y" * 90 + " end"
    rows = texts([("a ", "dim"), (text, "")], width)
    assert "".join(row[2:] for row in rows) == text
    assert max(map(cell_len, rows)) <= width


def test_a_width_that_is_not_known_yet_breaks_nothing() -> None:
    assert texts([("name  ", "dim"), ("value " * 9, "")], 0) == ["name  " + "value " * 9]
