"""Room on a disk that is taken before it is needed: a file of the wanted size whose blocks exist, given up for the real write.

On file systems that can't set blocks aside (and off Linux) nothing is reserved, and a write finds out by itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from pathlib import Path

KEEP_SIZE = 1  # fallocate(2): the blocks are there, the file looks no longer
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
if _LIBC is not None:
    _LIBC.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def allocate(descriptor: int, offset: int, size: int, mode: int = 0) -> bool:
    """Have the file system set aside `size` bytes from `offset` on; False when there is no room, or it can't do that.

    posix_fallocate would write zeros where the file system can't: slow, and on those that copy on write for nothing.
    """
    if _LIBC is None:
        return False
    while _LIBC.fallocate(descriptor, mode, offset, size) != 0:
        if ctypes.get_errno() != errno.EINTR:
            return False
    return True


class Reserve:
    """The room for what an attempt will write next: the file `reserve` in its directory, which anyone may cut or remove."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes that are held."""
        with contextlib.suppress(OSError):
            return self.path.stat().st_size
        return 0

    def take(self, size: int) -> bool:
        """Hold that much; tell whether it is held. What can't be had whole is not taken at all."""
        if size <= self.size:
            return True
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            taken = allocate(descriptor, 0, size)
        finally:
            os.close(descriptor)
        if not taken:
            self.release()
        return taken

    def give(self, size: int) -> bool:
        """Let go of that much, for a small file that must be written now; tell whether there was anything to let go of."""
        held = self.size
        if held:
            with contextlib.suppress(OSError):
                os.truncate(self.path, max(0, held - size))
        return held > 0

    def release(self) -> None:
        """Hold nothing."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
