"""What is done with a job from its own screen, beside the keys of whatever shows jobs: mend, compare, edit, remove, describe."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core.text import plain
from tui.screens.curvekeys import CurveKeysScreen
from tui.screens.jobkeys import adapters_dir
from tui.view.cells import Row
from tui.view.jobview import JobView


class JobVerbsScreen(CurveKeysScreen):
    """The screen of one job."""

    keys_of = "The job"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("D", "diff", "how its configs differ from another job's", show=False),
        *(
            Binding(str(number), f"mend({number})", "a job like it that may do better", show=False)
            for number in range(1, 5)
        ),
        Binding("E", "edit", "edit name and description", show=False),
        Binding("ctrl+d", "remove", "remove", show=False),
        Binding("d", "describe", "describe", show=False),
        Binding("y", "yaml", "as YAML", show=False),
    ]

    def __init__(self, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id
        self.view = JobView()
        self.other: Row | None = None  # the job that configs are compared with

    @property
    def job_row(self) -> Row | None:
        """The job, once it is known."""
        return self.view.job or None

    def link(self) -> None:
        """Where the job is to be seen in Cloudera ML."""
        if self.view.job.get("cml_job_id") or self.dashboard.bench_told is not None:
            self.view.pages = self.dashboard.bench.of_job(self.view.job, self.job_id)

    def bench_told(self) -> None:
        """Its pages may be known now."""
        super().bench_told()
        if self.there and self.view.job:
            self.link()
            self.linked()

    def linked(self) -> None:
        """Its pages are known."""

    def copies(self) -> list[tuple[str, str]]:
        """The job, then its pages."""
        pages = [(f"the address of its {name} in Cloudera ML", page) for name, page in self.view.pages.items()]
        return [*super().copies(), *pages]

    def names_taken(self) -> list[Any]:
        """Its own."""
        return [self.view.job.get("adapter_name")]

    def compared(self) -> None:
        """There is another job to compare with."""

    def action_diff(self) -> None:
        """D: the configs beside another job's."""

        def beside(rows: list[Row] | None) -> None:
            if rows:
                self.other = rows[0]
                self.compared()

        self.pick("How this job's settings differ from those of", 1, [], beside)

    def action_mend(self, number: int) -> None:
        """1 to 4: the form of a job like this one, with what the failure asks for changed."""
        from core.cloning import changed, next_name, request_of
        from tui.view import mending

        ways = mending.clones(self.view.job) if self.view.job.get("error") else []
        if number > len(ways):
            return
        name = next_name(str(self.view.job.get("adapter_name") or "job"), [str(each) for each in self.names_taken()])
        request = changed(request_of(self.view.job, adapters_dir()), ways[number - 1].fields)
        self.dashboard.show_form("StartFineTuningJob", {**request, "adapter_name": name})

    def action_edit(self) -> None:
        """E: another name, another description."""
        known = {name: self.view.job.get(name) for name in ("name", "description") if self.view.job.get(name)}
        self.dashboard.show_form("EditFineTuningJob", {"id": self.job_id, **known})

    def action_remove(self) -> None:
        """ctrl+d: the job's record and numbers go, unless something stands in the way; its adapter stays."""
        from tui.view.kinds import KINDS

        remove = KINDS["jobs"].remove
        if remove is not None:
            name = plain(self.view.job.get("adapter_name") or self.job_id, limit=60)
            self.dashboard.remove_rows(remove, {self.job_id: name}, self._removed)

    def _removed(self, outcomes: list[Any]) -> None:
        if outcomes and outcomes[0].error is None and self.is_active:
            self.dashboard.action_leave()

    def action_describe(self) -> None:
        """d: everything about the job."""
        from tui.view.describe import described

        self.dashboard.show_text(f"Job {self.view.job.get('adapter_name')}", described(self.view.job))

    def action_yaml(self) -> None:
        """y: the job as YAML."""
        from tui.view.describe import as_yaml

        self.dashboard.show_text(f"Job {self.job_id}", as_yaml(self.view.job))
