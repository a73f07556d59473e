"""Wakes the daemon when an attempt's files change: inotify on Linux, through the C library; elsewhere it has to look."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

IN_MODIFY, IN_CREATE, IN_CLOEXEC = 0x2, 0x100, 0o2000000  # inotify(7)
REST = 0.01  # seconds after each ring: a thousand writes a second are a hundred rings


class Watch:
    """Rings `bell` soon after something in a watched directory was written. `works` is false where there is no inotify."""

    def __init__(self, bell: Callable[[], None]) -> None:
        self._bell = bell
        self._watched: dict[Path, int] = {}
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._descriptor = self._libc.inotify_init1(IN_CLOEXEC) if self._libc else -1
        self.works = self._descriptor >= 0
        if self.works:
            threading.Thread(target=self._read, name="watch", daemon=True).start()

    def add(self, directory: Path) -> None:
        """Watch a directory. Where that can't be done, all watching counts as not working."""
        if self._libc is None or not self.works or directory in self._watched:
            return
        number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), IN_MODIFY | IN_CREATE)
        if number < 0:
            self.works = False  # the user's limit of watches: the daemon looks at the spools instead
            return
        self._watched[directory] = number

    def remove(self, directory: Path) -> None:
        """Watch it no more."""
        number = self._watched.pop(directory, None)
        if self._libc is not None and number is not None:
            self._libc.inotify_rm_watch(self._descriptor, number)

    def _read(self) -> None:
        while os.read(self._descriptor, 1 << 16):
            self._bell()
            time.sleep(REST)
