"""How a terminal is made to draw in another style, in few bytes: over a slow line these codes are most of what is sent.

A style is a text: the parameters of its SGR sequence and, where it leads to a page, LINK and the address.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from tui.view.links import turned

LINK = "\0"  # between a style and where its text leads to
OFF = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "7": "27", "9": "29"}  # what ends an attribute
ON_LETTERS = {"1", "2", "3"}  # bold, dim, italic: nothing of them is seen on a blank


def drawn_as(before: str, now: str) -> str:
    """What makes the terminal draw in the style `now`, after it drew in `before`."""
    (old, _, left), (new, _, page) = before.partition(LINK), now.partition(LINK)
    return _codes(old, new) + turned(left, page)


@lru_cache(4096)
def blank_alike(one: str, other: str) -> bool:
    """Whether a blank looks the same in both styles."""
    (these, _, ground), (those, _, other_ground) = _parts(one), _parts(other)
    return ground == other_ground and these | those <= ON_LETTERS and LINK not in one + other


@lru_cache(4096)
def _codes(old: str, new: str) -> str:
    """The shorter of: all that the new style has, or what is different. The first of a frame has all."""
    if old == new:
        return ""
    whole = f"\x1b[0;{new}m" if new else "\x1b[0m"
    (had, fore, ground), (has, new_fore, new_ground) = _parts(old), _parts(new)
    gone = sorted(had - has)
    if not old or not all(code in OFF for code in gone):
        return whole
    ended = {OFF[code] for code in gone}
    told = [*sorted(ended), *sorted(code for code in has if code not in had or OFF.get(code) in ended)]
    told += [new_fore] * (new_fore != fore) + [new_ground] * (new_ground != ground)
    if not told:  # of other words for the same: without parameters the sequence would end all of it
        return ""
    return min(f"\x1b[{';'.join(told)}m", whole, key=len)


def _parts(style: str) -> tuple[frozenset[str], str, str]:
    """(attributes, colour, ground) of a style."""
    attributes, fore, ground = set(), "39", "49"
    for code in _split(style.partition(LINK)[0]):
        first = int(code.partition(";")[0])
        if 30 <= first <= 39 or 90 <= first <= 97:
            fore = code
        elif 40 <= first <= 49 or 100 <= first <= 107:
            ground = code
        else:
            attributes.add(code)
    return frozenset(attributes), fore, ground


def _split(codes: str) -> Iterator[str]:
    """Parameters, those of one colour together."""
    left = codes.split(";") if codes else []
    while left:
        many = {"5": 3, "2": 5}.get(left[1], 1) if left[0] in ("38", "48") and len(left) > 1 else 1
        yield ";".join(left[:many])
        left = left[many:]
