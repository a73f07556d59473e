"""What a page of a long list costs through the queue, and whether it grows with the page's number.

    python benchmarks/listing.py [--rounds 100] [--stored 100000] [--limit 100]

One studio with that many datasets, configs and fine-tuning jobs. The first page, one from the middle and the last one are
asked for in turn; milliseconds from the request to the typed reply. The ratios are of the medians, to the first page's.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from common import heading, interleaved, percentile, studio, table, target

from core.client import StudioClient
from core.messages.configs import ListConfigs
from core.messages.datasets import ListDatasets
from core.messages.fine_tuning import ListFineTuningJobs
from core.settings import Settings

LISTS: dict[str, tuple[Any, bool]] = {  # and whether the newest comes first
    "datasets": (ListDatasets, False),
    "configs": (ListConfigs, False),
    "fine_tuning_jobs": (ListFineTuningJobs, True),
}


def fill(settings: Settings, stored: int) -> None:
    """Store that many rows of each, made one second apart, as their handlers would."""
    from sqlalchemy import insert

    from core.store.session import Store

    store = Store(settings)
    with store.write() as unit:
        for model, rows in rows_of(stored):
            unit.session.execute(insert(model), rows)
    store.close()


def rows_of(stored: int) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """(table, rows) of everything that is listed."""
    from core.store.tables import Config, Dataset, FineTuningJob, Job

    ids = [f"{number:09}" for number in range(stored)]
    times = {id: 1e9 + number for number, id in enumerate(ids)}
    features = {"features": '["text", "intent"]', "column_types": {"text": "string", "intent": "string"}}
    yield Dataset, [{"id": id, "type": "project_csv", "name": id, "created_at": times[id], **features} for id in ids]
    content = '{"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]}'
    shared = {"type": "lora_config", "config": content, "is_default": 0}
    yield Config, [{"id": id, "content_hash": id, "created_at": times[id], **shared} for id in ids]
    yield FineTuningJob, [{"id": id, "adapter_name": id, "framework_type": "legacy"} for id in ids]
    state = {
        "kind": "fine_tuning",
        "engine": "legacy",
        "status": "succeeded",
        "spec": {},
        "cpus": 1,
        "gpus": 0,
        "memory": 1,
    }
    yield Job, [{"id": id, "name": id, "created_at": times[id], "queued_at": times[id], **state} for id in ids]


def pages(client: StudioClient, field: str, stored: int, limit: int) -> dict[str, Callable[[], object]]:
    """The requests of a list's three pages; each looks that its page is full."""
    message, newest_first = LISTS[field]
    places = {"first": None, "middle": stored // 2, "last": stored - limit - 1}

    def asking(at: int | None) -> Callable[[], object]:
        after = None if at is None else f"{(stored - 1 - at if newest_first else at):09}"

        def ask() -> None:
            if len(getattr(client.call(message(limit=limit, after=after)), field)) != limit:
                raise ValueError(f"the page after {after} is not full")

        return ask

    return {f"{field}, {name} page": asking(place) for name, place in places.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--stored", type=int, default=100_000)
    parser.add_argument("--limit", type=int, default=100)
    given = parser.parse_args()
    with ExitStack() as stack:
        running = stack.enter_context(studio())
        running.actors("commands", "runners")
        fill(running.settings, given.stored)
        client = stack.enter_context(StudioClient(running.settings))
        ways: dict[str, Callable[[], object]] = {}
        for field in LISTS:
            ways |= pages(client, field, given.stored, given.limit)
        heading(f"pages of {given.limit} of {given.stored:,} rows, {given.rounds} of each, 50 ms apart")
        took = interleaved(ways, given.rounds, 0.05)
    table(["page", "p50 ms", "p95 ms"], [[name, statistics.median(e), percentile(e, 0.95)] for name, e in took.items()])
    for name, each in took.items():
        target(f"{name}, p95 ms", percentile(each, 0.95), at_most=50)
    for field in LISTS:
        first = statistics.median(took[f"{field}, first page"])
        target(f"{field}: last / first page", statistics.median(took[f"{field}, last page"]) / first, at_most=1.2)


if __name__ == "__main__":
    main()
