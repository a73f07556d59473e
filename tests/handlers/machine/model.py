"""The studio as plain dictionaries: table -> id -> row. What a row holds beside its columns begins with an underscore."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]
Tables = dict[str, dict[str, Row]]
Sent = tuple[str, str, str, int, Any]  # key, name, code, attempts, payload
Metrics = dict[tuple[str, str, int], tuple[float, int]]  # (job, name, step) -> value, attempt

# Which columns lead to which table. What goes empties the links to it (D-033).
_OF_A_JOB = {"base_model_id": "models", "dataset_id": "datasets", "prompt_id": "prompts", "adapter_id": "adapters"}
_CONFIGS = ("training_arguments_config", "lora_config", "model_bnb_config", "adapter_bnb_config", "user_config")
LINKS: dict[str, dict[str, str]] = {
    "datasets": {},
    "models": {"fine_tuning_job_id": "fine_tuning_jobs"},
    "configs": {},
    "prompts": {"dataset_id": "datasets"},
    "adapters": {"model_id": "models", "prompt_id": "prompts", "fine_tuning_job_id": "fine_tuning_jobs"},
    "fine_tuning_jobs": {
        **_OF_A_JOB,
        **{f"{name}_id": "configs" for name in (*_CONFIGS, "axolotl_config")},
        "trained_model_id": "models",
    },
    "evaluation_jobs": {
        **_OF_A_JOB,
        **{f"{name}_id": "configs" for name in ("model_bnb_config", "adapter_bnb_config", "generation_config")},
    },
    "export_jobs": {"base_model_id": "models", "adapter_id": "adapters", "generation_config_id": "configs"},
    "endpoints": {"base_model_id": "models", "generation_config_id": "configs"},
    "comparisons": {"base_model_id": "models", "dataset_id": "datasets", "prompt_id": "prompts"},
}
RESOURCES = ("datasets", "models", "prompts", "adapters", "configs")
ONES = ("fine_tuning_jobs", "export_jobs", "endpoints", "comparisons")  # rows that have the id of their job
WORK = ("evaluation_jobs", *ONES)
TABLES = (*RESOURCES, *WORK, "jobs", "runners")
ENDS = ("succeeded", "failed", "cancelled")
HELD = ("assigned", "running", "pausing", "cancel_requested")

# What a row has beside its columns: the directory that a job wrote, and the columns of a prompt that a job brought along.
OWN: dict[str, Row] = {
    "adapters": {"_made": None},
    "prompts": {"_auto": None},
    "models": {"fine_tuning_job_id": None},
    "datasets": {"_chat": False, "_splits": (), "_count": None},
}


class Model:
    """What the studio must hold; `touched` and `said` are what the last command did: rows, and events."""

    def __init__(self, tables: Tables, marker: str) -> None:
        self.tables = tables
        self.marker = marker
        self.metrics: Metrics = {}
        self.touched: set[tuple[str, str]] = set()
        self.said: list[tuple[str, str, str]] = []
        self.made: set[str] = set()  # directories of adapters that jobs wrote
        self.trainings: dict[str, Row] = {}  # what jobs were to learn; it stays when they go
        self.data: dict[
            str, tuple[str | None, str | None]
        ] = {}  # the hash and revision of every dataset that there was
        self.hub_away = self.registry_away = self.cloudera = False
        self.exported: Tables | None = None  # what export.json holds
        self.log: list[Sent] = []  # the log of messages
        self.history: dict[int, dict[str, Row]] = {}  # the last event of each step -> the jobs' rows then
        self.letters: set[str] = set()
        self.requeued: dict[str, tuple[str | None, str]] = {}  # letter -> how it went out

    def begin(self) -> None:
        """Forget what the command before did."""
        self.touched.clear()
        self.said.clear()

    def get(self, table: str, id: str | None) -> Row | None:
        """The row of that id."""
        return self.tables[table].get(id) if id is not None else None

    def find(self, table: str, **equal: object) -> list[str]:
        """The ids of the rows that have those values."""
        rows = self.tables[table].items()
        return [id for id, row in rows if all(row.get(name) == value for name, value in equal.items())]

    def taken(self, table: str, name: str | None, column: str = "name", but: str | None = None) -> bool:
        """Whether another row than `but` has that name, blanks at its ends aside."""
        wanted = (name or "").strip()
        return bool(wanted) and any(id != but for id in self.find(table, **{column: wanted}))

    def put(self, table: str, id: str, **row: Any) -> None:
        """Add a row."""
        assert id not in self.tables[table], f"{table} has {id} already"
        self.tables[table][id] = {"id": id, **OWN.get(table, {}), **row}
        self.touched.add((table, id))

    def change(self, table: str, id: str, **values: Any) -> None:
        """Change a row."""
        self.tables[table][id].update(values)
        self.touched.add((table, id))

    def drop(self, table: str, id: str) -> None:
        """Remove a row, and empty the links to it."""
        del self.tables[table][id]
        self.touched.add((table, id))
        for other, links in LINKS.items():
            for column in (name for name, target in links.items() if target == table):
                for linked in self.find(other, **{column: id}):
                    self.change(other, linked, **{column: None})

    def linked(self, table: str) -> list[str]:
        """The ids of the rows that others lead to, in the table's order."""
        columns = [(other, name) for other, links in LINKS.items() for name, target in links.items() if target == table]
        named = {row[name] for other, name in columns for row in self.tables[other].values()}
        return [id for id in self.tables[table] if id in named]

    def noted(self, job: str, dataset: str, split: float, eval_split: str | None) -> None:
        """A training will learn that part of a dataset."""
        row = self.tables["datasets"][dataset]
        hub = (row["huggingface_name"], row["config_name"]) if row["huggingface_name"] else None
        self.trainings[job] = {"dataset": dataset, "hub": hub, "split": split, "eval_split": eval_split}
        self.touched.add(("trainings", job))

    def forget(self, job: str) -> None:
        """A job's numbers go with it."""
        self.metrics = {key: value for key, value in self.metrics.items() if key[0] != job}

    def say(self, type: str, kind: str, id: str) -> None:
        """Expect an event."""
        self.said.append((type, kind, id))

    def unfinished(self, job: str | None) -> bool:
        """Whether that job is there and has not ended."""
        row = self.get("jobs", job)
        return row is not None and row["status"] not in ENDS

    def used(self, table: str, ids: Iterable[str]) -> bool:
        """Whether an unfinished job uses one of the rows."""
        wanted = set(ids)
        served = (row for row in self.tables["endpoints"].values() if self.unfinished(row["id"]))
        if table == "adapters" and any(wanted & set(row["adapter_ids"]) for row in served):
            return True
        compared = (row for row in self.tables["comparisons"].values() if self.unfinished(row["id"]))
        if table == "adapters" and any(wanted & set(row["_voices"]) for row in compared):
            return True
        for work, job in (("evaluation_jobs", "parent_job_id"), *((each, "id") for each in ONES)):
            for column in (name for name, target in LINKS[work].items() if target == table):
                if any(row[column] in wanted and self.unfinished(row[job]) for row in self.tables[work].values()):
                    return True
        return False

    def batch(self, parent: str) -> list[Row]:
        """The evaluations of a batch, in order."""
        rows = (self.tables["evaluation_jobs"][id] for id in self.find("evaluation_jobs", parent_job_id=parent))
        return sorted(rows, key=lambda row: (row["run_number"] or 0, row["id"]))

    def kind(self, id: str | None) -> str:
        """What kind of work the job is; empty when there is none."""
        row = self.get("jobs", id)
        return "" if row is None else str(row["kind"])

    def columns(self, dataset: str | None) -> tuple[str, ...]:
        """The columns of a dataset; none when it is not there."""
        row = self.get("datasets", dataset)
        return () if row is None else tuple(row["_columns"])

    def held(self, runner: str) -> list[Row]:
        """The jobs that a runner holds."""
        jobs = self.tables["jobs"].values()
        return [job for job in jobs if job["runner_id"] == runner and job["status"] in HELD]

    def directory_of(self, job: Row) -> str | None:
        """Where the job's attempt writes its adapter; None when it trains none."""
        row = self.get("fine_tuning_jobs", job["id"])
        return None if row is None or not row["out_dir"] else f"{row['out_dir']}/{job['id']}/{job['attempt']}"

    def ordered(self, table: str) -> list[str]:
        """The ids of resources as they are listed: of unknown age first, then oldest first."""
        rows = self.tables[table].values()
        return [row["id"] for row in sorted(rows, key=age)]

    def content(self, kind: str, family: str | None, content: str) -> list[str]:
        """The configs of that type, family and content: one, or none."""
        return self.find("configs", type=kind, model_family=family, _content=content)


def age(row: Row) -> tuple[bool, float, str]:
    """What lists of resources are ordered by."""
    created = row["created_at"]
    return (created is not None, created or 0.0, row["id"])


def free_name(taken: Sequence[str], wanted: str) -> str:
    """The name that an imported row gets: its own, or the first of name-2, name-3, … that is free."""
    names = [wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)
