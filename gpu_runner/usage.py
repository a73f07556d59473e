"""What jobs take of their host, second by second: processor time and memory of all their processes, and their GPUs.

A job's process leads a session, which what it starts belongs to. Told are means of a quarter of a minute: enough for a curve.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.messages.runners import Usage
from core.types import SYSTEM

WIDTH = 15.0  # seconds of a point
KEPT = 240  # points that are kept while the studio is away: an hour
SCAN = 15.0  # seconds between looks for new processes of a session: reading all processes costs more than known ones
PROC = Path("/proc")
STATE, SESSION, USER, SYSTEM_TIME, RSS = 0, 3, 11, 12, 21  # fields of proc(5)'s stat, counted behind the name
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
GPU = {"percent": "percent", "memory_used": "memory", "celsius": "celsius", "watts": "watts"}


class Sampler:
    """Reads what sessions take. Where there is no /proc it finds nothing."""

    def __init__(self) -> None:
        self._members: dict[int, list[int]] = {}
        self._spent: dict[int, float] = {}
        self._scanned = -SCAN
        self._sampled = 0.0

    def sample(self, leaders: Iterable[int], now: float) -> dict[int, dict[str, float]]:
        """By the pid of each session's leader: percent of a core since the last sample, memory in GiB. `now` is monotonic."""
        wanted = set(leaders)
        if now >= self._scanned + SCAN or wanted - self._members.keys():
            self._scanned, self._members = now, _members(wanted)
        seconds, self._sampled = now - self._sampled, now
        before, self._spent = self._spent, {}
        return {leader: found for leader in wanted if (found := self._of(self._members[leader], before, seconds))}

    def _of(self, pids: Sequence[int], before: Mapping[int, float], seconds: float) -> dict[str, float]:
        memory, spent, known = 0, 0.0, False
        for pid in pids:
            fields = _stat(pid)
            if fields is None:
                continue
            memory += int(fields[RSS]) * PAGE
            self._spent[pid] = (int(fields[USER]) + int(fields[SYSTEM_TIME])) / TICKS
            if pid in before:
                known, spent = True, spent + max(0.0, self._spent[pid] - before[pid])
        told = {f"{SYSTEM}memory": memory / 2**30} if memory else {}
        return told | ({f"{SYSTEM}cpu": 100 * spent / seconds} if known and seconds > 0 else {})


def _members(leaders: set[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {leader: [leader] for leader in leaders}
    try:
        pids = [int(name) for name in os.listdir(PROC) if name.isdecimal()]  # noqa: PTH208  # no Path for each
    except OSError:
        return found
    for pid in pids:
        fields = _stat(pid) if pid not in leaders else None
        if fields is not None and int(fields[SESSION]) in leaders:
            found[int(fields[SESSION])].append(pid)
    return found


def _stat(pid: int) -> list[str] | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # once a second each
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[STATE] in "ZX" else fields


def of_gpus(bound: Sequence[str], told: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What a job's GPUs do, by their places among them; `told` is the host's telemetry (gpus.py)."""
    known = {name: each for each in told for name in (each.get("uuid"), str(each.get("index")))}
    return {
        f"{SYSTEM}gpu{place}.{short}": float(known[name][long])
        for place, name in enumerate(bound)
        for long, short in GPU.items()
        if name in known and long in known[name]
    }


class Means:
    """The samples of one attempt as means of WIDTH seconds; kept until they were told."""

    def __init__(self) -> None:
        self.done: deque[Usage] = deque(maxlen=KEPT)
        self.news = False
        self._at = 0.0
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, at: float, values: Mapping[str, float]) -> None:
        """Count a sample in; `at` is unix seconds."""
        if not values:
            return
        start = at // WIDTH * WIDTH
        if start != self._at and self._sums:
            self.done.append(self._point())
            self._sums = {}
        self._at, self.news = start, True
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, count + 1

    def points(self) -> list[Usage]:
        """What has yet to be told, oldest first, the point under way too; nothing when nothing is new."""
        if not self.news:
            return []
        self.news = False
        return [*self.done, *([self._point()] if self._sums else [])]

    def told(self, points: Sequence[Usage]) -> None:
        """These were taken in: those before the last one, which may have grown since, need not be told again."""
        last = points[-1].at if points else 0.0
        while self.done and self.done[0].at < last:
            self.done.popleft()

    def _point(self) -> Usage:
        return Usage(at=self._at, values={name: round(total / count, 3) for name, (total, count) in self._sums.items()})
