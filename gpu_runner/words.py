"""Tokens as text that can be shown at once: whole characters only, and nothing of what may become a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

HALF = "\N{REPLACEMENT CHARACTER}"  # how a tokenizer decodes the beginning of a character


class Words:
    """The text of one answer as it grows. `said` is what was handed out, `tokens` counts an EOS too, as evaluations do."""

    def __init__(self, tokenizer: Any, eos: Sequence[int], stops: Sequence[str] = ()) -> None:
        self._tokenizer, self._eos, self._stops = tokenizer, frozenset(eos), [each for each in stops if each]
        self._kept: list[int] = []
        self.tokens = 0
        self.said = ""
        self.ended: Literal["eos", "stop"] | None = None

    def add(self, ids: Sequence[int]) -> None:
        """Tokens that came; none counts after the one that ends the answer."""
        for id in ids:
            if self.ended:
                return
            self.tokens += 1
            if id in self._eos:
                self.ended = "eos"
            else:
                self._kept.append(id)

    def take(self) -> str:
        """What can be shown and was not handed out yet."""
        text = self._text()
        if not self.ended:
            text = text[: len(text) - self._held_back(text)]
        if not text.startswith(self.said):
            return ""  # the tokenizer writes the beginning otherwise now: the end tells
        new, self.said = text[len(self.said) :], text
        return new

    def end(self) -> str:
        """The rest; `said` is the whole answer then, also where the tokenizer wrote its beginning otherwise before."""
        text, before = self._text(), self.said
        self.said = text
        return text[len(before) :] if text.startswith(before) else ""

    def _text(self) -> str:
        text = str(self._tokenizer.decode(self._kept, skip_special_tokens=True))
        places = [place for place in map(text.find, self._stops) if place >= 0]
        if places:
            self.ended = "stop"
            return text[: min(places)]
        return text

    def _held_back(self, text: str) -> int:
        """How many characters at the end may turn into something else."""
        half = len(text) - len(text.rstrip(HALF))
        begun = [n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])]
        return max(half, *begun, 0)
