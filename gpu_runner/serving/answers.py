"""What is answered: OpenAI's objects, whole or in pieces."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

FINISH = {"eos": "stop", "stop": "stop", "length": "length"}
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Form:
    """How one request is answered: as a chat, or as texts that go on."""

    model: str
    chat: bool
    id: str = field(default_factory=lambda: uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, said: list[tuple[str, str]], usage: dict[str, int]) -> dict[str, Any]:
        """The answer at once; `said` is (text, reason) of each choice."""
        choices = [self._choice(index, text, reason) for index, (text, reason) in enumerate(said)]
        return {**self._head(piece=False), "choices": choices, "usage": usage}

    def opening(self) -> bytes:
        """The first piece of a chat tells who speaks."""
        return self.piece(0, {"role": "assistant", "content": ""}) if self.chat else b""

    def piece(self, index: int, delta: dict[str, Any] | str, reason: str | None = None) -> bytes:
        """What was said since."""
        if self.chat:
            said = {"content": delta} if isinstance(delta, str) else delta
            choice: dict[str, Any] = {"index": index, "delta": said}
        else:
            choice = {"index": index, "text": delta}
        choice |= {"logprobs": None, "finish_reason": reason and FINISH[reason]}
        return event({**self._head(piece=True), "choices": [choice]})

    def ending(self, index: int, reason: str) -> bytes:
        """The last piece tells why it ended."""
        return self.piece(index, {} if self.chat else "", reason)

    def used(self, usage: dict[str, int]) -> bytes:
        """What it took, for those who asked."""
        return event({**self._head(piece=True), "choices": [], "usage": usage})

    def _head(self, *, piece: bool) -> dict[str, Any]:
        kind = "chat.completion" if self.chat else "text_completion"
        name = f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}"
        return {
            "id": name,
            "object": f"{kind}.chunk" if piece and self.chat else kind,
            "created": self.created,
            "model": self.model,
        }

    def _choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text, "refusal": None}} if self.chat else {"text": text}
        return {"index": index, **said, "logprobs": None, "finish_reason": FINISH[reason]}


def usage_of(prompt: int, new: int) -> dict[str, int]:
    """Tokens that were read and made."""
    return {"prompt_tokens": prompt, "completion_tokens": new, "total_tokens": prompt + new}


def event(content: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"
