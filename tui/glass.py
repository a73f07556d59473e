"""What the terminal shows, kept in memory, so that only what is different is sent.

Textual sends every line of a widget that changed, and each piece of it with its whole style: 36 KB a second for a list in
which twenty numbers move. Here each cell is compared with what stands there already; over a slow line that decides
whether keys are answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby

from rich.cells import cell_len, get_character_cell_size
from rich.color import ColorSystem
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

GAP = 4  # cells that are the same between two that are not: sent again, as moving costs as much
Piece = tuple[int, int, Strip]  # line, column, what is drawn there


class Glass:
    """Cells of the terminal: what each shows, and in which style. One that is not known is None."""

    def __init__(self) -> None:
        self.size = (0, 0)
        self.texts: list[list[str | None]] = []
        self.styles: list[list[str]] = []

    def forget(self) -> None:
        """The terminal may show anything now."""
        self.size = (0, 0)

    def paint(self, update: CompositorUpdate, size: tuple[int, int], colours: ColorSystem) -> str:
        """What to send so that the terminal shows the update; empty when it does already."""
        if size != self.size:
            self.size = size
            self.texts = [[None] * size[0] for _ in range(size[1])]
            self.styles = [[""] * size[0] for _ in range(size[1])]
        sent: list[str] = []
        pen = ""
        for y, x, strip in pieces(update):
            if y < size[1]:
                pen = self._piece(y, x, strip, colours, sent, pen)
        if pen:
            sent.append("\x1b[0m")
        return "".join(sent)

    def _piece(self, y: int, x: int, strip: Strip, colours: ColorSystem, sent: list[str], pen: str) -> str:
        """Compare a piece with what stands there, and send the runs that differ; the style that the terminal is left in."""
        texts, styles = cells(strip, colours)
        room = max(0, self.size[0] - x)
        texts, styles = texts[:room], styles[:room]
        end = x + len(texts)
        old_texts, old_styles = self.texts[y][x:end], self.styles[y][x:end]
        if texts == old_texts and styles == old_styles:
            return pen
        self._split(y, x, end)
        self.texts[y][x:end], self.styles[y][x:end] = texts, styles
        differs = [
            new != old or style != before
            for new, old, style, before in zip(texts, old_texts, styles, old_styles, strict=True)
        ]
        for first, last in runs(differs, texts):
            sent.append(f"\x1b[{y + 1};{x + first + 1}H")
            for place in range(first, last):
                if styles[place] != pen:
                    pen = styles[place]
                    sent.append(f"\x1b[0;{pen}m" if pen else "\x1b[0m")
                sent.append(texts[place] or "")
        return pen

    def _split(self, y: int, x: int, end: int) -> None:
        """What is left of a wide text of which a part is painted over is not known any more."""
        line = self.texts[y]
        left, right = x, end
        while left > 0 and line[left] == "":
            left -= 1
        line[left:x] = [None] * (x - left)
        while right < len(line) and line[right] == "":
            line[right] = None
            right += 1


def runs(differs: Sequence[bool], texts: Sequence[str]) -> Iterator[tuple[int, int]]:
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


def _whole(first: int, last: int, texts: Sequence[str]) -> tuple[int, int]:
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


def cells(strip: Strip, colours: ColorSystem) -> tuple[list[str], list[str]]:
    """(texts, styles) of each cell; a text whose letters are not one cell each stands in its first, the rest are empty."""
    texts: list[str] = []
    styles: list[str] = []
    for segment in strip:
        text, style, control = segment
        if control or not text:
            continue
        letters = list(text) if text.isascii() else spread(text)
        texts += letters
        styles += [_codes(style, colours)] * len(letters)
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
        if not odd:
            found += run
        elif wide := cell_len(run):
            found += [run, *[""] * (wide - 1)]
        elif found:  # marks on the letter before
            found[-1] += run
    wide = cell_len(text)
    if len(found) == wide and "".join(found) == text:
        return found
    return [text, *[""] * (wide - 1)] if wide else []
