"""The sidebar: the pages by section, the one that is open marked. One widget draws all of it: the first frame waits for no child."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from core.text import plain
from tui.view import navigation
from tui.view.fit import cut, cut_left
from tui.view.links import link
from tui.view.navigation import SHOWN_FROM, WIDE, Entry
from tui.view.pages import Page

if TYPE_CHECKING:
    from tui.app import Dashboard

HEAD = 1  # lines above the pages


def sign(here: bool, on_it: bool) -> str:
    """What stands before a page's name: whether it is open, and whether the cursor is on it."""
    return ("▌" if here else " ") + ("›" if on_it else " ")


class Nav(Widget):
    """Stands at the left where there is room; elsewhere it lies over the screen while it is used (`over`)."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"nav--title", "nav--section", "nav--here", "nav--cursor", "nav--foot"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "next page", show=False),
        Binding("k,up", "move(-1)", "page before", show=False),
        Binding("g,home", "end(0)", "first page", show=False),
        Binding("G,end", "end(-1)", "last page", show=False),
        Binding("l,right,h,left", "across", "other column", show=False),
        Binding("enter", "open", "go there", show=False),
        Binding("escape,q", "leave", "back to the screen", show=False),
    ]

    def __init__(self, *, shown: bool) -> None:
        super().__init__(id="nav")
        self.display = shown
        self.at: Page | None = None  # under the cursor, while it has the focus
        self.back: Widget | None = None  # what had the focus before
        self.first = 0  # line of the column that stands on top
        self.owner = navigation.footer()

    @property
    def dashboard(self) -> Dashboard:
        """The app."""
        return self.app  # type: ignore[return-value]

    @property
    def over(self) -> bool:
        """Whether it lies over the screen."""
        return self.has_class("over")

    @property
    def foot(self) -> list[str]:
        """The lines at the bottom: whose studio it is, and how busy its workbench, where no page gives way for that."""
        told = self.dashboard.bench_told
        if told is None:
            return self.owner
        from tui.view.workbench import load

        lines = [*self.owner, *load(told)]
        roomy = self.screen.size.height - HEAD - len(lines) >= len(navigation.column(apart=False))
        return lines if roomy else self.owner

    @property
    def columns(self) -> list[list[Entry]]:
        """The lines that have room."""
        return navigation.columns(self.room, self.over)

    @property
    def room(self) -> int:
        """Lines for pages."""
        return max(1, self.screen.size.height - HEAD - len(self.foot))

    @property
    def pages(self) -> list[Page]:
        """All pages, as the cursor walks them."""
        return [entry.page for entries in self.columns for entry in entries if entry.page is not None]

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    def render_line(self, y: int) -> Strip:
        """A line of it."""
        width = self.size.width
        if y < HEAD:
            return self._strip([(" Fine Tuning Studio", "nav--title", width)])
        foot = self.foot
        if y >= self.size.height - len(foot):
            return self._foot(foot[y - self.size.height + len(foot)], width)
        return self._strip([self._cell(entries, y - HEAD) for entries in self.columns])

    def _foot(self, text: str, width: int) -> Strip:
        """A line at the bottom; the domain leads to the workbench's page of the project."""
        shown = cut_left(text, width - 2)
        strip = self._strip([(f" {shown}", "nav--foot", width)])
        told = self.dashboard.bench_told or {}
        page = link(told.get("project") if text == told.get("domain") else "")
        if not page:
            return strip
        end = 1 + cell_len(shown)
        return Strip.join([strip.crop(0, 1), strip.crop(1, end).apply_style(Style.parse(page)), strip.crop(end)])

    def _cell(self, entries: list[Entry], y: int) -> tuple[str, str, int]:
        more = len(entries) > self.room
        if more and y == self.room - 1 and self.first + self.room < len(entries):
            return " ▼", "nav--foot", WIDE
        if more and y == 0 and self.first > 0:
            return " ▲", "nav--foot", WIDE
        index = y + self.first
        entry = entries[index] if index < len(entries) else Entry()
        if entry.page is None:
            return f" {entry.text}", "nav--section", WIDE
        here = entry.page.name == self.dashboard.page
        on_it = self.has_focus and entry.page is self.at
        return f"{sign(here, on_it)}{entry.text}", "nav--cursor" if on_it else "nav--here" if here else "", WIDE

    def _strip(self, cells: list[tuple[str, str, int]]) -> Strip:
        segments = []
        for text, style, width in cells:
            look = self.get_component_rich_style(style) if style else self.rich_style
            segments.append(Segment(plain(cut(text, width)).ljust(width), look))
        return Strip(segments, sum(width for _, _, width in cells)).adjust_cell_length(self.size.width, self.rich_style)

    # ─── opening and leaving ──────────────────────────────────────────────────────────────────────

    def fit(self) -> bool:
        """Be there where there is room for it; whether that changed."""
        beside = self.dashboard.nav_beside
        if not self.over and self.display == beside:
            return False
        self.put_away()
        self.display = beside
        return True

    def toggle(self) -> None:
        """ctrl+b: take the keys; once more, hide where it has its place beside the screen."""
        roomy = self.app.size.width >= SHOWN_FROM
        if not self.has_focus:
            self.dashboard.nav_hidden &= not roomy
            self.dashboard.fit_nav()
            self.enter()
        else:
            self.dashboard.nav_hidden |= roomy
            self.action_leave()
            self.dashboard.fit_nav()

    def enter(self) -> None:
        """Take the keys; where it has no place of its own, over the screen."""
        self.set_class(not self.dashboard.nav_beside, "over")
        wide = self.over and len(self.columns) > 1
        self.styles.width = WIDE * 2 if wide else WIDE
        self.display = True
        self._keys_under(shown=not self.over)
        self.at = next((page for page in self.pages if page.name == self.dashboard.page), self.pages[0])
        self.back = self.screen.focused
        self._follow()
        self.can_focus = True
        self.screen.set_focus(self)
        self.refresh()

    def action_leave(self) -> None:
        """Escape: back to the screen, which takes it away when it is left."""
        self.screen.set_focus(self.back)

    def put_away(self) -> None:
        """Let go of the keys; gone where it only lay over the screen."""
        self.can_focus = False
        if self.over:
            self._keys_under(shown=True)
            self.display = False
            self.remove_class("over")
            self.styles.width = WIDE

    def _keys_under(self, *, shown: bool) -> None:
        """What it leaves of the screen's line of keys would be told of keys that do nothing meanwhile."""
        for line in self.screen.query("#keys"):
            line.visible = shown

    def on_blur(self) -> None:
        """What lies over the screen goes when one turns to the screen."""
        self.put_away()

    # ─── moving ───────────────────────────────────────────────────────────────────────────────────

    def action_move(self, step: int) -> None:
        """j, k."""
        pages = self.pages
        self._to(pages[(self._index + step) % len(pages)])

    def action_end(self, index: int) -> None:
        """g, G."""
        self._to(self.pages[index])

    def action_across(self) -> None:
        """h, l: the page beside, where there are two columns."""
        two = self.columns
        if len(two) < 2 or self.at is None:
            return
        side = next(number for number, entries in enumerate(two) if any(each.page is self.at for each in entries))
        line = next(number for number, each in enumerate(two[side]) if each.page is self.at)
        other = [(abs(number - line), each.page) for number, each in enumerate(two[1 - side]) if each.page]
        self._to(min(other, key=lambda each: each[0])[1])

    def on_key(self, event: events.Key) -> None:
        """A letter: the next page that begins with it."""
        letter = (event.character or "").lower()
        after = self.pages[self._index + 1 :] + self.pages[: self._index + 1]
        found = next((page for page in after if letter.isalpha() and page.short.lower().startswith(letter)), None)
        if found is not None and event.key not in "jkgGhlq":
            event.stop()
            self._to(found)

    @property
    def _index(self) -> int:
        return next((number for number, page in enumerate(self.pages) if page is self.at), 0)

    def _to(self, page: Page) -> None:
        self.at = page
        self._follow()
        self.refresh()

    def _follow(self) -> None:
        entries = self.columns[0]
        if len(self.columns) > 1 or len(entries) <= self.room:
            self.first = 0
            return
        line = next((number for number, entry in enumerate(entries) if entry.page is self.at), 0)
        last = len(entries) - self.room
        self.first = max(0, min(last, max(line - self.room + 3, min(self.first, line - 2))))

    def action_open(self) -> None:
        """Enter."""
        if self.at is not None:
            self._go(self.at)

    def on_click(self, event: events.Click) -> None:
        """A click goes there."""
        side, y = divmod(event.x, WIDE)[0], event.y - HEAD + self.first
        entries = self.columns[side] if side < len(self.columns) else []
        page = entries[y].page if 0 <= event.y - HEAD < self.room and 0 <= y < len(entries) else None
        event.stop()
        if page is not None:
            self._go(page)

    def _go(self, page: Page) -> None:
        self.action_leave()
        self.dashboard.go(page.name)
