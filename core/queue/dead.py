"""The dead letters: what could not be run, kept as it came until someone sends it again or drops it.

Each change is one script, so that a process that is killed on the way has done all of it or nothing: a letter is either
here or in its queue. A letter that went back leaves a mark, which tells whoever asks again what became of it.
Bytes are bounded as well as numbers: a letter may have any size, and Valkey keeps them in memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis

    from core.queue.wire import WireMessage

LETTERS = 10_000  # newest letters kept
BYTES = 64 * 2**20  # of all letters together; the newest is kept whatever it has
HEAD = 2_000  # bytes of a letter that a list reads
MARKED = 7 * 86_400  # seconds that one remembers what became of a letter
_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")

_FORGET = """
local function raw_of(fields)
  for i = 1, #fields, 2 do if fields[i] == 'raw' then return fields[i + 1] end end
  return ''
end
local function forget(id)
  local found = redis.call('xrange', KEYS[1], id, id)
  if #found == 0 then return 0 end
  redis.call('xdel', KEYS[1], id)
  if redis.call('decrby', KEYS[2], #raw_of(found[1][2])) < 0 then redis.call('set', KEYS[2], 0) end
  return 1
end
"""
# Only what is still ours is buried: a worker that was paused may have lost its message to another one.
_BURY = (
    _FORGET
    + """
if redis.call('srem', KEYS[3], ARGV[1]) == 0 then return false end
local raw = redis.call('hget', KEYS[4], ARGV[1]) or ''
redis.call('hdel', KEYS[4], ARGV[1])
redis.call('del', KEYS[5])
local id = redis.call('xadd', KEYS[1], '*', 'queue', ARGV[2], 'reason', ARGV[3], 'raw', raw)
local bytes = redis.call('incrby', KEYS[2], #raw)
local number = redis.call('xlen', KEYS[1])
while number > 1 and (number > tonumber(ARGV[4]) or bytes > tonumber(ARGV[5])) do
  forget(redis.call('xrange', KEYS[1], '-', '+', 'COUNT', 1)[1][1])
  bytes, number = tonumber(redis.call('get', KEYS[2])), number - 1
end
return id
"""
)
_LIST = (
    _FORGET
    + """
local out, from = {}, ARGV[1]
for i = 1, tonumber(ARGV[2]) do
  local found = redis.call('xrevrange', KEYS[1], from, '-', 'COUNT', 1)
  if #found == 0 then break end
  local id, fields = found[1][1], found[1][2]
  local raw, told = raw_of(fields), {}
  for j = 1, #fields, 2 do told[fields[j]] = fields[j + 1] end
  out[i] = {id, told['queue'] or '', told['reason'] or '', #raw, string.sub(raw, 1, tonumber(ARGV[3]))}
  from = '(' .. id
end
return out
"""
)
# The mark first: whoever comes second finds it, and the letter gone.
_REQUEUE = (
    _FORGET
    + """
local mark = redis.call('get', KEYS[3])
if mark then return mark end
if forget(ARGV[1]) == 0 then return false end
redis.call('hset', KEYS[5], ARGV[2], ARGV[3])
redis.call('rpush', KEYS[4], ARGV[2])
redis.call('set', KEYS[3], ARGV[4], 'EX', ARGV[5])
return ARGV[4]
"""
)
_DROP = _FORGET + "local gone = 0 for i = 1, #ARGV do gone = gone + forget(ARGV[i]) end return gone"


@dataclass(frozen=True)
class Letter:
    """A dead letter. `raw` may be no more than its beginning; `size` is how many bytes it has. `at` in unix seconds."""

    id: str
    queue: str
    reason: str
    size: int
    raw: bytes

    @property
    def at(self) -> float:
        """When it was buried."""
        return int(self.id.partition("-")[0]) / 1000


def _keys(ns: str) -> list[str]:
    return [f"{ns}:dead", f"{ns}:dead:bytes"]


def bury(
    client: redis.Redis, ns: str, queue: str, held: str, deliveries: bytes, slot: bytes, reason: str
) -> str | None:
    """Move a fetched message from the set `held` to the dead letters; its id there, None when it was another's by then."""
    keys = [*_keys(ns), held, f"{ns}:{queue}.msgs", deliveries]
    text = reason.encode("utf-8", "replace")
    id: Any = client.eval(_BURY, len(keys), *keys, slot, queue, text, LETTERS, BYTES)
    return None if id is None else id.decode()


def is_id(text: str) -> bool:
    """Whether a letter could have this id, be it there or not; nothing lies before 0-0, and Valkey takes no such question."""
    return _ID.fullmatch(text) is not None and text.strip("0-") != ""


def count(client: redis.Redis, ns: str) -> int:
    """How many there are."""
    number: Any = client.xlen(f"{ns}:dead")
    return int(number)


def newest(client: redis.Redis, ns: str, before: str | None = None, limit: int = 100) -> list[Letter]:
    """The newest letters, or those before one of them, newest first, each with no more than its beginning."""
    start = "+" if before is None else f"({before}"
    rows: Any = client.eval(_LIST, 2, *_keys(ns), start, limit, HEAD)
    return [Letter(id.decode(), _text(queue), _text(reason), size, raw) for id, queue, reason, size, raw in rows]


def every(client: redis.Redis, ns: str, before: str | None = None) -> Iterator[Letter]:
    """All of them, newest first, a page at a time."""
    while page := newest(client, ns, before):
        yield from page
        before = page[-1].id


def whole(client: redis.Redis, ns: str, id: str) -> Letter | None:
    """The letter with all that it holds; None when it is not there."""
    rows: Any = client.xrange(f"{ns}:dead", id, id) if is_id(id) else []
    if not rows:
        return None
    fields = rows[0][1]
    raw = fields.get(b"raw", b"")
    return Letter(id, _text(fields.get(b"queue", b"")), _text(fields.get(b"reason", b"")), len(raw), raw)


def requeue(client: redis.Redis, ns: str, id: str, message: WireMessage, told: dict[str, Any]) -> dict[str, Any] | None:
    """Put `message` into its queue in the letter's place, once; what was `told` by whoever did it, None when it never was here."""
    if not is_id(id):
        return None
    keys = [*_keys(ns), _mark(ns, id), f"{ns}:{message.queue}", f"{ns}:{message.queue}.msgs"]
    found: Any = client.eval(_REQUEUE, len(keys), *keys, id, message.slot, message.data, json.dumps(told), MARKED)
    return None if found is None else json.loads(found)


def became(client: redis.Redis, ns: str, id: str) -> dict[str, Any] | None:
    """What was told when the letter went back into its queue; None when it did not."""
    found: Any = client.get(_mark(ns, id)) if is_id(id) else None
    return None if found is None else json.loads(found)


def drop(client: redis.Redis, ns: str, ids: Sequence[str]) -> int:
    """Forget these letters, all at once; how many of them were there."""
    known = [id for id in ids if is_id(id)]
    gone: Any = client.eval(_DROP, 2, *_keys(ns), *known) if known else 0
    return int(gone)


def _mark(ns: str, id: str) -> str:
    return f"{ns}:dead:sent:{id}"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
