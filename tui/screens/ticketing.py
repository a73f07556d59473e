"""Sample Ticketing Agent App: customers' tickets, and what an agent does with each that asks a fine-tuned adapter."""

from __future__ import annotations

import json
import random
import threading
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.hearing import Hearing
from core.messages.comparing import ComparisonMetadata, ComparisonReply
from core.text import plain
from core.ticketing import asked, samples
from tui.acting import Outcome
from tui.pump import JobRecords, StudioChanged
from tui.screens.base import StudioScreen
from tui.theme import painted
from tui.view import compared, tickets
from tui.widgets.asking import AskArea
from tui.widgets.banner import Banner

TICKETS = 50  # of the session that are shown
NOBODY = ": go to  esc back  ? help"  # the keys while nobody can be asked
AGAIN = "t hold it again  : go to  esc back  ? help"
ANSWER = json.dumps({"do_sample": False, "max_new_tokens": 12})  # an action's name, as the demo generates it


class TicketingScreen(StudioScreen):
    """Asks the newest session that has an adapter. The tickets are the session's questions: nothing is lost with the screen."""

    CSS_PATH = "../styles/talking.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "type", "type a ticket", show=False),
        Binding("n", "draw", "a ticket of the demo", show=False),
        Binding("v", "voice", "another adapter", show=False),
        Binding("o", "open", "the session", show=False),
        Binding("t", "hold", "hold a session that ended in memory again", show=False),
        Binding("j,down", "scroll(3)", "down", show=False),
        Binding("k,up", "scroll(-3)", "up", show=False),
    ]
    keys_shown = "enter send  esc, then: n a demo ticket  v other adapter  o session  ? help"

    def __init__(self) -> None:
        super().__init__()
        self.session: ComparisonMetadata | None = None
        self.ended: ComparisonMetadata | None = None
        self.voice = ""
        self.hearing = Hearing()
        self.stop = threading.Event()
        self.followed: str | None = None

    def compose(self) -> ComposeResult:
        """Head, tickets, and where one is typed."""
        yield Banner("Ticketing Agent")
        yield Static("", id="head", markup=False)
        with VerticalScroll(can_focus=False):
            yield Static("", id="talk", markup=False)
        yield AskArea(id="ask", compact=True, placeholder="a customer's ticket; enter sends it, esc leaves")
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask, then follow."""
        self.query_one(AskArea).focus()
        self.call_after_refresh(self.again)

    def on_unmount(self) -> None:
        """Stop following."""
        self.stop.set()

    def focus_first(self) -> None:
        """Where the keys work."""
        self.set_focus(None)

    # ─── asking the studio ────────────────────────────────────────────────────────────────────────

    def fetch(self) -> tuple[ComparisonReply | None, ComparisonMetadata | None]:
        """The session that answers with its questions, or none; and the last one that is over."""
        ask = self.dashboard.studio.ask
        sessions = ask("ListComparisons", {}, timeout=10).value.comparisons
        found = tickets.usable(sessions)
        if found is None:
            return None, tickets.ended(sessions)
        return ask("GetComparison", {"id": found.id, "limit": TICKETS}, timeout=10).value, None

    def got(self, found: tuple[ComparisonReply | None, ComparisonMetadata | None]) -> None:
        """All anew; the pieces that follow are put in their places."""
        reply, self.ended = found
        self.session = reply.comparison if reply else None
        if reply is None or self.session is None:
            self._draw()
            return
        self.hearing.begin(reply)
        voices = [each.id for each in self.session.adapters]
        self.voice = self.voice if self.voice in voices else voices[0]
        self._draw()
        if self.followed != self.session.id:
            self.stop.set()
            self.stop, self.followed = threading.Event(), self.session.id
            self.dashboard.studio.watch_job(self.session.id, reply.records_id, self.stop)

    def job_records(self, message: JobRecords) -> None:
        """Pieces of answers; when one is missing, or something else happened, all is asked for."""
        if self.session is None or message.job_id != self.session.id or not self.there:
            return
        changed = self.hearing.take(message.entries)
        phases = {each.get("type") for entry in message.entries for each in entry.get("records", ())}
        if self.hearing.torn or "phase" in phases:
            self.again()
        if changed:
            self._draw()

    def studio_changed(self, message: StudioChanged) -> None:
        """A session began or ended."""
        if self.there and "jobs" in message.tables:
            self.again()

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    def _draw(self) -> None:
        session, shown = self.session, self.query_one("#talk", Static)
        self.query_one(AskArea).display = session is not None
        keys = self.keys_shown if session else AGAIN if self.ended else NOBODY
        self.query_one("#keys", Static).update(Content(keys))
        if session is None:
            self.query_one("#head", Static).update("")
            shown.update(self._painted(tickets.over(self.ended)) if self.ended else tickets.NONE)
            return
        head = [(f"{plain(session.voice(self.voice), limit=60)}  ", "bar"), *compared.head(session)]
        self.query_one("#head", Static).update(self._painted(head))
        mine = tickets.tickets([self.hearing.questions[each] for each in sorted(self.hearing.questions)], self.voice)
        shown.update(self._painted(tickets.talk(mine, self.voice)))
        self.query_one(VerticalScroll).scroll_end(animate=False)

    def _painted(self, cells: list[Any]) -> Text:
        return Text.assemble(*(painted(*cell, dark=self.app.current_theme.dark) for cell in cells))

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def on_ask_area_asked(self, message: AskArea.Asked) -> None:
        """Enter in the ticket."""
        self._send(message.text.strip())

    def on_ask_area_left(self, message: AskArea.Left) -> None:
        """Escape in the ticket: the keys work again."""
        self.set_focus(None)

    def action_type(self) -> None:
        """i."""
        self.query_one(AskArea).focus()

    def action_draw(self) -> None:
        """n: a held-out ticket of the demo."""
        if self.session is not None:
            self._send(random.choice(samples()))

    def _send(self, ticket: str) -> None:
        if self.session is None:
            return
        fields = {"id": self.session.id, "prompt": asked(ticket), "voices": [self.voice], "generation_config": ANSWER}
        self.query_one(AskArea).text = ""
        self.dashboard.act("AskComparison", [fields], done=lambda outcomes: self._sent(outcomes[0], ticket), quiet=True)

    def _sent(self, outcome: Outcome, ticket: str) -> None:
        if outcome.error is not None:
            self._refused(ticket, outcome.error)
        elif self.there:
            self.again()

    def _refused(self, ticket: str, error: Exception) -> None:
        """What was typed is not lost."""
        if self.there and not self.query_one(AskArea).text:
            self.query_one(AskArea).text = ticket
        self.dashboard.complain(error)

    def action_voice(self) -> None:
        """v: the session's next adapter."""
        if self.session is not None:
            voices = [each.id for each in self.session.adapters]
            self.voice = voices[(voices.index(self.voice) + 1) % len(voices)]
            self._draw()

    def action_open(self) -> None:
        """o: the session that answers."""
        if self.session is not None:
            self.dashboard.show_comparison(self.session.id)

    def action_hold(self) -> None:
        """t: hold the session that ended in memory again."""
        if self.session is None and self.ended is not None:
            self.dashboard.act("RetryJob", [{"id": self.ended.id}], done=lambda outcomes: self.again())

    def action_scroll(self, lines: int) -> None:
        """j and k."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
