"""How soon the actors serve: from the start of their process to the reply to a message that waited for them.

    python benchmarks/serving.py [--rounds 7]

The studio's actors of two queues, with a store that is there, and a bare Dramatiq worker with one actor that does nothing,
in turn, on one Valkey. Seconds; the ratio is of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from common import Studio, heading, stop, studio, table, target
from roundtrip import stock_actor

from core.client import StudioClient
from core.messages.datasets import ListDatasets

BARE = """
import sys, threading, dramatiq, redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(client=redis.Redis.from_url(sys.argv[1]), namespace="bench-stock")
broker.add_middleware(Results(backend=RedisBackend(client=broker.client), store_results=True))
dramatiq.set_broker(broker)
dramatiq.actor(lambda payload: payload, actor_name="noop", queue_name="commands")
dramatiq.Worker(broker).start()
threading.Event().wait()
"""


def seconds(running: Studio, command: list[str], ask: Callable[[], object]) -> float:
    """From the start of a process to its first reply; it is stopped then."""
    begun = time.perf_counter()
    process = running.start(*command)
    try:
        ask()
        return time.perf_counter() - begun
    finally:
        stop(process)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    took: dict[str, list[float]] = {"bare Dramatiq": [], "the studio's actors": []}
    with studio() as running, StudioClient(running.settings) as client:
        heading(f"start of the actors to the first reply, {given.rounds} rounds")
        stock = stock_actor(running.url)
        for _ in range(given.rounds + 1):
            bare = seconds(
                running, ["-c", BARE, running.url], lambda: stock.send({}).get_result(block=True, timeout=60_000)
            )
            ours = seconds(
                running, ["-m", "actors.app", "commands", "runners"], lambda: client.call(ListDatasets(), timeout=60)
            )
            took["bare Dramatiq"].append(bare)
            took["the studio's actors"].append(ours)
    took = {name: each[1:] for name, each in took.items()}  # the first makes the store and fills the disk's cache
    table(
        ["way", "median s", "least", "most"],
        [[name, statistics.median(each), min(each), max(each)] for name, each in took.items()],
    )
    bare, ours = (statistics.median(each) for each in took.values())
    target("start of the actors, seconds", ours, at_most=1.5)
    target("the studio's actors / bare Dramatiq", ours / bare, at_most=4)


if __name__ == "__main__":
    main()
