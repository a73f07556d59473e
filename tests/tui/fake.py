"""A studio in memory: it answers the real messages with real reply values, and its streams are what a test puts into them."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

from core.client import Answer
from core.errors import NotFound, Refused, Unavailable
from core.events import Event
from core.following import Away, Back
from core.messages.adapters import AdapterMetadata
from core.messages.base import Message
from core.messages.checking import Checked, CheckedReply
from core.messages.common import PagedQuery
from core.messages.comparing import AskedQuestion, AskedReply, ComparisonReply, StoppedReply
from core.messages.datasets import DatasetMetadata
from core.messages.endpoints import EndpointMetadata, EndpointReply, StartEndpointReply
from core.messages.export import ExportJobMetadata, ExportJobReply, ExportModelReply
from core.messages.fine_tuning import FineTuningJobMetadata, FineTuningJobReply
from core.messages.jobs import JobLogReply, JobMetricsReply, JobStateReply, LogLine, MetricSeries
from core.messages.models import ModelMetadata
from core.messages.overview import Concern, JobNow, OverviewReply
from core.messages.planning import Plan, PlanReply
from core.messages.prompts import PromptMetadata
from core.messages.removal import RemovedReply
from core.messages.results import AnswerRow, EvaluationAnswersReply, EvaluationResultsReply
from core.messages.runners import RunnerMetadata
from core.messages.workbench import WorkbenchReply
from core.rules import Breach, check, refusing
from core.types import JobStatus
from tests.tui.rows import NOW, endpoint, export, exported, failed, job

FIELDS = {
    "ListFineTuningJobs": "fine_tuning_jobs",
    "ListEvaluationJobs": "evaluation_jobs",
    "ListComparisons": "comparisons",
    "ListExportJobs": "export_jobs",
    "ListDatasets": "datasets",
    "ListModels": "models",
    "ListPrompts": "prompts",
    "ListAdapters": "adapters",
    "ListConfigs": "configs",
    "ListRunners": "runners",
    "ListEvents": "events",
    "ListEndpoints": "endpoints",
}
VERBS = {  # and the state that each leads to here
    "CancelJob": JobStatus.cancelled,
    "PauseJob": JobStatus.paused,
    "ResumeJob": JobStatus.queued,
    "RetryJob": JobStatus.queued,
    "CheckpointJob": JobStatus.running,
    "SetJobPriority": JobStatus.running,
}


class FakeStudio:
    """`rows` by the reply's field; `asked` is what came; `broken` makes every call fail."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {field: [] for field in FIELDS.values()}
        self.asked: list[Message[Any]] = []
        self.broken: Exception | None = None
        self.refusal: list[Breach] = []
        self.events: queue.Queue[Any] = queue.Queue()
        self.records: queue.Queue[Any] = queue.Queue()
        self.plan: Plan | None = None  # None: plans wait for a runner for ever
        self.plans = 0
        self.series: list[MetricSeries] = []
        self.log: list[LogLine] = []
        self.printed: list[LogLine] = []
        self.questions: list[AskedQuestion] = []
        self.results: EvaluationResultsReply | None = None
        self.answers: list[AnswerRow] = []
        self.concerns: list[Concern] = []  # beside its failed jobs
        self.ready: dict[str, bool] = {}  # what of the rows can be trained with, where that is not all of them
        self.workbench = WorkbenchReply(on=False)
        self.held: dict[str, str] = {}  # what can't be removed, and why

    def ask(self, message: Message[Any], *, key: str | None = None, timeout: float | None = None) -> Answer[Any]:
        """Answer from memory."""
        self.asked.append(message)
        if self.broken is not None:
            raise self.broken
        return Answer(self._value(message), [], None)

    def _value(self, message: Any) -> Any:
        name = type(message).__name__
        if name in FIELDS:
            return type(message).REPLY.model_validate(part_of(message, self.rows[FIELDS[name]], FIELDS[name]))
        if name == "GetOverview":
            return self.overview()
        if name == "GetWorkbench":
            return self.workbench
        if name == "CheckCommand":
            return CheckedReply(checked=[self._checked(each["id"]) for each in message.payloads])
        if name.startswith("Remove"):
            return self._removed(message.id)
        if name == "GetFineTuningJob":
            return FineTuningJobReply(fine_tuning_job=self.job(message.id))
        if name == "GetComparison":
            return ComparisonReply(
                comparison=self.rows["comparisons"][0],
                questions=self.questions,
                input_template="Ticket: {instruction}\nAction:",
            )
        if name == "AskComparison":
            number = len(self.questions) + 1
            fields = {
                "prompt": message.prompt,
                "random": message.random,
                "voices": message.voices or ["", "a"],
                "seed": number,
            }
            self.questions.append(AskedQuestion(number=number, asked_at=NOW, **fields))
            return AskedReply(id=message.id, number=number, status=JobStatus.running)
        if name == "StopAnswers":
            return StoppedReply(id=message.id, numbers=[])
        if name == "EndComparison":
            return JobStateReply(id=message.id, status=JobStatus.cancel_requested)
        if name == "GetExportJob":
            return ExportJobReply(export_job=self.export(message.id))
        if name == "ExportModel":
            return self._export(message)
        if name == "GetJobMetrics":
            return JobMetricsReply(id=message.id, attempt=1, offset=0, series=self.series)
        if name == "GetJobLog":
            found = [
                line.model_copy(update={"number": number})
                for number, line in enumerate(self.printed if message.printed else self.log, 1)
                if message.contains and message.contains.casefold() in line.text.casefold()
            ]
            if message.contains and message.offset is None:  # as of a long log: nothing in the first piece
                return JobLogReply(id=message.id, lines=[], attempt=1, offset=1, line=0, has_more=True)
            lines = self.printed if message.printed else self.log
            return JobLogReply(id=message.id, lines=found if message.contains else lines, attempt=1, offset=0)
        if name == "GetEvaluationResults" and self.results is not None:
            return self.results
        if name == "GetEvaluationAnswers":
            return self._page(message)
        if name == "PlanFineTuningJob":
            return self._planned(message)
        if name == "GetPlan":
            return self._made(message.id)
        if name == "CancelJob" and message.id.startswith("plan-"):
            return JobStateReply(id=message.id, status=JobStatus.cancelled)
        if name == "GetEndpoint":
            return EndpointReply(endpoint=self.endpoint(message.id))
        if name == "StopEndpoint":
            self.endpoint(message.id).status = JobStatus.cancel_requested
            return JobStateReply(id=message.id, status=JobStatus.cancel_requested)
        if name == "StartEndpoint":
            self.rows["endpoints"].append(endpoint("new", name=message.name))
            return StartEndpointReply(endpoint=self.endpoint("new"))
        if name in VERBS:
            self.job(message.id).status = VERBS[name]
            return JobStateReply(id=message.id, status=VERBS[name])
        if name == "StartFineTuningJob":
            return self._start(message)
        raise NotFound(f"this stand-in has no {name}")

    def overview(self) -> OverviewReply:
        """All of it at a glance, made of the rows as the studio does."""
        jobs = self.rows["fine_tuning_jobs"]
        told = {JobStatus.queued: [], JobStatus.running: []} | {job.status: [] for job in jobs}
        for row in jobs:
            fields = row.model_dump() | {"kind": "fine_tuning", "name": row.adapter_name}
            told[row.status].append(JobNow.model_validate(fields))
        count = [
            {"kind": "fine_tuning", "status": status, "count": len(those)} for status, those in told.items() if those
        ]
        failed = [job for job in jobs if job.status is JobStatus.failed]
        return OverviewReply.model_validate(
            {
                "at": NOW,
                "resources": {
                    table: len(rows) for table, rows in self.rows.items() if table not in ("runners", "events")
                },
                "ready": self.ready,
                "jobs": [each for each in count if not each["status"].finished],
                "ended": [each for each in count if each["status"].finished],
                "running": [each.model_dump() for each in told[JobStatus.running]],
                "waiting": [each.model_dump() for each in told[JobStatus.queued]],
                "runners": [row.model_dump() for row in self.rows["runners"]],
                "runner_count": len(self.rows["runners"]),
                "concerns": [_concern(job).model_dump() for job in failed]
                + [each.model_dump() for each in self.concerns],
                "letters": 0,
                "events": [row.model_dump() for row in self.rows["events"]],
            }
        )

    def _checked(self, id: str) -> Checked:
        """What `held` says of it."""
        told = [Breach(rule="DS-121", field="id", message=self.held[id])] if id in self.held else []
        return Checked(refused=bool(told), breaches=told)

    def _removed(self, id: str) -> RemovedReply:
        if id in self.held:
            raise Refused.because([Breach(rule="DS-121", field="id", message=self.held[id])])
        there = any(row.id == id for rows in self.rows.values() for row in rows)
        for field, rows in self.rows.items():
            self.rows[field] = [row for row in rows if row.id != id]
        return RemovedReply(id=id, removed=there)

    def _page(self, message: Any) -> EvaluationAnswersReply:
        """The rows that hold the text, backwards unless they come by number."""
        found = [row for row in self.answers if (message.contains or "") in row.prompt]
        found = found[:: 1 if message.order == "row" else -1]
        return EvaluationAnswersReply(
            parent_job_id=message.parent_job_id,
            metric=None if message.order == "row" else message.metric or "f1",
            rows=found[message.after : message.after + message.limit],
            total=len(found),
            has_more=len(found) > message.after + message.limit,
        )

    def _planned(self, message: Any) -> PlanReply:
        if breaches := [*refusing(check(message)), *self.refusal]:
            raise Refused.because(breaches)
        self.plans += 1
        return PlanReply(id=f"plan-{self.plans}", status=JobStatus.queued, waiting_for="a runner's next report")

    def _made(self, id: str) -> PlanReply:
        if self.plan is None:
            return PlanReply(id=id, status=JobStatus.running, phase="counting tokens")
        return PlanReply(id=id, status=JobStatus.succeeded, plan=self.plan)

    def _start(self, message: Any) -> FineTuningJobReply:
        breaches = [*refusing(check(message)), *self.refusal]
        if breaches:
            raise Refused.because(breaches)
        made = job("new", adapter_name=message.adapter_name)
        self.rows["fine_tuning_jobs"].append(made)
        return FineTuningJobReply(fine_tuning_job=made)

    def _export(self, message: Any) -> ExportModelReply:
        if breaches := refusing(check(message)):
            raise Refused.because(breaches)
        told = {"base_model_id": message.base_model_id, "adapter_id": message.adapter_id}
        if message.type == "cml_model":
            served = endpoint("new", name=message.model_name, engine="cml_model", address=None, status=JobStatus.queued)
            self.rows["endpoints"].append(served)
            return ExportModelReply(**told, endpoint=served)
        made = export("new", **message.model_dump(exclude={"priority", "auth"}))
        self.rows["export_jobs"].append(made)
        return ExportModelReply(**told, export_job=made)

    def export(self, id: str) -> ExportJobMetadata:
        """The export of that id."""
        return next(row for row in self.rows["export_jobs"] if row.id == id)

    def job(self, id: str) -> FineTuningJobMetadata:
        """The job of that id."""
        found = [row for row in self.rows["fine_tuning_jobs"] if row.id == id]
        if not found:
            raise NotFound(f"there is no fine-tuning job with id {id!r}")
        return found[0]  # type: ignore[no-any-return]

    def endpoint(self, id: str) -> EndpointMetadata:
        """The endpoint of that id."""
        found: EndpointMetadata = next(row for row in self.rows["endpoints"] if row.id == id)
        return found

    def follow(self, after: Any = None) -> Iterator[Any]:
        """What the test puts into `events`."""
        while True:
            yield self.events.get()

    def follow_job(
        self, job_id: str, records_id: str = "0-0", *, block: float = 1.0
    ) -> Iterator[dict[str, Any] | None]:
        """What the test puts into `records`."""
        while True:
            try:
                yield self.records.get(timeout=0.05)
            except queue.Empty:
                yield None

    def happened(self, kind: str = "jobs", id: str = "", **data: Any) -> None:
        """An event."""
        self.events.put(Event(id=1, prev=0, at=NOW, type="ResourceAdded", kind=kind, resource_id=id, data=data))

    def away(self) -> None:
        """The queue is gone."""
        self.broken = Unavailable("no studio answers", part="queue")
        self.events.put(Away("connection refused"))

    def back(self) -> None:
        """The queue is there again."""
        self.broken = None
        self.events.put(Back())


def part_of(message: Any, rows: list[Any], field: str) -> dict[str, Any]:
    """A part of a list as the studio answers it; a place is "@" and the id of the row before it, or "<" and that behind."""
    if not isinstance(message, PagedQuery):
        return {field: [row.model_dump() for row in rows]}
    words = (message.contains or "").casefold().split()
    found = [row for row in rows if all(word in str(row.model_dump(mode="json")).casefold() for word in words)]
    if message.order:
        found.sort(key=lambda row: (getattr(row, message.order) is not None, getattr(row, message.order) or 0, row.id))
    found = found[::-1] if message.descending else found
    ids = [row.id for row in found]
    begin, after = 0, message.after or ""
    if after:
        at = ids.index(after.lstrip("@<"))  # a test keeps the rows that it pages by
        begin = at + ((after[0] == "<") if message.descending and after[0] in "@<" else after[0] != "<")
    shown = found[begin : begin + message.limit]
    behind, before = ("<", "@") if message.descending else ("@", "<")
    ends = {"begins": before + shown[0].id, "ends": behind + shown[-1].id} if shown else {}
    counts = {"total": len(rows), "matching": len(found)} if message.counts else {}
    more = {"has_more": begin + len(shown) < len(found), "has_before": begin > 0}
    return {field: [row.model_dump() for row in shown], **more, **ends, **counts}


def _concern(job: FineTuningJobMetadata) -> Concern:
    """A failed job as Home tells of it."""
    text = job.error.message if job.error else ""
    return Concern(
        kind="jobs", id=job.id, level="error", job_kind="fine_tuning", name=job.adapter_name or "", text=text
    )


def filled() -> FakeStudio:
    """A studio with some of everything."""
    made = FakeStudio()
    made.rows["fine_tuning_jobs"] = [job("run"), job("done", status=JobStatus.succeeded, step=100), failed("bad")]
    made.rows["fine_tuning_jobs"].append(
        job(
            "wait",
            status=JobStatus.queued,
            step=0,
            total_steps=None,
            waiting_for="no runner has 1 GPUs: the largest has 0",
        )
    )
    made.rows["export_jobs"] = [
        exported("e1"),
        export("e2", type="merged", status=JobStatus.running, phase="merging", step=3, total_steps=6),
    ]
    made.rows["adapters"] = [
        AdapterMetadata(id="a1", type="project", name="tickets-lora", model_id="m1", location="/p/a")
    ]
    made.rows["datasets"] = [
        DatasetMetadata(
            id="d1",
            type="project_csv",
            name="tickets",
            rows=728,
            features=["instruction", "intent"],
            location="/p/t.csv",
        )
    ]
    made.rows["models"] = [
        ModelMetadata(id="m1", type="project", name="SmolLM2", family="LlamaForCausalLM", location="/p/m")
    ]
    made.rows["prompts"] = [
        PromptMetadata(
            id="p1",
            name="actions",
            dataset_id="d1",
            prompt_template="{a} {b}",
            input_template="{a}",
            completion_template=" {b}",
        )
    ]
    made.rows["runners"] = [
        RunnerMetadata(
            id="r1",
            incarnation=1,
            host="gpu-host",
            cpus=8,
            memory=64,
            free={"cpus": 6},
            telemetry={"memory_used": 12.0},
        )
    ]
    made.series = [
        MetricSeries(name="loss", steps=list(range(1, 41)), values=[4 / step for step in range(1, 41)], total=40)
    ]
    made.log = [
        LogLine(attempt=1, offset=1, at=NOW, text="691 rows to train on"),
        LogLine(attempt=1, offset=2, at=NOW, text="── training"),
    ]
    return made
