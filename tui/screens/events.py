"""Events: what happened, newest first, and the way to how the studio was then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core.events import EVENT_TYPES, KINDS, LEVELS
from core.moments import NoMoment, moment
from tui.screens.logbook import PAGE, LogScreen, LogTable, at
from tui.view import cells, words
from tui.view.cells import Column, Row, text

LEVEL_OF = ("", *reversed(LEVELS[1:]))  # what L goes through: all, errors, warnings
WHEN = "03:10, yesterday 22:00, 2h ago"


class EventsScreen(LogScreen):
    """The log of events."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("F", "follow", "follow: stay at the newest", show=False),
        Binding("L", "level", "errors, warnings, all", show=False),
        Binding("t", "then", "the studio after this event", show=False),
        Binding("T", "time", "the studio at a time that you type", show=False),
    ]
    heading = "Events"
    empty = "Nothing has happened yet.\n\nWhat is added, started, ends or fails is told here."
    hint = "words  type:JobFailed  level:error  about:jobs  id:…  since:2h  until:03:10"
    keys_shown = "enter open  t then  T at a time  / filter  L level  F follow  ? help"
    columns = (
        at(),
        Column("event", cells.event),
        text("message", 200),
        Column("about", lambda row: (words.short(row.get("resource_id")), "dim")),
    )
    wide_only = frozenset({"about"})
    name_column = 1
    names: ClassVar[Mapping[str, str]] = {
        "type": "type",
        "level": "level",
        "about": "kind",
        "id": "resource_id",
        "since": "since",
        "until": "until",
    }
    choices: ClassVar[Mapping[str, Iterable[str]]] = {"type": EVENT_TYPES, "level": LEVELS, "about": KINDS}

    def __init__(self) -> None:
        super().__init__()
        self.level = 0
        self.follows = False

    def rows_from(self, last: Row | None) -> tuple[list[Row], bool]:
        """The newest events, or those before one."""
        place = {} if last is None else {"before": last["id"]}
        level = {"level": LEVEL_OF[self.level]} if self.level else {}
        fields = {"last": True, "plans": False, "limit": PAGE, **place, **level, **self.fields}
        value = self.dashboard.studio.ask("ListEvents", fields, timeout=10).value
        return [event.model_dump(mode="json") for event in reversed(value.events)], value.has_before

    def draw(self) -> None:
        """Whoever follows stays at the newest."""
        super().draw()
        if self.follows:
            self.query_one(LogTable).move_cursor(row=0, animate=False)

    def nothing(self) -> str:
        """Of a level, L shows the others."""
        level = LEVEL_OF[self.level]
        return f"No {level}s.\n\nL goes on to the next level." if level and not self.wanted else super().nothing()

    def told(self) -> str:
        """With the level that is shown, and whether it follows."""
        level = f"   {LEVEL_OF[self.level]}s only" if self.level else ""
        return super().told() + level + ("   follows" if self.follows else "")

    def on_data_table_row_selected(self, event: LogTable.RowSelected) -> None:
        """Enter: what it is about."""
        if (row := self.row) is not None:
            self.open_resource(str(row.get("kind") or ""), str(row.get("resource_id") or ""))

    def action_follow(self) -> None:
        """F: the newest stays in view, or nothing moves."""
        self.follows = not self.follows
        if self.follows:
            self.newest()
        self.banner.tell(self.told())

    def action_level(self) -> None:
        """L: errors, warnings, all."""
        self.level = (self.level + 1) % len(LEVEL_OF)
        self.rows, self.slid = [], False
        self.again()

    def action_then(self) -> None:
        """t: how the studio was after this event."""
        if (row := self.row) is not None:
            self._open(event=int(row["id"]))

    def action_time(self) -> None:
        """T: how the studio was at a time."""
        from tui.widgets.prompt import PromptLine

        self.query_one(PromptLine).open(">", "", f"the studio at: {WHEN}")

    def entered(self, text: str) -> None:
        """A time was typed."""
        try:
            self._open(at=moment(text))
        except NoMoment as error:
            self.dashboard.say(str(error), severity="warning")

    def _open(self, **place: Any) -> None:
        from tui.screens.then import ThenScreen

        self.app.push_screen(ThenScreen(**place))
