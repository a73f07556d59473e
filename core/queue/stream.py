"""Streams: the domain's events for every watcher, a job's records for those who watch it, and the wake-up of runners.

Publishing is one script: it reads the stream's top, appends the contiguous run of what is newer with the row's id as the
entry's id, and stops at the first event whose predecessor is not the top. So two publishers, or one that died half way,
do no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis
    from redis.asyncio import Redis as AsyncRedis

EVENTS_KEPT = 10_000  # entries of the events' stream; older ones are in the log
RECORDS_KEPT = 2_000  # entries of a job's stream
RECORDS_SECONDS = 86_400  # a job's stream lives that long after its last record
NOTICE = 1_000  # milliseconds after which an idle watcher looks whether the epoch changed

FORGET_SECONDS = 3_600  # the stream of an epoch lives that long after another one began

_PUBLISH = """
local before = redis.call('get', KEYS[2])
if before ~= ARGV[1] then
  if before then redis.call('expire', KEYS[3] .. before, ARGV[3]) end
  redis.call('persist', KEYS[1])
  redis.call('set', KEYS[2], ARGV[1])
end
local last = redis.call('xrevrange', KEYS[1], '+', '-', 'COUNT', 1)
local empty = #last == 0
local top = empty and 0 or tonumber(string.match(last[1][1], '^(%d+)'))
for i = 4, #ARGV, 3 do
  local id, prev = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  if id > top then
    if not empty and prev ~= top then break end
    redis.call('xadd', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[i] .. '-0', 'prev', ARGV[i + 1], 'event', ARGV[i + 2])
    top, empty = id, false
  end
end
return top
"""


def publish(client: redis.Redis, ns: str, epoch: str, events: Sequence[tuple[int, int, str]]) -> int:
    """Append the events (id, prev, JSON) that are newer than the stream's top; return the top after it."""
    flat = [part for event in events for part in event]
    keys = [f"{ns}:events:{epoch}", f"{ns}:epoch", f"{ns}:events:"]
    top: Any = client.eval(_PUBLISH, len(keys), *keys, epoch, EVENTS_KEPT, FORGET_SECONDS, *flat)
    return int(top)


def top(client: redis.Redis, ns: str, epoch: str) -> int:
    """The id of the stream's last event; 0 when it has none."""
    last: Any = client.xrevrange(f"{ns}:events:{epoch}", count=1)
    return int(last[0][0].split(b"-")[0]) if last else 0


def current_epoch(client: redis.Redis, ns: str) -> str | None:
    """The epoch whose events are published now."""
    value: Any = client.get(f"{ns}:epoch")
    return None if value is None else value.decode()


@dataclass(frozen=True)
class Gap:
    """Events after `after` are missing here: ask the log. `epoch_changed` tells that the store is another one now."""

    after: int
    epoch_changed: bool = False


def read_events(
    client: redis.Redis, ns: str, epoch: str, after: int, block: int = NOTICE
) -> tuple[list[dict[str, Any]], Gap | None]:
    """Events after `after`, in order, once there are some or `block` milliseconds passed; a Gap ends the run.

    A watcher calls this again with the last id it got.
    """
    found: Any = client.xread({f"{ns}:events:{epoch}": f"{after}-0"}, count=1_000, block=block)
    return _run(found[0][1], after) if found else ([], _changed(current_epoch(client, ns), epoch, after))


async def read_events_async(
    client: AsyncRedis, ns: str, epoch: str, after: int, block: int = NOTICE
) -> tuple[list[dict[str, Any]], Gap | None]:
    """The asyncio twin of `read_events`."""
    found: Any = await client.xread({f"{ns}:events:{epoch}": f"{after}-0"}, count=1_000, block=block)
    if found:
        return _run(found[0][1], after)
    value: Any = await client.get(f"{ns}:epoch")
    return [], _changed(None if value is None else value.decode(), epoch, after)


def _changed(current: str | None, epoch: str, after: int) -> Gap | None:
    return Gap(after, epoch_changed=True) if current not in (None, epoch) else None


def _run(entries: Any, after: int) -> tuple[list[dict[str, Any]], Gap | None]:
    events: list[dict[str, Any]] = []
    for id, fields in entries:
        if int(fields[b"prev"]) != after:
            return events, Gap(after)
        events.append(json.loads(fields[b"event"]))
        after = int(id.split(b"-")[0])
    return events, None


def publish_records(client: redis.Redis, ns: str, job_id: str, entry: dict[str, Any]) -> None:
    """Feed a job's stream with {"attempt", "from", "to", "records"}; it may be lost, watchers see the gap."""
    with client.pipeline(transaction=False) as pipe:
        pipe.xadd(f"{ns}:job:{job_id}", {"entry": json.dumps(entry)}, maxlen=RECORDS_KEPT, approximate=True)
        pipe.expire(f"{ns}:job:{job_id}", RECORDS_SECONDS)
        pipe.execute()


def last_record(client: redis.Redis, ns: str, job_id: str) -> str:
    """The id of the last entry of a job's stream; 0-0 when there is none."""
    last: Any = client.xrevrange(f"{ns}:job:{job_id}", count=1)
    return last[0][0].decode() if last else "0-0"


def read_records(
    client: redis.Redis, ns: str, job_id: str, after: str, block: int = NOTICE
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Entries of a job's stream after the id `after`, waiting up to `block` milliseconds: (id, entry)."""
    found: Any = client.xread({f"{ns}:job:{job_id}": after}, count=500, block=block)
    yield from _entries(found)


async def read_records_async(
    client: AsyncRedis, ns: str, job_id: str, after: str, block: int = NOTICE
) -> list[tuple[str, dict[str, Any]]]:
    """The asyncio twin of `read_records`."""
    found: Any = await client.xread({f"{ns}:job:{job_id}": after}, count=500, block=block)
    return list(_entries(found))


def _entries(found: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for id, fields in found[0][1] if found else ():
        yield id.decode(), json.loads(fields[b"entry"])


def wake(client: redis.Redis, ns: str, runner_id: str) -> None:
    """Wake an idle runner, now or when it next waits."""
    with client.pipeline(transaction=False) as pipe:
        pipe.rpush(f"{ns}:wake:{runner_id}", 1)
        pipe.ltrim(f"{ns}:wake:{runner_id}", -1, -1)
        pipe.expire(f"{ns}:wake:{runner_id}", 60)
        pipe.execute()


def await_wake(client: redis.Redis, ns: str, runner_id: str, timeout: float) -> bool:
    """Wait up to `timeout` seconds for a wake-up; tell whether it came."""
    return client.blpop([f"{ns}:wake:{runner_id}"], timeout=timeout) is not None
