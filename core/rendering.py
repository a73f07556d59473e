"""A row as the model will see it: what it is trained on, which part of that is learned, what it will be asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.families import family
from core.template import render
from core.types import LossOn

EOS = "<eos>"


class NotApart(ValueError):
    """The loss can't be on the completion only: the prompt doesn't begin with the input."""


@dataclass(frozen=True)
class Rendered:
    """The text of a training row with its end, and of an evaluation's."""

    text: str
    input: str
    learned: str
    expected: str


def rendered(templates: Mapping[str, str], row: Mapping[str, Any], loss_on: LossOn, eos: str = EOS) -> Rendered:
    """Render the three templates as a runner does; raises NotApart, and TemplateError for what no rule let through."""
    whole = render(templates["prompt_template"], row)
    asked = render(templates["input_template"], row)
    learned = whole
    if loss_on is LossOn.completion:
        start = asked if whole.startswith(asked) else asked.rstrip()
        if not whole.startswith(start):
            raise NotApart(
                "prompt_template does not begin with input_template, so the completion alone can't be learned"
            )
        learned = whole[len(start) :]
    return Rendered(whole + eos, asked, learned + eos, render(templates["completion_template"], row))


def eos_of(location: str | None, architecture: str | None) -> str:
    """The end-of-sequence token of a model, as its directory or its family names it; `<eos>` when neither does."""
    if location:
        try:
            content = json.loads((Path(location) / "tokenizer_config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            content = None
        token = content.get("eos_token") if isinstance(content, dict) else None
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and token:
            return token
    known = family(architecture)
    return known.eos_token if known is not None and known.eos_token else EOS
