"""What the terminal shows, kept in memory, so that only what is different is sent.

Textual sends every line of a widget that changed, and each piece of it with its whole style: 36 KB a second for a list in
which twenty numbers move. Here each cell is compared with what stands there already; over a slow line that decides
whether keys are answered.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby, takewhile

from rich.cells import cell_len, get_character_cell_size
from rich.color import ColorSystem
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

from tui.pen import LINK, blank_alike, drawn_as

GAP = 4  # cells that are the same between two that are not: sent again, as moving costs as much
MOVED = 8  # cells of a piece, and half of it, that are drawn in other styles where a cursor came or left
Piece = tuple[int, int, Strip]  # line, column, what is drawn there


class Glass:
    """Cells of the terminal: what each shows and what it is to show, as text and style. One that is not known is None.

    A line of them may be owed for a while. Where there is no room for all in one frame, those go first whose styles became
    others, the last that did before all: a cursor that moves is what somebody waits for, also while a new page still comes.
    """

    def __init__(self, *, links: bool = True) -> None:
        """`links`: whether the terminal may be sent any."""
        self.links = links
        self.size = (0, 0)
        self.texts: list[list[str | None]] = []
        self.styles: list[list[str]] = []
        self.wanted: list[list[str | None]] = []
        self.wanted_styles: list[list[str]] = []
        self.owed: dict[int, None] = {}  # lines, the ones that wait longest first
        self.turn = 0  # how often something was taken in
        self.moved: dict[int, int] = {}  # line: the turn at which most of its styles became others

    def forget(self) -> None:
        """The terminal may show anything now."""
        self.size = (0, 0)

    def take(self, update: CompositorUpdate, size: tuple[int, int], colours: ColorSystem) -> None:
        """Take in what the terminal is to show."""
        if size != self.size:
            self.size = size
            wide, high = size
            self.texts, self.wanted = _blank(wide, high, None), _blank(wide, high, None)
            self.styles, self.wanted_styles = [[""] * wide for _ in range(high)], [[""] * wide for _ in range(high)]
            self.owed, self.moved = {}, {}
        self.turn += 1
        for y, x, strip in pieces(update):
            if y < size[1]:
                texts, styles = cells(strip, colours, links=self.links)
                room = max(0, size[0] - x)
                end = x + min(len(texts), room)
                split(self.wanted[y], x, end)
                self._note(y, x, styles[:room])
                self.wanted[y][x:end], self.wanted_styles[y][x:end] = texts[:room], styles[:room]
                if y not in self.owed and (self.wanted[y] != self.texts[y] or self.wanted_styles[y] != self.styles[y]):
                    self.owed[y] = None

    def send(self, room: float = math.inf, typed: int = -1) -> str:
        """What to send now so that the terminal shows it, about `room` bytes at most; the rest is owed.

        Where there is not room for all, the line `typed` goes first, in which somebody types.
        """
        sent: list[str] = []
        pen, size = "", 0
        for y in list(self.owed) if room == math.inf else sorted(self.owed, key=lambda y: self._rank(y, typed)):
            line, left = self._line(y, pen)
            size += sum(map(len, line))
            if sent and size > room:
                break
            sent += line
            pen = left
            self._stands(y)
        if pen:
            sent.append(drawn_as(pen, ""))
        return "".join(sent)

    def _note(self, y: int, x: int, styles: Sequence[str]) -> None:
        """Whether a piece that is taken in is of a cursor that came or left."""
        if sum(map(str.__ne__, styles, self.wanted_styles[y][x:])) >= max(MOVED, len(styles) / 2):
            self.moved[y] = self.turn

    def _rank(self, y: int, typed: int) -> tuple[bool, int, int]:
        """When a line goes: where somebody types, where a cursor moved last, a page from its top down, what waits longest."""
        moved = self.moved.get(y, 0) if self.wanted_styles[y] != self.styles[y] else 0
        return y != typed, -moved, y if moved else 0

    def _stands(self, y: int) -> None:
        """The terminal shows a line as it is to be."""
        self.texts[y], self.styles[y] = self.wanted[y][:], self.wanted_styles[y][:]
        del self.owed[y]
        self.moved.pop(y, None)

    def paint(self, update: CompositorUpdate, size: tuple[int, int], colours: ColorSystem) -> str:
        """What to send so that the terminal shows the update; empty when it does already."""
        self.take(update, size, colours)
        return self.send()

    def _line(self, y: int, pen: str) -> tuple[list[str], str]:
        """The runs of a line that differ, and the style that the terminal is left in by them, after `pen`."""
        texts, styles = self.wanted[y], self.wanted_styles[y]
        old = zip(self.texts[y], self.styles[y], strict=True)
        differs = [
            new != (text, style) for new, (text, style) in zip(zip(texts, styles, strict=True), old, strict=True)
        ]
        if "" in self.texts[y]:
            spoil(differs, self.texts[y])
        sent: list[str] = []
        for first, last in runs(differs, texts):
            sent.append(f"\x1b[{y + 1};{first + 1}H")
            for text, style in zip(texts[first:last], styles[first:last], strict=True):
                text = " " if text is None else text
                if style != pen and not (text == " " and blank_alike(pen, style)):
                    sent.append(drawn_as(pen, style))
                    pen = style
                sent.append(text)
        return sent, pen


def _blank(wide: int, high: int, cell: str | None) -> list[list[str | None]]:
    return [[cell] * wide for _ in range(high)]


def split(line: list[str | None], x: int, end: int) -> None:
    """What is left of a wide text of which a part is painted over is blank."""
    left, right = x, end
    while 0 < left < len(line) and line[left] == "":
        left -= 1
    line[left:x] = [" "] * (x - left)
    while right < len(line) and line[right] == "":
        line[right] = " "
        right += 1


def spoil(differs: list[bool], shown: Sequence[str | None]) -> None:
    """A wide text of which a part is painted over is gone from all of its cells."""
    place = 0
    while place < len(shown):
        end = place + 1
        while end < len(shown) and shown[end] == "":
            end += 1
        if end - place > 1 and any(differs[place:end]):
            differs[place:end] = [True] * (end - place)
        place = end


def runs(differs: Sequence[bool], texts: Sequence[str | None]) -> Iterator[tuple[int, int]]:
    """(first, behind the last) cells of what is to be sent: near ones together, a wide text never without its beginning."""
    first = last = -1
    for place, other in enumerate(differs):
        if not other:
            continue
        if first >= 0 and place - last <= GAP:
            last = place + 1
            continue
        if first >= 0:
            yield _whole(first, last, texts)
        first, last = place, place + 1
    if first >= 0:
        yield _whole(first, last, texts)


def _whole(first: int, last: int, texts: Sequence[str | None]) -> tuple[int, int]:
    while first > 0 and texts[first] == "":
        first -= 1
    while last < len(texts) and texts[last] == "":
        last += 1
    return first, last


def pieces(update: CompositorUpdate) -> Iterator[Piece]:
    """What an update of Textual draws, and where."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in line:
                yield y, x, strip
                x += strip.cell_length
    elif isinstance(update, ChopsUpdate):
        for y, left, right in update.spans:
            for end, (x, found) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if found is None or x > right or end <= left:
                    continue
                whole = right > x >= left and end <= right
                yield y, x, found if whole else found.crop(0, min(end, right) - x)


def cells(strip: Strip, colours: ColorSystem, *, links: bool = True) -> tuple[list[str], list[str]]:
    """(texts, styles) of each cell; a text whose letters are not one cell each stands in its first, the rest are empty.

    The style of what leads to a page ends in LINK and its address, unless there are to be no links.
    """
    texts: list[str] = []
    styles: list[str] = []
    for segment in strip:
        text, style, control = segment
        if control or not text:
            continue
        letters = list(text) if text.isascii() else spread(text)
        texts += letters
        codes = _codes(style, colours)
        page = style._link if links and style is not None else None
        styles += [f"{codes}{LINK}{page}" if page else codes] * len(letters)
    return texts, styles


def _codes(style: Style | None, colours: ColorSystem) -> str:
    return "" if style is None else style._ansi if style._ansi is not None else Strip.render_ansi(style, colours)


@lru_cache(1024)
def _narrow(text: str) -> bool:
    return all(get_character_cell_size(char) == 1 for char in text)


def spread(text: str) -> list[str]:
    """A text over its cells. What is wide, joined or carries marks stays together, in the first of the cells that it takes."""
    if _narrow(text):
        return list(text)
    found: list[str] = []
    for odd, part in groupby(text, lambda char: not char.isascii()):
        run = "".join(part)
        if odd and found:  # marks on the letter before
            marks = "".join(takewhile(lambda char: not get_character_cell_size(char), run))
            found[-1], run = found[-1] + marks, run[len(marks) :]
        letters = _letters(run) if odd else list(run)
        if len(letters) != (wide := cell_len(run)):
            letters = [run, *[""] * (wide - 1)] if wide else []  # joined: an emoji of several
        found += letters
    wide = cell_len(text)
    if len(found) == wide and "".join(found) == text:
        return found
    return [text, *[""] * (wide - 1)] if wide else []


def _letters(run: str) -> list[str]:
    """One letter after another, marks with theirs."""
    found: list[str] = []
    for char in run:
        wide = get_character_cell_size(char)
        if wide:
            found += [char, *[""] * (wide - 1)]
        elif found:
            place = max(index for index, letter in enumerate(found) if letter)
            found[place] += char
    return found
