"""A combination of an evaluation at Cloudera's: a run of its own, and another one when that ended without a word."""

from __future__ import annotations

import time

from core.spec import EvaluationSpec
from gpu_runner.cml.copying import look_anew
from gpu_runner.cml.errand import Ending, Errand
from gpu_runner.cml.run import GONE, REFUSED, STALE, Run
from gpu_runner.cml.single import LAGS, LEAST_LAG, LEAVES, OBEYS, TIMED_OUT
from gpu_runner.files import Files, write_json
from gpu_runner.tail import last_lines
from gpu_runner.together import Together, whole


class Try:
    """The run of a combination. `number` is its part's: that of the combination, and as many more as there are a try later."""

    def __init__(self, errand: Errand, spec: EvaluationSpec, together: Together, number: int) -> None:
        """Write down for the pod which combination it is. Raises OSError."""
        self.errand, self.together, self.number = errand, together, number
        self.tried, self.place = divmod(number, len(spec.combinations))
        self.part = together.parts[self.place]
        self.id = self.part.combination.job_id
        files = Files(errand.directory, number)
        files.make()
        write_json(files.own / "part.json", {"alone": self.id})
        self.run = Run(errand, spec.resources, spec.kind, number, self.id, child=self.id)
        self.over = False
        self._order: Ending | None = None
        self._since = self._over_since = time.monotonic()

    @property
    def speaks(self) -> bool:
        """Whether its pod says what it does."""
        return self.run.state == "running" and self.number in self.errand.merged.phases

    def step(self, ordered: Ending | None, *, left_out: bool) -> None:
        """Have the run do what is to be done next, until it is over and all that its pod wrote has come. Raises OSError."""
        if not self.run.over:
            order, stop = self._now(ordered, left_out=left_out)
            self.run.step(order, stop=stop)
            self._over_since = time.monotonic()
            if self.run.over:
                look_anew(Files(self.errand.directory, self.number))
        lag = max(LEAST_LAG, LAGS * self.errand.using.cml_poll)  # in which what another host wrote last comes
        if self.run.over and (self.part.outcome or time.monotonic() - self._over_since >= lag):
            self.over = self.errand.merged.copy_rest(self.number)

    def _now(self, ordered: Ending | None, *, left_out: bool) -> tuple[Ending | None, Ending | None]:
        """What the run is to end for, and what it is stopped for now. After its pod's last word it is to end by itself."""
        order = ordered or ("cancel" if left_out else "stop" if self.part.outcome else None)
        if order != self._order:
            self._order, self._since = order, time.monotonic()
        begun = self.errand.merged.ends.get(self.number, 0) > 0
        patience = (
            LEAVES if self.part.outcome else OBEYS.get(order or "", 0) if begun and not self.errand.signalled else 0
        )
        looks = (time.monotonic() - self._since) / self.errand.using.cml_poll
        return order, order if looks >= patience else None

    @property
    def lost(self) -> bool:
        """Whether the attempt is another steward's to go on with: a later one has a run."""
        return self.run.state == STALE

    def conclude(self, ordered: Ending | None, *, left_out: bool) -> bool:
        """The run is over: say what became of the combination, unless its pod has. Whether it is to be tried once more."""
        if not self.part.open or self.lost or ordered is not None:
            return False
        state, end = self.run.state, self.together.end
        if left_out or self.part.outcome == "cancelled":
            end(self.number, "cancelled")
        elif state == REFUSED:
            end(self.number, "failed", f"Cloudera ML does not run it: {self.run.refusal}")
        elif state in ("stopped", GONE) and not self.run.part.stop:
            how = f"its run was {'removed' if state == GONE else 'stopped'} in Cloudera ML"
            self.together.warn(f"{self.part.combination.called}: {how}")
            end(self.number, "cancelled", how)
        elif state == "timedout":
            end(self.number, "failed", whole(TIMED_OUT))
        else:
            return self._died()
        return False

    def _died(self) -> bool:
        """Its pod left no last word, or gave its work back: it is tried again, as often as jobs whose processes die."""
        tail = last_lines(Files(self.errand.directory, self.number), printed=True)
        how = "gave its work back" if self.part.outcome == "paused" else "left no last word"
        said = f"{self.part.combination.called}: Cloudera ML says that the run {self.run.part.run_id} {self.run.state}, and its pod {how}"
        self.errand.merged.write("log", level="error", text="\n".join([said, *tail]))
        if self.tried < self.errand.using.max_losses:
            self.part.outcome = ""
            return True
        text = f"its pods in Cloudera ML ended without a word, {self.tried + 1} times"
        self.together.end(self.number, "failed", f"{text}. The batch's log tells what they printed last.")
        return False
