"""An export: what was asked for, how far it is, where it went and how alike it answers, with its log."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Log, Static

from core.text import plain
from tui.pump import StudioChanged
from tui.screens.jobkeys import JobKeysScreen
from tui.screens.listing import UNFINISHED
from tui.view import exported, words
from tui.view.failure import card
from tui.widgets.banner import Banner
from tui.widgets.facts import Facts

LINES = 500  # of the log


class ExportScreen(JobKeysScreen):
    """Follows one export."""

    CSS_PATH = "../styles/results.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "describe", "describe", show=False),
        Binding("y", "yaml", "yaml", show=False),
        Binding("n", "again_like", "another one", show=False),
    ]
    keys_shown = "d describe  y YAML  n another like it  c cancel  t try again  ? help"

    def __init__(self, id: str) -> None:
        super().__init__()
        self.export, self.row = id, dict[str, Any]()
        self.lines: list[str] = []

    def compose(self) -> ComposeResult:
        """What it is, why it failed, its log."""
        yield Banner(f"Export {words.short(self.export)}")
        yield Facts(id="told")
        yield Static("", id="trouble", markup=False)
        yield Log(id="pane", max_lines=2_000, highlight=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask; again every second while it runs."""
        self.focus_first()
        self.call_after_refresh(self.again)
        self.set_interval(1, self._live)

    def focus_first(self) -> None:
        """The log scrolls."""
        self.query_one("#pane", Log).focus()

    def _live(self) -> None:
        if self.row.get("status") in UNFINISHED and self.is_current:
            self.again()

    def fetch(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The export, and the end of its log."""
        ask = self.dashboard.studio.ask
        row = ask("GetExportJob", {"id": self.export}, timeout=10).value.model_dump(mode="json")["export_job"]
        log = ask("GetJobLog", {"id": self.export, "limit": LINES}, timeout=10).value.model_dump(mode="json")["lines"]
        return row, log

    def got(self, found: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
        """All anew; the log is written where it changed."""
        self.row, log = found
        self.banner.name_it(f"Export {plain(self.row.get('model_name') or '', limit=60)}")
        self.query_one("#told", Facts).show([*exported.told(self.row), *exported.asked(self.row)])
        box, error = self.query_one("#trouble", Static), self.row.get("error")
        box.display = bool(error)
        box.update(Text(plain("\n".join(card(error)), limit=50_000, lines=True) if error else ""))
        lines = [
            f"{words.clock(line['at'])} {text}"
            for line in log
            for text in plain(line["text"], limit=20_000, lines=True).splitlines()
        ]
        if lines != self.lines:
            self.lines = lines
            pane = self.query_one("#pane", Log)
            pane.clear()
            pane.write_lines([plain(line, limit=20_000) for line in lines])

    def studio_changed(self, message: StudioChanged) -> None:
        """Something happened to it."""
        if self.there and any(event.get("resource_id") == self.export for event in message.events):
            self.again()

    @property
    def job_row(self) -> dict[str, Any] | None:
        """The export, once it is known."""
        return self.row or None

    def action_describe(self) -> None:
        """d: everything about it."""
        from tui.view.describe import described

        self.dashboard.show_text(f"Export {self.row.get('model_name') or self.export}", described(self.row))

    def action_yaml(self) -> None:
        """y: it as YAML."""
        from tui.view.describe import as_yaml

        self.dashboard.show_text(f"Export {self.export}", as_yaml(self.row))

    def action_again_like(self) -> None:
        """n: the form of an export like this one."""
        from core.messages.export import ExportModel

        same = {
            name: value for name, value in self.row.items() if name in ExportModel.model_fields and value is not None
        }
        same.pop("generation_config", None)
        self.dashboard.show_form("ExportModel", same)
