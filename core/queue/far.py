"""How the embedded Valkey is reached from other hosts that share FTS_HOME: an address and a password in a file of its owner's.

In the file and nowhere else: not in the environment that a platform shows to everybody and gives to every process.
"""

from __future__ import annotations

import json
import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

MOVES = "?fts_home="  # in a URL: where its server is now, and its password, is told by the file of that FTS_HOME


class Door(NamedTuple):
    """`host` is the server's own, which takes the socket; the others take `address` and `port`."""

    host: str
    address: str
    port: int
    password: str

    @property
    def url(self) -> str:
        """For redis-py; a secret."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"redis://:{quote(self.password)}@{address}:{self.port}/0"


def url(home: Path, door: Door) -> str:
    """For redis-py, by connections that ask again where the server is; a secret."""
    return moving(door.url, home)


def moving(url: str, home: Path) -> str:
    """The URL, for connections that ask the file again; they know no other way than `connect`'s."""
    return f"{url}{MOVES}{quote(str(home.resolve()), safe='')}"


def path(home: Path) -> Path:
    """The file, beside what only the server reads."""
    return home / "valkey" / "door.json"


def read(home: Path) -> Door | None:
    """What the server that was started last wrote; None when it listens on its socket alone."""
    file = path(home)
    try:
        return _told(file, file.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=4)
def _told(file: Path, changed: int) -> Door | None:
    """What a file says that was written then: it is asked for with each message."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return Door(str(told["host"]), str(told["address"]), int(told["port"]), str(told["password"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def elsewhere(home: Path) -> Door | None:
    """The door of a server that another host started; None when this one did, or none listens."""
    door = read(home)
    return door if door is not None and door.host != socket.gethostname() else None


def write(home: Path, listen: str) -> Door:
    """Write down that the server of this host listens at ADDRESS:PORT. The password stays what it was: who has it keeps on."""
    import secrets  # late: who only reads does without

    before, (address, _, port) = read(home), listen.rpartition(":")
    password = before.password if before else secrets.token_urlsafe(32)
    door = Door(socket.gethostname(), address.strip("[]"), int(port), password)
    draft = path(home).with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(door._asdict()), encoding="utf-8")
    draft.replace(path(home))
    return door


def forget(home: Path) -> None:
    """It listens on its socket alone."""
    path(home).unlink(missing_ok=True)
