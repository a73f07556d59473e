"""The daemon of a pod whose job was made by hand: one job's runner, that keeps no process warm for others."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from core.settings import settings
from gpu_runner.daemon import Daemon
from gpu_runner.identity import AlreadyRunning, Identity
from gpu_runner.link import Link
from gpu_runner.offering import offer, terms_of
from gpu_runner.starter import Starter


def main() -> None:
    """Run it for the studio of FTS_HOME or FTS_REDIS_URL."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    using = settings()
    try:
        identity = Identity(using.root, using.runner_name)
    except AlreadyRunning as error:
        sys.exit(str(error))
    bell, terms = threading.Event(), terms_of(using)
    link = Link(using.redis_url, using.namespace, lambda: offer(using, identity, terms.room), identity.keep, bell.set)
    daemon = Daemon(terms, link, Starter(bell.set, None), bell)
    if identity.runner_id:
        daemon.adopt(identity.runner_id)
    signal.signal(signal.SIGTERM, daemon.let_go)
    daemon.run()


if __name__ == "__main__":
    main()
