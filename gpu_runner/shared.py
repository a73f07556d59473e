"""The artifacts directory, which mostly lies on a file system that others share: whether it is there just now.

It goes away for a moment, or for an hour, and comes back as it was. What is made at its path meanwhile would lie on the local
disk, where nobody finds it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

MARKER = ".fts-artifacts"
# What a file system says that is not to be reached, or comes back as another.
AWAY = {errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ENODEV}


def read_marker(artifacts: Path) -> str:
    """The content of the studio's marker file: empty when this host doesn't share the studio's artifacts."""
    try:
        return (artifacts / MARKER).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def away(artifacts: Path) -> str:
    """Why nothing can be written there, for people; empty when it can."""
    return "" if read_marker(artifacts) else f"the artifacts directory {artifacts} can't be reached"


def sees(directory: Path) -> bool:
    """Whether the directory can be seen."""
    return os.path.isdir(directory)  # noqa: PTH112  # a Path's raises when its file system is gone


def removed(artifacts: Path, directory: Path) -> bool:
    """Whether a directory was removed while all else is there."""
    return not (away(artifacts) or sees(directory) or away(artifacts))


def make_directory(artifacts: Path, directory: Path) -> None:
    """Make a directory below the artifacts root, never the root itself. Raises OSError."""
    if why := away(artifacts):
        raise OSError(errno.ENODEV, why)
    below = (each for each in directory.parents if each.is_relative_to(artifacts) and each != artifacts)
    for each in (*reversed(list(below)), directory):
        each.mkdir(exist_ok=True)


def is_away(artifacts: Path, directory: Path, error: OSError) -> str:
    """Why a file below `directory` could not be written, when that is because the artifacts are away; empty when it is not."""
    gone = error.errno in AWAY or (error.errno == errno.ENOENT and not sees(directory))
    return away(artifacts) or (f"its files can't be reached: {error.strerror or error}" if gone else "")
