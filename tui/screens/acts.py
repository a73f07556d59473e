"""What I did: every message that this dashboard sent, what became of it, and the same as code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from core.text import counted, plain
from tui.acting import Act, as_code, reason, spoken, told
from tui.screens.base import StudioScreen
from tui.view import words
from tui.widgets.banner import Banner

NOTHING = "Nothing was sent yet.\n\nWhat you start, change or remove here stands in this list, as code too."
LOOKS = "Nothing was sent.\n\nThis dashboard only looks (--readonly), and sends nothing."


class ActsScreen(StudioScreen):
    """The acts, the newest first; below them the one under the cursor."""

    CSS_PATH = "../styles/acts.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "move(1)", "down", show=False),
        Binding("k", "move(-1)", "up", show=False),
        Binding("y", "copy", "copy as code", show=False),
        Binding("s", "send", "send again what got no answer, with the same key", show=False),
    ]
    keys_shown = "j k move  enter all of it  y copy as code  s send again  esc back  ? help"

    def compose(self) -> ComposeResult:
        """The list, and the act below it."""
        yield Banner("What I did")
        yield OptionList(id="acts", markup=False)
        with VerticalScroll(id="act"):
            yield Static("", markup=False)
        yield Static(Content(LOOKS if self.dashboard.readonly else NOTHING), id="empty", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """What there is, and what comes to an end meanwhile."""
        self.acts: list[Act] = []
        self.drawn: list[str] = []
        self._draw()
        self.focus_first()
        self.set_interval(0.5, self._draw)

    def focus_first(self) -> None:
        """The list."""
        self.query_one(OptionList).focus()

    def _draw(self) -> None:
        acts = list(reversed(self.dashboard.acting.made))
        lines = [line(act) for act in acts]
        if lines == self.drawn and self.acts:
            return
        acting = self.query_one(OptionList)
        chosen = self.act
        self.acts, self.drawn = acts, lines
        acting.clear_options()
        acting.add_options(Option(Content(text)) for text in lines)
        if acts:
            acting.highlighted = acts.index(chosen) if chosen in acts else 0
        self.query_one("#empty").display = not acts
        acting.display = self.query_one("#act").display = bool(acts)
        self.banner.tell(counted(len(acts), "act") if acts else "")
        self._show()

    @property
    def act(self) -> Act | None:
        """The one under the cursor."""
        at = self.query_one(OptionList).highlighted
        return self.acts[at] if at is not None and at < len(self.acts) else None

    def _show(self) -> None:
        text = "\n".join(whole(act)) if (act := self.act) is not None else ""
        self.query_one("#act Static", Static).update(Content(plain(text, limit=20_000, lines=True)))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """The cursor moved."""
        self._show()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter: all of it."""
        if (act := self.act) is not None:
            self.dashboard.show_text(spoken(act.name).capitalize(), "\n".join(whole(act)))

    def copies(self) -> list[tuple[str, str]]:
        """The act as code."""
        act = self.act
        return (
            [(f"{spoken(act.name)} as code", as_code(act.name, [each.fields for each in act.outcomes]))] if act else []
        )

    def action_move(self, by: int) -> None:
        """j and k."""
        acting = self.query_one(OptionList)
        acting.action_cursor_down() if by > 0 else acting.action_cursor_up()

    def action_send(self) -> None:
        """s: with the same key, so that what was done all the same is not done twice."""
        act = self.act
        if act is None or not any(each.unknown for each in act.outcomes):
            self.dashboard.say("nothing to send again: the studio answered")
        else:
            self.dashboard.acting.send(act)


def state(act: Act) -> str:
    """How it ended, as symbol and words."""
    failed = act.failed
    if not act.over:
        return "… being sent"
    if not failed:
        return "✓ done"
    if len(act.outcomes) > 1:
        return f"✗ {len(failed)} of {len(act.outcomes)} not done"
    return "? no answer" if failed[0].unknown else "✗ not done"


def line(act: Act) -> str:
    """An act in a line, safe to show."""
    about = act.outcomes[0].fields.get("id") or act.outcomes[0].fields.get("name") or ""
    many = f"{len(act.outcomes)} of them" if len(act.outcomes) > 1 else words.short(str(about))
    clock = time.strftime("%H:%M:%S", time.localtime(act.at))
    return plain(f"{clock}  {state(act):<18} {spoken(act.name):<24} {many}", limit=200)


def whole(act: Act) -> Iterator[str]:
    """What became of it, then the same as code."""
    for each in act.outcomes:
        about = words.short(str(each.fields.get("id") or ""))
        if each.error is not None:
            yield f"✗ {about} {plain(reason(each.error), limit=2_000)}".replace("  ", " ")
        elif each.answer is not None:
            yield f"✓ {about} {told(act.name, each.answer)}".replace("  ", " ")
    yield ""
    yield as_code(act.name, [each.fields for each in act.outcomes])
