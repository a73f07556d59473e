"""A real row of the dataset, rendered as the templates are typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tui.view import previewed
from tui.widgets.beside import Beside

TEMPLATES = ("prompt_template", "input_template", "completion_template")


class Rendering(Beside):
    """Without templates it tells what they may name."""

    NOTHING = "Choose a dataset to see its columns here, then a row of it as the model will."
    called = "the row"

    def __init__(self) -> None:
        super().__init__()
        self.row = self.rows = 0

    def wanted(self, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """The dataset, and all templates or none."""
        given = payload.get("prompt") or {}
        if not given.get("dataset_id"):
            return None
        whole = all(given.get(name) for name in TEMPLATES)
        return (
            {name: given[name] for name in ("dataset_id", *TEMPLATES)} if whole else {"dataset_id": given["dataset_id"]}
        )

    def ask(self) -> None:
        """A row, or what a template may name."""
        if TEMPLATES[0] in self.asked:
            self.send("PreviewPrompt", {**self.asked, "row": self.row})
        else:
            self.send("GetDataset", {"id": self.asked["dataset_id"]})

    def got(self, value: Any) -> None:
        """Show it."""
        reply = value.model_dump(mode="json")
        if "dataset" in reply:
            self.put(previewed.columns(reply["dataset"]))
            return
        self.rows = int(reply["rows"])
        self.put(previewed.rendered(reply), previewed.asked(reply))

    def another(self) -> None:
        """The next row of the first ones that the studio keeps."""
        if self.rows:
            self.row = (self.row + 1) % self.rows
            self.give_up()
            self.ask()
