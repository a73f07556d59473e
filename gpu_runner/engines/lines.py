"""Bytes of a pipe as lines: of progress bars, which overwrite themselves, the last state only."""

from __future__ import annotations

LONGEST = 1 << 16  # bytes of a line without an end that are kept together


class Lines:
    """Collects what comes in pieces; gives whole lines."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole now."""
        *whole, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > LONGEST:
            whole.append(self.rest)
            self.rest = b""
        return [text for each in whole if (text := _shown(each))]

    def end(self) -> list[str]:
        """What is left when no more comes."""
        rest, self.rest = self.rest, b""
        text = _shown(rest)
        return [text] if text else []


def _shown(line: bytes) -> str:
    states = line.decode(errors="replace").rstrip("\r").split("\r")
    return states[-1].rstrip()
