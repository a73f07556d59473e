"""What a command costs: a request and its reply, spaced as a person sends them.

    python benchmarks/roundtrip.py [--rounds 100] [--spacing 0.05 0.25]

Four ways through one Valkey, in turn: a bare BRPOP exchange between two processes (the floor), the studio's ListDatasets
and its AddConfig (which commits) from a client to the actors' process, and a no-op of stock Dramatiq with its result
backend. Stock Dramatiq looks for messages at growing intervals while it is idle, so its figure depends on the pace: at
0.05 every way has a command five times a second, at 0.25 about once a second, which is nearer to what a person does.
Milliseconds; ratios are of the medians.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from common import heading, interleaved, percentile, studio, table, target

from core.client import StudioClient
from core.messages.configs import AddConfig
from core.messages.datasets import ListDatasets
from core.queue.connect import connect

Exchange = Callable[[], object]
NS = "bench"


def floor(url: str) -> Exchange:
    """A request and a reply by LPUSH and BRPOP, nothing else."""
    client = connect(url)

    def exchange() -> None:
        id = uuid4().hex
        client.lpush(f"{NS}:floor", id)
        if client.brpop([f"{NS}:floor:{id}"], timeout=10) is None:
            raise TimeoutError("no reply")

    return exchange


def stock(url: str) -> Exchange:
    """Dramatiq as it comes: send, then get_result(block=True)."""
    actor = stock_actor(url)
    return lambda: actor.send({}).get_result(block=True, timeout=10_000)


def stock_actor(url: str) -> Any:
    """An actor that does nothing, on stock Dramatiq's broker and result backend."""
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    broker = RedisBroker(client=connect(url), namespace=f"{NS}-stock")
    broker.add_middleware(Results(backend=RedisBackend(client=connect(url)), store_results=True))
    dramatiq.set_broker(broker)
    return dramatiq.actor(lambda payload: payload, actor_name="noop", queue_name="commands")


def add_config(client: StudioClient) -> Exchange:
    """A config that is not there yet."""
    numbers = itertools.count(1)
    return lambda: client.call(AddConfig(type="lora_config", config=json.dumps({"r": 16, "lora_alpha": next(numbers)})))


def answer(way: str, url: str) -> None:
    """Be the other side of a way, until killed."""
    if way == "floor":
        client = connect(url)
        while True:
            found: Any = client.brpop([f"{NS}:floor"], timeout=10)
            if found is not None:
                client.lpush(b"%s:floor:%s" % (NS.encode(), found[1]), found[1])
    import dramatiq

    dramatiq.Worker(stock_actor(url).broker).start()
    threading.Event().wait()


def report(took: dict[str, list[float]]) -> None:
    """Print p50 and p99 of each way, and what was promised."""
    p50 = {name: statistics.median(each) for name, each in took.items()}
    table(
        ["way", "p50 ms", "p99 ms", "x floor"],
        [[name, p50[name], percentile(each, 0.99), p50[name] / p50["floor"]] for name, each in took.items()],
    )
    target("ListDatasets / floor", p50["ListDatasets"] / p50["floor"], at_most=4)
    target("stock no-op / ListDatasets", p50["stock"] / p50["ListDatasets"], at_least=40)
    target("AddConfig / floor", p50["AddConfig"] / p50["floor"], at_most=8)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--spacing", type=float, nargs="+", default=[0.05, 0.25], help="seconds before each command")
    parser.add_argument("--answer", nargs=2, metavar=("WAY", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        answer(*given.answer)
    with studio() as running, StudioClient(running.settings) as client:
        running.actors("commands", "runners")
        for name in ("floor", "stock"):
            running.start(__file__, "--answer", name, running.url)
        ways: dict[str, Exchange] = {
            "floor": floor(running.url),
            "ListDatasets": lambda: client.call(ListDatasets()),
            "AddConfig": add_config(client),
            "stock": stock(running.url),
        }
        for spacing in given.spacing:
            heading(f"round trips, {given.rounds} of each, {1000 * spacing:.0f} ms apart")
            report(interleaved(ways, given.rounds, spacing))


if __name__ == "__main__":
    main()
