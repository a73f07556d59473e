"""Home: what there is, what runs, how busy the machines are, what needs a person; the first steps while there is nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.timer import Timer

from tui.pump import StudioChanged
from tui.screens.base import StudioScreen
from tui.view import overview
from tui.view.cells import of_runner
from tui.view.overview import Section, Target
from tui.view.pages import BY_NAME
from tui.widgets.banner import Banner
from tui.widgets.glance import Glance

TWO = 110  # columns from which on the sections stand in two columns
OFTEN, SELDOM = 2.0, 10.0  # seconds between looks while something runs, and while nothing does
SOON = 0.5  # seconds that what happens is waited for, to be shown together
RIGHT = {"Resources", "Events", "Cloudera ML"}  # where there are two columns


class HomeScreen(StudioScreen):
    """Enter goes to what is under the cursor."""

    CSS_PATH = "../styles/home.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "page('import-datasets')", "add a dataset", show=False),
        Binding("m", "page('import-models')", "add a base model", show=False),
        Binding("p", "page('create-prompts')", "write a prompt", show=False),
        Binding("t", "page('train')", "train an adapter", show=False),
        Binding("tab,l,right", "other", "the other column", show=False),
        Binding("shift+tab,h,left", "other", "the other column", show=False),
    ]
    keys_shown = "enter open  t train  d m p add data, model, prompt  ^b pages  ? help  q quit"

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, Any] | None = None
        self.soon: Timer | None = None
        self.looked = 0.0  # seconds since

    def compose(self) -> ComposeResult:
        """Two columns, of which a narrow screen has the first."""
        yield Banner("Home")
        with Horizontal(id="home"):
            yield Glance("left")
            yield Glance("right")
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask, and go on asking while it is looked at."""
        self.set_interval(OFTEN, self._live)
        self._columns()
        self.focus_first()
        self.again()

    def focus_first(self) -> None:
        """The lines."""
        self.query_one("#left", Glance).focus()

    def on_screen_resume(self) -> None:
        """As it is now."""
        if self.told is not None:
            self.again()

    def on_resize(self) -> None:
        """One column or two."""
        self._columns()

    def _columns(self) -> None:
        self.query_one("#right").display = self.two
        self.draw()

    @property
    def two(self) -> bool:
        """Whether there is room for two columns."""
        return self.room >= TWO

    # ─── what it shows ────────────────────────────────────────────────────────────────────────────

    def fetch(self) -> dict[str, Any]:
        """The whole truth, in one question."""
        found: dict[str, Any] = self.dashboard.studio.ask("GetOverview", {}, timeout=10).value.model_dump(mode="json")
        return found

    def got(self, found: dict[str, Any]) -> None:
        """Show it."""
        self.told = found
        self.draw()

    def draw(self) -> None:
        """The sections, in their columns."""
        if self.told is None:
            return
        found = overview.sections(self.told, compact=0 if self.two else self.room)
        at = next(place for place, each in enumerate(found) if each.title == "Resources")
        found[at:at] = self._workbench()
        left, right = self._shared(found)
        self.query_one("#left", Glance).show(left)
        self.query_one("#right", Glance).show(right)
        self.banner.tell(overview.summary(self.told))

    def _workbench(self) -> list[Section]:
        """How busy the workbench of Cloudera ML is, where there is one."""
        if (told := self.dashboard.bench_told) is None:
            return []
        from tui.view.workbench import section

        return [found] if (found := section(told)).lines else []

    def bench_told(self) -> None:
        """More is known of the workbench."""
        super().bench_told()
        if self.there:
            self.draw()

    def _shared(self, found: list[Section]) -> tuple[list[Section], list[Section]]:
        if not self.two:
            return found, []
        return [each for each in found if each.title not in RIGHT], [each for each in found if each.title in RIGHT]

    def _live(self) -> None:
        self.looked += OFTEN
        busy = self.told is not None and bool(self.told["running"])
        if self.is_current and (busy or self.looked >= SELDOM):
            self.looked = 0.0
            self.again()

    def studio_changed(self, message: StudioChanged) -> None:
        """Something happened: look again, soon."""
        if self.there and self.soon is None:
            self.soon = self.set_timer(SOON, self._look)

    def _look(self) -> None:
        self.soon = None
        if self.is_current:
            self.again()

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def action_page(self, name: str) -> None:
        """Go to a page; a form lies over this one, to which one comes back."""
        page = BY_NAME[name]
        if page.kind == "form":
            self.dashboard.show_page(page)
        else:
            self.dashboard.go(name)

    def action_other(self) -> None:
        """tab: the other column."""
        sides = [side for side in self.query(Glance) if side.display]
        at = next((number for number, side in enumerate(sides) if side.has_focus), -1)
        sides[(at + 1) % len(sides)].focus()

    def on_glance_opened(self, message: Glance.Opened) -> None:
        """Enter goes there."""
        self._open(message.target)

    def _open(self, target: Target) -> None:
        show: dict[str, Callable[[str], None]] = {
            "fine_tuning": self.dashboard.show_job,
            "evaluation": self.dashboard.show_batch,
            "comparison": self.dashboard.show_comparison,
            "export": self.dashboard.show_export,
            "endpoint": self.dashboard.show_endpoint,
            "runner": self._runner,
            "workbench": self._about_workbench,
        }
        show.get(target.kind, self.dashboard.go)(target.id)

    def _about_workbench(self, id: str) -> None:
        from tui.view.workbench import described

        if (told := self.dashboard.bench_told) is not None:
            self.dashboard.show_text("Cloudera ML", "\n".join(described(told)))

    def _runner(self, id: str) -> None:
        from tui.view.describe import described

        known = (self.told or {}).get("runners", [])
        found = next((each for each in known if each["id"] == id), None)
        if found is None:
            self.dashboard.go("runners")
        else:
            self.dashboard.show_text(f"Runner {found['host']}", described(of_runner(found)))
