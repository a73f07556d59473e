"""Models of the studio's that nobody looks after any more: what is deployed of them is stopped, so that it costs no GPU's hours.

A model whose endpoint's directory is gone is removed. One whose attempts are all settled stays, since a paused endpoint goes on
with it, but nothing of it is to be deployed. Both when they were seen so twice.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from core.cml import Cloudera, Declined, Missing, ModelSeen
from gpu_runner.cml.book import begun
from gpu_runner.cml.model import is_over, owner
from gpu_runner.files import Files

log = logging.getLogger(__name__)


class Strays:
    """What was suspect when it was looked last: models, and deployments, by their ids."""

    def __init__(self, artifacts: Path) -> None:
        self._jobs = artifacts / "jobs"
        self.suspects: set[str] = set()

    def look(self, cloudera: Cloudera, marker: str) -> None:
        """Look once. Raises Unavailable, Missing, Declined, OSError."""
        found: set[str] = set()
        for model in cloudera.models():
            told = owner(model, marker)
            if told is None or self._is_looked_after(told):
                continue
            with contextlib.suppress(Missing, Declined):  # of that model: the others are looked at all the same
                found |= self._end(cloudera, model, gone=not (self._jobs / told).exists())
        self.suspects = found

    def _is_looked_after(self, job_id: str) -> bool:
        """Whether an attempt's book is open, or a steward is there that has yet to open one."""
        attempts = [each for each in self._jobs.glob(f"{job_id}/*") if each.name.isdecimal()]
        return any(begun(each) or Files(each).locked() for each in attempts)

    def _end(self, cloudera: Cloudera, model: ModelSeen, *, gone: bool) -> set[str]:
        """End what was suspect before; what is suspect now."""
        living = [
            (build.id, each.id)
            for build in cloudera.builds(model.id)
            for each in cloudera.deployments(model.id, build.id)
            if not is_over(each.status)
        ]
        for build, deployment in living:
            if deployment in self.suspects:
                log.warning("the deployment %s of the model %s is nobody's, and stopped", deployment, model.name)
                with contextlib.suppress(Missing, Declined):
                    cloudera.stop_deployment(model.id, build, deployment)
        if gone and model.id in self.suspects and not living:
            log.warning("the model %s is of no endpoint any more, and removed", model.name)
            cloudera.delete_model(model.id)
        return {*({model.id} if gone else ()), *(deployment for _, deployment in living)}
