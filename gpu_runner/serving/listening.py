"""Where an endpoint listens: as asked, and where the attempt before did, so that its callers find it again."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Callable
from pathlib import Path

from core.settings import settings
from gpu_runner.failures import JobError
from gpu_runner.files import earlier_attempts, read_json, write_json

FILE = "serving.json"
PATIENCE = 10.0  # seconds in which the process of an attempt before may let go of its port
AGAIN = 0.2
EVERYWHERE = ("0.0.0.0", "::")


def listen(
    host: str, port: int, directory: Path, warn: Callable[[str], None], check: Callable[[], None]
) -> socket.socket:
    """A socket that is bound, and does not listen yet. `check` may raise while it waits. Raises JobError when it can't be had."""
    before = _before(directory)
    wanted = port or before
    deadline = time.monotonic() + (PATIENCE if before is not None else 0)
    while True:
        try:
            return _bind(host, wanted or 0)
        except OSError as error:
            check()
            if time.monotonic() < deadline and _taken(error):
                time.sleep(AGAIN)
                continue
            if port or not wanted or not _taken(error):
                raise _refused(host, wanted or 0, error) from error
            warn(f"port {wanted}, where it listened before, is taken: it listens at another one now")
            wanted = None


def note(directory: Path, bound: socket.socket) -> None:
    """Leave word for the next attempt; on a full disk that one takes another port."""
    with contextlib.suppress(OSError):
        write_json(directory / FILE, {"port": bound.getsockname()[1]})


def address(host: str, bound: socket.socket) -> str:
    """Where callers find it: of one that is reached from everywhere, by the runner's own name."""
    if host in EVERYWHERE:
        host = settings().runner_address or socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"


def free_port() -> int:
    """A port of the loopback address that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _before(directory: Path) -> int | None:
    """The port of the newest attempt before that listened."""
    for number in earlier_attempts(directory):
        port = (read_json(directory.parent / str(number) / FILE) or {}).get("port")
        if isinstance(port, int) and 0 < port < 65536:
            return port
    return None


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        bound.listen(1)  # two that are bound with SO_REUSEADDR fail here
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _taken(error: OSError) -> bool:
    return error.errno == errno.EADDRINUSE


def _refused(host: str, port: int, error: OSError) -> JobError:
    why = error.strerror or str(error)
    hint = (
        "Stop what listens there, or start an endpoint at another port; port 0 takes one that is free."
        if _taken(error)
        else "host must be an address of the runner's machine, and ports below 1024 are for root."
    )
    return JobError(f"the endpoint can't listen at {host} port {port}: {why}", hint)
