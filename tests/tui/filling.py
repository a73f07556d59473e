"""A studio in memory that adds what forms send, and shows rows: checked by the real rules, as the real one does."""

from __future__ import annotations

from typing import Any

from core.client import Answer
from core.drafts import Columns, draft
from core.errors import Refused
from core.messages.adapters import AdapterMetadata, AdapterReply
from core.messages.base import Message
from core.messages.browsing import Entry, FilesReply, RowsReply
from core.messages.configs import ConfigMetadata, ConfigReply
from core.messages.datasets import DatasetMetadata, DatasetReply
from core.messages.evaluation import EvaluationBatchReply
from core.messages.models import ModelMetadata, ModelReply
from core.messages.prompt_generation import GeneratedPrompt, PromptPreview
from core.messages.prompts import PromptFields, PromptMetadata, PromptReply
from core.rendering import rendered
from core.rules import Breach, check, refusing
from core.types import LossOn
from tests.tui.fake import FakeStudio

ROWS = [
    {"instruction": "Where is my parcel?", "intent": "track_parcel"},
    {"instruction": "I want my money back", "intent": "refund"},
    {"instruction": "Cancel the order\nof yesterday", "intent": "cancel_order"},
]
FILES = ["data/", "models/", "tickets.csv", "tickets-2.csv", "notes.txt"]


class FormStudio(FakeStudio):
    """`files` and `data` are the project's; `refusal` is what the studio says beyond the local rules."""

    def __init__(self) -> None:
        super().__init__()
        self.files = [Entry(path=path) for path in FILES]
        self.data: list[dict[str, Any]] = list(ROWS)
        self.keys: list[str | None] = []

    def ask(self, message: Message[Any], *, key: str | None = None, timeout: float | None = None) -> Answer[Any]:
        """Keys are what tells that something is sent again."""
        self.keys.append(key)
        return super().ask(message, key=key, timeout=timeout)

    def _value(self, message: Any) -> Any:
        make = getattr(self, f"_{type(message).__name__}", None)
        if make is None:
            return super()._value(message)
        if breaches := [*refusing(check(message)), *self.refusal]:
            raise Refused.because(breaches)
        return make(message)

    def _ListFiles(self, message: Any) -> FilesReply:  # by the message's name
        return FilesReply(files=[each for each in self.files if each.path.startswith(message.beginning)])

    def _PreviewDataset(self, message: Any) -> RowsReply:
        if message.location and message.location not in [each.path for each in self.files]:
            breach = Breach(rule="DS-106", field="location", message=f"{message.location} does not exist as a file")
            raise Refused.because([breach])
        shown = self.data[message.after : message.after + message.limit]
        return RowsReply(
            name="tickets",
            columns=list(self.data[0]),
            column_types=dict.fromkeys(self.data[0], "string"),
            rows=shown,
            after=message.after,
            has_more=len(self.data) > message.after + len(shown),
            total=len(self.data) if message.dataset_id else None,
            split=message.split or "train",
            splits={"train": len(self.data), "test": 1} if message.dataset_id else {},
        )

    def _AddDataset(self, message: Any) -> DatasetReply:
        row = DatasetMetadata(
            id="d-new",
            type=message.type,
            name=message.own_name,
            location=message.location,
            features=list(self.data[0]),
            rows=len(self.data),
            preview=self.data,
        )
        self.rows["datasets"].append(row)
        return DatasetReply(dataset=row)

    def _GetDataset(self, message: Any) -> DatasetReply:
        row = next(row for row in self.rows["datasets"] if row.id == message.id)
        return DatasetReply(dataset=row.model_copy(update={"preview": self.data}))

    def _AddModel(self, message: Any) -> ModelReply:
        row = ModelMetadata(id="m-new", type=message.type, name=message.own_name, location=message.location)
        self.rows["models"].append(row)
        return ModelReply(model=row)

    def _GetModel(self, message: Any) -> ModelReply:
        return ModelReply(model=next(row for row in self.rows["models"] if row.id == message.id))

    def _AddAdapter(self, message: Any) -> AdapterReply:
        row = AdapterMetadata(id="a-new", type=message.type, name=message.name, model_id=message.model_id)
        self.rows["adapters"].append(row)
        return AdapterReply(adapter=row)

    def _AddConfig(self, message: Any) -> ConfigReply:
        row = ConfigMetadata(id="c-new", type=message.type, config=message.config, description=message.description)
        self.rows["configs"].append(row)
        return ConfigReply(config=row)

    def _AddPrompt(self, message: Any) -> PromptReply:
        row = PromptMetadata(**{**message.prompt.model_dump(), "id": "p-new"})
        self.rows["prompts"].append(row)
        return PromptReply(prompt=row)

    def _GetPrompt(self, message: Any) -> PromptReply:
        return PromptReply(prompt=next(row for row in self.rows["prompts"] if row.id == message.id))

    def _GeneratePrompt(self, message: Any) -> GeneratedPrompt:
        made = draft(Columns(list(self.data[0]), self.data, is_chat=False), None)
        templates = {name: getattr(made, name) for name in ("prompt_template", "input_template", "completion_template")}
        prompt = PromptFields(name="tickets: intent", dataset_id=message.dataset_id, **templates)
        return GeneratedPrompt(prompt=prompt, style="columns", output_column=made.output)

    def _PreviewPrompt(self, message: Any) -> PromptPreview:
        stored = next((row for row in self.rows["prompts"] if row.id == message.prompt_id), message)
        templates = {
            name: getattr(message, name) or getattr(stored, name)
            for name in ("prompt_template", "input_template", "completion_template")
        }
        made = rendered(templates, self.data[message.row], LossOn.all)
        return PromptPreview(
            **vars(made), eos="<eos>", row=message.row, rows=len(self.data), values=self.data[message.row]
        )

    def _StartEvaluationJob(self, message: Any) -> EvaluationBatchReply:
        return EvaluationBatchReply(parent_job_id="b-new", evaluation_jobs=[])


def tickets() -> FormStudio:
    """With a dataset, a model, a prompt and jobs."""
    from tests.tui.fake import filled
    from tests.tui.rows import plan

    made, given = FormStudio(), filled()
    made.rows, made.plan = given.rows, plan()
    made.rows["prompts"] = [
        PromptMetadata(
            id="p1",
            name="actions",
            dataset_id="d1",
            prompt_template="Ticket: {instruction}\nAction: {intent}",
            input_template="Ticket: {instruction}\nAction:",
            completion_template=" {intent}",
        )
    ]
    made.rows["configs"] = [
        ConfigMetadata(id="c1", type="lora_config", description="small", config='{"r": 16}', is_default=1)
    ]
    return made
