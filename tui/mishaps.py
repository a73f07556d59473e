"""What goes wrong inside the dashboard: kept in a file with its traceback, told in a line, and survived.

Textual ends an app at the first exception of a handler, a timer, a worker or a drawing. A dashboard that is left open for a
month goes on instead. Every such exception comes by here.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from textual.app import App
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import WorkerFailed

QUIET = 60.0  # seconds in which the same mishap is not told again
LONGEST = 1 << 20  # bytes of the file, after which it is put aside
PAUSE = 5.0  # seconds until a widget that could not be drawn is drawn again
DRAWS = {"render_lines", "render_line", "render", "_render", "_render_content"}
UNDRAWN = "▲ this part can't be drawn just now"


class Mishaps:
    """The mishaps of an app. One that comes again and again is told and written once a minute, with how often it came."""

    def __init__(self, app: App[Any]) -> None:
        self.app = app
        self.seen: dict[
            tuple[str, str, int], tuple[float, int]
        ] = {}  # by kind and place: when told last, how often since
        self.telling = False

    def met(self, error: BaseException) -> None:
        """Survive an exception."""
        if self.app._exit:  # what is half gone by now fails as it may
            return
        if isinstance(error, WorkerFailed):
            error = error.error
        frames = traceback.extract_tb(error.__traceback__)
        place = (type(error).__name__, frames[-1].filename, frames[-1].lineno or 0) if frames else ("", "", 0)
        last, times = self.seen.get(place, (0.0, 0))
        _set_aside(self.app, error.__traceback__)
        if time.monotonic() - last < QUIET and last:
            self.seen[place] = last, times + 1
            return
        self.seen[place] = time.monotonic(), 0
        self._tell(error, written(error, times))

    def _tell(self, error: BaseException, path: Path | None) -> None:
        from core.text import plain

        if self.telling:  # telling is what went wrong
            return
        self.telling = True
        try:
            where = f"the traceback is in {path}" if path else "no file could be written for its traceback"
            text = f"Something went wrong in the dashboard, which goes on: {type(error).__name__}: {error}"
            self.app.notify(
                f"{plain(text, limit=300)}\n{plain(where, limit=300)}", severity="error", timeout=10, markup=False
            )
        finally:
            self.telling = False


def written(error: BaseException, times: int) -> Path | None:
    """Append the traceback, without the values of variables, to the dashboard's log; None when that can't be."""
    path = Path(os.environ.get("FTS_HOME", ".app")).expanduser().resolve() / "logs" / "dashboard.log"
    told = "".join(traceback.format_exception(error))
    before = f", {times} more like the next since it was last told" if times else ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists() and path.stat().st_size > LONGEST:
            path.replace(path.with_suffix(".log.1"))
        with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} pid {os.getpid()}{before}\n{told}\n")
    except OSError:
        return None
    return path


def _set_aside(app: App[Any], trace: TracebackType | None) -> None:
    """Draw a few words instead of the widget whose drawing failed, for a while: it would fail at every repaint. A screen that
    can't be made is left again."""
    failed: Widget | None = None
    while trace is not None:
        own, name = trace.tb_frame.f_locals.get("self"), trace.tb_frame.f_code.co_name
        if name in DRAWS and isinstance(own, Widget):
            failed = own
        if name == "_compose" and isinstance(own, Screen):
            app.call_later(_leave, app, own)
        trace = trace.tb_next
    if failed is not None and "render_lines" not in vars(failed):
        _in_words(app, failed)


def _leave(app: App[Any], screen: Screen[Any]) -> None:
    if app.screen is screen and len(app.screen_stack) > 2:
        app.pop_screen()


def _in_words(app: App[Any], failed: Widget) -> None:
    def again() -> None:
        vars(failed).pop("render_lines", None)
        failed.refresh()

    vars(failed)["render_lines"] = lambda crop: [
        Strip.blank(crop.width) if line else Strip(_words(crop.width), crop.width) for line in range(crop.height)
    ]
    app.set_timer(PAUSE, again)
    app.call_later(failed.refresh)


def _words(width: int) -> list[Any]:
    from rich.segment import Segment

    return [Segment(UNDRAWN[:width].ljust(width))]


def of_threads() -> None:
    """Keep what goes wrong in threads that nobody waits for, in this process."""
    import threading

    def met(hooked: threading.ExceptHookArgs) -> None:
        error = hooked.exc_value
        gone = isinstance(error, OSError) and error.errno == errno.EIO  # the terminal is, and the app ends
        if error is not None and not gone and not sys.is_finalizing():
            written(error, 0)

    threading.excepthook = met
