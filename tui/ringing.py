"""The terminal is told that jobs ended: a bell, or words that terminals show outside themselves (OSC 9, OSC 777)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from core.text import plain
from tui.copying import ESC, multiplexer

if TYPE_CHECKING:
    from tui.app import Dashboard

ENDS = {"JobSucceeded": "succeeded", "JobFailed": "failed", "JobCancelled": "cancelled"}
UNTOLD = ("plan",)  # of kinds: jobs of seconds that nobody keeps
STOPPED = ("endpoint", "comparison")  # they end when someone ends them, who knows
EVERY = 1.0  # seconds between two bells
LONGEST = 120  # characters that are told outside
LISTED = 3  # jobs that are told by name when several end at once


class Ringer:
    """Tells each end once: the stream shows only what happened after the dashboard came, and each event once."""

    def __init__(self, dashboard: Dashboard, how: str, which: str) -> None:
        self.dashboard, self.how, self.which = dashboard, how, which
        self.told: dict[tuple[str, str, int], None] = {}
        self.rang = 0.0

    def take(self, events: Iterable[dict[str, Any]]) -> None:
        """Tell of those of the events that are ends of jobs."""
        ended = [event for event in events if self._is_news(event)]
        if not ended:
            return
        text = words(ended)
        failed = any(event["type"] == "JobFailed" for event in ended)
        self.dashboard.say(text, severity="error" if failed else "information")
        now = time.monotonic()
        if self.how != "off" and now - self.rang >= EVERY:
            self.rang = now
            self.dashboard.to_terminal(sequence(self.how, text, os.environ))

    def _is_news(self, event: dict[str, Any]) -> bool:
        data, id = event.get("data") or {}, str(event.get("resource_id"))
        kind = data.get("kind")
        if event.get("type") not in ENDS or kind in UNTOLD or (kind in STOPPED and event["type"] != "JobFailed"):
            return False
        if self.which == "watched" and id not in self.dashboard.watched:
            return False
        known = id, str(event["type"]), int(event.get("id") or 0)
        if known in self.told:
            return False
        self.told[known] = None
        while len(self.told) > 1_000:
            del self.told[next(iter(self.told))]
        return True


def words(ended: list[dict[str, Any]]) -> str:
    """What ended, in a line; of many how many."""
    told = [
        plain(f"{event['data'].get('name') or event['resource_id']} {ENDS[event['type']]}", limit=60) for event in ended
    ]
    if len(told) <= LISTED:
        return ", ".join(told)
    counts = {word: sum(event["type"] == name for event in ended) for name, word in ENDS.items()}
    return f"{len(told)} jobs ended: " + ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def sequence(how: str, text: str, environ: Mapping[str, str]) -> str:
    """What the terminal is sent: a bell goes through tmux and screen as it is, words have to be handed on."""
    if how == "bell":
        return "\a"
    clean = plain(text, limit=LONGEST).replace(";", ",")
    made = f"{ESC}]9;fts: {clean}\a" if how == "osc9" else f"{ESC}]777;notify;Fine Tuning Studio;{clean}\a"
    between = multiplexer(environ)
    if between == "tmux":
        return f"{ESC}Ptmux;{made.replace(ESC, ESC + ESC)}{ESC}\\"
    return f"{ESC}P{made}{ESC}\\" if between == "screen" else made
