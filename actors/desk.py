"""What a process of actors holds: settings, store, the queue's client. Handlers get it through their World."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from actors.lookout import Lookout
from core.queue import stream
from core.settings import Settings
from core.store.eventlog import publish_new, publish_own
from core.store.session import Store, Unit
from core.store.tables import Meta

MARKER = ".fts-artifacts"


@dataclass
class Desk:
    """The surroundings of every handler in this process."""

    settings: Settings
    store: Store
    redis: redis.Redis
    away: Callable[[str], None] = field(default=lambda text: None)  # told when a best-effort step failed
    lookouts: dict[str, Lookout[Any]] = field(default_factory=dict)  # what others tell, by what it is

    @cached_property
    def secrets(self) -> list[str]:
        """What no log may hold, by value."""
        return self.settings.secrets

    def publish(self) -> None:
        """Bring the stream up to the log; what can't be done now is done within a second by the tick."""
        self._publish(lambda: None)

    def publish_unit(self, epoch: str, unit: Unit) -> None:
        """The same after a unit was committed, mostly in one step."""
        self._publish(partial(publish_own, self.redis, self.settings.namespace, epoch, unit))

    def _publish(self, quickly: Callable[[], bool | None]) -> None:
        try:
            if not quickly():
                publish_new(self.store, self.redis, self.settings.namespace)
        except (redis.RedisError, SQLAlchemyError) as error:
            self.away(f"events stay in the log for now: {error}")

    def hears(self) -> bool:
        """Whether the queue takes in what runners say: it is reachable, and has room on its disk."""
        try:
            self.redis.set(f"{self.settings.namespace}:pulse", "")
        except redis.RedisError as error:
            self.away(f"no lease ends while the queue takes nothing in: {error}")
            return False
        return True

    def wake(self, unit: Unit, runner_id: str) -> None:
        """Wake a runner once the unit is committed."""
        unit.after(partial(self._try, stream.wake, runner_id))

    def tell(self, unit: Unit, job_id: str, entry: dict[str, object]) -> None:
        """Feed a job's stream once the unit is committed."""
        unit.after(partial(self._try, stream.publish_records, job_id, entry))

    def _try(self, do: Callable[..., object], *arguments: object) -> None:
        try:
            do(self.redis, self.settings.namespace, *arguments)
        except redis.RedisError as error:
            self.away(f"a watcher or runner will notice later: {error}")

    def mark_artifacts(self) -> None:
        """Write the studio's marker into the artifacts root: runners without it work on another directory."""
        root: Path = self.settings.artifacts_root
        root.mkdir(parents=True, exist_ok=True)
        with self.store.read() as session:
            marker = session.scalar(select(Meta.value).where(Meta.key == "marker")) or ""
        path = root / MARKER
        if not path.exists() or path.read_text(encoding="utf-8").strip() != marker:
            path.write_text(marker + "\n", encoding="utf-8")
