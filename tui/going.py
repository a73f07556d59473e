"""Going places in the dashboard: its pages, and what is opened from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from textual.app import App

from tui.screens.base import StudioScreen
from tui.view import pages
from tui.view.navigation import SHOWN_FROM, composable


class Going(App[None]):
    """An app of pages: one of them at the bottom of the stack, what is opened from it above."""

    watched: set[str]  # ids of jobs that were opened here
    nav_hidden = False  # by whoever wants all the room for the screen

    def __init__(self) -> None:
        super().__init__()
        self.composable = composable()

    @property
    def page(self) -> str:
        """The name of the page that is open, below what was opened from it."""
        return next((name for screen in reversed(self.screen_stack) if (name := getattr(screen, "page", ""))), "")

    def go(self, name: str) -> None:
        """Go to a page; what was open is closed, after a question where something typed would be lost."""
        if any(getattr(screen, "unsaved", False) for screen in self.screen_stack):
            self.confirm("Leave the form? What was typed is lost.", lambda: self._open(pages.BY_NAME[name]))
        else:
            self._open(pages.BY_NAME[name])

    def _open(self, page: pages.Page) -> None:
        """Below the page is only Textual's own empty screen; below a form's the one that it is filled in over."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if page.over:
            self._push(pages.BY_NAME[page.over])
        self._push(page)

    def show_page(self, page: pages.Page) -> None:
        """Open a page over what is open."""
        self._push(page)

    def _push(self, page: pages.Page) -> None:
        screen = self._screen_of(page)
        screen.page = page.name
        self.push_screen(screen)

    def _screen_of(self, page: pages.Page) -> StudioScreen:
        if page.kind == "list":
            from tui.screens.listing import ListScreen
            from tui.view.kinds import KINDS

            return ListScreen(KINDS[page.target])
        if page.kind == "form":
            from tui.screens.startedform import form_screen

            return form_screen(page.target, {})
        module, _, name = page.target.partition(":")
        made: StudioScreen = getattr(import_module(module), name)()
        return made

    @property
    def nav_beside(self) -> bool:
        """Whether the sidebar has its place beside the screen."""
        return self.size.width >= SHOWN_FROM and not self.nav_hidden and not self.composable

    def fit_nav(self) -> None:
        """Give the sidebar its place, or the screen all the room."""
        if isinstance(self.screen, StudioScreen):
            self.screen.fit_nav()

    def action_nav(self) -> None:
        """ctrl+b: into the pages' names, and out again."""
        if isinstance(self.screen, StudioScreen):
            self.screen.nav.toggle()

    def show_list(self, name: str) -> None:
        """Go to the page of a list."""
        found = pages.find(name)
        if found is not None:
            self.go(found.name)

    def show_job(self, id: str) -> None:
        """Open a fine-tuning job."""
        self.watched.add(id)
        from tui.screens.job import JobScreen

        self.push_screen(JobScreen(id))

    def show_batch(self, id: str) -> None:
        """Open an evaluation batch."""
        self.watched.add(id)
        from tui.screens.batch import BatchScreen

        self.push_screen(BatchScreen(id))

    def show_comparison(self, id: str) -> None:
        """Open a session of a comparison."""
        from tui.screens.comparison import ComparisonScreen

        self.push_screen(ComparisonScreen(id))

    def show_export(self, id: str) -> None:
        """Open an export."""
        self.watched.add(id)
        from tui.screens.export import ExportScreen

        self.push_screen(ExportScreen(id))

    def show_endpoint(self, id: str, key: str | None = None) -> None:
        """Open an endpoint; `key` right after its start, the only time that it is known."""
        self.watched.add(id)
        from tui.screens.endpoint import EndpointScreen

        self.push_screen(EndpointScreen(id, key))

    def show_text(self, title: str, text: str) -> None:
        """Show text: a description, YAML, help."""
        from tui.screens.reading import ReadingScreen

        self.push_screen(ReadingScreen(title, text))

    def show_form(self, message: str, fields: dict[str, Any] | None = None) -> None:
        """Open the form of a message."""
        from tui.screens.startedform import form_screen

        self.push_screen(form_screen(message, fields or {}))

    def show_dataset(self, id: str) -> None:
        """Open a dataset."""
        from tui.screens.dataset import DatasetScreen

        self.push_screen(DatasetScreen(id))

    def show_model(self, id: str) -> None:
        """Open a base model."""
        from tui.screens.model import ModelScreen

        self.push_screen(ModelScreen(id))

    def show_prompt(self, id: str) -> None:
        """Open a prompt."""
        from tui.screens.prompt import PromptScreen

        self.push_screen(PromptScreen(id))

    def edit(self, kind: str, row: Mapping[str, Any]) -> None:
        """Open the form that changes what a resource is called; a config's makes another one, for its content stays."""
        from tui.view.editing import edited

        if (found := edited(kind, row)) is not None:
            self.show_form(*found)

    def confirm(self, question: str, then: Callable[[], None], code: Callable[[], str] | None = None) -> None:
        """Ask, and do it on yes; `code` tells what is done as code."""
        from tui.screens.confirm import ConfirmScreen

        self.push_screen(ConfirmScreen(question, code), lambda yes: then() if yes else None)
