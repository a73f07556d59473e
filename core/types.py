"""The enumerations of the domain. Values are what travels on the wire and what the tables hold (guide, "Type Enums")."""

from __future__ import annotations

from enum import StrEnum

# How names of metrics begin that tell what a job takes of its host; their steps are seconds of its run.
SYSTEM = "sys."


class DatasetType(StrEnum):
    """Where a dataset's rows come from."""

    huggingface = "huggingface"
    project = "project"
    project_csv = "project_csv"
    project_json = "project_json"
    project_jsonl = "project_jsonl"
    project_parquet = "project_parquet"


class ModelType(StrEnum):
    """Where a base model's weights come from."""

    huggingface = "huggingface"
    project = "project"
    model_registry = "model_registry"


class AdapterType(StrEnum):
    """Where an adapter's weights come from."""

    project = "project"
    huggingface = "huggingface"
    model_registry = "model_registry"


class PromptType(StrEnum):
    """How a prompt template is kept."""

    in_place = "in_place"


class PromptStyle(StrEnum):
    """How a prompt template is drafted from a dataset."""

    columns = "columns"
    chat = "chat"
    instruction = "instruction"
    classification = "classification"


class ConfigType(StrEnum):
    """What a configuration blob parameterises."""

    training_arguments = "training_arguments"
    bitsandbytes_config = "bitsandbytes_config"
    generation_config = "generation_config"
    lora_config = "lora_config"
    custom = "custom"
    axolotl = "axolotl"
    axolotl_dataset_formats = "axolotl_dataset_formats"


class FineTuningFrameworkType(StrEnum):
    """Which training engine runs a job."""

    legacy = "legacy"
    axolotl = "axolotl"


class ModelExportType(StrEnum):
    """Where a trained adapter is exported to."""

    model_registry = "model_registry"
    merged = "merged"
    huggingface = "huggingface"
    cml_model = "cml_model"


class PromotionState(StrEnum):
    """Where a promotion is (actors/promoting.py)."""

    waiting = "waiting"  # for the training
    evaluating = "evaluating"
    exporting = "exporting"
    promoted = "promoted"
    kept = "kept"  # what has the name is as good or better
    failed = "failed"


class EvaluationJobType(StrEnum):
    """Which evaluation engine runs a job."""

    mlflow = "mlflow"


class ModelFrameworkType(StrEnum):
    """The framework a model's weights are stored for."""

    pytorch = "pytorch"
    tensorflow = "tensorflow"
    onnx = "onnx"


class JobKind(StrEnum):
    """What a runner is asked to do."""

    fine_tuning = "fine_tuning"
    evaluation = "evaluation"
    export = "export"
    plan = "plan"
    endpoint = "endpoint"
    comparison = "comparison"


class EndpointEngine(StrEnum):
    """What computes an endpoint's answers: vLLM where a runner has it and a GPU is asked for, else the studio itself; or a model
    of Cloudera ML, which an export makes.
    """

    auto = "auto"
    studio = "studio"
    vllm = "vllm"
    cml_model = "cml_model"


class JobStatus(StrEnum):
    """The states of a job; actors/jobs.py holds the table of legal transitions."""

    queued = "queued"
    assigned = "assigned"
    running = "running"
    pausing = "pausing"
    paused = "paused"
    cancel_requested = "cancel_requested"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether nothing follows by itself; only RetryJob brings such a job back."""
        return self in {JobStatus.succeeded, JobStatus.failed, JobStatus.cancelled}

    @property
    def held(self) -> bool:
        """Whether a runner holds the job, under a lease."""
        return self in {JobStatus.assigned, JobStatus.running, JobStatus.pausing, JobStatus.cancel_requested}


class FailureClass(StrEnum):
    """Why a job ended badly, and so what helps (docs/jobs.md)."""

    user_error = "user_error"  # its inputs: data, configs, names
    out_of_memory = "out_of_memory"
    disk_full = "disk_full"
    runner_lost = "runner_lost"  # the host, its network or its daemon
    killed = "killed"  # the process died without a word
    stopped = "stopped"  # by someone, on Cloudera's own pages: the job is cancelled
    bug = "bug"  # a fault of the studio's, or of a library


class LossOn(StrEnum):
    """Which tokens of a row are learned."""

    all = "all"
    completion = "completion"
    assistant = "assistant"


class Method(StrEnum):
    """Which weights are trained: a small adapter's, or the model's own."""

    lora = "lora"
    full = "full"


class Verdict(StrEnum):
    """What a difference from the baseline is worth (core/verdicts.py)."""

    better = "better"
    worse = "worse"
    more = "more"
    less = "less"
    same = "same"
    unclear = "can't tell"


class RowOrder(StrEnum):
    """In which order the rows of an evaluation are told."""

    row = "row"
    worst = "worst"
    best = "best"
    differs = "differs"


class Order(StrEnum):
    """What a runner is told to do with a job it holds."""

    run = "run"
    stop = "stop"  # the attempt is not this runner's any more: kill it, report nothing of it
    cancel = "cancel"  # end it; its state becomes cancelled
    pause = "pause"  # save a checkpoint, end it; it goes on later


class Severity(StrEnum):
    """Whether a breach refuses the request or only informs."""

    ERROR = "ERROR"
    INFO = "INFO"


class Code(StrEnum):
    """Why a request has no value to answer with."""

    refused = "refused"
    not_found = "not_found"
    conflict = "conflict"
    expired = "expired"
    unavailable = "unavailable"
    internal = "internal"


class NotificationState(StrEnum):
    """How far it is that someone is told of a job's end."""

    waiting = "waiting"
    sent = "sent"
    given_up = "given_up"
