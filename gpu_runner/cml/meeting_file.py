"""How the pods of one job find each other: by a file of the first one's, since all they share is the project's file system."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from gpu_runner.files import read_json, write_json

GONE = 180.0  # seconds without a sign of the first pod after which it counts as gone
LOOK = 0.5


class NobodyThere(Exception):
    """The pod that is to lead is gone, or leads others now."""


@dataclass(frozen=True)
class Meeting:
    """A meeting at `path`: that of one start of the first pod, told from its earlier ones by `name`."""

    path: Path
    name: str

    def tell(self, beat: int, address: str | None = None) -> None:
        """The first pod is there, for the `beat`th time; `address` is where it listens (host:port). Raises OSError."""
        write_json(self.path, {"name": self.name, "beat": beat, "address": address})

    def come(self, own: Path) -> None:
        """Say that the pod whose files lie in `own` is there. Raises OSError."""
        write_json(own / "here.json", {"name": self.name})

    def has(self, own: Path) -> bool:
        """Whether the pod whose files lie there has come."""
        return (read_json(own / "here.json") or {}).get("name") == self.name

    def address(self) -> str:
        """Wait for where the first pod listens. Raises NobodyThere."""
        seen, since = None, time.monotonic()
        while time.monotonic() < since + GONE:
            told = read_json(self.path)
            if told is not None and told.get("name") != self.name:
                raise NobodyThere("the first pod was started anew, and has other workers")
            if told is not None and told.get("address"):
                return str(told["address"])
            if told != seen:
                seen, since = told, time.monotonic()
            time.sleep(LOOK)
        raise NobodyThere(f"the first pod has given no sign for {GONE:.0f} s")
