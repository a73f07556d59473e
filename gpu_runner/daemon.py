"""The runner of this host: it starts jobs, watches them, tells the studio what they do, and does what the reply says.

`python -m gpu_runner.daemon`; with `--backend cml` what it starts has jobs run at Cloudera's. The studio's reply to a report is the whole truth about which attempts are this runner's.
Jobs live without the daemon: SIGTERM lets go of them, and the next daemon adopts what it finds.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
import threading
import time

from pydantic import ValidationError

from core.errors import Unavailable
from core.messages.runners import JobOrder, ReportProgress, ReportReply, Usage
from core.paths import PathRefused, inside
from core.settings import Settings, settings
from core.types import FailureClass, Order
from gpu_runner.attempt import Attempt, Stage, attempt_directory
from gpu_runner.files import Files, attempts_of
from gpu_runner.identity import AlreadyRunning, Identity
from gpu_runner.launch import Launch
from gpu_runner.link import Link, Registration
from gpu_runner.measuring import Measuring
from gpu_runner.offering import Terms
from gpu_runner.report import job_reports
from gpu_runner.reserve import Reserve
from gpu_runner.setup import Setup, setup_of
from gpu_runner.shared import away, read_marker, sees
from gpu_runner.starter import Starter
from gpu_runner.trackers import Trackers
from gpu_runner.watch import Watch

log = logging.getLogger(__name__)
TICK = 0.02  # seconds between looks at the spools while jobs run, where nothing tells when they grow
PATROL = 0.1  # seconds between looks at everything that is slower: locks, timers, helpers
IDLE = 0.25  # seconds in which a signal is noticed while there is nothing to do
SPACING = 0.05  # seconds between reports at least: 20 a second
MISSES = 3  # patrols that must find a child of ours dead before it counts without its exit code


class Daemon:
    """The loop. All state is this thread's; the link and the starter wait in threads of their own and ring the bell."""

    def __init__(self, terms: Terms, link: Link, starter: Starter, bell: threading.Event) -> None:
        self.terms, self.link, self.starter, self.bell = terms, link, starter, bell
        self.attempts: dict[tuple[str, int], Attempt] = {}
        # Not ours any more; they occupy their room until they are dead.
        self.leaving: dict[tuple[str, int], Attempt] = {}
        self.trackers = Trackers(terms.tracking_uri) if terms.tracking_uri else None
        self.watch = Watch(bell.set)
        self.draining = False
        self.letting_go = False
        self._news = True
        self._next_regular = self._sent = self._patrolled = 0.0
        self._heard = False  # which jobs are this runner's
        self._measuring = Measuring(terms.telemetry, elsewhere=terms.backend.elsewhere)
        self._told: dict[tuple[str, int], list[Usage]] = {}  # in the report that was sent last

    def adopt(self, runner_id: str) -> None:
        """Take over the living children of an earlier daemon; the room that dead ones kept is given back.

        While the artifacts are away there are none to be seen: they are met when the studio names them.
        """
        try:
            self._adopt(runner_id)
        except OSError as error:
            log.warning("what an earlier daemon left can't be looked up now: %s", error)

    def _adopt(self, runner_id: str) -> None:
        for left in self.terms.artifacts.glob("jobs/*/*/reserve"):
            if not Files(left.parent).locked():
                Reserve(left).release()
        for job_id, number, files in attempts_of(self.terms.artifacts, runner_id):
            attempt = Attempt(job_id, number, files)
            attempt.adopt()
            self.attempts[job_id, number] = attempt
            self.watch.add(files.directory)
            log.info("%s: adopted, pid %s", attempt, attempt.child.pid if attempt.child else "unknown")

    def run(self) -> None:
        """Work until told to let go."""
        while not self.letting_go:
            self.step(time.monotonic())
            self.bell.wait(self._pause(time.monotonic()))
            self.bell.clear()
        self.link.close()
        self.starter.close()

    def let_go(self, *_: object) -> None:
        """End soon, leaving the jobs alone (a signal's handler: it takes no lock)."""
        self.letting_go = True

    def step(self, now: float) -> None:
        """One round: hear, look, tell."""
        answered, reply = self.link.take()
        if answered:
            self._hear(reply, now)
        for attempt in self.attempts.values():
            self._news |= attempt.grown()
        self._look_for_exits()
        if now >= self._patrolled + PATROL:
            self._patrolled = now
            self._patrol(now)
        due = self._news or self.link.woken or now >= self._next_regular
        if due and self.link.idle and now >= self._sent + SPACING:
            self._tell(now)

    def _pause(self, now: float) -> float:
        if any(attempt.stage is Stage.running for attempt in self.attempts.values()):
            return self._until_sending(now) if self.watch.works else TICK
        if self.attempts or self.leaving or self._news:
            return PATROL
        return max(SPACING, min(self._next_regular - now, IDLE))

    def _until_sending(self, now: float) -> float:
        wait = self._sent + SPACING - now if self._news and self.link.idle else PATROL
        return min(max(wait, 0.001), PATROL)

    def _tell(self, now: float) -> None:
        registration = self.link.registration
        if registration is None:
            return
        if now >= self._next_regular and (changed := self._changed(registration)):
            log.info("%s: registering again", changed)
            self.link.register_again()
            return
        self._measuring.take(now, self.attempts.values())
        held = [*self.attempts.values(), *self.leaving.values()]
        more = self.terms.backend.more(held)
        report = ReportProgress(
            runner_id=registration.runner_id,
            incarnation=registration.incarnation,
            free=self.terms.room.free(each.held for each in held) | ({} if more is None else {"jobs": more}),
            telemetry=self._measuring.telemetry,
            jobs=job_reports(self.attempts.values()),
        )
        self._told = {(each.job_id, each.attempt): each.usage for each in report.jobs}
        self._news, self._sent, self._next_regular = False, now, now + self.link.next_report_seconds
        self.link.send(report)

    def _changed(self, registration: Registration) -> str | None:
        """What is not as it was registered any more."""
        if read_marker(self.terms.artifacts) != registration.marker:
            return f"the studio's marker in {self.terms.artifacts} has changed"
        if self.terms.engines is not None and (now := self.terms.engines()) != registration.engines:
            return f"this host runs {', '.join(now) or 'nothing'} now"
        return None

    def _hear(self, reply: ReportReply | None, now: float) -> None:
        """Take in a reply; a failed report is told anew, with what has come since."""
        if reply is None:
            self._news = True
            return
        if not reply.known:
            log.warning("the studio does not know this runner: registering again")
            self._news = True
            self.link.register_again()
            return
        for key, points in self._told.items():
            if key in self.attempts:
                self.attempts[key].usage.told(points)
        self._next_regular = now + reply.next_report_seconds
        if reply.draining is not self.draining:
            log.info("draining: jobs are paused and given back" if reply.draining else "taking work again")
            self.draining = reply.draining
        listed = {(order.job_id, order.attempt): order for order in reply.jobs if order.order is not Order.stop}
        for key in [key for key in self.attempts if key not in listed]:
            self._release(key, now)
        for key, order in listed.items():
            if key not in self.leaving:
                self._obey(order, now)
        self._heard = True

    def _release(self, key: tuple[str, int], now: float) -> None:
        """An attempt is not ours any more: its child goes, by itself when it has told its end, else at once."""
        attempt = self.leaving[key] = self.attempts.pop(key)
        if attempt.finished:
            attempt.ending, attempt.since = True, now
        elif attempt.stage is Stage.running:
            log.warning("%s: not this runner's any more, ended", attempt)
            self.terms.backend.take_away(attempt)

    def _obey(self, order: JobOrder, now: float) -> None:
        key = (order.job_id, order.attempt)
        attempt = self.attempts.get(key) or self._meet(order)
        if attempt is None:
            return
        self.attempts[key] = attempt
        before, attempt.accepted, attempt.fresh = attempt.accepted, order.accepted, order.fresh
        attempt.gang = order.gang
        # What one report had no room for goes with the next; what was sent and not accepted waits for the regular one.
        self._news |= order.accepted != before and (
            attempt.stage is Stage.over or attempt.files.spool_size() > order.accepted
        )
        wanted = Order.pause if self.draining and order.order is Order.run else order.order
        try:
            self._meet_files(attempt)
            if attempt.spec is None and attempt.stage is Stage.waiting:
                attempt.take_spec(order.spec)
                self._news |= attempt.spec is None
            waits = attempt.stage is Stage.waiting
            if attempt.stage is Stage.running or (waits and self.terms.backend.must_end(attempt)):
                attempt.obey(wanted, order.cancelled, order.checkpoint, order.asked)  # the next child finds it there
            if waits:
                self._begin(attempt, wanted, now)
        except ValidationError as error:
            attempt.fail(
                FailureClass.bug,
                f"the job's specification can't be read: {error}",
                "The runner may be older than the studio: restart its daemon, then run the job again.",
            )
        except OSError as error:
            self._news |= attempt.has_no_files(self.terms.artifacts, error, now)

    def _meet(self, order: JobOrder) -> Attempt | None:
        """An attempt this daemon does not hold: new, or begun by an earlier daemon, which its files tell."""
        rank = order.gang.rank if order.gang else 0
        directory = attempt_directory(self.terms.artifacts, order.job_id, order.attempt, rank)
        if directory.parent.name != order.job_id:
            log.error("%r is no name of a job", order.job_id)
            return None
        return Attempt(order.job_id, order.attempt, Files(directory))

    def _meet_files(self, attempt: Attempt) -> None:
        """Look up what an earlier daemon did of it, once the artifacts are there. Raises OSError while they are away."""
        if attempt.met:
            return
        self._reach()
        try:
            inside(self.terms.artifacts / "jobs", attempt.files.directory)
        except PathRefused as error:
            attempt.refuse(str(error))
            return
        attempt.meet()
        if attempt.stage is Stage.running:
            self.watch.add(attempt.files.directory)

    def _reach(self) -> None:
        """Raise OSError while the artifacts are away."""
        if why := away(self.terms.artifacts):
            raise OSError(errno.ENODEV, why)

    def _begin(self, attempt: Attempt, order: Order, now: float) -> None:
        """Start the child, when there is a specification, room, and no order against it. Raises OSError."""
        if order is not Order.run and not self.terms.backend.must_end(attempt):
            attempt.finish("paused" if order is Order.pause else "cancelled")
            self._news = True
            return
        self._reach()
        self._news |= attempt.look_for_room(self.terms.artifacts, now)
        if attempt.spec is None or attempt.waits_for_others or attempt.short is not None:
            return
        held = [*self.attempts.values(), *self.leaving.values()]
        waits = not attempt.cold_next and self.starter.worth_waiting(now)
        if waits or not self.terms.backend.may_begin(attempt, held, now):
            return
        others = [each.held for each in held if each is not attempt]
        gpus = attempt.gpus or self.terms.room.bind(attempt.spec.resources.gpus * attempt.copies, others)
        lock = attempt.files.take_lock() if gpus is not None else None
        if gpus is not None and lock is None:
            attempt.met = False  # someone runs it, of whom nothing was to be seen before
        if gpus is None or lock is None or self.link.registration is None:
            return  # the next patrol tries again
        self.watch.add(attempt.files.directory)
        try:
            if attempt.fresh:
                attempt.begin_anew()
            how = self._launch(attempt, gpus, lock)
        finally:
            os.close(lock)  # the child's own copy holds the lock from here
        attempt.gpus, attempt.stage, attempt.warm = gpus, Stage.running, how == "warm"
        log.info("%s: started %s", attempt, how)

    def _launch(self, attempt: Attempt, gpus: tuple[str, ...], lock: int) -> str:
        assert attempt.spec is not None and self.link.registration is not None
        launch = Launch(
            attempt_dir=str(attempt.files.directory),
            runner_id=self.link.registration.runner_id,
            # A process whose workers are forked from it must not compute with several threads before.
            cpus=1 if attempt.spec.resources.workers > 1 else max(1, attempt.spec.resources.cpus),
            gpus=gpus,
            env={"CUDA_VISIBLE_DEVICES": ",".join(gpus)},
            place=attempt.place(self.terms.address),
        )
        token = self.terms.token() if attempt.spec.needs_token else None
        return self.starter.start(launch, lock, token, cold=attempt.cold_next)

    def _look_for_exits(self) -> None:
        for attempt in (*self.attempts.values(), *self.leaving.values()):
            if attempt.stage is Stage.running:
                code = self.starter.exit_code(str(attempt.files.directory))
                if code is not None and not self._hidden(attempt):
                    self._bury(attempt, code)

    def _hidden(self, attempt: Attempt) -> bool:
        """Whether the files that tell how it is are away: it counts as it was until they are back."""
        return not sees(attempt.files.directory) and bool(away(self.terms.artifacts))

    def _bury(self, attempt: Attempt, code: int | None) -> None:
        """A child is dead; one that its fork left hanging before it said a word is started again, cold."""
        self._news = True
        self.starter.forget(str(attempt.files.directory))
        if code == -signal.SIGALRM and attempt.warm and not attempt.files.spool_size():
            log.warning("%s: the fork hung, starting cold", attempt)
            attempt.files.forget_child()
            attempt.child, attempt.stage, attempt.cold_next = None, Stage.waiting, True
            return
        if self.terms.backend.again(attempt, time.monotonic()):
            log.warning("%s: its child is gone (%s) and is started again", attempt, code)
            return
        attempt.die(self.terms.backend.code(attempt, code), starving=self._measuring.starving)
        log.info("%s: ended, exit code %s", attempt, attempt.exit_code)

    def _patrol(self, now: float) -> None:
        self.starter.tend(now)
        running = [each for each in (*self.attempts.values(), *self.leaving.values()) if each.stage is Stage.running]
        if running:
            self._measuring.take(now, self.attempts.values())
        for attempt in running:
            attempt.escalate(now, self.terms.patience)
            self._news |= self.terms.backend.shrunk(attempt)
            if (attempt.job_id, attempt.number) in self.leaving and not attempt.ending:
                self.terms.backend.take_away(attempt)  # again: it may only now have said who it is
            attempt.missing = 0 if attempt.alive() else attempt.missing + 1
            if attempt.missing > MISSES and not self._hidden(attempt):
                self._bury(attempt, None)
        for key in [key for key, attempt in self.leaving.items() if attempt.stage is not Stage.running]:
            self.watch.remove(self.leaving.pop(key).files.directory)
            self._news = True  # there is room now
        for attempt in self.attempts.values():
            if attempt.stage is Stage.waiting:
                self._try_again(attempt, now)
        self._end_what_is_left(now)
        self._track(now)

    def _end_what_is_left(self, now: float) -> None:
        """Have ended what is nobody's and goes on elsewhere, once it is known what is this runner's."""
        if self._heard and self.link.registration is not None:
            held = {*self.attempts, *self.leaving}
            for attempt in self.terms.backend.end_left(self.starter, self.link.registration.runner_id, held, now):
                self.leaving[attempt.job_id, attempt.number] = attempt

    def _try_again(self, attempt: Attempt, now: float) -> None:
        try:
            self._meet_files(attempt)
            if attempt.stage is Stage.waiting:
                self._begin(attempt, Order.pause if self.draining else attempt.order, now)
        except OSError as error:
            self._news |= attempt.has_no_files(self.terms.artifacts, error, now)

    def _track(self, now: float) -> None:
        if self.trackers is None:
            return
        self.trackers.tend()
        for attempt in self.attempts.values():
            if attempt.computing and attempt.tracked:
                self.trackers.ensure(attempt.files.directory, now)


def serve(using: Settings, setup: Setup) -> None:
    """Run a daemon of these parts until it is told to let go. Raises AlreadyRunning."""
    identity, bell = Identity(using.root, setup.name), threading.Event()
    link = Link(using.redis_url, using.namespace, lambda: setup.offer(identity), identity.keep, bell.set)
    daemon = Daemon(setup.terms, link, setup.starter(bell.set), bell)
    if identity.runner_id:
        daemon.adopt(identity.runner_id)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, daemon.let_go)
    daemon.run()


def main() -> None:
    """Run a daemon for the studio of FTS_HOME or FTS_REDIS_URL: of this host, or of a quota of Cloudera ML's."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(prog="python -m gpu_runner.daemon", description=main.__doc__)
    parser.add_argument("--backend", choices=("local", "cml"), default="local", help="where jobs are run")
    try:
        serve(settings(), setup_of(settings(), parser.parse_args().backend))
    except (AlreadyRunning, Unavailable) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
