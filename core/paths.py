"""`inside(root, path)`: the one gate for paths that users name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


class PathRefused(ValueError):
    """A path leads outside the directories that the studio may use."""


def inside(root: Path, path: str | Path) -> Path:
    """Return `path` (relative ones below `root`) with links resolved; raise PathRefused when it leaves `root`."""
    return inside_any([root], path)


def inside_any(roots: Iterable[Path], path: str | Path) -> Path:
    """Return `path` resolved when it lies in one of `roots` (relative ones are below the first); else raise PathRefused."""
    allowed = [root.resolve() for root in roots]
    if "\0" in str(path):
        raise PathRefused("a path can't hold a NUL character")
    try:
        resolved = (allowed[0] / Path(path).expanduser()).resolve()
        resolved.exists()  # a name that no file system can hold is resolved all the same
    except (OSError, RuntimeError) as error:
        raise PathRefused(f"{path} can't be resolved: {error}") from error
    if any(resolved.is_relative_to(root) for root in allowed):
        return resolved
    names = ", ".join(str(root) for root in allowed)
    raise PathRefused(
        f"{path} is outside the allowed directories ({names}): copy it into one, "
        f"or start the studio with FTS_ALLOWED_ROOTS='{json.dumps([str(resolved.parent)])}'"
    )
