"""Whether AddConfig costs the same with many configs stored.

    python benchmarks/configs.py [--rounds 100] [--stored 10000]

Two studios, one with 10 configs and one with `--stored`, asked in turn: every command stores a config that is new. Then the
same for a config that is there already, which is answered and not stored. Milliseconds; the ratios are of the medians.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from uuid import uuid4

from common import Studio, heading, interleaved, percentile, studio, table, target

from core.client import StudioClient
from core.messages.configs import AddConfig, canonical, content_hash
from core.settings import Settings

FEW = 10


def fill(settings: Settings, stored: int) -> None:
    """Store that many configs of users, like those that the commands store, in one transaction."""
    from core.store.session import Store
    from core.store.tables import Config

    store = Store(settings)
    with store.write() as unit:
        for number in range(stored):
            content = {"r": 8, "lora_alpha": number + 1}
            unit.session.add(
                Config(
                    id=str(uuid4()),
                    type="lora_config",
                    config=canonical(content),
                    is_default=0,
                    content_hash=content_hash("lora_config", None, content),
                    created_at=time.time(),
                )
            )
    store.close()


def adding(running: Studio, client: StudioClient, stored: int) -> Callable[[], object]:
    """A command that stores another config."""
    running.actors("commands", "runners")
    fill(running.settings, stored)
    numbers = itertools.count(1)

    def add() -> None:
        config = json.dumps({"r": 16, "lora_alpha": next(numbers)})
        if client.call(AddConfig(type="lora_config", config=config)).deduplicated:
            raise ValueError("it was there already")

    return add


def again(client: StudioClient) -> Callable[[], object]:
    """A command for a config that is there."""
    return lambda: client.call(AddConfig(type="lora_config", config='{"r": 8, "lora_alpha": 5}'))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--stored", type=int, default=10_000)
    parser.add_argument("--spacing", type=float, default=0.05, help="seconds before each command")
    given = parser.parse_args()
    with ExitStack() as stack:
        small, large = stack.enter_context(studio()), stack.enter_context(studio())
        few, many = (stack.enter_context(StudioClient(each.settings)) for each in (small, large))
        ways = {
            f"new, {FEW} stored": adding(small, few, FEW),
            f"new, {given.stored:,} stored": adding(large, many, given.stored),
            f"known, {FEW} stored": again(few),
            f"known, {given.stored:,} stored": again(many),
        }
        heading(f"AddConfig, {given.rounds} of each, {1000 * given.spacing:.0f} ms apart")
        took = interleaved(ways, given.rounds, given.spacing)
    p50 = [statistics.median(each) for each in took.values()]
    table(["way", "p50 ms", "p99 ms"], [[name, statistics.median(e), percentile(e, 0.99)] for name, e in took.items()])
    target("new: many / few", p50[1] / p50[0], at_most=1.2)
    target("known: many / few", p50[3] / p50[2], at_most=1.2)


if __name__ == "__main__":
    main()
