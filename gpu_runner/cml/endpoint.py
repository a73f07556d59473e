"""The steward of an endpoint of Cloudera ML: its model is made, built and deployed, watched as long as it serves, and taken away.

Stopped here the model goes, and with it its access key. Paused, or given back by a runner that is drained, the model stays
without a deployment: it answers to the same key when it is deployed again.
"""

from __future__ import annotations

import os
import time
from urllib.parse import urlsplit

from core.cml import Declined, Missing
from core.errors import Unavailable
from core.events import PROVEN, Failure
from core.spec import EndpointSpec
from core.types import FailureClass
from gpu_runner.cml.errand import Ending, Errand
from gpu_runner.cml.model import Model, Seen, service
from gpu_runner.cml.run import UNSEEN

LET_GO = 0  # an exit code: the book says that it goes on
KEY = (401, 403)  # statuses: not the request is wrong, but who asks
PAGE = "Its page in Cloudera ML has the log. "
BUILD_HINT = f"{PAGE}When that is mended, try it again: the same model is built anew."
DEPLOYMENT_HINT = (
    f"{PAGE}Most often memory is short (--num-memory asks for more), or the base model is gated: "
    "HUGGINGFACE_ACCESS_TOKEN must then be among the project's variables. Try it again after that."
)


def look_after(errand: Errand) -> int:
    """Look after the attempt to its end; the exit code."""
    assert isinstance(errand.spec, EndpointSpec)
    return Endpoint(errand, errand.spec).run()


class Endpoint:
    """One attempt of an endpoint."""

    def __init__(self, errand: Errand, spec: EndpointSpec) -> None:
        self.errand, self.spec = errand, spec
        self.model = Model(errand, spec)
        self.away_since: float | None = None  # unix seconds
        self.unseen_since: float | None = None  # monotonic: since when its model is not found
        self.serving_since: float | None = None  # monotonic

    def run(self) -> int:
        """Step by step; while Cloudera's API is away, or the disk is full, it waits and says so."""
        code = None
        while code is None:
            try:
                code = self._step()
                self.away_since = None
            except Unavailable as error:
                self._is_away(str(error))
            except OSError as error:
                self.errand.say(f"its files can't be written: {error}")
            if code is None:
                self.errand.wait(self.errand.using.cml_poll)
        return code

    def _step(self) -> int | None:
        """One step; the exit code when it was the last."""
        if self.errand.merged.finished:
            return self._settle(0)
        order = self.errand.order()
        if self.errand.signalled and order is None:
            return LET_GO
        try:
            return self._end(order) if order is not None else self._serve()
        except Missing as error:
            if self.model.part.job_id and order is None:
                return self._is_unseen()
            return self._refused(str(error))
        except Declined as error:
            if error.status in KEY or order is not None:
                raise Unavailable(str(error)) from None
            return self._refused(str(error))

    def _is_unseen(self) -> int | None:
        """Its model is not found, which for a while means nothing: it may have been made just now."""
        self.unseen_since = self.unseen_since or time.monotonic()
        if time.monotonic() - self.unseen_since > UNSEEN * self.errand.using.cml_poll:
            return self._finish("cancelled", "the model was removed in Cloudera ML")
        self.errand.say("Cloudera ML does not find its model, and is asked again")
        return None

    # ─── it serves ────────────────────────────────────────────────────────────────────────────────

    def _serve(self) -> int | None:
        self._started()
        seen = self.model.step()
        self.unseen_since = None
        if seen.state == "deployed":
            self._serving()
        elif seen.state == "failed":
            return self._failed(seen)
        elif seen.state == "stopped":
            if not self.model.stopped_by_us(seen.deployment):
                return self._finish("cancelled", "stopped in Cloudera ML; the model is still there, and not deployed")
            self.model.begin_anew()
        else:
            told = {"asked": "asks Cloudera ML for a model", "building": "Cloudera ML builds the model", "deploying": "Cloudera ML deploys it"}  # fmt: skip
            self.errand.say(f"{told[seen.state]}{f' ({seen.status})' if seen.status else ''}")
        return None

    def _started(self) -> None:
        if "started" not in self.errand.merged.types:
            details = {"engine": self.spec.engine.value}
            self.errand.merged.write("started", pid=os.getpid(), device="Cloudera ML", details=details)

    def _serving(self) -> None:
        """Say where it is called, once an attempt; and once that it has served so long that earlier deaths are no pattern."""
        merged, now = self.errand.merged, time.monotonic()
        self.errand.say("serving")
        if "serving" not in merged.types:
            address = service(self.errand.using)
            parts = urlsplit(address)
            port = parts.port or (80 if parts.scheme == "http" else 443)
            models = [each.name for each in self.spec.adapters]
            merged.write("log", level="info", text=f"answering at {address} as the model {self.model.part.job_id}")
            merged.write("serving", address=address, port=port, models=models)
        self.serving_since = self.serving_since or now
        if now - self.serving_since > PROVEN + 1 and "served" not in merged.types:
            merged.write("served")

    # ─── it ends ──────────────────────────────────────────────────────────────────────────────────

    def _end(self, order: Ending) -> int | None:
        """Stop what is deployed; the code once nothing is. Only who is cancelled loses the model, which later attempts need."""
        if order == "stop" and self._is_old():
            return self._settle(0)
        if not self.model.quiet(builds=order != "cancel"):
            self.errand.say("waits for Cloudera ML to stop it")
            return None
        if order == "stop":
            return self._settle(0)
        if order == "cancel":
            self.model.remove()
        return self._finish("cancelled" if order == "cancel" else "paused")

    def _is_old(self) -> bool:
        """Whether a later attempt has what this one had."""
        numbers = (each.name for each in self.errand.directory.parent.glob("*") if each.name.isdecimal())
        return any(int(each) > self.errand.attempt for each in numbers)

    def _failed(self, seen: Seen) -> int:
        """It was not built, or not deployed: told with Cloudera's word. One that has served is tried again as one that died."""
        self.model.let_go(seen)
        if "serving" in self.errand.merged.types:
            self.errand.merged.write("log", level="error", text=f"its deployment ended in Cloudera ML: {seen.status}")
            return self._settle(1, died=True)
        what, hint = ("deployment", DEPLOYMENT_HINT) if seen.deployment else ("build", BUILD_HINT)
        text = f"the {what} of the model {self.spec.name} failed in Cloudera ML: {seen.status}"
        return self._fail(text, hint)

    def _refused(self, why: str) -> int:
        return self._fail(why, "Change what it says, there or in the request, and try it again.")

    def _fail(self, message: str, hint: str) -> int:
        failure = Failure(kind=FailureClass.user_error, message=message, hint=hint)
        code = self.errand.finish("failed", failure)
        return self._settle(code)

    def _finish(self, outcome: str, reason: str = "") -> int:
        if reason:
            self.errand.merged.write("log", level="info", text=reason)
        why = Failure(kind=FailureClass.stopped, message=reason) if reason else None
        code = self.errand.finish("paused" if outcome == "paused" else "cancelled", why, ended=reason)
        return self._settle(code)

    def _settle(self, code: int, *, died: bool = False) -> int:
        self.errand.merged.sync()
        self.errand.book.settle(died=died)
        return code

    def _is_away(self, why: str) -> None:
        """What is deployed goes on, and callers notice nothing."""
        self.away_since = self.away_since or time.time()
        since = time.strftime("%H:%M", time.localtime(self.away_since))
        goes_on = "; the endpoint goes on" if self.model.part.run_id else ""
        self.errand.say(f"Cloudera's API can't be asked since {since}{goes_on}: {why}")
