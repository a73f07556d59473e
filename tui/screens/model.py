"""A base model: all that is known of it, and the adapters that were trained on it."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.text import counted, plain
from tui.screens.base import StudioScreen
from tui.screens.jobkeys import row_copies
from tui.view.describe import described
from tui.widgets.banner import Banner

MOST = 200  # adapters that are named


class ModelScreen(StudioScreen):
    """What a training begins with."""

    CSS_PATH = "../styles/model.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
        Binding("e", "edit", "change its name or description", show=False),
        Binding("t", "train", "train an adapter on it", show=False),
    ]
    keys_shown = "j k scroll  e edit  t train  Y copy  esc back  ? help"

    def __init__(self, id: str) -> None:
        super().__init__()
        self.id_ = id
        self.model: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        """One text."""
        yield Banner("Base model")
        with VerticalScroll():
            yield Static("", id="told", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out."""
        self.focus_first()
        self.call_after_refresh(self.again)

    def on_screen_resume(self) -> None:
        """Back from its form: as it is called now."""
        super().on_screen_resume()
        if self.model:
            self.again()

    def focus_first(self) -> None:
        """The text."""
        self.query_one(VerticalScroll).focus()

    def fetch(self) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
        """The model, its adapters, and whether there are more."""
        studio = self.dashboard.studio
        model = studio.ask("GetModel", {"id": self.id_}).value.model.model_dump(mode="json")
        return model, *studio.rows("ListAdapters", "adapters", model_id=self.id_, limit=MOST)

    def got(self, found: tuple[dict[str, Any], list[dict[str, Any]], bool]) -> None:
        """Show them."""
        self.model, adapters, more = found
        self.banner.tell(plain(self.model["name"], limit=60))
        names = [f"    {plain(each['name'], limit=100)}" for each in adapters] + (["    …"] if more else [])
        count = counted(len(adapters), "adapter") + (" and more" if more else "")
        trained = [f"{count} of it:", *names] if names else ["no adapter of it yet: t trains one"]
        text = plain("\n".join([described(self.model), "", *trained]), limit=200_000, lines=True)
        self.query_one("#told", Static).update(Content(text))

    def copies(self) -> list[tuple[str, str]]:
        """The id, the name, all of it."""
        return row_copies(self.model or None)

    def action_scroll(self, lines: int) -> None:
        """j, k."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_edit(self) -> None:
        """e."""
        if self.model:
            self.dashboard.edit("models", self.model)

    def action_train(self) -> None:
        """t."""
        self.dashboard.show_form("StartFineTuningJob", {"base_model_id": self.id_})
