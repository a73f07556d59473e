"""An app that sends to its terminal only what is different from what stands there."""

from __future__ import annotations

from typing import Any

from rich.color import ColorSystem
from rich.control import Control
from textual import events
from textual._compositor import CompositorUpdate, InlineUpdate
from textual.app import App

from tui.glass import Glass


class Drawing(App[None]):
    """Draws by way of a Glass."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.glass = Glass()
        self.cursor_at: Any = None

    def on_mount(self) -> None:
        """Whoever had the terminal meanwhile left on it what they liked."""
        self.app_resume_signal.subscribe(self, lambda app: self.glass.forget())

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
            sent = self.glass.paint(renderable, (self.size.width, self.size.height), colours)
        except Exception as error:  # the frame is lost, the next one is whole
            self.glass.forget()
            self._handle_exception(error)
            return
        at = self.screen.outer_size.clamp_offset(self.cursor_position)
        if sent or at != self.cursor_at:
            self.cursor_at = self._previous_cursor_position = at
            self._begin_update()
            driver.write(f"{sent}{Control.move_to(*at).segment.text}")  # clean: of cells that passed the last door
            self._end_update()
            driver.flush()
        self.post_display_hook()
