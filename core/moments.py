"""Times as people type them: 03:10, yesterday 22:00, 2h ago, 2026-11-25 03:10; in the local zone."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
WORDS = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "day": "d", "week": "w"}
EXAMPLES = "03:10, yesterday 22:00 or 2h ago"
ACCEPTED = "03:10, yesterday 22:00, monday 9:00, 2h ago, 25 Nov 03:10, 2026-11-25 03:10, or unix seconds"
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_AGO = re.compile(r"(?:\d+(?:\.\d+)?\s*[a-z]+\s*)+(?:ago)?")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DATES = ("%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%d.%m.%Y")
_LATEST = 32_503_680_000  # the year 3000


class NoMoment(ValueError):
    """The text is no time; the message says what is."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is no time: write it as {ACCEPTED}")


def moment(text: str, now: float | None = None) -> float:
    """Unix seconds of the time that is meant, the last one of the kind that is not to come; raises NoMoment."""
    here = time.time() if now is None else now
    said = " ".join(text.lower().split())
    found = _read(said, here)
    if found is None or not 0 <= found <= _LATEST:
        raise NoMoment(text)
    return found


def _read(said: str, now: float) -> float | None:
    if said in ("now", ""):
        return now if said else None
    if re.fullmatch(r"\d{9,}(\.\d+)?", said):
        return float(said)
    if _AGO.fullmatch(said):
        return _ago(said, now)
    said = re.sub(r"^(\d{4}-\d{2}-\d{2})t", r"\1 ", said)
    clock = _CLOCK.search(said)
    rest = " ".join(_CLOCK.sub("", said, count=1).replace(" at ", " ").removeprefix("at ").strip(" ,").split())
    try:
        day = _day(rest, datetime.fromtimestamp(now), has_clock=clock is not None)
        if day is None:
            return None
        hours, minutes, seconds = (int(each or 0) for each in clock.groups()) if clock else (0, 0, 0)
        at = day.replace(hour=hours, minute=minutes, second=seconds, microsecond=0)
        if not rest and at.timestamp() > now:  # 23:00, said in the morning, is yesterday's
            at -= timedelta(days=1)
        return at.timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _ago(said: str, now: float) -> float | None:
    seconds = 0.0
    for amount, unit in _PART.findall(said.removesuffix("ago")):
        short = unit if unit in UNITS else WORDS.get(unit.removesuffix("s"), "")
        if not short:
            return None
        seconds += float(amount) * UNITS[short]
    return now - seconds


def _day(said: str, today: datetime, *, has_clock: bool) -> datetime | None:
    """Midnight of the day that is meant; none is today, where a time of day was given."""
    if not said:
        return today if has_clock else None
    if said in ("today", "yesterday"):
        return (today - timedelta(days=said == "yesterday")).replace(hour=0, minute=0, second=0, microsecond=0)
    if (name := said.removeprefix("last ")) in DAYS:
        return today - timedelta(days=(today.weekday() - DAYS.index(name)) % 7 or 7)
    for form in _DATES:
        for text, year in ((said, False), (f"{said} {today.year}", True)):
            try:
                day = datetime.strptime(text, form)
            except ValueError:
                continue
            return day.replace(year=day.year - 1) if year and day > today else day
    return None


def told(at: float, now: float | None = None) -> str:
    """A time with its day where that is not today, and its zone: what was understood."""
    then, here = time.localtime(at), time.localtime(now)
    day = "" if then[:3] == here[:3] else time.strftime("%d %b " if then[0] == here[0] else "%d %b %Y ", then)
    return f"{day}{time.strftime('%H:%M:%S %Z', then)}"
