"""Copying to the clipboard of the terminal that shows the dashboard, also over SSH: OSC 52, through tmux and screen."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.text import counted, plain

if TYPE_CHECKING:
    from tui.app import Dashboard

ESC = "\x1b"
MOST = 74_994  # bytes that every terminal takes: more than 100,000 characters of base64 are cut by some
LONGEST = 10_000_000  # characters that are looked at
PIECE = 76  # characters: screen hands on strings of a few hundred at most
DUMB = ("linux", "dumb", "")  # terminals without a clipboard


def multiplexer(environ: Mapping[str, str]) -> str:
    """What stands between the dashboard and the terminal: tmux, screen or nothing. Of both, the one that named the terminal."""
    term = environ.get("TERM", "")
    inner = [name for name, known in (("tmux", "TMUX"), ("screen", "STY")) if environ.get(known)]
    if len(inner) == 2:
        return "screen" if term == "screen" or term.startswith("screen.") else "tmux"
    return inner[0] if inner else "tmux" if term.startswith("tmux") else ""


def handed_on(text: str, environ: Mapping[str, str]) -> str:
    """What makes tmux or screen hand the text on to the terminal that they are in; nothing but ASCII, whatever it holds."""
    packed = base64.b64encode(text.encode(errors="replace")).decode()
    between = multiplexer(environ)
    if between == "tmux":
        return f"{ESC}Ptmux;{ESC}{ESC}]52;c;{packed}\a{ESC}\\"
    if between == "screen":
        pieces = [packed[at : at + PIECE] for at in range(0, len(packed), PIECE)]
        return "".join(f"{ESC}P{piece}{ESC}\\" for piece in (f"{ESC}]52;c;", *pieces, "\a"))
    return ""


def copy(app: Dashboard, text: str, what: str = "") -> None:
    """Put the text, without what a shell would obey, onto the terminal's clipboard; say what was copied and where it went.

    Where there is no clipboard for it (a console, a browser's window, very much text) a file takes it.
    """
    clean = plain(text, limit=LONGEST, lines=True)
    told = plain(what or counted(len(clean), "character"), limit=100)
    environ = os.environ
    if app.is_web or environ.get("TERM", "") in DUMB or len(clean.encode(errors="replace")) > MOST:
        _into_a_file(app, clean, told)
        return
    app.hand_over(clean, handed_on(clean, environ))
    between = multiplexer(environ)
    app.say(f"copied {told} to the terminal's clipboard{f', through {between}' if between else ''}")
    if between == "tmux" and not app.told_of_tmux:
        app.told_of_tmux = True
        app.say("if it does not arrive: tmux set -s set-clipboard on")


def _into_a_file(app: Dashboard, text: str, told: str) -> None:
    from core.settings import settings

    if app.readonly:
        app.say(f"no clipboard takes {told} here, and a dashboard that only looks writes no file", severity="warning")
        return
    try:
        path = kept(text, settings().root)
    except OSError as error:
        app.complain(error)
    else:
        app.say(f"no clipboard takes {told} here: it is in {path}")


def kept(text: str, home: Path) -> Path:
    """Write the text where only its owner reads it; the file. Raises OSError."""
    path = home / "copied.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", errors="replace") as file:
            file.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path
