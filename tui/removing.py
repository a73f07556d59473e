"""Removals that can be taken back: each waits ten seconds before it is sent, and is sent at once when the dashboard is left.

What would be refused is told before the seconds begin. Nothing is written down meanwhile: a dashboard that is killed has
removed nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.text import counted, plain

if TYPE_CHECKING:
    from textual.timer import Timer

    from tui.acting import Act, Done
    from tui.app import Dashboard
    from tui.view.kinds import Remove

SECONDS = 10
NAMED = 5


@dataclass
class Going:
    """A removal that waits."""

    act: Act
    at: float  # of the monotonic clock: when it is sent
    send: Callable[[], None]

    @property
    def left(self) -> int:
        """Seconds until then."""
        return max(0, round(self.at - time.monotonic() + 0.5))


class Removals:
    """The removals of a dashboard that wait."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.waiting: list[Going] = []
        self.timer: Timer | None = None

    # ─── before: what stands in the way ───────────────────────────────────────────────────────────

    def ask(self, remove: Remove, named: Mapping[str, str], done: Done) -> None:
        """Ask the studio what can't be removed, then whoever sits there whether the others are to be. `named`: ids and names."""
        if self.dashboard.readonly:
            self.dashboard.complain(self.dashboard.studio.refusal())
            return
        ids = [id for id in named if id not in self.left(remove.message)]
        if not ids:
            self.dashboard.say("that is going already: u takes it back")
            return

        def checked(answer: Any) -> None:
            told = dict(zip(ids, answer.value.checked, strict=True))
            refused = {id: each.breaches[0].message for id, each in told.items() if each.refused}
            free = [id for id in ids if id not in refused]
            if not free:
                self.dashboard.say("\n".join(_refused(named, refused)), severity="error")
                return
            advice = {each.message for id in free for each in told[id].breaches}
            self.dashboard.act(
                remove.message,
                [{"id": id} for id in free],
                question="\n".join(
                    [_question(remove, [named[id] for id in free]), *sorted(advice), *_refused(named, refused)]
                ),
                undo=True,
                done=done,
            )

        self.dashboard.ask("CheckCommand", {"name": remove.message, "payloads": [{"id": id} for id in ids]}, checked)

    # ─── the ten seconds ──────────────────────────────────────────────────────────────────────────

    def add(self, act: Act, send: Callable[[], None]) -> None:
        """Wait with a removal."""
        self.waiting.append(Going(act, time.monotonic() + SECONDS, send))
        if self.timer is None:
            self.timer = self.dashboard.set_interval(0.25, self._tick)
        self.dashboard.tell_removals()

    def _tick(self) -> None:
        due = [each for each in self.waiting if each.at <= time.monotonic()]
        self.waiting = [each for each in self.waiting if each not in due]
        for each in due:
            each.send()
        if not self.waiting and self.timer is not None:
            self.timer.stop()
            self.timer = None
        self.dashboard.tell_removals()

    def take_back(self) -> bool:
        """Take the last one back; whether there was one."""
        if not self.waiting:
            return False
        act = self.waiting.pop().act
        self.dashboard.say(f"taken back: {counted(len(act.outcomes), 'removal')}")
        self.dashboard.tell_removals()
        return True

    def left(self, message: str) -> dict[str, int]:
        """The ids that a message is going to remove, with the seconds left."""
        waiting = [each for each in self.waiting if each.act.name == message]
        return {str(outcome.fields["id"]): each.left for each in waiting for outcome in each.act.outcomes}

    @property
    def told(self) -> str:
        """What is going, for a banner."""
        if not self.waiting:
            return ""
        many = sum(len(each.act.outcomes) for each in self.waiting)
        return f"   {counted(many, 'removal')} in {self.waiting[-1].left}s, u takes it back"

    # ─── leaving ──────────────────────────────────────────────────────────────────────────────────

    def finish(self) -> None:
        """Send what waits, and wait for it: the dashboard is left. Blocks; what was not done is told on the terminal."""
        waiting, self.waiting = self.waiting, []
        away = False
        for each in waiting:
            if not away:
                self.dashboard.acting.send_all(each.act)
            failed = each.act.outcomes if away else each.act.failed
            away = away or any(outcome.unknown for outcome in failed)
            self.dashboard.acting.regret(each.act.name, failed)


def _question(remove: Remove, names: list[str]) -> str:
    if len(names) == 1:
        return f"Remove the {remove.noun} {names[0]}? {remove.stays}"
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"Remove {counted(len(names), remove.noun, remove.many)}: {', '.join(names[:NAMED])}{more}? {remove.stays}"


def _refused(named: Mapping[str, str], refused: Mapping[str, str]) -> list[str]:
    """What can't be removed, and why."""
    lines = [plain(f"✗ {named[id]} can't be removed: {why}", limit=300) for id, why in list(refused.items())[:NAMED]]
    return lines + ([f"✗ and {len(refused) - NAMED:,} more can't"] if len(refused) > NAMED else [])
