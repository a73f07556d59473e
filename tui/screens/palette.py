"""ctrl+k: everything by its name, from wherever one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from tui import finding
from tui.finding import Found
from tui.view.fit import cut
from tui.widgets.keysline import KeysLine

if TYPE_CHECKING:
    from tui.app import Dashboard

SORT, TEXT, MORE = 12, 36, 46  # cells; the text has what the others leave, and that much at least
WIDEST, AROUND = 108, 6  # cells of it, and of what is around a line: as in its style


class PaletteScreen(ModalScreen[Found]):
    """A line, and below it what fits; what is chosen is done once this screen has gone."""

    CSS_PATH = "../styles/palette.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+k", "leave", "leave", priority=True),
        Binding("down,ctrl+n,tab", "move(1)", "down", priority=True),
        Binding("up,ctrl+p,shift+tab", "move(-1)", "up", priority=True),
        Binding("pagedown", "move(8)", "further down", priority=True),
        Binding("pageup", "move(-8)", "further up", priority=True),
        Binding("enter", "choose", "do it", priority=True),
        Binding("ctrl+c", "app.quit", "quit", priority=True),
    ]

    def __init__(self, dashboard: Dashboard) -> None:
        super().__init__()
        self.dashboard = dashboard
        self.known = [*finding.keys(dashboard, dashboard.screen), *finding.places(dashboard)]
        self.found: list[Found] = []
        self.moved = False  # by hand, since the last letter

    def compose(self) -> ComposeResult:
        """The line and the list."""
        with Vertical():
            yield Input(placeholder="a page, a key, a name, a command", id="sought", compact=True)
            yield OptionList(id="found", markup=False)
            yield KeysLine("↑ ↓ move   enter do it   esc leave", "answers")

    def on_mount(self) -> None:
        """Names and commands come when they are known."""
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self._draw()
        self.run_worker(self._more, thread=True, exit_on_error=False)

    def _more(self) -> None:
        commands = list(finding.commands(self.dashboard, self.dashboard.commanding.parser()))
        self.dashboard.from_thread(self._add, commands)
        self.dashboard.from_thread(self._add, list(finding.resources(self.dashboard)))

    def _add(self, found: list[Found]) -> None:
        if self.is_mounted:
            self.known += found
            self._draw(keep=self.moved)  # else the best fit, whichever came first: that is what enter is to take

    def on_input_changed(self, event: Input.Changed) -> None:
        """Other things fit."""
        self.moved = False
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        """Lines have another length."""
        self._draw(keep=True)

    def _draw(self, *, keep: bool = False) -> None:
        """Show what fits; `keep` leaves the cursor on what it is on."""
        listed = self.query_one(OptionList)
        chosen = self.found[listed.highlighted] if keep and listed.highlighted is not None and self.found else None
        self.found = finding.fitting(self.query_one(Input).value, self.known)
        width = min(int(self.app.size.width * 0.9), WIDEST) - AROUND
        listed.clear_options()
        listed.add_options(Option(_line(each, width)) for each in self.found)
        listed.styles.height = max(1, min(len(self.found), self.app.size.height // 2))
        if not self.found:
            listed.add_option(Option(Content("nothing of that name"), disabled=True))
        else:
            listed.highlighted = self.found.index(chosen) if chosen in self.found else 0

    def action_move(self, by: int) -> None:
        """Up and down."""
        listed = self.query_one(OptionList)
        self.moved = True
        if self.found:
            listed.highlighted = max(0, min(len(self.found) - 1, (listed.highlighted or 0) + by))

    def action_choose(self) -> None:
        """Enter."""
        at = self.query_one(OptionList).highlighted
        if self.found and at is not None:
            self.dismiss(self.found[at])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click."""
        self.dismiss(self.found[event.option_index])

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss(None)


def _line(found: Found, width: int) -> Content:
    """Sort, text and more, in their columns."""
    wide = max(TEXT, width - SORT - MORE - 2)
    text = cut(found.text, wide)
    more = cut(found.more, max(0, width - SORT - wide - 2))
    return Content.assemble((f"{found.sort:<{SORT}}", "dim"), f"{text:<{wide}}  ", (more, "dim"))
