"""What this host offers: room, engines (which come and go while the daemon lives), labels, and where others reach it."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from urllib.parse import urlsplit

from core.engines import KNOWN, installed
from core.messages.runners import RegisterRunner
from core.settings import Settings
from gpu_runner.gpus import host_facts, inventory
from gpu_runner.identity import Identity, read_marker
from gpu_runner.room import Room

LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets")


def trains() -> bool:
    """Whether the training libraries are here: a machine that only looks on may lack them."""
    return all(find_spec(name) is not None for name in LIBRARIES)


def engines(using: Settings) -> list[str]:
    """The engines as RegisterRunner tells them: the studio's own, those installed, scripts where there is a directory of them."""
    own = ["legacy", "evaluation", *(["lm_eval"] if find_spec("lm_eval") else [])] if trains() else []
    more = [name for name in KNOWN if installed(using, name) is not None]
    return [*own, *more, *(["user_script"] if using.scripts_root.is_dir() else [])]


def lent(using: Settings) -> Room:
    """What this host lends to jobs: all that it has, or what the settings say."""
    cpus, memory = host_facts()
    return Room(using.runner_cpus or cpus, using.runner_memory or memory, tuple(inventory()))


def offer(using: Settings, identity: Identity, room: Room) -> RegisterRunner:
    """What the daemon registers with."""
    return RegisterRunner(
        runner_id=identity.runner_id,
        host=identity.host,
        cpus=room.cpus,
        memory=room.memory,
        gpus=list(room.gpus),
        labels=using.runner_labels,
        engines=engines(using),
        marker=read_marker(using.artifacts_root),
        pid=os.getpid(),
    )


def address(using: Settings) -> str:
    """Where other runners reach this one: as set, else by the way to the queue, else by the host's name."""
    if using.runner_address:
        return using.runner_address
    queue = urlsplit(using.redis_url)
    if queue.hostname and queue.scheme in ("redis", "rediss", "valkey", "valkeys"):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
                way.connect((queue.hostname, queue.port or 6379))  # sends nothing: it only chooses the way
                return str(way.getsockname()[0])
        except OSError:
            pass
    return socket.gethostname()
