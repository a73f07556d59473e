"""Who sends: the options of a message that the log of messages shows, so that people find what they sent."""

from __future__ import annotations

import os
import socket
from functools import cache


@cache
def who() -> str:
    """user@host of this process; a user that has no name here is told by its number."""
    import getpass  # late: who only reads settings does not pay for it

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def options(program: str) -> dict[str, str]:
    """The options that say so; `program` is what is sent with: dashboard, fts, python."""
    return {"sender": who(), "program": program}
