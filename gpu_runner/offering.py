"""What this host offers: room, engines (which come and go while the daemon lives), labels, and where others reach it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.engines import KNOWN, installed
from core.messages.runners import RegisterRunner
from core.settings import Settings
from core.types import EndpointEngine, JobKind
from gpu_runner.backend import Backend
from gpu_runner.gpus import host_facts, inventory, telemetry
from gpu_runner.identity import Identity
from gpu_runner.room import Room
from gpu_runner.shared import read_marker

OWN = ("legacy", "evaluation", "export", "comparison")
LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets")
SERVING = ("starlette", "uvicorn", "httpx")


def trains() -> bool:
    """Whether the training libraries are here: a machine that only looks on may lack them."""
    return all(find_spec(name) is not None for name in LIBRARIES)


def engines(using: Settings) -> list[str]:
    """The engines as RegisterRunner tells them: the studio's own, those installed, scripts where there is a directory of them."""
    own = [*OWN, *(["lm_eval"] if find_spec("lm_eval") else []), *_serving(using)] if trains() else []
    more = [name for name in KNOWN if installed(using, name) is not None]
    return [*own, *more, *(["user_script"] if using.scripts_root.is_dir() else [])]


def _serving(using: Settings) -> list[str]:
    """What can be put behind HTTP here: the studio's own engine, and vLLM where it is."""
    if any(find_spec(name) is None for name in SERVING):
        return []
    return [JobKind.endpoint.value, *([EndpointEngine.vllm.value] if shutil.which(using.vllm) else [])]


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


@dataclass(frozen=True)
class Terms:
    """What a daemon is told once: where attempts lie, what it lends, where other runners reach it, how long a cancelled child
    may take.
    """

    artifacts: Path
    room: Room
    address: str = "127.0.0.1"
    token: Callable[[], str | None] = lambda: None
    telemetry: Callable[[], dict[str, Any]] = dict
    tracking_uri: str | None = None
    patience: tuple[float, float] = (20.0, 30.0)
    backend: Backend = field(default_factory=Backend)
    engines: Callable[[], list[str]] | None = None  # what it can run now; None: what it registered with, for good


def terms_of(using: Settings) -> Terms:
    """The terms that the settings make."""
    return Terms(
        using.artifacts_root,
        lent(using),
        address=address(using),
        token=lambda: using.hub_token.get_secret_value() if using.hub_token else None,
        telemetry=lambda: telemetry(using.artifacts_root),
        tracking_uri=using.tracking_uri if using.tracking else None,
        engines=lambda: engines(using),
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
