"""Lines of pieces in a width: what a line goes on with stands under its text, not under its label. Knows nothing of Textual."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.cells import cell_len

from tui.view.fit import HANG, wrapped
from tui.view.planned import Line

BAR = "│ "  # before each row of a text that is quoted


def hung(lines: Iterable[Line], width: int) -> Iterator[Line]:
    """The lines in rows of `width` cells; of a width that is not known yet, as they are."""
    for line in lines:
        if width <= 2 * HANG or sum(cell_len(text) for text, _ in line) <= width:
            yield line
        else:
            yield from _rows(line, width)


def _rows(line: Line, width: int) -> Iterator[Line]:
    """The first piece is the label when it ends in a blank and leaves room; a bar is drawn before each row."""
    label = line[0][0] if len(line) > 1 and line[0][0].endswith(" ") and cell_len(line[0][0]) <= width // 2 else ""
    first = line[:1] if label else []
    under: Line = first if label == BAR else [(" " * cell_len(label), "")] if label else []
    rest = line[1:] if label else line
    text = "".join(piece for piece, _ in rest)
    for number, (begin, end) in enumerate(wrapped(text, width - cell_len(label), 0)):
        yield [*(under if number else first), *_between(rest, begin, end)]


def _between(pieces: Line, begin: int, end: int) -> Iterator[tuple[str, str]]:
    """What of the pieces stands between two places of their text."""
    at = 0
    for text, meaning in pieces:
        if part := text[max(0, begin - at) : max(0, end - at)]:
            yield part, meaning
        at += len(text)
