"""Forms that can begin with something: a prompt drafted from columns, a shipped config, an earlier job."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core.messages.common import repository
from tui import starting
from tui.screens.form import FormScreen
from tui.screens.jobkeys import adapters_dir
from tui.view import words
from tui.widgets.fieldset import Fieldset
from tui.widgets.rendering import Rendering

SUFFIX_TYPES = {
    ".csv": "project_csv",
    ".json": "project_json",
    ".jsonl": "project_jsonl",
    ".parquet": "project_parquet",
}


class StartedFormScreen(FormScreen):
    """A form with ctrl+g."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+g", "start", "begin with something", show=False, priority=True),
        Binding("ctrl+l", "another", "another row", show=False, priority=True),
    ]

    def keys_line(self) -> str:
        """The line of keys: at most 78 characters."""
        short = starting.SHORT[self.message]
        plan = f"^p {self.beside.called}" if self.beside is not None else ""
        return "  ".join(filter(None, ["^s send", "tab next", short, plan, "^o as code", "esc leave", "F1 keys"]))

    def action_start(self) -> None:
        """ctrl+g."""
        values = self.fields.values()
        self.tell("asking the studio …")
        self.run_worker(lambda: self._start(values), thread=True, exit_on_error=False)

    def _start(self, values: dict[str, Any]) -> None:
        studio = self.dashboard.studio
        try:
            if self.message == "StartFineTuningJob":
                self.in_app(self._choose, starting.jobs(studio))
                return
            make = starting.templates if self.message == "AddPrompt" else starting.config
            found = make(studio, values)
        except Exception as error:
            self.in_app(self.tell, f"✗ {error}")
            return
        self.in_app(self._begin_with, found)

    def _begin_with(self, values: dict[str, Any]) -> None:
        self.tell("")
        self.fields.fill(values, by_hand=True)

    def _choose(self, rows: list[dict[str, Any]]) -> None:
        from tui.screens.picker import PickerScreen

        self.tell("")
        taken = [str(row.get("adapter_name")) for row in rows]
        by_id = {str(row["id"]): row for row in rows}
        options = [(f"{row['adapter_name']}   {words.state(row['status'])}", str(row["id"])) for row in rows]

        def chosen(id: str | None) -> None:
            if id:
                self._begin_with(starting.like(by_id[id], taken, adapters_dir()))

        self.app.push_screen(PickerScreen(options, ""), chosen)

    def action_another(self) -> None:
        """ctrl+l: another row of the dataset."""
        if isinstance(self.beside, Rendering):
            self.beside.another()


class DatasetFormScreen(FormScreen):
    """Import Datasets: a file's name tells its type, and what the dataset may be called."""

    def on_fieldset_changed(self, message: Fieldset.Changed) -> None:
        """What a path tells is filled in where nobody said otherwise."""
        if message.by_hand and message.field.name == "location":
            path = str(self.fields.boxes["location"].value)
            name, dot, end = path.rpartition("/")[2].rpartition(".")
            known = {"type": SUFFIX_TYPES.get(f".{end.lower()}" if dot else ""), "name": name}
            for key, value in known.items():
                if value and known["type"] and key not in self.fields.touched:
                    self.fields.begin(key, value)
        super().on_fieldset_changed(message)


class ModelFormScreen(FormScreen):
    """Import Base Models: a directory's name, or the one on the Hub, is what the model may be called."""

    def on_fieldset_changed(self, message: Fieldset.Changed) -> None:
        """What a place tells is filled in where nobody said otherwise."""
        told = {"location": directory_name, "huggingface_name": repository}.get(message.field.name)
        if message.by_hand and told is not None and "name" not in self.fields.touched:
            self.fields.begin("name", told(str(self.fields.boxes[message.field.name].value)))
        super().on_fieldset_changed(message)


def directory_name(path: str) -> str:
    """What a directory is called."""
    return PurePath(path.strip()).name


def form_screen(message: str, values: dict[str, Any]) -> FormScreen:
    """The screen of a message's form."""
    if message == "AddDataset":
        return DatasetFormScreen(message, values)
    if message == "AddModel":
        return ModelFormScreen(message, values)
    return StartedFormScreen(message, values) if message in starting.KEY else FormScreen(message, values)
