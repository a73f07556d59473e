"""What the way over the queue costs: a request and its reply, spaced as a person sends them.

    python -m benchmarks.roundtrip [--requests 100] [--spacing 1.0]

Three ways through one Valkey, interleaved in one run: a bare BRPOP exchange between two processes (the floor), the studio's
queue with an actor that does nothing, and stock Dramatiq with its own result backend. Milliseconds, p50 and p99.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from core.queue import embedded, wire
from core.queue.connect import connect

Exchange = Callable[[], object]
NS = "bench"


def floor(url: str) -> Exchange:
    """A request and a reply by BRPOP and LPUSH, nothing else."""
    client = connect(url)

    def exchange() -> object:
        id = uuid4().hex
        client.lpush(f"{NS}:floor", id)
        return client.brpop([f"{NS}:floor:{id}"], timeout=10)

    return exchange


def studio(url: str) -> Exchange:
    """The studio's own sending and waiting."""
    client = connect(url)
    return lambda: wire.ask(client, NS, wire.new_message("noop", "commands", {}), 10)


def stock(url: str) -> Exchange:
    """Dramatiq as it comes: send, then get_result(block=True)."""
    actor = _stock_actor(url)
    return lambda: actor.send({}).get_result(block=True, timeout=10_000)


def _stock_actor(url: str) -> Any:
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    broker = RedisBroker(client=connect(url), namespace=f"{NS}-stock")
    broker.add_middleware(Results(backend=RedisBackend(client=connect(url)), store_results=True))
    dramatiq.set_broker(broker)
    return dramatiq.actor(lambda payload: payload, actor_name="noop", queue_name="commands")


def answer(way: str, url: str) -> None:
    """Be the other side of a way, for ever."""
    if way == "floor":
        client = connect(url)
        while True:
            found: Any = client.brpop([f"{NS}:floor"], timeout=10)
            if found is not None:
                client.lpush(b"%s:floor:%s" % (NS.encode(), found[1]), found[1])
    import dramatiq

    from core.queue.broker import StudioBroker
    from core.queue.guard import Guard

    broker = _stock_actor(url).broker if way == "stock" else StudioBroker(url, NS, [Guard()])
    if way == "studio":
        dramatiq.actor(lambda payload: payload, broker=broker, actor_name="noop", queue_name="commands")
    dramatiq.Worker(broker).start()
    threading.Event().wait()


@contextmanager
def process(*arguments: str) -> Iterator[None]:
    """A Python process of this module, killed at the end."""
    running = subprocess.Popen([sys.executable, "-m", "benchmarks.roundtrip", *arguments])
    try:
        yield
    finally:
        running.kill()
        running.wait()


@contextmanager
def server() -> Iterator[str]:
    """An embedded Valkey of its own; its URL."""
    with tempfile.TemporaryDirectory(prefix="fts-bench-") as home:
        running = embedded.start(Path(home))
        try:
            yield embedded.url(Path(home))
        finally:
            running.kill()
            running.wait()


def measure(ways: dict[str, Exchange], requests: int, spacing: float) -> dict[str, list[float]]:
    """Milliseconds of each request: every way in turn, `spacing` seconds between two requests of one way."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for exchange in ways.values():
        exchange()  # connections and scripts
    for _ in range(requests):
        for name, exchange in ways.items():
            time.sleep(spacing / len(ways))
            begun = time.perf_counter()
            if exchange() is None:
                raise RuntimeError(f"{name}: no reply")
            took[name].append(1000 * (time.perf_counter() - begun))
    return took


def report(took: dict[str, list[float]]) -> None:
    """Print p50 and p99 of each way, and p50 as a multiple of the floor's."""
    least = statistics.median(took["floor"])
    for name, each in took.items():
        p99 = sorted(each)[int(len(each) * 0.99)]
        print(
            f"{name:12} p50 {statistics.median(each):8.2f} ms   p99 {p99:8.2f} ms   {statistics.median(each) / least:7.1f} x floor"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--spacing", type=float, default=1.0, help="seconds between two requests of one way")
    parser.add_argument("--answer", nargs=2, metavar=("WAY", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        answer(*given.answer)
    with ExitStack() as stack:
        url = stack.enter_context(server())
        ways = {"floor": floor(url), "studio": studio(url), "stock": stock(url)}
        for name in ways:
            stack.enter_context(process("--answer", name, url))
        report(measure(ways, given.requests, given.spacing))


if __name__ == "__main__":
    main()
