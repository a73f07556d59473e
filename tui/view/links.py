"""Text that leads to a page: terminals that know OSC 8 open it at a click, and all others show the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from core.text import ADDRESS

BEHIND = ".,;:!?'\")]}>"  # what ends a sentence or a quotation, and no address
MOST = 500  # of one text
BARE = ("linux", "dumb", "")  # consoles without a mouse's click
_OFF = "\x1b]8;;\x1b\\"


def link(page: object) -> str:
    """The style of text that leads to a page; empty where that is no address."""
    return f"link {page}" if isinstance(page, str) and ADDRESS.fullmatch(page) else ""


def addresses(text: str, root: str) -> Iterator[tuple[int, int, str]]:
    """(begin, end, address) of what in a text is a page of the site `root`, without the punctuation behind it.

    What others wrote leads nowhere else: nobody clicks himself from here onto a stranger's page.
    """
    for found in islice(ADDRESS.finditer(text), MOST):
        page = found[0].rstrip(BEHIND)
        if f"{page}/".startswith(root):
            yield found.start(), found.start() + len(page), page


def site(page: str | None) -> str:
    """The beginning that all pages of a page's site share, up to the slash behind the host; empty where there is none."""
    parts = (page or "").split("/", 3)
    return "/".join([*parts[:3], ""]) if link(page) and len(parts) > 2 else ""


def known(environ: Mapping[str, str]) -> bool:
    """Whether the terminal may be sent links. Most that do not know them leave them out; GNU screen would drop them all."""
    term = environ.get("TERM", "")
    return term not in BARE and not (term.startswith("screen") and environ.get("STY"))


def turned(before: str, now: str) -> str:
    """What makes a terminal link to `now` from here on, after it linked to `before`; empty: nowhere."""
    if before == now:
        return ""
    return f"\x1b]8;;{now}\x1b\\" if now and ADDRESS.fullmatch(now) else _OFF
