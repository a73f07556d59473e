"""One evaluated row: its prompt and what was expected, and every combination's answer side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.text import plain
from tui.screens.base import StudioScreen
from tui.view import scores
from tui.widgets.banner import Banner

NARROWEST = 26  # cells that a column of text needs to be read
MOST = 20_000  # characters of a text
SHOWN = ("f1", "rougeL", "bleu", "chrf", "loss", "new_tokens")


class AnswerScreen(StudioScreen):
    """Shows one row, and goes on to the next ones."""

    CSS_PATH = "../styles/results.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "row(1)", "next row", show=False),
        Binding("p", "row(-1)", "row before", show=False),
        Binding("l,right", "shift(1)", "further columns", show=False),
        Binding("h,left", "shift(-1)", "columns before", show=False),
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
    ]
    keys_shown = "n p next row, row before  h l columns  tab j k scroll  esc back  ? help"

    def __init__(self, rows: Sequence[Mapping[str, Any]], at: int, results: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.rows, self.at, self.results = rows, at, results
        self.names = scores.short_names(results)
        self.first = 0  # of the columns that are shown

    def compose(self) -> ComposeResult:
        """The question above, the answers in columns below."""
        yield Banner("Row")
        with VerticalScroll(id="question"):
            yield Static("", id="asked", markup=False)
        yield Horizontal(id="columns")
        yield from self.bottom()

    async def on_mount(self) -> None:
        """Keys scroll what has the focus."""
        self.query_one("#question").focus()
        await self._draw()

    async def on_resize(self) -> None:
        """Another width has room for other columns."""
        await self._draw()

    @property
    def fits(self) -> int:
        """Columns that stand side by side."""
        return max(1, min(len(self.results), self.room // NARROWEST))

    async def _draw(self) -> None:
        row = self.rows[self.at]
        self.first = max(0, min(self.first, len(self.results) - self.fits))
        shown = self.results[self.first : self.first + self.fits]
        where = f"{self.first + 1} to {self.first + len(shown)} of {len(self.results)} answers" * (
            len(shown) < len(self.results)
        )
        self.banner.name_it(f"Row {row['row']}   {self.at + 1} of {len(self.rows)}")
        self.banner.tell(where)
        self.query_one("#asked", Static).update(Content(_question(row)))
        columns = self.query_one("#columns", Horizontal)
        await columns.remove_children()
        await columns.mount_all(
            VerticalScroll(
                Static(Content(plain(self._answer(row, each), limit=2 * MOST, lines=True)), markup=False),
                classes="answer",
            )
            for each in shown
        )

    def _answer(self, row: Mapping[str, Any], result: Mapping[str, Any]) -> str:
        """Who answers, whether it is right, its scores, and the answer."""
        id = str(result["id"])
        name = plain(self.names[id], limit=60) + ("  (baseline)" if result["baseline"] else "")
        if id not in row["answers"]:
            return f"– {name}\n\nno answer: {plain(result.get('error') or result['status'], limit=1_000)}"
        told = row["scores"].get(id, {})
        known = [f"{scores.named(each)} {scores.figure(each, told[each])}" for each in SHOWN if each in told]
        verdict = "✓ right" if row["correct"].get(id) else "✗ not as expected"
        answer = plain(row["answers"][id], limit=MOST, lines=True) or "(nothing)"
        return "\n".join([*filter(None, (name, verdict, "  ".join(known))), "", answer])

    async def action_row(self, step: int) -> None:
        """n and p: another row, in the order of the list."""
        self.at = max(0, min(len(self.rows) - 1, self.at + step))
        await self._draw()

    async def action_shift(self, step: int) -> None:
        """h and l: other columns."""
        self.first += step
        await self._draw()

    def copies(self) -> list[tuple[str, str]]:
        """The prompt, and every answer."""
        row = self.rows[self.at]
        answers = [(f"what {self.names[id]} answered", str(text)) for id, text in row["answers"].items()]
        return [("the prompt", str(row["prompt"])), *answers]

    def action_scroll(self, lines: int) -> None:
        """j and k."""
        focused = self.focused if isinstance(self.focused, VerticalScroll) else self.query_one("#question")
        focused.scroll_relative(y=lines, animate=False)


def _question(row: Mapping[str, Any]) -> str:
    parts = [("prompt", row["prompt"]), ("expected", row["expected"])]
    parts += [(name, str(value)) for name, value in row["features"].items()]
    return "\n\n".join(f"── {plain(name)}\n{plain(text, limit=MOST, lines=True)}" for name, text in parts)
