"""The end that others make of a dashboard: its terminal is gone, or the system asks. Prompt, quiet, nothing left behind.

A dashboard holds nothing that would be lost: what it shows is the studio's. So it may end in the middle of anything.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from textual.app import App

PATIENCE = 2.0  # seconds that the app has to end by itself, its terminal as it was before
LOOK = 1.0  # seconds between looks whether the terminal is still there: one that is gone is not always told by a signal
ASKED = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


@contextmanager
def prompt(app: App[Any]) -> Iterator[None]:
    """While this holds, SIGHUP, SIGTERM, SIGINT and a terminal that is gone end the app's process within a few seconds."""
    from tui.mishaps import of_threads

    before = {number: signal.signal(number, lambda number, frame: _end(app, number, frame)) for number in ASKED}
    of_threads()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch(app: App[Any]) -> None:
    """Look now and then whether the terminal, or what stands for the browser's, is still there."""
    if app.is_headless:
        return
    if app.is_web:
        app.set_interval(LOOK, lambda: None if _reads(app) else _end(app, signal.SIGHUP, None))
        return
    if not sys.__stdin__ or not sys.__stdin__.isatty():
        return
    descriptor = sys.__stdin__.fileno()

    def look() -> None:
        try:
            termios.tcgetattr(descriptor)
        except termios.error:
            _end(app, signal.SIGHUP, None)

    app.set_interval(LOOK, look)


def _reads(app: App[Any]) -> bool:
    """Whether the thread that reads keys goes on: in a browser's dashboard it ends with the server."""
    thread = getattr(app._driver, "_key_thread", None)
    return thread is None or thread.is_alive()


def _end(app: App[Any], number: int, frame: FrameType | None) -> None:
    """Ask the app to end, and see to it that the process does: its loop may wait for a terminal that takes nothing."""
    killer = threading.Timer(PATIENCE, _exit, [app, number])
    killer.daemon = True
    killer.start()
    if number == signal.SIGHUP:
        _let_go()
    loop = getattr(app, "_loop", None)
    if loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(_leave, app, number)


def _leave(app: App[Any], number: int) -> None:
    app.exit(return_code=128 + number)


def _let_go() -> None:
    """Nothing is read from the terminal that is gone, nor written to it: both would fail, and be told of to nobody."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _exit(app: App[Any], number: int) -> None:
    attributes = getattr(getattr(app, "_driver", None), "attrs_before", None)
    if number != signal.SIGHUP and attributes is not None:
        with suppress(OSError, termios.error, ValueError):
            termios.tcsetattr(0, termios.TCSANOW, attributes)
            os.set_blocking(1, False)
            os.write(1, b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1003l\x1b[?1006l\x1b[?2004l")
    os._exit(128 + number)
