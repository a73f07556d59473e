"""One run at Cloudera's, as a steward looks after it: asked for once, found again, looked at, stopped.

The order of things is what keeps it one run, whoever is killed and whatever answer is lost. The wish is in the book before a
run is asked for. Before one is asked for, the job's runs are looked through for one of this attempt, told by their
environment; so are they after an answer that did not come, for a while, before it is asked again; and once more after an
answer, for a second one that a lost answer, or another steward, may have made: the oldest goes on, the others are stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from core.cml import Away, Declined, Missing, NewJob, RunSeen, RunState, Template
from core.errors import Unavailable
from core.spec import Resources
from gpu_runner.cml import definition
from gpu_runner.cml.errand import Ending, Errand
from gpu_runner.files import Files

log = logging.getLogger(__name__)
# Looks (FTS_CML_POLL seconds each) …
LOST = 6  # … for a run whose answer was lost, before it is asked for once more
UNSEEN = 12  # … that may find no run where one was made
AGAIN = 6  # … between a stop and its repetition
GONE, NONE, STALE, REFUSED = "gone", "none", "stale", "refused"  # beside Cloudera's states, how a part may be over
LONGEST_REST = 60.0  # seconds for which the API may ask to be left alone
KEY = (401, 403)  # statuses: not the request is wrong, but who asks


class Run:
    """The run of a part. `name` is the job's name at Cloudera's; `child` the evaluation job that the part is, if it is one."""

    def __init__(
        self, errand: Errand, resources: Resources, kind: str, part: int = 0, name: str = "", child: str | None = None
    ) -> None:
        self.errand, self.resources, self.kind, self.number, self.child = errand, resources, kind, part, child
        self.part = errand.book.part(part, name or errand.job_id)
        self.away_since: float | None = None  # unix seconds since when nothing is heard
        self.away = self.why_away = ""  # what the API does instead, and its words
        self._quiet_until = 0.0  # monotonic time before which the API has asked to be left alone
        self._surveyed = False  # the job's runs were looked through since one was asked for
        self._unseen_since: float | None = None
        self._ended_as: RunState | None = None  # how the last look said that it is over
        self._spoken = 0  # bytes that its pod had written then
        self._looks_since_stop = AGAIN

    @property
    def state(self) -> str:
        """How it is: a RunState, or one of this module's words; empty before there is a run."""
        return self.part.state

    @property
    def refusal(self) -> str:
        """Why Cloudera won't do it."""
        return str(self.part.more.get("refusal", ""))

    @property
    def over(self) -> bool:
        """Whether nothing of it runs, and nothing will."""
        state = self.part.state
        return state in (GONE, NONE, STALE, REFUSED) or (state in RunState.__members__ and RunState(state).over)

    def step(self, order: Ending | None, *, stop: Ending | None = None) -> None:
        """Do what is to be done next, or look. With an `order` no run is asked for; one that is there is stopped for `stop`.

        While Cloudera's API does not answer `away_since` says since when. Raises OSError where the book can't be written.
        """
        if order is not None and not (self.part.asked or self.part.run_id or self.errand.book.unread or self.over):
            self._is(NONE)  # nothing was ever asked for: to know that takes no API
        if self.over or time.monotonic() < self._quiet_until:
            return
        try:
            self._step(order, stop)
        except Unavailable as error:
            rest = (error.retry_after if isinstance(error, Away) else None) or 0.0
            self._quiet_until = time.monotonic() + min(rest, LONGEST_REST)
            self._is_away("does not answer", str(error))
        except Missing as error:  # the job was removed just now
            log.info("%s", error)
            self._job_is_gone()
        except Declined as error:
            if self.part.run_id or error.status in KEY:
                what = "the studio's key" if error.status in KEY else "what it is asked"
                self._is_away(f"declines {what}", str(error))
            else:
                self._refused(str(error))
        else:
            self.away_since, self.away = None, ""

    def _step(self, order: Ending | None, stop: Ending | None) -> None:
        if not self._surveyed:
            self._survey()
        if self.part.run_id and not self.over:
            self._look()
            if stop is not None and not self.over:
                self._stop(stop)
        elif self._surveyed and not self.over:
            if self._lost():
                self._surveyed = False  # look again
            elif order is not None:
                self._is(NONE)
            else:
                self._make()

    # Finding it, or having it made

    def _survey(self) -> None:
        """Look through the job's runs: which is this attempt's, which are in its way."""
        if not self.part.job_id and (found := self.errand.cloudera.find_job(self.part.name)) is not None:
            self.part.job_id = found
        if not self.part.job_id:
            self._surveyed = True
            return
        try:
            runs = self.errand.cloudera.runs(self.part.job_id)
        except Missing:
            self._job_is_gone()
            return
        others = [each for each in runs if not each.state.over and not self._is_ours(each)]
        if any(_attempt(each) > self.errand.attempt for each in others):
            self._is(STALE)
            return
        if others:
            self._end_others(others)
        else:
            self._choose([each for each in runs if self._is_ours(each)])

    def _choose(self, ours: Sequence[RunSeen]) -> None:
        """Which of the runs of this attempt goes on: of those that run the oldest, else the newest. One that was stopped may have
        been so for another's sake, and tells nothing of the attempt while there is one that ended by itself.
        """
        running = sorted((each for each in ours if not each.state.over), key=_age)
        newest = max(ours, key=lambda each: (each.state is not RunState.stopped, _age(each)), default=None)
        chosen = running[0] if running else newest
        if chosen is not None and chosen.id != self.part.run_id:
            self.part.run_id, self.part.state = chosen.id, chosen.state.value
            self.errand.book.save()
        for each in running[1:]:
            log.warning("the run %s is stopped: %s is the same", each.id, chosen and chosen.id)
            self._stop_one(each.id)
        self._surveyed = len(running) < 2

    def _end_others(self, others: Sequence[RunSeen]) -> None:
        """Runs of earlier attempts end before this one's begins: none costs anything beside it."""
        self.errand.say(f"waits for the run of attempt {min(map(_attempt, others))} to end in Cloudera ML")
        for each in others:
            if each.state is not RunState.stopping:
                self._stop_one(each.id)

    def _is_ours(self, run: RunSeen) -> bool:
        told = run.environment
        same = (told.get(definition.DIRECTORY), told.get(definition.PART)) == (
            str(self.errand.directory),
            str(self.number),
        )
        return same or run.id == self.part.run_id

    def _job_is_gone(self) -> None:
        """Someone removed the job: whether a run that was went with it tell the next looks; else it is made anew."""
        self._surveyed = False
        if not self.part.run_id:
            self.part.job_id = ""

    def _lost(self) -> bool:
        """Whether a run may be there that has not been seen yet: it was asked for just now, without an answer."""
        return bool(self.part.asked) and time.time() - self.part.asked_at < LOST * self.errand.using.cml_poll

    def _make(self) -> None:
        """Ask for the job, unless it is there, and for a run of it."""
        try:
            template = self.errand.cloudera.template(*definition.templates(self.errand.using, self.kind))
        except Missing as error:
            self._refused(str(error))
            return
        self._have_job(template)
        self._tell_place()
        self.part.asked, self.part.asked_at = self.part.asked + 1, time.time()
        self.errand.book.save()
        environment = definition.environment_of(
            self.errand.directory,
            self.number,
            self.errand.runner_id,
            self.errand.studio,
            self.errand.using,
            self.errand.token,
        )
        self._surveyed = False
        try:
            made = self.errand.cloudera.create_run(self.part.job_id, environment)
        except Away as error:
            if error.retry_after is not None:  # it was not taken
                self.part.asked_at = 0.0
            raise
        self.part.run_id, self.part.state = made.id, made.state.value
        self.errand.book.save()

    def _have_job(self, template: Template) -> None:
        """The job, brought up to date, or made: when that is not answered it is found again by its name."""
        errand = self.errand
        new = definition.job_of(template, self.part.name, self.resources, errand.studio, errand.using)
        if self.part.job_id:
            self._bring_up_to_date(new)
            return
        errand.book.save()
        self._surveyed = False
        made = errand.cloudera.create_job(new)
        self.part.job_id = errand.cloudera.find_job(self.part.name) or made
        if self.part.job_id != made:  # another steward was as fast: all take the oldest
            errand.cloudera.delete_job(made)

    def _bring_up_to_date(self, new: NewJob) -> None:
        """An earlier attempt's job gets what template and settings say now. One that can't be changed is as good."""
        try:
            self.errand.cloudera.update_job(self.part.job_id, definition.changes_of(new))
        except Declined as error:
            if error.status in KEY:
                raise
            log.warning("the job %s stays as it is: %s", self.part.job_id, error)

    def _tell_place(self) -> None:
        """Say once where it runs."""
        if self.child not in self.errand.merged.placed:
            told = {"where": "cml", "job": self.part.job_id, "name": self.part.name, "job_id": self.child}
            self.errand.merged.write("placed", **told)

    # Looking at it, and ending it

    def _look(self) -> None:
        """Ask how it is."""
        try:
            seen = self.errand.cloudera.run(self.part.job_id, self.part.run_id)
        except Missing:
            self._is_unseen()
            return
        self._unseen_since = None
        if self._is_doubtful(seen.state):
            return
        if not (seen.state.over and not self.part.stop and self._is_replaced()):
            self._is(seen.state.value)

    def _is_doubtful(self, state: RunState) -> bool:
        """Whether it is said to be over for the first time, and neither its pod nor we have ended it: states may go back."""
        before, self._ended_as = self._ended_as, state if state.over else None
        if not state.over or state is before or self.part.stop:
            return False
        return not Files(self.errand.directory, self.number).exit.exists()

    def _is_unseen(self) -> None:
        """It is not found: for a while that means nothing, and nothing at all while its pod speaks."""
        spoken = self.errand.merged.ends.get(self.number, 0)
        if self._unseen_since is None or spoken != self._spoken:
            self._unseen_since, self._spoken = time.time(), spoken
        elif time.time() - self._unseen_since > UNSEEN * self.errand.using.cml_poll:
            self._is(GONE)

    def _is_replaced(self) -> bool:
        """Whether a run that ended without us was not the one: another of the attempt goes on."""
        before = self.part.run_id
        self._survey()
        return self.part.run_id != before or self.over

    def _stop(self, why: Ending) -> None:
        """Have it stopped, again and again until it is; the book knows that it was us."""
        if not self.part.stop:
            self.part.stop = why
            self.errand.book.save()
        self._looks_since_stop += 1
        if self._looks_since_stop > AGAIN:
            self._stop_one(self.part.run_id)
            self._looks_since_stop = 0

    def _stop_one(self, run_id: str) -> None:
        try:
            self.errand.cloudera.stop_run(self.part.job_id, run_id)
        except (Missing, Declined) as error:  # it may just have ended: the next look tells
            log.info("%s", error)

    def _is(self, state: str) -> None:
        if state != self.part.state:
            self.part.state = state
            self.errand.book.save()

    def _refused(self, why: str) -> None:
        self.part.more["refusal"] = why
        self._is(REFUSED)

    def _is_away(self, how: str, why: str) -> None:
        """Note since when, and why: the first reason of each kind stands, so that it is not said at every look."""
        self.away_since = self.away_since or time.time()
        if how != self.away:
            self.away, self.why_away = how, why


def _attempt(run: RunSeen) -> int:
    told = run.environment.get(definition.ATTEMPT, "")
    return int(told) if told.isdecimal() else 0


def _age(run: RunSeen) -> tuple[str, str]:
    return (run.created_at.isoformat() if run.created_at else "~", run.id)
