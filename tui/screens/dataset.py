"""A dataset: what is known of it, and its rows, page by page, split by split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from core.text import counted, plain
from tui import labels
from tui.screens.base import StudioScreen
from tui.view import previewed
from tui.view.cells import Cell
from tui.widgets.banner import Banner
from tui.widgets.table import StudioTable

PAGE = 100  # rows
NUMBER = ""  # the title of the rows' numbers: no column has it


class DatasetScreen(StudioScreen):
    """Rows as a table; a row whole at enter."""

    CSS_PATH = "../styles/dataset.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket,space", "page(1)", "next page", show=False),
        Binding("left_square_bracket", "page(-1)", "page before", show=False),
        Binding("s", "split", "next split", show=False),
        Binding("d", "describe", "all that is known of it", show=False),
        Binding("e", "edit", "change its name or description", show=False),
        Binding("P", "prompt", "write a prompt for it", show=False),
        Binding("t", "train", "train an adapter on it", show=False),
    ]
    keys_shown = "enter row  ] [ page  s split  d describe  e edit  P prompt  t train  esc back"

    def __init__(self, id: str) -> None:
        super().__init__()
        self.id_ = id
        self.dataset: Mapping[str, Any] = {}
        self.page_: Mapping[str, Any] = {"rows": [], "columns": [], "after": 0, "splits": {}}
        self.after, self.split = 0, ""

    def compose(self) -> ComposeResult:
        """What is known, the rows, and which of them."""
        yield Banner("Dataset")
        yield Static("", id="head", markup=False)
        yield StudioTable([NUMBER], "rows")
        yield Static("", id="where", classes="told", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out."""
        self.banner.tell("asking the studio …")
        self.focus_first()
        self.call_after_refresh(self.again)

    def focus_first(self) -> None:
        """The table."""
        self.query_one(StudioTable).focus()

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────

    def fetch(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The dataset, and a page of its rows."""
        ask = self.dashboard.studio.ask
        dataset = ask("GetDataset", {"id": self.id_}).value.dataset.model_dump(mode="json")
        asked = {"dataset_id": self.id_, "after": self.after, "limit": PAGE, "split": self.split or None}
        try:
            page = ask("PreviewDataset", asked, timeout=60).value.model_dump(mode="json")
        except ValueError as error:  # the file has gone, or is not what it was: what is known is shown all the same
            page = {"rows": [], "columns": [], "after": 0, "splits": {}, "note": str(error), "has_more": False}
        return dataset, page

    def got(self, found: tuple[Mapping[str, Any], Mapping[str, Any]]) -> None:
        """Draw them."""
        self.dataset, self.page_ = found
        columns = list(self.page_["columns"])
        first = int(self.page_["after"])
        lines: dict[str, list[Cell]] = {
            str(first + index): [
                (str(first + index + 1), "dim"),
                *((previewed.value(row.get(name), 200), "") for name in columns),
            ]
            for index, row in enumerate(self.page_["rows"])
        }
        self.query_one(StudioTable).show_as([NUMBER, *(plain(name, limit=60) for name in columns)], lines)
        self.query_one("#head", Static).update(Content("\n".join(self._head())))
        self.query_one("#where", Static).update(Content(self._where()))
        self.banner.name_it(f"Dataset {plain(self.dataset['name'], limit=60)}")
        self.banner.tell("")

    def _head(self) -> list[str]:
        known = self.dataset
        place = known.get("location") or known.get("huggingface_name") or ""
        columns = ", ".join(f"{name} {kind}" for name, kind in (known.get("column_types") or {}).items())
        chat = " · conversations" if known.get("is_chat") else ""
        size = f"{counted(known['rows'], 'row')} · " if known.get("rows") else ""
        told = [
            f"{size}{labels.choice('type', known['type'])}{chat} · {place}",
            columns,
            known.get("description") or "",
        ]
        return [plain(each, limit=300) for each in told if each]

    def _where(self) -> str:
        rows, after = len(self.page_["rows"]), int(self.page_["after"])
        if self.page_.get("note") and not rows:
            return plain(f"✗ {self.page_['note']}", limit=300)
        total = self.page_.get("total")
        of = f" of {total:,}" if total else ", and more" if self.page_["has_more"] else ""
        splits = [f"[{name}]" if name == self.page_.get("split") else name for name in self.page_["splits"]]
        note = f"   {self.page_['note']}" if self.page_.get("note") else ""
        shown = f"rows {after + 1:,} to {after + rows:,}{of}" if rows else "no rows here"
        return plain(f"{shown}   splits: {' '.join(splits)}{note}" if len(splits) > 1 else f"{shown}{note}", limit=300)

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def action_page(self, step: int) -> None:
        """], [."""
        if step > 0 and not self.page_.get("has_more"):
            return
        self.after = max(0, int(self.page_["after"]) + step * PAGE)
        self.again()

    def action_split(self) -> None:
        """s: the rows of the next split."""
        names = list(self.page_["splits"])
        if len(names) > 1:
            at = names.index(self.page_["split"]) if self.page_["split"] in names else -1
            self.split, self.after = names[(at + 1) % len(names)], 0
            self.again()

    def on_data_table_row_selected(self, event: StudioTable.RowSelected) -> None:
        """Enter: a row whole."""
        key = self.query_one(StudioTable).cursor_key
        if key is None:
            return
        number = int(key)
        asked = {"dataset_id": self.id_, "after": number, "limit": 1, "longest": 20_000, "split": self.split or None}

        def read(answer: Any) -> None:
            reply = answer.value.model_dump(mode="json")
            if reply["rows"]:
                text = previewed.record(reply["rows"][0], reply["columns"])
                self.dashboard.show_text(f"{self.dataset.get('name')}: row {number + 1}", text)

        self.dashboard.ask("PreviewDataset", asked, read)

    def copies(self) -> list[tuple[str, str]]:
        """The row under the cursor as JSON, the id, the place."""
        key = self.query_one(StudioTable).cursor_key
        rows = list(self.page_["rows"])
        row = rows[int(key) - int(self.page_["after"])] if key is not None and rows else None
        place = str(self.dataset.get("location") or self.dataset.get("huggingface_name") or "")
        offered = [("the row", json.dumps(row, ensure_ascii=False))] if row is not None else []
        return [*offered, ("the id", self.id_), *([("the place", place)] if place else [])]

    def action_describe(self) -> None:
        """d."""
        from tui.view.describe import described

        if self.dataset:
            self.dashboard.show_text(f"Dataset: {self.dataset['name']}", described(self.dataset))

    def action_edit(self) -> None:
        """e."""
        self.dashboard.edit("datasets", self.dataset)

    def action_prompt(self) -> None:
        """P."""
        self.dashboard.show_form("AddPrompt", {"prompt.dataset_id": self.id_})

    def action_train(self) -> None:
        """t."""
        self.dashboard.show_form("StartFineTuningJob", {"dataset_id": self.id_})
