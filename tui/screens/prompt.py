"""A prompt: its templates, and real rows as they make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from core.text import plain
from tui.screens.base import StudioScreen
from tui.view import previewed
from tui.view.planned import Line
from tui.widgets.banner import Banner
from tui.widgets.told import Told

TEMPLATES = ("prompt_template", "input_template", "completion_template")


class PromptScreen(StudioScreen):
    """What a model will see."""

    CSS_PATH = "../styles/prompt.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket,space", "row(1)", "next row", show=False),
        Binding("left_square_bracket", "row(-1)", "row before", show=False),
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
        Binding("e", "edit", "change its name or description", show=False),
        Binding("C", "clone", "a new prompt like it", show=False),
        Binding("t", "train", "train an adapter with it", show=False),
    ]
    keys_shown = "] [ rows  j k scroll  e edit  C clone  t train  Y copy  esc back  ? help"

    def __init__(self, id: str) -> None:
        super().__init__()
        self.id_ = id
        self.prompt: Mapping[str, Any] = {}
        self.row = 0
        self.rows = 0

    def compose(self) -> ComposeResult:
        """One text."""
        yield Banner("Prompt")
        with VerticalScroll():
            yield Told("told")
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out."""
        self.focus_first()
        self.call_after_refresh(self.again)

    def focus_first(self) -> None:
        """The text."""
        self.query_one(VerticalScroll).focus()

    def fetch(self) -> tuple[Mapping[str, Any], Mapping[str, Any] | str]:
        """The prompt, and a row that it renders; why there is none."""
        ask = self.dashboard.studio.ask
        prompt = ask("GetPrompt", {"id": self.id_}).value.prompt.model_dump(mode="json")
        try:
            preview = ask("PreviewPrompt", {"prompt_id": self.id_, "row": self.row}).value.model_dump(mode="json")
        except ValueError as error:  # its dataset has gone, or its rows are not here
            return prompt, str(error)
        return prompt, preview

    def got(self, found: tuple[Mapping[str, Any], Mapping[str, Any] | str]) -> None:
        """Draw them."""
        self.prompt, preview = found
        self.banner.name_it(f"Prompt {plain(self.prompt['name'], limit=60)}")
        lines: list[Line] = []
        for name in TEMPLATES:
            lines.append([(name.replace("_", " "), "bold")])
            shown = plain(self.prompt.get(name) or "", limit=10_000, lines=True).split("\n")
            lines += [[("│ ", "dim"), (line, "bar")] for line in shown]
            lines.append([("", "")])
        if isinstance(preview, str):
            lines.append([("▲ ", "wait"), (plain(f"no row can be shown: {preview}", limit=400), "")])
        else:
            self.rows = int(preview["rows"])
            lines += previewed.rendered(preview, key="] another")
        self.query_one(Told).tell(lines)

    def copies(self) -> list[tuple[str, str]]:
        """The templates, the id."""
        return [
            *((name.replace("_", " "), str(self.prompt.get(name) or "")) for name in TEMPLATES),
            ("the id", self.id_),
        ]

    def action_row(self, step: int) -> None:
        """], [: another row of the first ones."""
        if self.rows:
            self.row = (self.row + step) % self.rows
            self.again()

    def action_scroll(self, lines: int) -> None:
        """j, k."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_edit(self) -> None:
        """e."""
        self.dashboard.edit("prompts", self.prompt)

    def action_clone(self) -> None:
        """C: templates can't be changed, since jobs were trained with them; one like it can be made."""
        given = {f"prompt.{name}": self.prompt.get(name) for name in ("dataset_id", "description", *TEMPLATES)}
        self.dashboard.show_form("AddPrompt", {name: value for name, value in given.items() if value})

    def action_train(self) -> None:
        """t."""
        chosen = {"prompt_id": self.id_, "dataset_id": self.prompt.get("dataset_id")}
        self.dashboard.show_form("StartFineTuningJob", {name: value for name, value in chosen.items() if value})
