"""The bar of pages on top, for a studio that is a part of another page (IS_COMPOSABLE): groups, each with a menu below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from core.text import plain
from tui.view.fit import cut
from tui.view.navigation import groups
from tui.view.pages import Page
from tui.widgets.nav import sign

if TYPE_CHECKING:
    from tui.app import Dashboard

ROOMY = 100  # columns from which on the groups stand apart


class Menu(Widget):
    """The pages of a group, below its name. It has no keys of its own: the bar keeps them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"menu--here", "menu--cursor"}

    def __init__(self, bar: TopBar) -> None:
        super().__init__(id="menu")
        self.bar = bar
        self.display = False

    def open(self, x: int, pages: list[Page]) -> None:
        """Show pages from column `x` on, or as far left as they need."""
        width = max(len(page.short) for page in pages) + 4
        self.styles.width, self.styles.height = width, len(pages)
        self.styles.offset = (max(0, min(x, self.app.size.width - width)), 1)
        self.display = True
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """A page."""
        page = self.bar.menu_pages[y] if y < len(self.bar.menu_pages) else None
        if page is None:
            return Strip.blank(self.size.width, self.rich_style)
        here, on_it = page.name == self.bar.dashboard.page, y == self.bar.line
        style = "menu--cursor" if on_it else "menu--here" if here else ""
        look = self.get_component_rich_style(style) if style else self.rich_style
        text = sign(here, on_it) + page.short
        return Strip([Segment(plain(cut(text, self.size.width)).ljust(self.size.width), look)])

    def on_click(self, event: events.Click) -> None:
        """A click goes there."""
        event.stop()
        if event.y < len(self.bar.menu_pages):
            self.bar.go(self.bar.menu_pages[event.y])


class TopBar(Widget):
    """One line; the group under the cursor, or the mouse, has its pages below it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"topbar--here", "topbar--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l,right,tab", "across(1)", "next group", show=False),
        Binding("h,left,shift+tab", "across(-1)", "group before", show=False),
        Binding("j,down", "move(1)", "next page of the menu", show=False),
        Binding("k,up", "move(-1)", "page before", show=False),
        Binding("enter,space", "open", "go there", show=False),
        Binding("escape,q", "leave", "back to the screen", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="nav")
        self.groups = groups()
        self.group = 0  # under the cursor
        self.line = -1  # of its menu; none yet
        self.back: Widget | None = None  # what had the focus before

    @property
    def dashboard(self) -> Dashboard:
        """The app."""
        return self.app  # type: ignore[return-value]

    @property
    def menu(self) -> Menu:
        """The menu that hangs below it."""
        return self.screen.query_one(Menu)

    @property
    def menu_pages(self) -> list[Page]:
        """The pages of the group under the cursor."""
        return self.groups[self.group][1]

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    @property
    def places(self) -> list[tuple[int, str]]:
        """Where each group begins, and its text."""
        roomy = self.app.size.width >= ROOMY
        found, x = [], 1
        for name, pages in self.groups:
            text = f" {name}{' ▾' if len(pages) > 1 else ''} " if roomy else name.split()[-1]
            found.append((x, text))
            x += len(text) + 1
        return found

    def render_line(self, y: int) -> Strip:
        """The groups."""
        segments = [Segment(" ", self.rich_style)]
        for number, (_, text) in enumerate(self.places):
            on_it = number == self.group and self.has_focus
            here = any(page.name == self.dashboard.page for page in self.groups[number][1])
            style = "topbar--cursor" if on_it else "topbar--here" if here else ""
            look = self.get_component_rich_style(style) if style else self.rich_style
            segments += [Segment("│", self.rich_style)] if number else []
            segments.append(Segment(text, look))
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    # ─── opening and leaving ──────────────────────────────────────────────────────────────────────

    def fit(self) -> bool:
        """It has its place always."""
        return False

    def toggle(self) -> None:
        """ctrl+b: take the keys, or give them back."""
        if self.has_focus:
            self.action_leave()
        else:
            self.enter()

    def enter(self) -> None:
        """Take the keys, on the group of the page that is open."""
        here = (
            number for number, (_, pages) in enumerate(self.groups) if any(p.name == self.dashboard.page for p in pages)
        )
        self.back = self.screen.focused
        self.can_focus = True
        self.screen.set_focus(self)
        self._to(next(here, 0))

    def action_leave(self) -> None:
        """Escape: back to the screen."""
        self.screen.set_focus(self.back)

    def on_blur(self) -> None:
        """The menu goes with the focus."""
        self.can_focus = False
        self.menu.display = False
        self.refresh()

    def _to(self, group: int, line: int = -1) -> None:
        self.group, self.line = group % len(self.groups), line
        if len(self.menu_pages) > 1:
            self.menu.open(self.places[self.group][0] - 1, self.menu_pages)
        else:
            self.menu.display = False
        self.refresh()

    # ─── moving ───────────────────────────────────────────────────────────────────────────────────

    def action_across(self, step: int) -> None:
        """h, l."""
        self._to(self.group + step)

    def action_move(self, step: int) -> None:
        """j, k."""
        count = len(self.menu_pages)
        if count > 1:
            self.line = (self.line + step) % count if self.line >= 0 else (0 if step > 0 else count - 1)
            self.menu.refresh()

    def action_open(self) -> None:
        """Enter: the page, or the menu's first one."""
        if len(self.menu_pages) == 1:
            self.go(self.menu_pages[0])
        elif self.line >= 0:
            self.go(self.menu_pages[self.line])
        else:
            self.action_move(1)

    def on_key(self, event: events.Key) -> None:
        """A letter: the next page of the menu that begins with it, else the next group."""
        letter = (event.character or "").lower()
        if not letter.isalpha() or letter in "hjklq":
            return
        event.stop()
        lines = [(self.line + 1 + more) % len(self.menu_pages) for more in range(len(self.menu_pages))]
        found = next((line for line in lines if self.menu_pages[line].short.lower().startswith(letter)), None)
        if found is not None and len(self.menu_pages) > 1:
            self._to(self.group, found)
            return
        others = [(self.group + 1 + more) % len(self.groups) for more in range(len(self.groups))]
        self._to(next((group for group in others if self.groups[group][0].lower().startswith(letter)), self.group))

    def on_click(self, event: events.Click) -> None:
        """A click opens a group's menu, or goes where there is one page only; once more closes it."""
        event.stop()
        hit = [number for number, (x, text) in enumerate(self.places) if x <= event.x < x + len(text)]
        if not hit:
            return
        if len(self.groups[hit[0]][1]) == 1:
            self.go(self.groups[hit[0]][1][0])
        elif self.has_focus and self.group == hit[0]:
            self.action_leave()
        else:
            if not self.has_focus:
                self.enter()
            self._to(hit[0])

    def go(self, page: Page) -> None:
        """Go to a page."""
        self.action_leave()
        self.dashboard.go(page.name)
