"""What lists of resources show: which message fills them, their columns, and what an empty one says."""

from __future__ import annotations

from dataclasses import dataclass

from tui.view import cells, words
from tui.view.cells import AGE, ID, Cell, Column, Row, text

JOBS = ("jobs", "evaluations", "comparisons", "exports")  # the lists whose rows are jobs


@dataclass(frozen=True)
class Remove:
    """What ctrl+d asks for a row: the message, what it removes (and what `many` of them are), and what stays.

    `id` is the field of a row that the message takes.
    """

    message: str
    noun: str
    stays: str
    id: str = "id"
    many: str = ""


@dataclass(frozen=True)
class Kind:
    """A list. `events` are the tables whose events change it; `live` lists are asked for again while something runs.

    `name_column` tells the rows apart and is cut last.
    """

    name: str
    title: str
    message: str
    field: str
    columns: tuple[Column, ...]
    events: frozenset[str]
    empty: str
    add: str | None = None
    live: bool = False
    remove: Remove | None = None
    name_column: int = 0

    @property
    def keys(self) -> str:
        """The keys that do something here, for the line at the bottom: at most 78 characters."""
        if self.name in JOBS:
            clone = ["C clone"] if self.name == "jobs" else []
            pause = ["p pause"] if self.name in ("jobs", "evaluations") else []  # what has steps to go on from
            return "  ".join(["enter open  n new", *pause, "c cancel  t try again", *clone, ": go to  ? help"])
        own = ["D drain"] if self.name == "runners" else []
        own = own or (["^d remove"] if self.remove else [])
        new = ["n new"] if self.add else []
        return "  ".join(["enter open", *new, "d describe", "/ filter", ": go to", *own, "? help", "q quit"])


JOB_EVENTS = frozenset({"jobs", "fine_tuning_jobs", "evaluation_jobs", "export_jobs", "runners"})

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "jobs",
            "Jobs",
            "ListFineTuningJobs",
            "fine_tuning_jobs",
            (
                Column("status", cells.state, "status"),
                text("adapter_name", 24, "adapter", "adapter_name"),
                Column("progress", cells.progress),
                Column("step", cells.steps),
                Column("loss", cells.loss),
                Column("left", cells.eta, gives=1),
                AGE,
                Column("runner", cells.runner, gives=1),
                ID,
            ),
            JOB_EVENTS,
            "No jobs yet.\n\nn starts one. It needs a dataset (:datasets),\na base model (:models) and a prompt (:prompts).",
            "StartFineTuningJob",
            live=True,
            remove=Remove("RemoveFineTuningJob", "job", "Adapters stay."),
            name_column=1,
        ),
        Kind(
            "evaluations",
            "Evaluations",
            "ListEvaluationJobs",
            "evaluation_jobs",
            (
                Column("status", cells.state, "status"),
                Column("combination", cells.combination),
                Column("scores", cells.first_scores),
                Column("progress", cells.progress),
                text("rows", 8, order="rows"),
                AGE,
                Column("batch", lambda row: (words.short(row.get("parent_job_id")), "dim")),
            ),
            JOB_EVENTS,
            "No evaluations yet.\n\nn scores base models and adapters on the same rows.",
            "StartEvaluationJob",
            live=True,
            remove=Remove(
                "RemoveEvaluationJob",
                "batch of evaluations",
                "Files stay.",
                "parent_job_id",
                "batches of evaluations",
            ),
            name_column=1,
        ),
        Kind(
            "comparisons",
            "Comparisons",
            "ListComparisons",
            "comparisons",
            (
                Column("status", cells.state, "status"),
                text("base_model_name", 24, "base model"),
                Column("adapters", cells.adapters),
                text("phase", 24),
                AGE,
                ID,
            ),
            JOB_EVENTS,
            "No comparisons yet.\n\nn holds a base model and adapters in memory,\nto be asked side by side.",
            "StartComparison",
            live=True,
            remove=Remove("RemoveComparison", "comparison", "What was said goes too."),
            name_column=2,
        ),
        Kind(
            "exports",
            "Export and Deploy",
            "ListExportJobs",
            "export_jobs",
            (
                Column("status", cells.state, "status"),
                text("model_name", 28, "name", "model_name"),
                text("adapter_name", 24, "adapter"),
                text("type", 14, order="type", gives=1),
                Column("progress", cells.progress),
                Column("where", cells.exported_to),
                AGE,
                ID,
            ),
            JOB_EVENTS,
            "No exports yet.\n\nn puts an adapter with its base model\ninto MLflow's registry, a directory, or the Hub.",
            "ExportModel",
            live=True,
            name_column=1,
        ),
        Kind(
            "endpoints",
            "Endpoints",
            "ListEndpoints",
            "endpoints",
            (
                Column("status", cells.state, "status"),
                text("name", 24, order="name"),
                Column("address", cells.address),
                text("requests", 9, order="requests"),
                Column("used", cells.used, "-last_used_at"),
                Column("models", cells.models, gives=1),
                ID,
            ),
            JOB_EVENTS,
            "No endpoints yet.\n\nn puts a base model and its adapters behind HTTP;\n`fts serve` does it from a shell.",
            "StartEndpoint",
            live=True,
            remove=Remove("RemoveEndpoint", "endpoint that is over", "Logs stay.", many="endpoints that are over"),
            name_column=1,
        ),
        Kind(
            "datasets",
            "Datasets",
            "ListDatasets",
            "datasets",
            (
                text("name", 28, order="name"),
                text("type", 14, order="type"),
                text("rows", 9, order="rows"),
                Column("columns", cells.features),
                Column("where", cells.place),
                ID,
            ),
            frozenset({"datasets"}),
            "No datasets yet.\n\nn adds a CSV, JSON, JSONL or Parquet file, or a dataset of the Hub.",
            "AddDataset",
            remove=Remove("RemoveDataset", "dataset", "Files stay."),
        ),
        Kind(
            "models",
            "Base Models",
            "ListModels",
            "models",
            (
                text("name", 28, order="name"),
                text("type", 14, order="type"),
                text("family", 22, order="family"),
                Column("where", cells.place),
                ID,
            ),
            frozenset({"models"}),
            "No base models yet.\n\nn adds a directory of the project, or a model of the Hub.",
            "AddModel",
            remove=Remove("RemoveModel", "base model", "Files stay."),
        ),
        Kind(
            "prompts",
            "Prompts",
            "ListPrompts",
            "prompts",
            (
                text("name", 24, order="name"),
                cells.of_template("input_template"),
                cells.of_template("completion_template"),
                ID,
            ),
            frozenset({"prompts"}),
            "No prompts yet.\n\nn writes one: text with {column} where a row's value goes.",
            "AddPrompt",
            remove=Remove("RemovePrompt", "prompt", "What was trained stays."),
        ),
        Kind(
            "adapters",
            "Adapters",
            "ListAdapters",
            "adapters",
            (
                text("name", 28, order="name"),
                text("type", 12, order="type"),
                Column("where", cells.place),
                AGE,
                ID,
            ),
            frozenset({"adapters"}),
            "No adapters yet.\n\nA job makes one (:jobs, then n); n here adds one that exists.",
            "AddAdapter",
            remove=Remove("RemoveAdapter", "adapter", "Files stay."),
        ),
        Kind(
            "configs",
            "Configs",
            "ListConfigs",
            "configs",
            (
                text("type", 22, order="type"),
                text("description", 26, order="description"),
                Column("content", cells.config),
                ID,
            ),
            frozenset({"configs"}),
            "No configs yet.\n\nn adds training arguments, LoRA, quantisation or generation settings.",
            "AddConfig",
            remove=Remove("RemoveConfig", "config", "Jobs carry their own copy."),
            name_column=1,
        ),
        Kind(
            "runners",
            "Runners",
            "ListRunners",
            "runners",
            (
                Column("status", cells.state),
                text("host", 24, "runner", "host"),
                Column("cores", cells.cores, "cpus"),
                Column("CPU", cells.cpu),
                Column("memory, GiB", cells.memory_of, "memory"),
                Column("GPUs", cells.gpus),
                Column("jobs", lambda row: (str(len(row.get("jobs") or [])), "")),
                Column("seen", lambda row: (words.age(row.get("last_seen_at")), "dim"), "-last_seen_at"),
                ID,
            ),
            JOB_EVENTS,
            "No runner has registered.\n\n`fts up` starts one on this machine.",
            live=True,
            name_column=1,
        ),
    )
}


def shown(kind: Kind, row: Row) -> list[Cell]:
    """A row's cells."""
    return [column.show(row) for column in kind.columns]
