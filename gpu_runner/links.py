"""Links in a directory that was registered: one that was put in later may lead to what nobody may read, and libraries follow it."""

from __future__ import annotations

from pathlib import Path

from core.settings import settings
from gpu_runner.failures import JobError


def keep_inside(location: str | Path, what: str) -> None:
    """Refuse a directory of which a link, or which itself, leads out of it and of the allowed directories; raises JobError.

    The Hub's cache keeps a snapshot as links to the blobs beside it: those belong to it.
    """
    root, using = Path(location), settings()
    own = root.parent.resolve() / root.name
    snapshot = [own.parent.parent] if own.parent.name == "snapshots" else []
    allowed = [own, *snapshot, *using.roots, using.artifacts_root.resolve()]
    for each in (root, *(root.rglob("*") if root.is_dir() else ())):
        if each.is_symlink() and not _leads_into(each, allowed):
            raise JobError(
                f"{each} leads to where the studio may not read: {what} would be read from there",
                "Put the file itself in its place, or start runner and studio with FTS_ALLOWED_ROOTS naming where it leads to.",
            )


def _leads_into(link: Path, allowed: list[Path]) -> bool:
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # a circle
        return False
    return any(target.is_relative_to(each) for each in allowed)
