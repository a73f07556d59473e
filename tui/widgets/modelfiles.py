"""Whether the directory that Import Base Models names holds a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.types import ModelType
from tui.view import previewed
from tui.widgets.beside import Beside

MOST = 1000  # files that are looked at: weights in very many pieces have an index beside them


class ModelFiles(Beside):
    """Looked for as the directory is typed; what they hold is read when the form is sent."""

    NOTHING = "Name a directory of the project to see here whether it holds a model."
    called = "its files"

    def wanted(self, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """The directory."""
        place = str(payload.get("location") or "").strip()
        return {"location": place} if payload.get("type") == ModelType.project and place else None

    def ask(self) -> None:
        """What lies in it."""
        self.send("ListFiles", {"beginning": f"{self.asked['location'].rstrip('/')}/", "limit": MOST})

    def got(self, value: Any) -> None:
        """Show what is there and what is missing."""
        found = {each.path.rpartition("/")[2]: each.bytes or 0 for each in value.files}
        found.pop("", None)  # directories
        self.put(*previewed.model(self.asked["location"], found))
