"""What stands above the command line: what may come next, and what was wrong. Made when the line is first opened; the
parser, which takes some megabytes, when a command goes on behind its first word: most lines are the name of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.widgets import Static

from core.text import plain
from tui.cli.commands import FIRST
from tui.completing import Candidate, Completer, Typed, cut, fitting, taken
from tui.knowing import Knowing
from tui.view import fit
from tui.view.pages import PAGES

if TYPE_CHECKING:
    from tui.app import Dashboard
    from tui.widgets.prompt import PromptLine

SHOWN = 8  # candidates
WORD = 34  # cells of a candidate, at most
KEYS = "tab take   ↑ ↓ earlier lines   enter run   esc leave"


def words() -> dict[str, str]:
    """What a line may begin with: the pages, the two other words that one may type alone, and the commands."""
    pages = {page.name: page.title for page in PAGES}
    return {**pages, "help": "The keys of this screen", "quit": "Leave", **FIRST}


class CommandHelp(Static):
    """Draws all of its lines itself. `look` follows the line as it is typed, `step` goes through the candidates."""

    def __init__(self, dashboard: Dashboard, prompt: PromptLine) -> None:
        super().__init__("", id="candidates", markup=False)
        self.dashboard, self.prompt = dashboard, prompt
        self.knowing = Knowing(dashboard, self._fresh)
        self.completer: Completer | None = None
        self.making = False
        self.line = ""  # as it was typed
        self.typed = Typed([], "", 0)
        self.found: list[Candidate] = []
        self.chosen = -1
        self.wrong = ""

    def begin(self) -> None:
        """An empty line."""
        self.display = True
        self.look("")

    def knows(self, line: str) -> bool:
        """Whether what may come next in the line is known: of a first word always, of more once the parser is made."""
        return self.completer is not None or not cut(line).words

    def _make(self) -> None:
        parser = self.dashboard.commanding.parser()
        self.dashboard.from_thread(self._made, Completer(parser, words(), self.knowing.names, self.knowing.files))

    def _made(self, completer: Completer) -> None:
        self.completer = completer
        self._fresh()

    def _fresh(self) -> None:
        """More is known: what is offered for the line may be more too, unless one goes through it just now."""
        if self.is_mounted and self.display and self.chosen < 0:
            wrong = self.wrong
            self.look(self.line)
            self.wrong = wrong
            self.draw()
            self.prompt.fresh()

    def look(self, line: str) -> None:
        """What may come next in the line."""
        self.line, self.chosen, self.wrong = line, -1, ""
        if self.completer is not None:
            self.typed, self.found = self.completer.candidates(line)
        else:
            self.typed = cut(line)
            first = [Candidate(name, title) for name, title in words().items()] if not self.typed.words else []
            self.found = fitting(self.typed.last, first)
            if self.typed.words and not self.making:
                self.making = True
                self.dashboard.run_worker(self._make, thread=True, exit_on_error=False)
        self.draw()

    def step(self, by: int) -> str:
        """The line with the next candidate, or the one before; of a single one, ready for the next word."""
        if not self.found:
            return self.line
        self.chosen = (self.chosen + by) % len(self.found) if self.chosen >= 0 or by > 0 else len(self.found) - 1
        self.draw()
        line = taken(self.line, self.typed, self.found[self.chosen])
        return line if len(self.found) == 1 else line.rstrip(" ")

    def ghost(self, line: str) -> str | None:
        """The line as it would go on."""
        if line != self.line or not self.typed.last or not self.found:
            return None
        text = self.found[0].text
        return line + text[len(self.typed.last) :] if text.startswith(self.typed.last) else None

    def fail(self, text: str) -> None:
        """Say what was wrong with the line."""
        self.wrong = plain(text, limit=1_500, lines=True).strip()
        self.draw()

    def draw(self) -> None:
        """The error, the candidates around the chosen one, and the keys."""
        width = max(20, self.app.size.width - 2)
        first = max(0, min(self.chosen - SHOWN // 2, len(self.found) - SHOWN))
        shown = [] if self.wrong else list(enumerate(self.found))[first : first + SHOWN]
        room = min(WORD, max((len(each.text) for _, each in shown), default=0))
        parts = [(f"✗ {self.wrong}\n", "bold $text-error")] if self.wrong else []
        for at, each in shown:
            mark = "▸ " if at == self.chosen else "  "
            text = fit.cut(f"{mark}{fit.cut(plain(each.text), room):<{room}}  {plain(each.help)}", width)
            parts.append((f"{text}\n", "bold reverse" if at == self.chosen else ""))
        left = len(self.found) - first - len(shown) if shown else 0
        parts.append((f"{KEYS}" + (f"   {left} more" if left else ""), "dim"))
        self.update(Content.assemble(*parts))

    def on_click(self, event: events.Click) -> None:
        """The candidate that was clicked."""
        first = max(0, min(self.chosen - SHOWN // 2, len(self.found) - SHOWN))
        at = first + event.y
        if not self.wrong and event.y < SHOWN and at < len(self.found):
            self.chosen = at - 1
            self.prompt.put(self.step(1))
