"""Where the pages stand in the sidebar: sections below each other, in two columns where they must, a window of them where they can't."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.text import plain
from tui.view.pages import Page, sections

WIDE = 26  # cells of the sidebar
OWNERS = ("PROJECT_OWNER", "CDSW_PROJECT_OWNER", "CDSW_USERNAME")
SHOWN_FROM = 120  # columns from which on it is there by itself


def composable(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the pages stand in a bar on top, as where the guide's studio is a part of another page."""
    return bool(environment.get("IS_COMPOSABLE"))


def in_workbench(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this program runs in a workbench of Cloudera ML."""
    return bool(environment.get("CDSW_PROJECT_ID"))


@dataclass(frozen=True)
class Entry:
    """A line of a column: a section's name, a page, or nothing."""

    text: str = ""
    page: Page | None = None


def column(apart: bool) -> list[Entry]:
    """All lines in one column, sections `apart` by an empty line or not."""
    lines: list[Entry] = []
    for name, pages in sections().items():
        lines += [Entry()] if lines and apart else []
        lines += [Entry(name), *(Entry(page.short, page) for page in pages)]
    return lines


def columns(height: int, wide: bool) -> list[list[Entry]]:
    """The columns that `height` lines have room for: one, two where there may be (`wide`), one without the sections' names, one that is too long."""
    for apart in (True, False):
        if len(lines := column(apart)) <= height:
            return [lines]
    if not wide:
        return [[entry for entry in lines if entry.page is not None]]
    found: list[list[Entry]] = [[], []]
    for name, pages in sections().items():
        part = [Entry(name), *(Entry(page.short, page) for page in pages)]
        into = found[0] if not found[1] and len(found[0]) + len(part) <= (len(lines) + 1) // 2 + 1 else found[1]
        into += part
    return found


def groups() -> list[tuple[str, list[Page]]]:
    """What stands in the top bar: the first section's pages by themselves, as in the guide, then a group a section."""
    first, *rest = sections().items()
    alone = [(page.short, [page]) for page in first[1]]
    return [*alone, *rest]


def footer(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Whose studio it is and where: the project's owner and Cloudera's domain, else user, host and the studio's directory."""
    owner = next((found for name in OWNERS if (found := environment.get(name))), None)
    domain = environment.get("CDSW_DOMAIN")
    if owner or domain:
        return [plain(text, limit=WIDE * 2) for text in (owner, domain) if text]
    return [plain(f"{_user()}@{socket.gethostname()}", limit=WIDE * 2), plain(home(environment), limit=200)]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id that has no name, as in a container
        return str(os.getuid())


def home(environment: Mapping[str, str]) -> str:
    """The studio's directory, short where it lies in the user's own."""
    where, user = Path(environment.get("FTS_HOME") or ".app").absolute(), Path.home()
    return f"~/{where.relative_to(user)}" if where.is_relative_to(user) else str(where)
