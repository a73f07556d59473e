"""The dashboard. What the first frame does not need (pydantic, redis, the messages) is imported after it, in a thread."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.notifications import SeverityLevel

from core.text import plain
from tui.door import LastDoor
from tui.drawing import Drawing
from tui.going import Going
from tui.lasting import Lasting
from tui.pump import JobRecords, StudioChanged
from tui.remembered import recall, remember
from tui.screens.base import StudioScreen
from tui.studio import Client, Studio, connect
from tui.sweeping import Sweeping
from tui.theme import CONTRAST, DARK, THEMES
from tui.view import navigation, pages

if TYPE_CHECKING:
    from tui.acting import Act, Acts, Outcome
    from tui.bench import Bench
    from tui.commanding import Commanding
    from tui.finding import Found
    from tui.removing import Removals
    from tui.view.kinds import Remove


class Dashboard(Drawing, Going, Sweeping, Lasting):
    """The app: one list at the bottom of the stack, what is opened from it above."""

    CSS_PATH = "studio.tcss"
    TITLE = "Fine Tuning Studio"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", "back; from a page, quit", show=False),
        Binding("ctrl+c", "interrupt", "copy what is marked, else quit", show=False, priority=True),
        Binding("ctrl+t", "theme", "theme: dark, light, high contrast", show=False),
        Binding("ctrl+k", "palette", "everything by its name", show=False, priority=True),
        Binding("A", "acts", "what I did", show=False),
        Binding("question_mark", "help", "these keys", show=False),
        Binding("f1", "help", "these keys", show=False, priority=True),
        Binding("ctrl+b,f2", "nav", "the pages; again: hide them", show=False, priority=True),
        Binding("u", "undo", "take a removal back", show=False),
    ]

    def __init__(
        self,
        open_job: str | None = None,
        make: Callable[[], Client] = connect,
        page: str = "",
        *,
        readonly: bool = False,
    ) -> None:
        """Opens with `page` (pages.FIRST without it), below the job `open_job` when one is named."""
        super().__init__()
        self.studio = Studio(make, self._post, readonly=readonly)
        self.open_job = open_job
        self.readonly = readonly
        self.acts: Acts | None = None
        self.told_of_tmux = False
        self.commands: Commanding | None = None
        self.door = LastDoor()
        self.first_page = page or pages.FIRST
        self.last_words: list[str] = []  # told on the terminal when the dashboard was left
        self._dress()

    def _dress(self) -> None:
        """Put on the theme that was chosen last, before anything is drawn: changed later, all styles are read twice."""
        for theme, _ in THEMES.values():
            self.register_theme(theme)
        chosen = recall().get("theme")
        self.chosen = chosen if isinstance(chosen, str) and chosen in THEMES else None
        self.set_reactive(App.theme, self.chosen or DARK.name)
        self.set_class(self.current_theme.dark, "-dark-mode", update=False)
        self.set_class(not self.current_theme.dark, "-light-mode", update=False)
        self.add_class(f"-theme-{self.theme}", update=False)
        self.stylesheet.set_variables(self.get_css_variables())

    def _post(self, message: Any) -> object:
        return self.post_message(message) if self.is_running else None

    def on_mount(self) -> None:
        """The connection begins once the first frame is out.

        A terminal of 16 colours shows shades of grey alike: it gets the theme that needs none, until one is chosen.
        """
        if self.chosen is None and not self.is_headless and self.console.color_system == "standard":
            self.theme = CONTRAST.name
        self.go(self.first_page)
        self.call_after_refresh(self._begin)
        self.last()

    def _begin(self) -> None:
        self.studio.watch()
        if navigation.in_workbench():
            self.bench.begin()
        if self.open_job is not None:
            self.show_job(self.open_job)

    @cached_property
    def bench(self) -> Bench:
        """The workbench of Cloudera ML, made when something is first to be known of it."""
        from tui.bench import Bench

        return Bench(self)

    @property
    def bench_told(self) -> dict[str, Any] | None:
        """What is known of the workbench; None where nothing was asked, as outside of one."""
        return self.bench.told if "bench" in self.__dict__ else None

    async def on_unmount(self) -> None:
        """What is going goes now, unless others ended the app: a line that is cut removes nothing. Threads end with it."""
        left = self.return_code == 0  # by its user: a browser that is gone gives no code at all
        if "removals" in self.__dict__ and left:
            await to_thread(self.removals.finish)
        if self.acts is not None and left:
            await to_thread(self.acts.finish)
        self.studio.close()
        if self.commands is not None:
            self.commands.close()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What all that is drawn passes last."""
        return [*super().get_line_filters(), self.door]

    # ─── the streams ──────────────────────────────────────────────────────────────────────────────

    def on_studio_changed(self, message: StudioChanged) -> None:
        """Hand events to every screen that is open."""
        self.each_screen("studio_changed", message)
        self.ring(message.events)

    def on_job_records(self, message: JobRecords) -> None:
        """Hand a job's records to its screen."""
        self.each_screen("job_records", message)

    # ─── acting ───────────────────────────────────────────────────────────────────────────────────

    def act(
        self,
        name: str,
        many: list[dict[str, Any]],
        *,
        question: str = "",
        undo: bool = False,
        done: Callable[[list[Outcome]], None] | None = None,
        quiet: bool = False,
    ) -> None:
        """Send the message `name` once for each of the fields in `many`, each with a key of its own.

        `question` is asked first; `undo` gives ten seconds to take it back. What came of it is told, unless the caller is to
        tell it (`quiet`); `done` gets an Outcome (answer or error) for each, in the app. With --readonly nothing is sent.
        """
        self.acting.act(name, many, question, undo, done, quiet)

    @property
    def acting(self) -> Acts:
        """What sends, made when something is first sent."""
        if self.acts is None:
            from tui.acting import Acts

            self.acts = Acts(self)
        return self.acts

    def remove_rows(self, remove: Remove, named: Mapping[str, str], done: Callable[[list[Outcome]], None]) -> None:
        """Ask whether what has these ids and names is to go; what stands in the way is told first."""
        self.removals.ask(remove, named, done)

    def remove_later(self, act: Act, send: Callable[[], None]) -> None:
        """Send what removes after ten seconds, unless it is taken back; at once when the dashboard is left."""
        self.removals.add(act, send)

    @cached_property
    def removals(self) -> Removals:
        """What is going, made when something first is."""
        from tui.removing import Removals

        return Removals(self)

    def going(self, remove: Remove | None) -> dict[str, int]:
        """What is going in this way: ids, and the seconds that it can be taken back."""
        return self.removals.left(remove.message) if remove and "removals" in self.__dict__ else {}

    @property
    def going_told(self) -> str:
        """What is going, for a banner."""
        return self.removals.told if "removals" in self.__dict__ else ""

    def tell_removals(self) -> None:
        """Screens show what is going."""
        for screen in self.screen_stack:
            take = getattr(screen, "removals_changed", None)
            if take is not None:
                take()

    def action_undo(self) -> None:
        """u: take the last removal back."""
        if not ("removals" in self.__dict__ and self.removals.take_back()):
            self.say("nothing to take back: u undoes a removal while its seconds run")

    def obey(self, command: str) -> None:
        """Do what was typed after `:`: go to a page, or run a command of the CLI."""
        word = command.strip().lower()
        if not word:
            return
        if not self.readonly:
            self.commanding.history.add(command)
        page = None if self.commanding.knows(word) else pages.find(word)
        if word in ("q", "quit", "q!"):
            self.exit()
        elif word in ("help", "?"):
            self.action_help()
        elif page is not None:
            self.go(page.name)
        else:
            self.run_command(command)

    def run_command(self, line: str) -> None:
        """Run a command of the CLI, and show what comes of it."""
        from tui.presenting import Presenting

        Presenting(self, self.commanding.run(line))

    @property
    def commanding(self) -> Commanding:
        """What runs commands, made when the line is first opened."""
        if self.commands is None:
            from tui.commanding import Commanding

            self.commands = Commanding(self)
        return self.commands

    def ask(
        self,
        name: str,
        fields: dict[str, Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Send a message from a thread; `done` or `failed` is called in the app, unless it has gone meanwhile."""

        def work() -> None:
            try:
                answer = self.studio.ask(name, fields)
            except Exception as error:
                self.from_thread(failed or self.complain, error)
            else:
                self.from_thread(done, answer)

        self.run_worker(work, thread=True, exit_on_error=False)

    def from_thread(self, take: Callable[..., None], *values: Any) -> None:
        """Call in the app, from a thread; nothing when the app has gone."""
        if self.is_running:
            self.call_from_thread(take, *values)

    def complain(self, error: Exception) -> None:
        """Tell of an error without getting in the way."""
        self.notify(plain(error, limit=300), severity="error", timeout=8, markup=False)

    def say(self, text: str, severity: SeverityLevel = "information") -> None:
        """Tell of something that was done."""
        self.notify(
            plain(text, limit=1_000, lines=True), severity=severity, timeout=8 if "\n" in text else 4, markup=False
        )

    # ─── copying ──────────────────────────────────────────────────────────────────────────────────

    def copy(self, text: str, what: str = "") -> None:
        """Copy to the terminal's clipboard, over SSH too, and say where it went; `what` tells people what it is."""
        from tui.copying import copy

        copy(self, text, what)

    def copy_to_clipboard(self, text: str) -> None:
        """What text fields copy goes the same way."""
        self.copy(text)

    def hand_over(self, text: str, further: str) -> None:
        """Let the terminal take the text; `further` are the bytes for what stands between."""
        super().copy_to_clipboard(text)
        if further and self._driver is not None:
            self._driver.write(further)  # clean: base64 in an escape of ours

    @property
    def marked(self) -> str:
        """What is selected by the mouse, or in the field that has the focus."""
        return self.screen.get_selected_text() or str(getattr(self.focused, "selected_text", ""))

    async def action_interrupt(self) -> None:
        """ctrl+c: whoever marked a text wants to copy it."""
        if marked := self.marked:
            self.copy(marked)
            self.screen.clear_selection()
        else:
            await self.action_quit()

    def action_palette(self) -> None:
        """ctrl+k: pages, keys, names and commands."""
        from tui.screens.palette import PaletteScreen

        self.push_screen(PaletteScreen(self), self._chosen)

    async def _chosen(self, found: Found | None) -> None:
        """Do what was chosen, now that the palette has gone."""
        if found is not None:
            done = found.do()
            if done is not None:
                await done

    def type_command(self, line: str) -> None:
        """Begin a command, for who is there to go on."""
        if isinstance(self.screen, StudioScreen):
            self.screen.action_command(line)

    def action_acts(self) -> None:
        """A: what was sent from here."""
        from tui.screens.acts import ActsScreen

        if not isinstance(self.screen, ActsScreen):
            self.push_screen(ActsScreen())

    def action_leave(self) -> None:
        """q: out of a screen, or out of the dashboard."""
        if isinstance(self.screen, StudioScreen) and len(self.screen_stack) > 2:
            self.screen.action_back()
        else:
            self.exit()

    def action_help(self) -> None:
        """?: the keys of this screen."""
        from tui.view.help import lines, sections

        room = self.screen.room if isinstance(self.screen, StudioScreen) else self.size.width
        self.show_text("Keys", "\n".join(lines(sections(self.screen.active_bindings.values()), room - 4)))

    def action_theme(self) -> None:
        """ctrl+t: dark, light, high contrast."""
        names = list(THEMES)
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        if not self.readonly:
            remember(theme=self.theme)
        self.say(f"{THEMES[self.theme][1]} theme")


def run(open_job: str | None = None, *, readonly: bool = False) -> int:
    """Open the dashboard on the terminal, on a job when one is named; `readonly` lets it change nothing.

    Returns its exit code: 128 and the signal's number when one ended it.
    """
    from tui.ending import prompt

    dashboard = Dashboard(open_job, readonly=readonly)
    with prompt(dashboard):
        dashboard.run()
    for text in dashboard.last_words:
        from tui.cli.console import warn

        warn(text)
    return dashboard.return_code or 0
