"""The studio at a time: what the queue looked like then, walked event by event."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from core.moments import NoMoment, moment, told
from core.text import plain
from tui.screens.base import StudioScreen
from tui.screens.opening import open_resource
from tui.view import then as view
from tui.widgets.banner import Banner
from tui.widgets.prompt import PromptLine
from tui.widgets.table import StudioTable

LIMIT = 200  # jobs of each state that are shown


class ThenScreen(StudioScreen):
    """Opened at a time (`at`, unix seconds) or after an event; what happened since is not shown and changes nothing here."""

    CSS_PATH = "../styles/past.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket,left,h", "step('earlier')", "the event before", show=False),
        Binding("right_square_bracket,right", "step('later')", "the event after", show=False),
        Binding("left_curly_bracket", "jump(-60)", "a minute back", show=False),
        Binding("right_curly_bracket", "jump(60)", "a minute on", show=False),
        Binding("T", "time", "another time", show=False),
        Binding("d", "describe", "describe", show=False),
    ]
    keys_shown = "[ ] event before, after  { } a minute  T time  enter open the job  ? help"

    def __init__(self, at: float | None = None, event: int | None = None) -> None:
        super().__init__()
        self.place: dict[str, Any] = {"event": event} if event is not None else {"at": at}
        self.then: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        """The time, what was the last event, and the jobs."""
        yield Banner("The studio then")
        yield Static("", id="told", markup=False)
        yield StudioTable(view.TITLES, "rows", view.NAME)
        yield Static(Content("No job waited, ran or was paused then."), id="empty", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out."""
        self.banner.tell("asking the studio …")
        self.call_after_refresh(self.again)
        self.focus_first()

    def focus_first(self) -> None:
        """The table."""
        self.query_one(StudioTable).focus()

    def fetch(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """How it was, with the place that was asked for."""
        place = self.place
        value = self.dashboard.studio.ask("GetQueueAt", {**place, "limit": LIMIT}, timeout=10).value
        return place, value.model_dump(mode="json")

    def got(self, found: tuple[dict[str, Any], dict[str, Any]]) -> None:
        """Draw it, unless one has stepped on meanwhile."""
        place, then = found
        if place != self.place:
            self.again()
            return
        self.then = then
        self.banner.name_it(f"The studio at {told(then['at'])}")
        self.banner.tell("")
        self.query_one("#told", Static).update(Content(plain("\n".join(view.head(then)), limit=4_000, lines=True)))
        lines = view.lines(then)
        table = self.query_one(StudioTable)
        table.show(lines)
        table.display, self.query_one("#empty").display = bool(lines), not lines

    def restored(self, message: Any) -> None:
        """The past stays as it is; what could not be asked for is asked again."""
        if not self.then:
            super().restored(message)

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def action_step(self, side: str) -> None:
        """[ and ]: to the event before or after that changed something here."""
        if not self.then:
            return
        if (event := self.then.get(side)) is None:
            self.dashboard.say("the log ends here" if side == "later" else "the log begins here")
            return
        self._go(event=event)

    def action_jump(self, seconds: int) -> None:
        """{ and }: a minute back or on."""
        if self.then:
            self._go(at=max(0.0, float(self.then["at"]) + seconds))

    def action_time(self) -> None:
        """T: another time."""
        self.query_one(PromptLine).open(">", "", "the studio at: 03:10, yesterday 22:00, 2h ago")

    def entered(self, text: str) -> None:
        """A time was typed."""
        try:
            self._go(at=moment(text))
        except NoMoment as error:
            self.dashboard.say(str(error), severity="warning")

    def _go(self, **place: Any) -> None:
        self.place = place
        self.again()

    def on_data_table_row_selected(self, event: StudioTable.RowSelected) -> None:
        """Enter: the job as it is now."""
        if (id := self.query_one(StudioTable).cursor_key) is not None:
            open_resource(self.dashboard, "jobs", id)

    @property
    def row(self) -> dict[str, Any] | None:
        """The job under the cursor."""
        id = self.query_one(StudioTable).cursor_key
        return next((job for part in view.PARTS for job in self.then.get(part) or () if job["id"] == id), None)

    def action_describe(self) -> None:
        """d: all that is known of the job then."""
        from tui.view.describe import described

        if (row := self.row) is not None:
            self.dashboard.show_text(f"{row.get('name') or row['id']} at {told(self.then['at'])}", described(row))

    def copies(self) -> list[tuple[str, str]]:
        """The job's id, and all that is shown."""
        row = self.row
        shown = "\n".join(
            [*view.head(self.then), *(" ".join(cell for cell, _ in line) for _, line in view.lines(self.then))]
        )
        return [*([("the job's id", str(row["id"]))] if row else []), ("the whole", shown)] if self.then else []
