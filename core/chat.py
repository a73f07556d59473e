"""Conversations in data: a list of messages, as OpenAI (`role`, `content`) or ShareGPT (`from`, `value`) write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_FORMS = (("role", "content"), ("from", "value"))
# What a column of conversations is mostly called: used where no row can be looked at.
NAMES = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog")
_SPEAKERS = {"human": "user", "gpt": "assistant"}  # ShareGPT's names of the two


def conversation(value: object) -> str | None:
    """Return a list of messages as text, `Role: what was said` a line; None when `value` is no such list.

    A template can only name a whole column: so a column of messages becomes what a reader would write down.
    """
    if not isinstance(value, list) or not value:
        return None
    lines = [_line(each) for each in value]
    return None if any(line is None for line in lines) else "\n".join(line for line in lines if line is not None)


def chat_column(features: Iterable[str], rows: Iterable[Mapping[str, object]], *, is_chat: bool = False) -> str | None:
    """The column that holds conversations: by the rows; without rows, or when it is known to be chat, by its name."""
    known, seen = list(features), list(rows)
    for name in known:
        if seen and all(conversation(row.get(name)) is not None for row in seen):
            return name
    if seen and not is_chat:
        return None
    return next((name for wanted in NAMES for name in known if name.lower() == wanted), None)


def _line(message: object) -> str | None:
    if not isinstance(message, Mapping):
        return None
    for speaker, said in _FORMS:
        who, what = message.get(speaker), message.get(said)
        if isinstance(who, str) and isinstance(what, str):
            return f"{_SPEAKERS.get(who, who).capitalize()}: {what}"
    return None
