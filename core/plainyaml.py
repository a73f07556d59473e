"""YAML that could be JSON: text keys, each once, and no alias that grows beyond bounds or holds itself.

PyYAML keeps the last of two equal keys in silence, and nine lines of aliases stand for a billion values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

MOST = 100_000  # values of a document, every alias counted as what it stands for
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class NotPlain(ValueError):
    """The text is no such YAML; the message tells the line."""


def load(text: str) -> Any:
    """Return what the one document of `text` holds, None for an empty one; raise NotPlain."""
    try:
        loader = yaml.SafeLoader(text)  # refuses control characters at once
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise NotPlain("it is nested too deeply") from None
    except NotPlain:
        raise
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        AttributeError,
    ) as error:  # of 2001-13-45, !!int "", !!timestamp "x"
        raise NotPlain(str(error)) from None


def _size(node: Any, known: dict[int, int]) -> int:
    """How many values the node stands for; `known` has those of nodes that were seen, 0 while one is looked at."""
    if id(node) in known:
        if not known[id(node)]:
            raise NotPlain(f"{_place(node)}: an alias can't stand for what it lies in")
        return known[id(node)]
    known[id(node)] = 0
    size = 1
    for part in _parts(node):
        size += _size(part, known)
        if size > MOST:
            raise NotPlain(f"{_place(node)}: there are more than {MOST} values")
    known[id(node)] = size
    return size


def _parts(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.tag != _MERGE:
                _check(key, seen)
            yield value


def _check(key: Any, seen: set[str]) -> None:
    if key.tag != _TEXT:
        shown = (
            f"{key.value!r} ({key.tag.rpartition(':')[2]})" if isinstance(key, yaml.ScalarNode) else "a list or mapping"
        )
        raise NotPlain(f"{_place(key)}: a key must be text, not {shown}; quotes make it one")
    if key.value in seen:
        raise NotPlain(f"{_place(key)}: key {key.value!r} is there twice")
    seen.add(key.value)


def _place(node: Any) -> str:
    return f"line {node.start_mark.line + 1}"
