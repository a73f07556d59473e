"""The composition root of the actors: one Dramatiq actor a message, on the queues named.

python -m actors.app commands runners      what people, services and runners say; ticks once a second
python -m actors.app slow                  what may wait for the network or read large files; tells of jobs' ends
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage
from sqlalchemy.exc import OperationalError

from actors import delivering, handlers
from actors.answering import answer, failure
from actors.defaults import settle
from actors.desk import Desk
from actors.letters import Listener
from actors.ticking import tick
from core.errors import Refused
from core.messages import REGISTRY
from core.queue.broker import StudioBroker
from core.queue.connect import connect, safe_url
from core.queue.guard import Guard
from core.rules import Breach
from core.settings import Settings, settings
from core.store.sent import Sent
from core.store.session import Store
from core.store.upgrade import upgrade

log = logging.getLogger("fts.actors")
RARELY = 60.0, 3600.0  # seconds between two lines about the same trouble, at first and at last
QUEUES = frozenset({"commands", "runners", "slow"})


def open_desk(using: Settings) -> Desk:
    """A desk on an upgraded store, with the defaults stored and the artifacts marked."""
    store = Store(using)
    upgrade(store)
    desk = Desk(using, store, connect(using.redis_url), away=_once_a_minute(log.warning))
    handlers.load()
    settle(desk)
    desk.mark_artifacts()
    return desk


def make_broker(desk: Desk) -> StudioBroker:
    """A broker that has an actor for every message that has a handler."""
    using = desk.settings
    broker = StudioBroker(using.redis_url, using.namespace, [CurrentMessage(), Guard()], Listener(desk))
    known = handlers.load()
    for name, message in REGISTRY.items():
        if name in known:
            dramatiq.actor(_actor(desk, name), broker=broker, actor_name=name, queue_name=message.QUEUE)
    return broker


def _actor(desk: Desk, name: str) -> Callable[..., dict[str, Any]]:
    def act(*args: Any, **kwargs: Any) -> dict[str, Any]:
        message: Any = CurrentMessage.get_current_message()
        key = message.options.get("key") or message.message_id
        if args or kwargs.keys() - {"payload"}:
            text = 'a message has one argument: kwargs {"payload": {the message\'s fields}}'
            return failure(Refused.because([Breach(rule="MS-101", field="", message=text)]))
        sent = Sent.of(message.options, message.message_timestamp)
        return answer(desk, name, kwargs.get("payload"), str(key), sent)

    return act


def _once_a_minute(tell: Callable[[str], None]) -> Callable[[str], None]:
    last = [0.0]

    def told(text: str) -> None:
        if time.monotonic() - last[0] > 60:
            last[0] = time.monotonic()
            tell(text)

    return told


class _Trouble:
    """Something that fails again and again: told whole the first time, then in a line and ever more rarely."""

    def __init__(self) -> None:
        self._kinds: set[type[Exception]] = set()
        self._pause, self._next, self._times = RARELY[0], 0.0, 0

    def failed(self, error: Exception, now: float) -> None:
        """It failed; `now` is monotonic."""
        self._times += 1
        if type(error) not in self._kinds:
            self._kinds.add(type(error))
            self._pause = RARELY[0]
            log.error("a tick failed; the next one tries again", exc_info=error)
        elif now >= self._next:
            self._pause = min(self._pause * 2, RARELY[1])
            log.error("ticks still fail, %d by now: %s", self._times, str(error).partition("\n")[0])
        else:
            return
        self._next = now + self._pause

    def over(self) -> None:
        """It works."""
        if self._times:
            log.info("ticks succeed again, after %d that failed", self._times)
            self._kinds.clear()
            self._times = 0


def _tick_forever(desk: Desk, stop: threading.Event, trouble: _Trouble) -> None:
    while not stop.wait(1):
        try:
            tick(desk)
            trouble.over()
        except Exception as error:
            trouble.failed(error, time.monotonic())


def run(queues: Sequence[str], using: Settings) -> None:
    """Serve the queues until SIGTERM or SIGINT; what is being done then is finished first."""
    stop = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stop.set())
    try:
        desk = open_desk(using)
    except OperationalError as error:  # told in a line: the studio's log is where one looks for it
        told = " ".join(str(error.orig).split())
        sys.exit(f"the database can't be opened: {told}; FTS_DATABASE_URL names it, else it is in FTS_HOME")
    broker = make_broker(desk)
    desk.publish()  # before the first request: a store that was restored gets its new epoch now
    worker = dramatiq.Worker(broker, queues=set(queues), worker_threads=using.threads)
    worker.start()
    ticking = threading.Thread(target=_tick_forever, args=(desk, stop, _Trouble()), name="tick")
    telling = threading.Thread(target=delivering.forever, args=(desk, stop), name="telling", daemon=True)
    if "runners" in queues:
        ticking.start()
    if "slow" in queues and using.notify_targets:
        telling.start()
    log.info("ready: %s on %s", ", ".join(queues), safe_url(using.redis_url))
    stop.wait()
    log.info("stopping")
    worker.stop()
    for thread in (ticking, telling):
        if thread.ident is not None:
            thread.join()
    desk.store.close()
    log.info("stopped")


def main() -> None:
    """`python -m actors.app QUEUE...`"""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("dramatiq").setLevel(logging.WARNING)
    queues = sys.argv[1:]
    if not queues or not set(queues) <= QUEUES:
        sys.exit(f"usage: python -m actors.app QUEUE...  (queues: {', '.join(sorted(QUEUES))})")
    run(queues, settings())


if __name__ == "__main__":
    main()
