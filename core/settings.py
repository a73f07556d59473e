"""What the environment says: `FTS_*`, and the guide's own names (docs/settings.md is generated from this)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator

from core.settings_cml import Workbench

SCHEMES = ("unix://", "redis://", "rediss://")


class BadSettings(ValueError):
    """Settings that can't be read; tells each by the variable that holds it."""


class Settings(Workbench):
    """The studio's settings, read from the environment once a process; secrets are never printed."""

    home: Path = Field(Path(".app"), description="The studio's own directory: store, artifacts, logs, embedded Valkey.")
    project: Path = Field(Path(), description="The directory that relative paths of users start from.")
    allowed_roots: list[Path] = Field(
        default_factory=list, description="More directories that users' paths may lie in (JSON list)."
    )
    external_redis_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("FTS_REDIS_URL"),
        description="Valkey or Redis to use instead of the embedded one.",
    )
    queue_listen: str | None = Field(
        None,
        pattern=r"^[^\s\"]+:\d{1,5}$",
        description="ADDRESS:PORT where the embedded Valkey listens too, behind a password in FTS_HOME that only its owner reads: for other hosts that share FTS_HOME.",
    )
    procfile: Path | None = Field(
        None, description="Which processes `fts up` runs; the directory's Procfile without it, else the shipped one."
    )
    namespace: str = Field("fts", description="Prefix of every key in Valkey or Redis.")
    database_url: SecretStr | None = Field(None, description="SQLAlchemy URL; SQLite in FTS_HOME without it.")
    sqlite_db: Path | None = Field(
        None, validation_alias=AliasChoices("FINE_TUNING_STUDIO_SQLITE_DB"), description="SQLite file."
    )
    pool_size: int = Field(5, description="PostgreSQL: connections kept (guide, DAO).")
    max_overflow: int = Field(10, description="PostgreSQL: connections beyond pool_size.")
    pool_timeout: float = Field(30, description="PostgreSQL: seconds to wait for a connection.")
    pool_recycle: int = Field(1800, description="PostgreSQL: seconds before a connection is renewed.")
    artifacts: Path | None = Field(
        None, description="Where attempts, checkpoints and results lie; FTS_HOME/artifacts without it."
    )
    adapters_dir: Path = Field(
        Path("data/adapters"),
        validation_alias=AliasChoices("FTS_ADAPTERS_DIR", "CUSTOM_LORA_ADAPTERS_DIR"),
        description="Default out_dir.",
    )
    exports_dir: Path = Field(
        Path("data/exports"), description="Where exports of type merged go by default; relative to FTS_PROJECT."
    )
    scripts_dir: Path = Field(
        Path("scripts"),
        description="The only directory whose scripts a job may run (user_script); relative to FTS_PROJECT.",
    )
    vllm: str = Field(
        "vllm", description="The vLLM executable of a runner: endpoints with engine vllm run where it is found."
    )
    metric_seconds: float = Field(
        300, gt=0, description="How long a metric of a user's own may take for the answers of one combination."
    )
    toxicity_model: str | None = Field(
        None,
        description="Text classification model (a directory, or a name on the Hub) that tells how toxic an evaluation's answers are; not scored without it.",
    )
    hub_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("HUGGINGFACE_ACCESS_TOKEN", "HF_TOKEN"),
        description="Token of the Hugging Face Hub.",
    )
    project_defaults: Path | None = Field(
        None,
        validation_alias=AliasChoices("FTS_PROJECT_DEFAULTS", "FINE_TUNING_STUDIO_PROJECT_DEFAULTS"),
        description="JSON file of the resources that a new studio begins with; the shipped ones without it.",
    )
    threads: int = Field(8, description="Worker threads of an actors process.")
    lease_seconds: float = Field(30, description="How long a job stays with a runner that says nothing.")
    max_losses: int = Field(
        3,
        ge=0,
        description="How often a job is run again by itself after its process died or its runner was lost, with no further checkpoint between.",
    )
    oom_retry: bool = Field(
        True,
        description="Whether a training that runs out of memory goes on with smaller micro-batches and the same effective batch.",
    )
    report_seconds: float = Field(5, description="How often an idle runner reports.")
    runner_name: str | None = Field(None, description="What this runner is called; the host's name without it.")
    runner_address: str | None = Field(
        None, description="Where other runners reach this one, for jobs that several do together; found without it."
    )
    runner_labels: dict[str, str] = Field(
        default_factory=dict,
        description='What this runner is for (JSON), as {"gpu_label_id": "3"}; "any": every label, "only:3": no job without it.',
    )
    runner_cpus: int | None = Field(None, description="CPU cores that this runner lends to jobs; all without it.")
    runner_memory: float | None = Field(None, description="GiB that this runner lends to jobs; all without it.")
    patience_seconds: float = Field(
        300, description="How long a job waits while others pass it by before a runner keeps room for it."
    )
    preempt: bool = Field(
        False, description="Whether a job pauses those of lower priority when it fits nowhere; they go on later."
    )
    ageing_hours: float = Field(24, description="Hours of waiting that count as one step of priority; 0: never.")
    comparison_quiet_seconds: float = Field(
        60,
        ge=0,
        description="How long nobody may have asked a comparison before it ends for a job that needs its room.",
    )
    keep_events: int = Field(100_000, description="Newest events kept in the log.")
    keep_messages: int = Field(
        100_000, ge=0, description="Newest lines kept in the log of messages: what was sent, and how it was answered."
    )
    keep_inbox_hours: float = Field(72, description="How long a command's key and reply are remembered.")
    keep_metrics_days: float = Field(365, description="How long the metrics of finished jobs are kept.")
    keep_checkpoints: int = Field(
        2,
        ge=1,
        description="Newest checkpoints kept in an attempt of a training; an older one goes when another is whole.",
    )
    keep_checkpoints_days: float = Field(
        30,
        ge=0,
        description="How long the checkpoints of a job are kept after its end: run again later it begins anew. 0: for ever.",
    )
    keep_job_files_days: float = Field(
        365,
        ge=0,
        description="How long a job's directory (its log, an evaluation's answers) is kept after its end; adapters and models lie elsewhere and stay. 0: for ever.",
    )
    keep_notifications_days: float = Field(
        30, gt=0, description="How long it is remembered which end of a job was told to whom."
    )
    notify_terminal: Literal["off", "bell", "osc9", "osc777"] = Field(
        "bell", description="How the dashboard tells its terminal that a job ended (docs/notifications.md)."
    )
    notify_jobs: Literal["all", "watched"] = Field(
        "all", description="Which jobs' ends it tells: every job's, or those that were opened in it."
    )
    notify_webhook: SecretStr | None = Field(
        None, description="URL (http or https) that the studio posts to when a job ends; a secret."
    )
    notify_webhook_secret: SecretStr | None = Field(
        None, description="What those posts are signed with (HMAC-SHA256); not signed without it."
    )
    notify_command: list[str] = Field(
        default_factory=list,
        description='Command (JSON list) that the studio runs when a job ends, as ["/usr/bin/notify-send", "a job ended"].',
    )
    notify_seconds: float = Field(
        10, gt=0, le=20, description="How long the webhook may take to answer, and the command to end."
    )
    notify_hours: float = Field(
        24, gt=0, description="How long after a job's end it is tried again to tell of it, before it is given up."
    )
    reply_timeout: float = Field(30, description="Seconds a client waits for a reply.")
    tracking: bool = Field(True, description="Whether runners write MLflow runs.")
    mlflow_tracking_uri: str | None = Field(
        None,
        validation_alias=AliasChoices("FTS_MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI"),
        description="SQLite in FTS_HOME without it.",
    )
    mlflow_registry_uri: str | None = Field(
        None,
        validation_alias=AliasChoices("FTS_MLFLOW_REGISTRY_URI", "MLFLOW_REGISTRY_URI"),
        description="MLflow's model registry, when it is not beside the tracking store.",
    )

    @field_validator("external_redis_url")
    @classmethod
    def _known_scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(SCHEMES):
            raise ValueError(f"it must begin with {', '.join(SCHEMES)}")
        return value

    @field_validator("notify_webhook")
    @classmethod
    def _posts_to(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value is not None else None
        if parts is not None and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("it must be a URL that begins with http:// or https:// and names a host")
        return value

    @field_validator("notify_command")
    @classmethod
    def _runs(cls, value: list[str]) -> list[str]:
        if value and (not value[0].strip() or any("\0" in each for each in value)):
            raise ValueError("it must begin with the name of a program, and hold no NUL")
        return value

    @property
    def notify_targets(self) -> tuple[str, ...]:
        """To whom the end of a job is told: webhook, command."""
        named = {"webhook": self.notify_webhook is not None, "command": bool(self.notify_command)}
        return tuple(name for name, told in named.items() if told)

    @property
    def root(self) -> Path:
        """FTS_HOME as an absolute path."""
        return self.home.expanduser().resolve()

    @property
    def ageing_seconds(self) -> float:
        """ageing_hours in seconds."""
        return self.ageing_hours * 3600

    @property
    def redis_url(self) -> str:
        """Where the queue is: FTS_REDIS_URL, else the embedded server's socket."""
        if self.external_redis_url is not None:
            return self.external_redis_url.get_secret_value()
        from core.queue.embedded import url  # late: most readers of settings never need it

        return url(self.root)

    @property
    def started_by(self) -> str:
        """What starts the studio: a command, but in a project of Cloudera ML its application."""
        alone = self.cdsw_project_id is None or self.procfile is not None
        return "`fts up` starts it" if alone else "start its application under Applications in Cloudera ML"

    @property
    def secrets(self) -> list[str]:
        """What is secret here, by value: it is kept out of logs wherever it stands."""
        from core.queue import far  # late: most readers of settings never need it

        given = {name: each.get_secret_value() for name, each in self if isinstance(each, SecretStr)}
        urls = [given.pop(name) for name in ("external_redis_url", "database_url") if name in given]
        if self.external_redis_url is None and (door := far.read(self.home.expanduser())) is not None:
            urls.append(door.url)
        return [each for each in (*given.values(), *(unquote(urlsplit(url).password or "") for url in urls)) if each]

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+pysqlite:///{(self.sqlite_db or self.root / 'state.db').expanduser().resolve()}"

    @property
    def artifacts_root(self) -> Path:
        """The directory of attempts and results, absolute."""
        return (self.artifacts or self.root / "artifacts").expanduser().resolve()

    @property
    def scripts_root(self) -> Path:
        """The directory of the scripts that jobs may run, absolute."""
        return (self.project.resolve() / self.scripts_dir.expanduser()).resolve()

    def is_own(self, path: Path) -> bool:
        """Whether a path lies where no request writes: the store, the artifacts, FTS_HOME unless the project is in there, the scripts."""
        scheme, _, file = self.store_url.partition(":///")
        if scheme.startswith("sqlite") and str(path).startswith(str(Path(file).resolve())):  # state.db-wal too
            return True
        own = [self.artifacts_root] if self.roots[0].is_relative_to(self.root) else [self.artifacts_root, self.root]
        return any(path.is_relative_to(each) for each in [*own, self.scripts_root])

    @property
    def adapters_root(self) -> Path:
        """The directory that adapters are put into by default, absolute."""
        return (self.project.resolve() / self.adapters_dir.expanduser()).resolve()

    @property
    def exports_root(self) -> Path:
        """The directory that merged models are put into by default, absolute."""
        return (self.project.resolve() / self.exports_dir.expanduser()).resolve()

    @property
    def defaults_file(self) -> Path:
        """The file of the project defaults."""
        shipped = Path(__file__).resolve().parent.parent / "configs" / "project_defaults.json"
        return (self.project_defaults or shipped).expanduser().resolve()

    @property
    def roots(self) -> list[Path]:
        """The directories that users' paths may lie in; relative paths start from the first."""
        return [self.project.resolve(), *(path.expanduser().resolve() for path in self.allowed_roots)]

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking store."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def registry_uri(self) -> str:
        """MLflow's model registry."""
        return self.mlflow_registry_uri or self.tracking_uri


def read() -> Settings:
    """The settings as the environment says now; raises BadSettings."""
    try:
        return Settings()
    except ValidationError as error:
        raise BadSettings("; ".join(_told(dict(each)) for each in error.errors())) from None


def _told(wrong: dict[str, Any]) -> str:
    """What is wrong with a setting, without its value: it may be a secret."""
    name = str(wrong["loc"][0])
    variable = name if name.isupper() else f"FTS_{name.upper()}"
    return f"{variable}: {wrong['msg'].removeprefix('Value error, ')} (docs/settings.md)"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process; raises BadSettings."""
    return read()
