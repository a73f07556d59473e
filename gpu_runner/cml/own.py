"""The daemon of a pod whose job was made by hand: one job's runner, that keeps no process warm for others.

`python -m gpu_runner.cml.own`, and behind it, where the job is trained by several pods, the cores, GiB and GPUs of all of them.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

from core.messages.runners import Gpu
from core.settings import settings
from gpu_runner.cml import leader
from gpu_runner.cml.shares import leads
from gpu_runner.daemon import serve
from gpu_runner.files import read_json
from gpu_runner.identity import AlreadyRunning
from gpu_runner.launch import Launch, cold_command
from gpu_runner.offering import offer, terms_of
from gpu_runner.room import Room
from gpu_runner.setup import Setup
from gpu_runner.starter import Starter


def command(launch: Launch) -> list[str]:
    """The command that starts the job: by itself, or as the first of its pods."""
    if leads(read_json(Path(launch.attempt_dir) / "spec.json") or {}):
        return [sys.executable, "-m", "gpu_runner.cml.leader", launch.to_json()]
    return cold_command(launch)


def main() -> None:
    """Run it for the studio of FTS_HOME or FTS_REDIS_URL."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    using, calls = settings(), dict[str, str]()
    terms = terms_of(using)
    if len(sys.argv) > 1:
        cpus, memory, gpus = map(int, sys.argv[1:])
        terms = replace(terms, room=Room(cpus, memory, tuple(Gpu(index=index) for index in range(gpus))))
        calls = {name: os.environ[name] for name in leader.CALLS if name in os.environ}
    setup = Setup(
        using.runner_name,
        terms,
        lambda identity: offer(using, identity, terms.room),
        lambda bell: Starter(bell, None, command, environment=calls),
    )
    try:
        serve(using, setup)
    except AlreadyRunning as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
