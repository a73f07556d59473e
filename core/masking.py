"""Secrets kept out of what is logged and shown: by the names they go by, by what they look like, and by value.

No message of ours asks for a secret, but texts carry what people paste: a token in a config, a password in a URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "••••••"
LEAST = 6  # characters of a secret that is looked for by value: shorter ones would blank out ordinary words
DEEPEST = 100  # values in one another that are shown: no message of ours has as many, and no reply can carry many more
_NAME = r"(?:[a-z0-9]+[_-])*(?:token|passwd|password|passphrase|secret|credentials?|authorization|api[_-]?key|(?:access|private|secret|auth)[_-]?key|key_sha256)"
_TOKENS = re.compile(r"(?i)(?:^|[_-])(?:bos|eos|pad|unk|cls|sep|mask|image|end|start|prompt|answer|stop)[_-]token$")
_NAMED = re.compile(rf"(?i)^{_NAME}$")
_IN_TEXT = re.compile(
    rf"(?i)(?P<name>(?<![a-z0-9_-]){_NAME})(?P<sign>[\"']?\s*[:=]\s*[\"']?)(?P<value>[^\s\"',;&}}\]]+)"
)
# In quotes a value may hold anything, as a passphrase its spaces; in JSON within JSON the quotes are escaped.
_QUOTED = re.compile(
    rf"(?is)(?P<name>(?<![a-z0-9_-]){_NAME})(?P<sign>\\*[\"']?\s*[:=]\s*(?P<end>\\*[\"']))"
    r"(?P<value>(?:(?!(?<!\\)(?P=end)).)+)"
)
_LOOKS = re.compile(
    r"\bhf_[A-Za-z0-9]{8,}|\bfts-[A-Za-z0-9_-]{20,}|\bsk-[A-Za-z0-9_-]{16,}|\bgh[a-z]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}"
    r"|\bAKIA[A-Z0-9]{12,}|\bxox[a-z]-[A-Za-z0-9-]{10,}|\beyJ[\w-]{8,500}\.[\w-]{8,}\.[\w-]+"
    r"|(?<=[Bb]earer )[^\s\"']{6,}|(?<=[Bb]asic )[A-Za-z0-9+/=]{8,}|(?<=//)[^/@\s\"']+(?=@)"
)
# What any of these holds, and much else: a text without it needs no closer look.
_SUSPECT = re.compile(
    r"(?i)token|passw|passphrase|secret|credential|authorization|api[_-]?key|[_-]key|key_sha256|bearer|basic|hf_|fts-|sk-"
    r"|gh[a-z]_|github_pat|AKIA|xox[a-z]-|eyJ|//[^/@\s\"']+@"
)


def suspect(text: str, known: Iterable[str] = ()) -> bool:
    """Whether a text, be it JSON, could hold a secret; `known` are such, and may be written with escapes in JSON."""
    return _SUSPECT.search(text) is not None or any(json.dumps(each)[1:-1] in text or each in text for each in known)


def masked(value: Any, known: Iterable[str] = ()) -> Any:
    """A JSON value without secrets; `known` are texts that are secrets wherever they stand. What lies too deep is left out."""
    return _masked(value, [each for each in known if len(each) >= LEAST])


def masked_text(text: str, known: Iterable[str] = ()) -> str:
    """A text without secrets."""
    for each in known:
        if len(each) >= LEAST:
            text = text.replace(each, MASK)
    return _IN_TEXT.sub(_named, _LOOKS.sub(MASK, _QUOTED.sub(_named, text)))


def _named(found: re.Match[str]) -> str:
    value = found["value"]
    if _TOKENS.search(found["name"]) or value.lower() in ("true", "false", "null", "none", "~") or value == MASK:
        return found[0]
    return f"{found['name']}{found['sign']}{MASK}"


def _masked(value: Any, known: list[str], depth: int = DEEPEST) -> Any:
    if isinstance(value, str):
        return masked_text(value, known)
    if isinstance(value, Mapping | list | tuple) and not depth:
        return "…"
    if isinstance(value, Mapping):
        return {masked_text(str(name), known): _of(str(name), each, known, depth - 1) for name, each in value.items()}
    return [_masked(each, known, depth - 1) for each in value] if isinstance(value, list | tuple) else value


def _of(name: str, value: Any, known: list[str], depth: int) -> Any:
    if isinstance(value, str) and value and _NAMED.match(name) and not _TOKENS.search(name):
        return MASK
    return _masked(value, known, depth)


def unmasked(edited: Any, original: Any, known: Iterable[str] = ()) -> Any:
    """What was masked for an edit gets its secrets back, where the value was left as it was shown."""
    if isinstance(edited, Mapping) and isinstance(original, Mapping):
        shown = {masked_text(str(name), known): name for name in original}
        return {
            shown.get(name, name): unmasked(each, original.get(shown.get(name, name)), known)
            for name, each in edited.items()
        }
    if isinstance(edited, list) and isinstance(original, list):
        return [
            unmasked(each, original[place] if place < len(original) else None, known)
            for place, each in enumerate(edited)
        ]
    if isinstance(edited, str) and isinstance(original, str) and MASK in edited:
        return original if edited in (MASK, masked_text(original, known)) else edited
    return edited


def holds_mask(value: Any) -> bool:
    """Whether a mask stands in the value, which nobody can have meant to send."""
    return MASK in json.dumps(value, ensure_ascii=False, default=str)
