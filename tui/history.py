"""The command lines that were typed, kept per studio in a file of its owner; what looks like a secret is not kept."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from core.text import plain

KEPT = 500  # lines
LONGEST = 4_000  # characters of one
# Keys of endpoints, tokens of hubs and clouds, passwords in addresses, and what is called a secret.
SECRET = re.compile(
    r"fts-[\w-]{20,}|\b(hf|sk|pk|gh[pousr]|glpat|xox[a-z])[_-][\w-]{8,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{10,}\.|://[^/\s]*:[^/\s]*@"
    r"|(?<![a-z])(token|secret|passwd?|password|api_?key|bearer|authorization)(?![a-z])",
    re.IGNORECASE,
)


class History:
    """Lines, the newest last. Raises nothing: a studio whose disk is full is worked with all the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = self._read()

    def _read(self) -> list[str]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line and plain(line, limit=LONGEST) == line][-KEPT:]

    def add(self, line: str) -> None:
        """Remember a line: once, at the end; not what begins with a space or holds a secret."""
        if not keepable(line):
            return
        known = self._read() or self.lines  # another dashboard of the studio may have added some
        self.lines = [*(each for each in known if each != line), line][-KEPT:]
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in self.lines))
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    def beginning(self, start: str) -> list[str]:
        """The lines that begin so, the newest first."""
        return [line for line in reversed(self.lines) if line.startswith(start)]


def keepable(line: str) -> bool:
    """Whether a line may be written down."""
    return (
        bool(line.strip()) and plain(line, limit=LONGEST) == line and not line[0].isspace() and not SECRET.search(line)
    )
