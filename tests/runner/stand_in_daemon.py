"""The real daemon with the stand-in child, on a disk that is full while HOME/full is there: `stand_in_daemon.py URL NS HOME [WARM]`, WARM being stand_in_warm's argument.

While HOME/quota is there nothing can be written though the disk has room; while HOME/stale is, because the disk is another.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from core.messages.runners import Gpu, RegisterRunner
from gpu_runner import attempt, starter
from gpu_runner.daemon import Daemon
from gpu_runner.identity import AlreadyRunning, Identity
from gpu_runner.launch import Launch
from gpu_runner.link import Link
from gpu_runner.offering import Terms
from gpu_runner.room import Room
from gpu_runner.shared import read_marker


def command(launch: Launch) -> list[str]:
    return [sys.executable, "-m", "tests.runner.stand_in_child", launch.to_json()]


def main() -> None:
    url, ns, home = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    warm = [sys.executable, "-m", "tests.runner.stand_in_warm", sys.argv[4]] if sys.argv[4:] else None
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        identity = Identity(home, "host")
    except AlreadyRunning as error:
        sys.exit(str(error))
    artifacts = home / "artifacts"
    usage = shutil.disk_usage

    def disk_usage(path: Path) -> Any:
        return usage(path)._replace(free=5) if (home / "full").exists() else usage(path)

    shutil.disk_usage = disk_usage
    write_json = attempt.write_json

    def within_quota(path: Path, content: Any) -> None:
        for name, number in {"quota": errno.EDQUOT, "stale": errno.ESTALE}.items():
            if (home / name).exists():
                raise OSError(number, os.strerror(number))
        write_json(path, content)

    attempt.write_json = within_quota
    starter.WARM_UP_SECONDS = 80.0  # a machine that runs other tests too takes longer
    bell = threading.Event()
    room = Room(4, 8, (Gpu(index=0, uuid="GPU-a"), Gpu(index=1, uuid="GPU-b")))

    def engines() -> list[str]:
        return ["legacy", *sorted(path.name for path in home.glob("engines/*"))]

    def offer() -> RegisterRunner:
        return RegisterRunner(
            runner_id=identity.runner_id,
            host="host",
            cpus=4,
            memory=8,
            engines=engines(),
            marker=read_marker(artifacts),
        )

    link = Link(url, ns, offer, identity.keep, bell.set)
    terms = Terms(artifacts, room, token=lambda: "hf_secret", patience=(0.3, 0.8), engines=engines)
    daemon = Daemon(terms, link, starter.Starter(bell.set, warm_command=warm, command=command), bell)
    if identity.runner_id:
        daemon.adopt(identity.runner_id)
    signal.signal(signal.SIGTERM, daemon.let_go)
    daemon.run()


if __name__ == "__main__":
    main()
