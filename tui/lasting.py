"""An app that lasts: exceptions and outages leave it open, what happens meanwhile is told, and it ends at once when it is to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump

from tui.connection import QUIET, Connection
from tui.ending import watch
from tui.pump import Lost, Restored
from tui.studio import Studio

if TYPE_CHECKING:
    from tui.ringing import Ringer

_dispatch = MessagePump._dispatch_message


async def _survive(self: MessagePump, message: Message) -> None:
    """Textual ends a widget's loop, and with it the app, at an exception of a handler; in an app that lasts both go on."""
    try:
        await _dispatch(self, message)
    except Exception as error:
        beginning = isinstance(self, App) and isinstance(message, events.Load | events.Compose | events.Mount)
        if beginning or not isinstance(app := self.app, Lasting):
            raise
        app._handle_exception(error)


MessagePump._dispatch_message = _survive  # type: ignore[method-assign]


class Threads(ThreadPoolExecutor):
    """A thread for each call, which nobody waits for at the end: a question without an answer would hold the process."""

    def submit(self, call: Callable[..., Any], /, *given: Any, **more: Any) -> Future[Any]:
        """Call it in a new thread."""
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = call(*given, **more)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(value)

        Thread(target=work, name="asking", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: what is still under way ends with the process."""


class Lasting(App[None]):
    """What the dashboard is made on."""

    studio: Studio

    def __init__(self) -> None:
        super().__init__()
        self.connection = Connection()
        self.lasts = self.pulsing = self.stream_away = False
        self.watched: set[str] = set()  # ids of jobs that were opened here
        self.ringer: Ringer | None = None

    def last(self) -> None:
        """It is mounted: from here on nothing closes it but its user."""
        self.lasts = True
        self.set_interval(QUIET, self._pulse)
        watch(self)

    def _handle_exception(self, error: Exception) -> None:
        if not self.lasts or not (self.is_running or self._exit):
            super()._handle_exception(error)
            return
        if self.is_headless:
            self.note(error)
        self.mishaps.met(error)

    def note(self, error: Exception) -> None:
        """Where nobody looks on, in tests, an exception is raised at the end, as by any app."""
        if self._exception is None:
            self._exception = error
            self._exception_event.set()

    async def on_load(self) -> None:
        """Threads that end with the app."""
        asyncio.get_running_loop().set_default_executor(Threads())

    @property
    def mishaps(self) -> Any:
        """What went wrong; its module is imported when something does."""
        found = getattr(self, "_mishaps", None)
        if found is None:
            from tui.mishaps import Mishaps

            found = self._mishaps = Mishaps(self)
        return found

    # ─── ends of jobs ─────────────────────────────────────────────────────────────────────────────

    def ring(self, events: list[dict[str, Any]]) -> None:
        """Tell the terminal of the jobs that ended, as the settings say."""
        if not any(str(event.get("type", "")).startswith("Job") for event in events):
            return
        if self.ringer is None:
            from core.settings import BadSettings, read
            from tui.ringing import Ringer

            try:
                using = read()
                self.ringer = Ringer(self, using.notify_terminal, using.notify_jobs)  # type: ignore[arg-type]
            except BadSettings:
                self.ringer = Ringer(self, "bell", "all")  # type: ignore[arg-type]
        self.ringer.take(events)

    def to_terminal(self, sequence: str) -> None:
        """Send the terminal what is no drawing; made of nothing but what core.text.plain left."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)  # clean: a bell, or an escape of ours around a text that plain() left

    # ─── the way to the studio ────────────────────────────────────────────────────────────────────

    def on_lost(self, message: Lost) -> None:
        """Say it on every screen; what is shown stays. It is over when the stream says so: an answer may come before."""
        self.stream_away = True
        self.unreached(message.part, message.reason)

    def on_restored(self, message: Restored) -> None:
        """Ask for everything again."""
        self.stream_away = False
        self.connection.answered()
        self.each_screen("restored", message)

    def unreached(self, part: str, reason: str) -> None:
        """A part of the studio does not answer."""
        self.connection.failed(part, reason or "no answer")
        self.each_screen("lost")

    def reached(self) -> None:
        """It answers; after an outage everything is asked for again."""
        if not self.stream_away and self.connection.answered():
            self.each_screen("restored", Restored())

    def each_screen(self, method: str, *given: Any) -> None:
        """Call a method of every open screen that has it."""
        for screen in self.screen_stack:
            take = getattr(screen, method, None)
            if take is not None:
                take(*given)

    def _pulse(self) -> None:
        """Ask whether the studio is there when nothing was heard for long: on a quiet screen nobody else would notice."""
        if self.pulsing or time.time() - self.studio.heard < QUIET:
            return
        self.pulsing = True

        def ask() -> None:
            from core.errors import StudioError, Unavailable

            try:
                self.studio.ask("ListEvents", {"last": True, "limit": 1}, timeout=10)
            except Unavailable as error:
                told: tuple[Callable[..., None], Any] = self.unreached, (error.part or "store", str(error))
            except StudioError:  # an answer too: it came late
                told = self.reached, ()
            except Exception as error:
                told = self._handle_exception, (error,)
            else:
                told = self.reached, ()
            self.pulsing = False
            if self.is_running:
                self.call_from_thread(told[0], *told[1])

        self.run_worker(ask, thread=True, exit_on_error=False)
