"""Fine-tuning jobs: the request (its rules are in fine_tuning_rules.py), and what is known of a job (guide, "Fine-Tuning Job Lifecycle")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import AliasChoices, Field, model_validator

from core.messages.base import Command, Part, Query, Value
from core.messages.common import Count, Name, Page, PagedQuery, known, one_of_or_none, ordered
from core.messages.jobs import JobState
from core.presets import filled_in
from core.rules import World, rule
from core.splits import TRAIN
from core.types import ConfigType, FineTuningFrameworkType, JobStatus, LossOn, Method


class StoppedEarly(Value):
    """Where a job ended before its last step, since its held-out loss had not fallen for long enough."""

    step: int
    best_step: int | None = Field(None, description="The step with the lowest loss on the held-out rows.")
    best_eval_loss: float | None = None


class FineTuningJobMetadata(JobState):
    """A fine-tuning job: the request as it was accepted, config snapshots, and its state."""

    id: str
    adapter_name: str | None = None
    base_model_id: str | None = None
    dataset_id: str | None = None
    prompt_id: str | None = None
    num_workers: int | None = None
    cml_job_id: str | None = None
    adapter_id: str | None = None
    num_cpu: int | None = None
    num_gpu: int | None = None
    num_memory: int | None = None
    num_epochs: int | None = None
    learning_rate: float | None = None
    out_dir: str | None = None
    training_arguments_config_id: str | None = None
    model_bnb_config_id: str | None = None
    adapter_bnb_config_id: str | None = None
    lora_config_id: str | None = None
    training_arguments_config: str | None = None
    model_bnb_config: str | None = None
    adapter_bnb_config: str | None = None
    lora_config: str | None = None
    dataset_fraction: float | None = None
    train_test_split: float | None = None
    user_script: str | None = None
    user_config_id: str | None = None
    framework_type: str | None = None
    axolotl_config_id: str | None = None
    gpu_label_id: int | None = None
    auto_add_adapter: bool = True
    dist_cpu: int | None = None
    dist_gpu: int | None = None
    dist_mem: int | None = None
    max_length: int = 512
    packing: bool = True
    loss_on: str = LossOn.all.value
    length_grouped: bool = False
    method: str = Method.lora.value
    chat_template: bool = False
    train_splits: list[str] | None = None
    eval_split: str | None = None
    early_stopping_patience: int | None = None
    keep_best: bool = False
    preset: str | None = None
    stopped_early: StoppedEarly | None = None
    trained_model_id: str | None = Field(None, description="The model that full fine-tuning made.")


class FineTuningJobReply(Value):
    """One fine-tuning job."""

    fine_tuning_job: FineTuningJobMetadata


class FineTuningJobsReply(Page):
    """A page of fine-tuning jobs."""

    fine_tuning_jobs: list[FineTuningJobMetadata]


def _either(name: str, older: str) -> AliasChoices:
    return AliasChoices(name, older)


class FineTuningRequest(Part):
    """What a request says of a training: StartFineTuningJob does it, PlanFineTuningJob tells what would come of it."""

    adapter_name: Name = Field("", description="Name of the adapter to be: letters, digits and hyphens.")
    base_model_id: str = ""
    dataset_id: str = ""
    prompt_id: str | None = Field(
        None, description="Required for the legacy framework, but for conversations with chat_template."
    )
    framework_type: str = Field(FineTuningFrameworkType.legacy.value, json_schema_extra=known(FineTuningFrameworkType))
    num_epochs: Count | None = Field(None, description="Overrides the training arguments; none: theirs.")
    learning_rate: float | None = Field(None, description="Overrides the training arguments; none: theirs.")
    dataset_fraction: float = Field(1.0, description="Share of the rows that is used, in (0, 1].")
    train_test_split: float = Field(
        0.9, description="Share of the used rows that is trained on, in (0, 1]; 1 holds none out."
    )
    num_cpu: Count = Field(2, validation_alias=_either("num_cpu", "cpu"), description="CPU cores.")
    num_gpu: Count = Field(1, validation_alias=_either("num_gpu", "gpu"), description="GPUs; 0 trains on the CPU.")
    num_memory: Count = Field(8, validation_alias=_either("num_memory", "memory"), description="Memory in GiB.")
    num_workers: Count = Field(1, description="Worker processes of distributed training.")
    dist_cpu: Count | None = Field(None, description="CPU cores a worker; none: num_cpu.")
    dist_gpu: Count | None = Field(None, description="GPUs a worker; none: num_gpu.")
    dist_mem: Count | None = Field(None, description="GiB a worker; none: num_memory.")
    gpu_label_id: Count = Field(-1, description="Accelerator label; -1: any.")
    out_dir: str | None = Field(
        None,
        validation_alias=_either("out_dir", "output_dir"),
        description="Existing directory for the adapter; none: data/adapters.",
    )
    auto_add_adapter: bool = Field(True, description="Register the adapter, or the model, when it is trained.")
    training_arguments_config_id: str | None = None
    training_arguments_config: str | None = Field(None, description="Inline JSON; wins over the id.")
    lora_config_id: str | None = None
    lora_config: str | None = Field(None, description="Inline JSON; wins over the id.")
    model_bnb_config_id: str | None = None
    model_bnb_config: str | None = Field(None, description="Inline JSON; wins over the id.")
    adapter_bnb_config_id: str | None = None
    adapter_bnb_config: str | None = Field(None, description="Inline JSON; wins over the id.")
    user_script: str | None = Field(None, description="Script of the allow-listed directory that trains instead.")
    user_config_id: str | None = None
    user_config: str | None = Field(None, description="Inline JSON; wins over the id.")
    axolotl_config_id: str | None = Field(None, description="Required for the axolotl framework.")
    max_length: int = Field(512, description="Longest row in tokens; longer ones are cut.")
    packing: bool = Field(True, description="Pack several rows into one sequence.")
    loss_on: str = Field(
        LossOn.all.value,
        json_schema_extra=known(LossOn),
        description="all: every token is learned; completion: only the completion's (of a conversation the last answer's); "
        "assistant: of a conversation all that the assistant says.",
    )
    length_grouped: bool = Field(False, description="Batch rows of like length.")
    method: str = Field(
        Method.lora.value,
        json_schema_extra=known(Method),
        description="lora: an adapter is trained (QLoRA with a model_bnb_config); full: all weights of the model.",
    )
    chat_template: bool = Field(
        False,
        description="Write rows with the model's own chat template: conversations as they are, else the prompt's input as "
        "the user's turn and its completion as the assistant's.",
    )
    train_splits: list[str] | None = Field(None, description="Splits that are trained on, joined; none: train.")
    eval_split: str | None = Field(None, description="The split that is held out; none: validation, eval or test.")
    early_stopping_patience: int | None = Field(
        None, description="Stop after so many evaluations without a lower loss on the held-out rows; none: never."
    )
    keep_best: bool = Field(False, description="Save the weights that had the lowest loss on the held-out rows.")
    preset: str | None = Field(
        None, description="guide or fast: the values of fields that the request leaves out (docs/training.md)."
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher runs earlier.")
    promote_as: str | None = Field(
        None,
        description="Register the adapter with its base model under this name in MLflow, as champion, if it is better than the one that has it.",
    )
    promote_metric: str = Field("exact_match", description="By which metric of an evaluation it is to be better.")
    promote_dataset_id: str | None = Field(
        None, description="The dataset that both are evaluated on; none: the held-out rows of the training's own."
    )
    promote_prompt_id: str | None = Field(None, description="The prompt for it; none: the training's.")

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any) -> Any:
        """What is left out comes from the preset, before anything is checked: what is checked, shown and stored is what runs."""
        return filled_in(given)

    @property
    def splits(self) -> list[str]:
        """The splits that are trained on."""
        return [TRAIN] if self.train_splits is None else self.train_splits


class StartFineTuningJob(FineTuningRequest, Command[FineTuningJobReply]):
    """Train a LoRA adapter, or a whole model: the job is queued, handed to a runner with room, its result registered at the end."""

    RULES: ClassVar[str | None] = "core.messages.fine_tuning_rules"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        "adapter_name": "tickets-1",
        "base_model_id": "m",
        "dataset_id": "d",
        "prompt_id": "p",
    }


class GetFineTuningJob(Query[FineTuningJobReply]):
    """Return one fine-tuning job by its id."""

    id: str


class ListFineTuningJobs(PagedQuery[FineTuningJobsReply]):
    """Return fine-tuning jobs, newest first."""

    order: str | None = ordered("name", "adapter_name", "status", "priority", "created_at", "started_at", "finished_at")
    name_contains: str | None = Field(
        None, description="Only jobs whose name, or adapter's name, contains this text, in upper or lower case."
    )
    status: str | None = Field(None, description="Only jobs in this state.", json_schema_extra=known(JobStatus))
    dataset_id: str | None = Field(None, description="Only jobs that train on this dataset.")
    base_model_id: str | None = Field(None, description="Only jobs that train this base model.")
    framework_type: str | None = Field(
        None, description="Only jobs of this framework.", json_schema_extra=known(FineTuningFrameworkType)
    )


@rule(ListFineTuningJobs, "FT-125", "status", passes=[{}, {"status": "queued"}], fails=[{"status": "done"}])
def _listed_status(message: ListFineTuningJobs, world: World) -> Iterator[str]:
    """a list is filtered by a state that there is"""
    yield from one_of_or_none(message.status, JobStatus, "status")


@rule(
    ListFineTuningJobs,
    "FT-001",
    "framework_type",
    passes=[{}, {"framework_type": "axolotl"}],
    fails=[{"framework_type": "deepspeed"}],
)
def _listed_framework(message: ListFineTuningJobs, world: World) -> Iterator[str]:
    """a list is filtered by a framework that there is"""
    yield from one_of_or_none(message.framework_type, FineTuningFrameworkType, "framework_type")


# Config fields of the request: (stem, type of config). Each has `<stem>_id` and the inline `<stem>`.
CONFIG_FIELDS: tuple[tuple[str, ConfigType], ...] = (
    ("training_arguments_config", ConfigType.training_arguments),
    ("lora_config", ConfigType.lora_config),
    ("model_bnb_config", ConfigType.bitsandbytes_config),
    ("adapter_bnb_config", ConfigType.bitsandbytes_config),
    ("user_config", ConfigType.custom),
)
