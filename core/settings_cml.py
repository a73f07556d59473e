"""What the environment says of Cloudera ML: how the runner of kind cml uses it (`FTS_CML_*`), and what a workbench tells of itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

OWN = (
    "cdsw_api_url", "cdsw_apiv2_key", "cdsw_api_key", "cdsw_project_url", "cdsw_project_id", "cdsw_app_port",
    "cdsw_engine_type", "cdsw_domain", "cdsw_ip_address", "project_owner", "is_composable",
)  # fmt: skip


def _own(name: str, text: str) -> Any:
    """A variable that a workbench sets; it may be there and be empty."""
    return Field(None, validation_alias=AliasChoices(name), description=f"Cloudera ML's own: {text}.")


class Workbench(BaseSettings):
    """The part of the settings that says something inside a workbench of Cloudera ML only."""

    # Forms, compose files and workbenches set variables to nothing where nothing is meant.
    model_config = SettingsConfigDict(env_prefix="FTS_", extra="ignore", populate_by_name=True, env_ignore_empty=True)

    cml_training_template: str = Field(
        "Finetuning_Base_Job",
        description="Cloudera ML: the job that fine-tunings, exports and endpoints take script and runtime from; Accel_Finetuning_Base_Job when there is none of that name.",
    )
    cml_evaluation_template: str = Field(
        "Mlflow_Evaluation_Base_Job",
        description="Cloudera ML: the job that evaluations take script and runtime from.",
    )
    cml_evaluation: Literal["child", "batch"] = Field(
        "child",
        description="Cloudera ML: whether each combination of an evaluation is a run of its own, or one run does the batch.",
    )
    cml_cpus: float = Field(16, gt=0, description="Cloudera ML: CPU cores that the runs of this studio take together.")
    cml_memory: float = Field(64, gt=0, description="Cloudera ML: GiB that the runs of this studio take together.")
    cml_gpus: int = Field(4, ge=0, description="Cloudera ML: GPUs that the runs of this studio take together.")
    cml_gpu_memory: float = Field(
        0,
        ge=0,
        description="Cloudera ML: GiB of one GPU there, for what is told of a job's fit; 0: not known.",
    )
    cml_jobs: int = Field(8, ge=1, description="Cloudera ML: runs of this studio at once, at most.")
    cml_timeout: int = Field(
        0, ge=0, description="Cloudera ML: seconds after which a run is ended there; 0: the workbench's own limit."
    )
    cml_keep_days: float = Field(
        30,
        ge=0,
        description="Cloudera ML: days after its last run that a job of ours stays listed there with its runs; 0: until it is removed in the studio.",
    )
    cml_poll: float = Field(5, gt=0, description="Cloudera ML: seconds between two looks at a run.")
    cml_seconds: float = Field(
        20, gt=0, description="Cloudera ML: seconds that its API may take for an answer before it is asked again."
    )
    cml_model_service: str | None = Field(
        None,
        description="Cloudera ML: where its models are called; https://modelservice.CDSW_DOMAIN/model without it.",
    )
    cdsw_api_url: str | None = _own("CDSW_API_URL", "where its API is")
    cdsw_apiv2_key: SecretStr | None = _own("CDSW_APIV2_KEY", "what lets the studio in there; a secret")
    cdsw_api_key: SecretStr | None = _own("CDSW_API_KEY", "what lets it into the older API; a secret")
    cdsw_project_url: str | None = _own("CDSW_PROJECT_URL", "the project in the older API")
    cdsw_project_id: str | None = _own("CDSW_PROJECT_ID", "the project that the studio runs in there")
    cdsw_app_port: int | None = _own("CDSW_APP_PORT", "the port that an application's page is served on")
    cdsw_engine_type: str | None = _own("CDSW_ENGINE_TYPE", "what kind of pod this is")
    cdsw_domain: str | None = _own("CDSW_DOMAIN", "the workbench's domain")
    cdsw_ip_address: str | None = _own("CDSW_IP_ADDRESS", "where other pods reach this one")
    project_owner: str | None = _own("PROJECT_OWNER", "who the project belongs to")
    is_composable: str | None = _own(
        "IS_COMPOSABLE", "not empty when the studio lies in fine-tuning-studio/ of a larger project"
    )

    @field_validator(*OWN, mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value
