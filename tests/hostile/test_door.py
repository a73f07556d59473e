"""What no gate saw is stopped at the last door: an editor holds what was typed as it is."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Input, Log, OptionList, Select, SelectionList, Static, TextArea

from tests.hostile.corpus import ALL, PIECES
from tests.tui.fake import filled
from tests.tui.test_dashboard import shown
from tui.app import Dashboard
from tui.door import shut


class Careless(Screen[None]):
    """Hands text to widgets as it comes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def compose(self) -> ComposeResult:
        yield Static(Content(self.text))
        yield Input(value=self.text, placeholder=self.text)
        yield TextArea(self.text)
        yield OptionList(Content(self.text))
        yield SelectionList((Content(self.text), 1))
        yield Select([(Content(self.text), 1)], value=1)
        yield Log()
        yield DataTable[Text]()

    def on_mount(self) -> None:
        self.query_one(Log).write_line(self.text)
        table = self.query_one(DataTable)
        table.add_column(Text(self.text))
        table.add_row(Text(self.text))


async def test_nothing_that_a_terminal_obeys_is_drawn_even_by_a_careless_screen() -> None:
    dashboard = Dashboard(make=filled)
    async with dashboard.run_test(size=(120, 60)) as pilot:
        dashboard.push_screen(Careless(ALL))
        await pilot.pause(0.2)
        drawn = shown(dashboard)
        assert "safe" in drawn and "Z" in drawn
        assert [char for char in drawn if not (char.isprintable() or char in "\n\u200d\u200c\u00a0\u3000\u2003")] == []


@pytest.mark.parametrize("piece", PIECES)
def test_what_is_left_out_leaves_its_room(piece: str) -> None:
    text = PIECES[piece]
    assert cell_len(shut(text)) == cell_len(text)
