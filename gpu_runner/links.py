"""Links in a directory that was registered: one that was put in later may lead to what nobody may read, and libraries follow it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.settings import settings
from gpu_runner.failures import JobError


def keep_inside(location: str | Path, what: str) -> None:
    """Refuse a directory of which a link, or which itself, leads out of it and of the allowed directories; raises JobError.

    The Hub's cache keeps a snapshot as links to the blobs beside it: those belong to it. What is registered has no link above
    it (core.paths.inside): one that is there now was put there later.
    """
    root, using = Path(location), settings()
    own = root.parent.resolve() / root.name
    snapshot = [own.parent.parent] if own.parent.name == "snapshots" else []
    allowed = [*using.roots, using.artifacts_root.resolve()]
    if own.parent != root.parent.absolute() and not _leads_into(root, allowed):
        raise _led_out(root, what)
    for each in _links(root):
        if not _leads_into(each, [own, *snapshot, *allowed]):
            raise _led_out(each, what)


def _led_out(link: Path, what: str) -> JobError:
    return JobError(
        f"{link} leads to where the studio may not read: {what} would be read from there",
        "Put the file itself in its place, or start runner and studio with FTS_ALLOWED_ROOTS naming where it leads to.",
    )


def _links(root: Path) -> Iterator[Path]:
    """The links of a directory, then those of the directories that they lead to."""
    seen, ahead = set[Path](), [root]
    while ahead:
        here = ahead.pop()
        for each in (here, *(here.rglob("*") if here.is_dir() else ())):
            if each.is_symlink():
                yield each
                if each.is_dir() and (target := each.resolve()) not in seen:
                    seen.add(target)
                    ahead.append(target)


def _leads_into(link: Path, allowed: list[Path]) -> bool:
    try:
        target = link.resolve()
    except (OSError, RuntimeError):  # a circle
        return False
    return any(target.is_relative_to(each) for each in allowed)
