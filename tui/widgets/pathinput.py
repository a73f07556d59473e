"""An input for a path of the project: it completes what is typed from what the studio finds there."""

from __future__ import annotations

import asyncio
from typing import Any

from textual.message import Message
from textual.suggester import Suggester

from tui.widgets.line import Line

SUFFIXES = {  # what is chosen beside a path -> how the file's name ends
    "project_csv": [".csv"],
    "project_json": [".json"],
    "project_jsonl": [".jsonl"],
    "project_parquet": [".parquet"],
}
DATA = [".csv", ".json", ".jsonl", ".parquet"]
OF = {"AddDataset": DATA, "ImportDatabase": [".json"]}  # message -> what its files end in; directories otherwise
SHOWN = 12  # candidates that are told


class Candidates(Suggester):
    """Asks the studio which paths begin like the text."""

    def __init__(self, owner: PathInput) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.owner = owner

    async def get_suggestion(self, value: str) -> str | None:
        """The first one, which the input shows behind the cursor."""
        found = await asyncio.to_thread(self.owner.look, value)
        if value != self.owner.value:
            return None  # typed on meanwhile: the next answer is on its way
        self.owner.found, self.owner.looked = found, value
        self.owner.post_message(PathInput.Found(self.owner, found))
        first = next((each for each in found if each.startswith(value) and each != value), None)
        self.owner.call_later(self.owner.late, value)
        return first


class PathInput(Line):
    """Tab, or the right arrow at the end, takes what is suggested; a directory's end is a slash."""

    class Found(Message):
        """The paths that what is typed may become."""

        def __init__(self, input: PathInput, paths: list[str]) -> None:
            super().__init__()
            self.input, self.paths = input, paths

        @property
        def control(self) -> PathInput:
            """The input."""
            return self.input

    def __init__(self, message: str, value: str, id: str) -> None:
        super().__init__(value, id=id, compact=True)
        self.found: list[str] = []
        self.suffixes = OF.get(message, ["/"])
        self.looked = value  # what the candidates are of
        self.early: str | None = None  # what stood there when tab came before them
        self.entered = False  # and whether enter followed
        self.suggester = Candidates(self)

    def look(self, value: str) -> list[str]:
        """What the studio finds; nothing where it can't be asked. Blocks: called in a thread."""
        dashboard: Any = self.app
        try:
            files = dashboard.studio.ask("ListFiles", {"beginning": value}, timeout=5).value.files
        except Exception:  # completion is a help: without it one types
            return []
        return [each.path for each in files if each.path.endswith(("/", *self.suffixes))]

    def of_kind(self, kind: str | None) -> None:
        """Offer files of this kind only."""
        self.suffixes = SUFFIXES.get(kind or "", ["/"] if kind else DATA)

    @property
    def suggested(self) -> bool:
        """Whether something waits to be taken."""
        return bool(self._suggestion) and self._suggestion != self.value and self.cursor_position == len(self.value)

    def take_soon(self) -> None:
        """Take what is suggested, as soon as that is known."""
        if self.suggested:
            self.take()
        elif self.looked != self.value:
            self.early, self.entered = self.value, False

    async def late(self, value: str) -> None:
        """The candidates of a text have come: do what was typed before them."""
        if self.early != value or self.value != value:
            return
        self.early = None
        self.take()
        if self.entered:
            await self.action_submit()

    async def action_submit(self) -> None:
        """Enter: after the tab that waits for candidates."""
        if self.early == self.value:
            self.entered = True
        else:
            await super().action_submit()

    def take(self) -> None:
        """Take what is suggested: as far as all candidates agree, else the first one."""
        whole = [each for each in self.found if each.startswith(self.value)]
        agreed = _agreed(whole)
        self.value = agreed if len(agreed) > len(self.value) else self._suggestion or self.value
        self.cursor_position = len(self.value)

    def on_focus(self) -> None:
        """Say what there is before anything is typed."""
        if not self.value:
            self.run_worker(self._first(), exclusive=True)

    async def _first(self) -> None:
        found = await asyncio.to_thread(self.look, "")
        if not self.value:
            self.post_message(self.Found(self, found))


def _agreed(texts: list[str]) -> str:
    """How all of them begin."""
    if not texts:
        return ""
    low, high = min(texts), max(texts)
    end = next((at for at, char in enumerate(low) if at >= len(high) or high[at] != char), len(low))
    return low[:end]
