"""A model of Cloudera ML, as the steward of an endpoint has it: made once, found again, built and deployed, stopped, removed.

How it stands is read from Cloudera at each look, and not from the book: what that remembers is what was asked for, so that
nothing whose answer was lost is made twice. A model is the job's: later attempts find it by the job's id in its description,
and with it the access key that callers have. What else lives of it is stopped: an endpoint is one deployment.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from contextlib import suppress
from typing import Literal, NamedTuple

from core.cml import FALLBACK, Away, BuildSeen, Declined, DeploymentSeen, Missing, ModelSeen, NewBuild, Template
from core.settings import Settings
from core.spec import EndpointSpec
from gpu_runner.cml.book import Book
from gpu_runner.cml.errand import Errand

log = logging.getLogger(__name__)
SCRIPT, FUNCTION = "gpu_runner/predict.py", "api_wrapper"
COMPOSED = "fine-tuning-studio/"  # where the studio lies in a larger project
JOB = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# What the script is told (gpu_runner/predict.py).
BASE = "FINE_TUNING_STUDIO_BASE_MODEL_HF_NAME"
REVISION = "FINE_TUNING_STUDIO_BASE_MODEL_REVISION"
ADAPTER = "FINE_TUNING_STUDIO_ADAPTER_LOCATION"
GENERATION = "FINE_TUNING_STUDIO_GEN_CONFIG_STRING"
PASSED_ON = ("HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE")
LOST = 6  # looks (FTS_CML_POLL seconds each) in which something is looked for whose answer was lost
UNDEPLOYED = 60  # looks that a build may be done without a deployment

State = Literal["asked", "building", "deploying", "deployed", "failed", "stopped"]


class Seen(NamedTuple):
    """How it stands: `status` is Cloudera's own word, of a build or of a deployment."""

    state: State
    status: str
    deployment: str = ""


class Model:
    """The model of an endpoint; `errand.book` has its id as the part's `job_id`, and its build's as `run_id`."""

    def __init__(self, errand: Errand, spec: EndpointSpec) -> None:
        self.errand, self.spec = errand, spec
        self.part = errand.book.part(0, errand.job_id)
        self.ended: dict[str, Seen] = {}  # builds that nothing lives of, and how they ended
        self._undeployed: dict[str, int] = {}

    def step(self) -> Seen:
        """Do what is next, and look how it stands. Raises Away, Missing (someone removed it), Declined, OSError."""
        if not self._found() and not self._made():
            return Seen("asked", "")
        self._place()
        living = self._living()
        if not living:
            return self.ended.get(self.part.run_id) or self._build()
        build, deployment = living[0]
        if build.id != self.part.run_id:
            self.part.run_id = build.id
            self.errand.book.save()
        for other, more in living[1:]:
            if more is not None:
                self._stop(other, more)
        if deployment is None:
            return Seen("building" if build.status != "built" else "deploying", build.status)
        up = deployment.status == "deployed"
        return Seen("deployed" if up else "deploying", deployment.status, deployment.id)

    def begin_anew(self) -> None:
        """Its deployment was ended by an earlier attempt's steward, and is no word of anyone's: another is wanted."""
        self.part.run_id = ""
        self.errand.book.save()

    def quiet(self, *, builds: bool) -> bool:
        """Have what is deployed stopped; whether nothing is any more, and with `builds` nothing will be. Raises Away, OSError."""
        try:
            if not self._found():
                return not self._lost(self.part.more.get("asked_at", 0.0))
            living = self._living()
        except Missing:
            return True
        for build, deployment in living:
            if deployment is not None and deployment.status != "stopping":
                self._stop(build, deployment)
        asked = builds and not living and self._lost(self.part.asked_at)  # a build may be there that is not seen yet
        return not asked and not any(builds or deployment is not None for _, deployment in living)

    def remove(self) -> None:
        """Remove it, with all that is of it. Raises Away, Declined."""
        if self.part.job_id:
            self.errand.cloudera.delete_model(self.part.job_id)

    # Finding it, or having it made

    def _found(self) -> bool:
        if self.part.job_id:
            return True
        us, studio = self.errand.job_id, self.errand.studio
        ours = sorted((each for each in self.errand.cloudera.models() if owner(each, studio) == us), key=_age)
        for twice in ours[1:]:
            self.errand.cloudera.delete_model(twice.id)
        if ours:
            self.part.job_id = ours[0].id
            self.errand.book.save()
        return bool(ours)

    def _made(self) -> bool:
        """Ask for it, unless it was asked for just now; whether it is there."""
        more, spec = self.part.more, self.spec
        if self._lost(more.get("asked_at", 0.0)):
            return False
        self._template()  # without one there is no use in a model
        more["asked_at"] = time.time()
        self.errand.book.save()
        told = f"{spec.description}\n\n{mark(self.errand.job_id, self.errand.studio)}".strip()
        try:
            made = self.errand.cloudera.create_model(spec.name, told, authenticated=spec.auth)
        except Away as error:
            if error.retry_after is not None:  # it was not taken
                more["asked_at"] = 0.0
            raise
        self.part.job_id = made.id
        self.errand.book.save()
        return True

    def _place(self) -> None:
        if not self.part.more.get("placed"):
            self.errand.merged.write("placed", where="cml", job=self.part.job_id, name=self.spec.name)
            self.part.more["placed"] = True
            self.errand.book.save()

    def _lost(self, asked_at: float) -> bool:
        return time.time() - asked_at < LOST * self.errand.using.cml_poll

    def _build(self) -> Seen:
        """Ask for a build, which is deployed when it is done; unless one was asked for just now."""
        if self._lost(self.part.asked_at):
            return Seen("asked", "")
        new = self._new_build()
        self.part.asked, self.part.asked_at = self.part.asked + 1, time.time()
        self.errand.book.save()
        try:
            made = self.errand.cloudera.create_build(self.part.job_id, new)
        except Away as error:
            if error.retry_after is not None:
                self.part.asked_at = 0.0
            raise
        self.part.run_id = made.id
        self.errand.book.save()
        return Seen("building", made.status)

    def _new_build(self) -> NewBuild:
        template, asked = self._template(), self.spec.resources
        return NewBuild(
            file=f"{COMPOSED if self.errand.using.is_composable else ''}{SCRIPT}",
            function=FUNCTION,
            runtime=template.runtime,
            environment=environment_of(self.spec),
            cpu=asked.cpus,
            memory=asked.memory,
            gpus=asked.gpus,
            addons=template.addons,
            comment=f"attempt {self.errand.attempt}",
        )

    def _template(self) -> Template:
        """The job whose runtime it is built with. Raises Declined without one: that the model is gone is Missing."""
        try:
            return self.errand.cloudera.template(self.errand.using.cml_training_template, FALLBACK)
        except Missing as error:
            raise Declined(str(error)) from None

    # Looking at it, and ending it

    def _living(self) -> list[tuple[BuildSeen, DeploymentSeen | None]]:
        """The builds that are under way, and what is deployed of the others, the oldest first. Raises Missing."""
        found: list[tuple[BuildSeen, DeploymentSeen | None]] = []
        for build in self.errand.cloudera.builds(self.part.job_id):
            if build.id in self.ended:
                continue
            if _failed(build.status):
                self.ended[build.id] = Seen("failed", build.status)
            elif build.status != "built":
                found.append((build, None))
            else:
                found += [(build, each) for each in self._deployed(build)]
        return found

    def _deployed(self, build: BuildSeen) -> list[DeploymentSeen | None]:
        """What lives of a build that is done; that none is there yet lives too, for a while."""
        try:
            made = self.errand.cloudera.deployments(self.part.job_id, build.id)
        except Missing:  # the build was removed since it was listed, by itself or with the model: the next look tells
            return [None]
        living = [each for each in made if not is_over(each.status)]
        if made and not living:
            last = made[-1]
            self.ended[build.id] = Seen("failed" if _failed(last.status) else "stopped", last.status, last.id)
        if made:
            return list(living)
        self._undeployed[build.id] = looks = self._undeployed.get(build.id, 0) + 1
        if looks > UNDEPLOYED:
            self.ended[build.id] = Seen("failed", "built, and never deployed")
        return [None]

    def _stop(self, build: BuildSeen, deployment: DeploymentSeen) -> None:
        """Have a deployment stopped; the book knows that it was us."""
        stopped = self.part.more.setdefault("stopped", [])
        if deployment.id not in stopped:
            stopped.append(deployment.id)
            self.errand.book.save()
        try:
            self.errand.cloudera.stop_deployment(self.part.job_id, build.id, deployment.id)
        except Declined as error:  # it may just have ended: the next look tells
            log.info("%s", error)

    def let_go(self, seen: Seen) -> None:
        """Have a deployment that failed stopped too: what it keeps trying would cost as much. Raises Away."""
        if seen.deployment and self.part.run_id:
            with suppress(Declined, Missing):
                self.errand.cloudera.stop_deployment(self.part.job_id, self.part.run_id, seen.deployment)

    def stopped_by_us(self, deployment: str) -> bool:
        """Whether a steward of this attempt or of one before it has had it stopped."""
        books = (Book.read(each) for each in self.errand.directory.parent.iterdir() if each.name.isdecimal())
        return any(deployment in part.more.get("stopped", []) for book in books if book for part in book.parts)


def mark(job_id: str, studio: str) -> str:
    """What the description of an endpoint's model tells: whose it is."""
    return f"Endpoint {job_id} of Fine Tuning Studio {studio}"


def owner(model: ModelSeen, studio: str) -> str | None:
    """The id of the endpoint of the studio's whose model it is. The mark comes last: a description may have been copied from
    another's, mark and all."""
    found = re.findall(mark(f"({JOB})", rf"{re.escape(studio)}(?!\S)"), model.description)
    return str(found[-1]) if found else None


def environment_of(spec: EndpointSpec) -> dict[str, str]:
    """What the script is told. The Hub's token is not among it: it would stay in the deployment's definition; the project's
    own variables are there anyway."""
    adapter = spec.adapters[0]
    told = {
        BASE: spec.model.hub_name,
        REVISION: spec.model.revision,
        ADAPTER: adapter.location,
        GENERATION: json.dumps(spec.generation),
        **{name: os.environ.get(name) for name in PASSED_ON},
    }
    return {name: value for name, value in told.items() if value}


def service(using: Settings) -> str:
    """Where Cloudera's models are called, all of them at one address: the access key says which is meant."""
    return using.cml_model_service or f"https://modelservice.{using.cdsw_domain}/model"


def _failed(status: str) -> bool:
    return "fail" in status or "timed" in status or "error" in status


def is_over(status: str) -> bool:
    """Whether nothing of a deployment with that status runs, and nothing will."""
    return _failed(status) or status == "stopped"


def _age(model: ModelSeen) -> tuple[str, str]:
    return (model.created_at.isoformat() if model.created_at else "~", model.id)
