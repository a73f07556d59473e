"""Notifications: what a webhook or a command was told when a job ended, or is to be, and why it was not yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType

from core.text import counted, plain
from core.types import NotificationState
from tui.acting import Outcome
from tui.screens.logbook import LogTable, at
from tui.screens.markedlog import MarkedLogScreen
from tui.view import words
from tui.view.cells import Cell, Column, Row, text

MARKS = {"sent": ("✓ sent", "good"), "given_up": ("✗ given up", "bad")}


def state(row: Row) -> Cell:
    """How far it is; of what waits after a try, when the next one is."""
    told = str(row.get("state") or "")
    if told == NotificationState.waiting:
        return f"◌ again {words.moment(row.get('next_at'))}" if row.get("tries") else "◌ waiting", "wait"
    return MARKS.get(told, (f"? {plain(told, limit=16)}", ""))


class NotificationsScreen(MarkedLogScreen):
    """The outbox of what is told outside the studio."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "again", "try again: now, and for as long as a new one", show=False),
        Binding("o", "resource", "open the job", show=False),
    ]
    heading = "Notifications"
    asks, field = "ListNotifications", "notifications"
    looks = True  # of its tries only the first that failed is an event
    empty = (
        "Nobody was told of a job's end yet.\n\n"
        "To have a webhook or a command told, start the studio with\n"
        "FTS_NOTIFY_WEBHOOK=https://… or FTS_NOTIFY_COMMAND='[\"program\"]';\n"
        "`fts notifications test` tries it. This terminal's bell rings by itself.\n"
        "docs/notifications.md says all of it."
    )
    hint = "words  state:given_up  job:…"
    keys_shown = "enter open  t try again  o its job  space mark  * all  / filter  ? help"
    columns = (
        at("created_at"),
        text("target", 12, "way"),
        Column("state", state),
        text("text", 200, "what is told"),
        text("error", 200, "last error"),
        Column("tries", lambda row: (words.number(row.get("tries")), "wait" if row.get("tries", 0) > 1 else "dim")),
        Column("job", lambda row: (words.short(row.get("job_id")), "dim")),
    )
    wide_only = frozenset({"tries", "job"})
    name_column = 2  # the two texts behind it give way alike
    names: ClassVar[Mapping[str, str]] = {"state": "state", "job": "job_id"}
    choices: ClassVar[Mapping[str, Iterable[str]]] = {"state": tuple(NotificationState)}

    def told(self) -> str:
        """With how many are marked."""
        return super().told() + self.marks_told

    def on_data_table_row_selected(self, event: LogTable.RowSelected) -> None:
        """Enter: all of it."""
        self.action_describe()

    def action_resource(self) -> None:
        """o: the job that ended."""
        if (row := self.row) is not None:
            self.open_resource("jobs", str(row.get("job_id") or ""))

    def action_again(self) -> None:
        """t: have those told now that were not yet."""
        meant = self.meant
        rows = [row for row in meant if row["state"] != NotificationState.sent]
        if meant and not rows:
            self.dashboard.say("it was sent: only what waits or was given up is tried again", severity="warning")
        if not rows:
            return
        ways = " and ".join(sorted({plain(row["target"], limit=12) for row in rows}))
        question = f"Tell {ways} of {counted(len(rows), 'notification')} once more, now?"
        self.dashboard.act(
            "RetryNotifications", [{"id": str(row["id"])} for row in rows], question=question, done=self._done
        )

    def _done(self, outcomes: list[Outcome]) -> None:
        """What is tried again has its mark no longer."""
        done = {each.fields["id"] for each in outcomes if each.error is None}
        self.chosen = {id: None for id in self.chosen if id not in done}
        self.again()
