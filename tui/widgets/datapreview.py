"""The first rows of what Import Datasets is about to add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.messages.base import faults
from core.rules import refusing
from tui.view import previewed
from tui.widgets.beside import Beside

FIELDS = ("type", "location", "huggingface_name", "config_name")


class DataPreview(Beside):
    """Asked for as soon as the form says where the rows are."""

    NOTHING = "Say where its rows are to see the first ones here."
    called = "the rows"

    def wanted(self, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """Where the rows are."""
        place = {name: payload[name] for name in FIELDS if payload.get(name)}
        return place if len(place) > 1 else None

    def sound(self, payload: Mapping[str, Any]) -> bool:
        """The place is a possible one."""
        return not refusing(faults("PreviewDataset", self.wanted(payload) or {}))

    def ask(self) -> None:
        """The first rows."""
        self.put([[("reading …", "busy")]])
        self.send("PreviewDataset", {**self.asked, "limit": previewed.ROWS})

    def got(self, value: Any) -> None:
        """Show them."""
        reply = value.model_dump(mode="json")
        self.put(previewed.rows(reply), previewed.brief(reply))
