"""The messages of the studio, a module a domain. `REGISTRY` maps the names of all of them to their classes.

The domains are imported when a name is first looked up: a dashboard's first list needs one of them. Importing a domain
brings its rules along.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.messages.base import REGISTRY, AsOf, Command, Message, Query, Reply, parse

__all__ = ["REGISTRY", "AsOf", "Command", "Message", "Query", "Reply", "parse"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from core.messages import base

    if name == "REGISTRY":
        base.load()
    return getattr(base, name)
