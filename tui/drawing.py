"""An app that sends to its terminal only what is different from what stands there."""

from __future__ import annotations

import os
from typing import Any

from rich.color import ColorSystem
from rich.control import Control
from textual import events
from textual._compositor import CompositorUpdate, InlineUpdate
from textual.app import App

from tui.glass import Glass
from tui.pace import QUESTION, Pace
from tui.view.links import known

CROWDED = 2  # frames that wait for the terminal to take them; Textual would hold 30, and the keys with them
AROUND = 25  # bytes that a frame has beside what it draws: its begin and end, and the question
AGAIN = 0.05  # seconds until the line is looked at again


class Drawing(App[None]):
    """Draws by way of a Glass."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.glass = Glass(links=known(os.environ))
        self.pace = Pace()
        self.cursor_at: Any = None
        self.waiting = False

    def on_mount(self) -> None:
        """Whoever had the terminal meanwhile left on it what they liked."""
        self.app_resume_signal.subscribe(self, self._resumed)

    def _resumed(self, app: App[None]) -> None:
        self.glass.forget()
        self.pace.resume()

    def on_terminal_supports_synchronized_output(self) -> None:
        """The terminal's answer, to Textual's question first, then to ours."""
        self.pace.answered()
        if self._driver is not None and self.pace.sound():
            self._driver.write(QUESTION)
            self._driver.flush()
        if self.waiting:
            self._draw_held()

    def may_draw(self) -> bool:
        """Whether the line has room for a frame. If not, what is to be drawn is drawn later, with what else changes."""
        queue = getattr(getattr(self._driver, "_writer_thread", None), "_queue", None)
        if self.pace.free and (queue is None or queue.qsize() < CROWDED):
            return True
        self._later()
        return False

    def _later(self) -> None:
        if not self.waiting:
            self.waiting = True
            self.set_timer(AGAIN, self._draw_held)

    def _draw_held(self) -> None:
        if self.waiting:
            self.waiting = False
            screen = self.screen
            screen._compositor.update_widgets(screen._dirty_widgets)
            screen._compositor_refresh()
            if self.glass.owed and self.may_draw():
                self._send()

    def on_resize(self, event: events.Resize) -> None:
        """A terminal of another size arranges anew what it shows, each in its way."""
        self.glass.forget()

    def _display(self, screen: Any, renderable: Any) -> None:
        """As Textual does it, but for what is sent."""
        driver = self._driver
        plain = isinstance(renderable, CompositorUpdate) and not isinstance(renderable, InlineUpdate)
        if not plain or self._batch_count or not self._running or self._closed or self.is_headless or driver is None:
            if renderable is not None and not plain:
                self.glass.forget()
            super()._display(screen, renderable)
            return
        try:
            colours = self.console._color_system or ColorSystem.TRUECOLOR
            self.glass.take(renderable, (self.size.width, self.size.height), colours)
            self._send()
        except Exception as error:  # the frame is lost, the next one is whole
            self.glass.forget()
            self._handle_exception(error)
        self.post_display_hook()

    def _send(self) -> None:
        """A frame: what differs, or as much of it as the line takes at once."""
        driver = self._driver
        at = self.screen.outer_size.clamp_offset(self.cursor_position)
        sent = self.glass.send(self.pace.room, at.y)
        if driver is None or not (sent or at != self.cursor_at):
            return
        self.cursor_at = self._previous_cursor_position = at
        frame = f"{sent}{Control.move_to(*at).segment.text}"
        asks = self.pace.send(len(frame.encode(errors="replace")) + AROUND)
        self._begin_update()
        driver.write(frame + QUESTION * asks)  # clean: of cells that passed the last door
        self._end_update()
        driver.flush()
        if self.glass.owed:
            self._later()
