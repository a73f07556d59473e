"""What a job's screen asks the studio for."""

from __future__ import annotations

from typing import Any

from core.text import plain
from tui.screens.jobverbs import JobVerbsScreen
from tui.view.cells import Row
from tui.view.jobview import INPUTS
from tui.view.tracks import POINTS


class JobAskingScreen(JobVerbsScreen):
    """Asks for one job, all of it or what changes with each event. What asks is called in threads."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.whole = True  # whether numbers and log are to be asked for too

    def fetch(self) -> dict[str, Any]:
        """The job and its events, and its numbers when they are wanted. Those first: what comes later is newer."""
        found: dict[str, Any] = {"whole": self.whole}
        if self.whole:
            found["metrics"] = self.value("GetJobMetrics", points=POINTS)
        found["job"] = self.value("GetFineTuningJob")["fine_tuning_job"]
        if self.whole:
            found["names"] = self.view.names or self._names(found["job"])
        found["events"], _ = self.dashboard.studio.rows(
            "ListEvents", "events", resource_id=self.job_id, last=True, limit=500
        )
        return found

    def value(self, name: str, **fields: Any) -> dict[str, Any]:
        """What a query about the job is answered with. Blocks: call it in a thread."""
        answer = self.dashboard.studio.ask(name, {"id": self.job_id, **fields}, timeout=10)
        return answer.value.model_dump(mode="json")  # type: ignore[no-any-return]

    def _names(self, job: Row) -> dict[str, str]:
        """What the job's inputs are called; those that are gone have no name."""
        from core.errors import NotFound

        found = {}
        for name, message, key in zip(
            INPUTS, ("GetModel", "GetDataset", "GetPrompt"), ("model", "dataset", "prompt"), strict=True
        ):
            if job.get(name):
                try:
                    value = self.dashboard.studio.ask(message, {"id": job[name]}, timeout=10).value
                except NotFound:
                    continue
                found[name] = plain(getattr(value, key).name or "", limit=100)
        return found
