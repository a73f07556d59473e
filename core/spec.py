"""The sealed description of a job that a runner executes: nothing is left to look up.

A runner writes it as `spec.json` into the attempt's directory. Secrets are never in it: `needs_token` asks for the Hub
token, which goes through a pipe to the child.

Files below the artifacts root (the directory shared by the studio and its runners):

    .fts-artifacts                       the studio's marker; a runner without it gets no work
    jobs/<job>/<attempt>/spec.json       what to do
                         events.jsonl    the spool: one record a line (core/events.py)
                         log.txt         what the child printed
                         exit.json       {"outcome", "code"} when the child ended by itself
                         control.json    {"order": "run" | "cancel" | "pause", "cancelled": [child ids],
                                         "checkpoint": how many were asked for} written by the daemon
                         asked.json      {"questions": [...]} of a comparison (core/messages/runners.py), written by the daemon
                         fresh           when it is there, nothing before this attempt is gone on from
                         lock            held (flock) as long as the child lives
                         reserve         room that is kept for the next checkpoint
                         room.json       {"runs"}: how many of it may run at once, each with what the job asks for
                         starved         when it is there, the kernel ended the child for want of memory
                         checkpoints/checkpoint-<step>/   with manifest.json
                         job.json        what a program of another's making is told (gpu_runner/engines/helper/fts_job.py)
                         adapter/  answers-<child>.jsonl  results.json  results.csv
                         serving.json    where an endpoint listens: the next attempt listens there too, when it can
                         parts/<k>/      of what runs in pods (gpu_runner/cml): each part's own events.jsonl, log.txt, exit.json,
                                         lock, and pod.json; of an evaluation whose combinations run apart part.json,
                                         {"alone": the combination that it is}
    trained/<job>.rows                   which rows a training learned, as fingerprints (gpu_runner/fingerprints.py)

The adapter, or the model, of a fine-tuning job is written to `out_dir/<job>/<attempt>`, so that a stale attempt can't touch an accepted one.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.types import EndpointEngine, JobKind, LossOn, Method


class Sealed(BaseModel):
    """A frozen part of a specification."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Resources(Sealed):
    """What a job occupies on its runner; memory in GiB."""

    cpus: int
    gpus: int
    memory: int
    workers: int = 1
    gpu_label_id: int | None = None


class ModelSource(Sealed):
    """Where the base model is read from: a directory, or the Hub at a commit."""

    id: str
    name: str
    location: str | None = Field(None, description="Absolute directory; wins over the Hub.")
    hub_name: str | None = None
    revision: str | None = Field(None, description="Commit recorded when the model was added.")
    files: dict[str, str] = Field(
        {}, description="name -> SHA-256 recorded when the model was added (directory models)."
    )


class AdapterSource(Sealed):
    """Where a trained adapter is read from."""

    id: str
    name: str
    location: str | None = None
    hub_name: str | None = None
    revision: str | None = None
    files: dict[str, str] = Field(
        {}, description="name -> SHA-256 of its weights, recorded when the adapter was added (directories)."
    )


class DatasetSource(Sealed):
    """Where rows are read from. `type` is a DatasetType; `sha256` of the file, or `revision` on the Hub, as recorded."""

    id: str
    name: str
    type: str
    location: str | None = None
    hub_name: str | None = None
    config_name: str | None = None
    revision: str | None = None
    sha256: str | None = None
    features: list[str] = []


class PromptSource(Sealed):
    """The templates (core/template.py) at the time of the request."""

    id: str
    name: str
    prompt_template: str
    input_template: str
    completion_template: str


NO_PROMPT = PromptSource(id="", name="", prompt_template="", input_template="", completion_template="")


class Sampling(Sealed):
    """How rows are drawn and split (guide: seed 42; doubles). With split 1.0 there is no held-out part."""

    fraction: float = 1.0
    split: float = 0.9
    seed: int = 42
    train_splits: list[str] = Field(["train"], description="The dataset's splits that are trained on, joined.")
    eval_split: str | None = Field(None, description="The split that is held out whole; None: looked for by its name.")


class Training(Sealed):
    """What a training read, and which part of it it learned. It outlives its job: no evaluation asks what was learned."""

    job_id: str
    model: ModelSource | None = Field(None, description="What it began from; None where that is not known any more.")
    dataset: DatasetSource
    sampling: Sampling
    prompt: PromptSource = NO_PROMPT
    chat_template: bool = Field(False, description="It was taught with the model's chat template.")
    loss_on: LossOn | None = Field(None, description="What of a row it learned; None: not known.")

    @property
    def rows(self) -> str:
        """The fingerprints of the rows that it learned, below the artifacts root."""
        return f"trained/{self.job_id}.rows"


class FineTuningSpec(Sealed):
    """One fine-tuning job."""

    kind: Literal[JobKind.fine_tuning] = JobKind.fine_tuning
    job_id: str
    name: str
    framework: str = "legacy"
    model: ModelSource
    dataset: DatasetSource
    prompt: PromptSource
    sampling: Sampling
    training_arguments: dict[str, Any] = Field(description="Translated and overridden: what SFTConfig gets.")
    lora: dict[str, Any]
    model_bnb: dict[str, Any] | None = None
    adapter_bnb: dict[str, Any] | None = None
    max_length: int = 512
    packing: bool = True
    loss_on: LossOn = LossOn.all
    length_grouped: bool = False
    method: Method = Method.lora
    chat_template: bool = False
    day: date | None = Field(
        None, description="The day of the request: what chat templates that tell the date are told."
    )
    early_stopping_patience: int | None = None
    keep_best: bool = False
    oom_retry: bool = Field(True, description="Go on with smaller micro-batches when memory runs out.")
    out_dir: str = Field(description="Absolute; the adapter, or the model, goes to out_dir/<job>/<attempt>.")
    resources: Resources
    needs_token: bool = False
    user_script: str | None = Field(None, description="Below the runner's FTS_SCRIPTS_DIR.")
    user_script_sha256: str | None = Field(None, description="Of the script when the job was started.")
    user_config: str | None = None
    axolotl_config: str | None = None

    @property
    def training(self) -> Training:
        """What of it says which rows are learned."""
        return Training(**{name: getattr(self, name) for name in Training.model_fields})


class MetricScript(Sealed):
    """A metric of a user's: a Python file below the runner's FTS_SCRIPTS_DIR, as it was when the evaluation was started."""

    name: str
    sha256: str


class Combination(Sealed):
    """One child of an evaluation: a base model, with an adapter or without."""

    job_id: str
    run_number: int = Field(description="1-based; the first with an adapter is the baseline.")
    model: ModelSource
    adapter: AdapterSource | None = None
    chat_template: bool = Field(False, description="Asked with the chat template, as it was taught.")
    loss_on: LossOn = Field(
        LossOn.completion,
        description="How it was taught: where the prompt and the answer were one text (all), they are now.",
    )

    @property
    def called(self) -> str:
        """What it is called in its batch's log and warnings."""
        return f"evaluation {self.run_number}"


class EvaluationSpec(Sealed):
    """An evaluation batch: one work for a runner, one row a combination. `job_id` is the parent_job_id."""

    kind: Literal[JobKind.evaluation] = JobKind.evaluation
    job_id: str
    name: str
    combinations: list[Combination]
    dataset: DatasetSource
    prompt: PromptSource
    sampling: Sampling | None = Field(None, description="The adapter's own held-out split; None: the whole dataset.")
    learned: list[Training] = Field(
        [], description="Trainings of all combinations: rows that any of them learned are not asked."
    )
    untold: list[str] = Field([], description="Names of adapters whose training is not known here.")
    fraction: float = 1.0
    seed: int = 420
    selected_features: list[str] = []
    generation: dict[str, Any]
    model_bnb: dict[str, Any] | None = None
    adapter_bnb: dict[str, Any] | None = None
    metrics: list[MetricScript] = []
    tasks: list[str] = Field([], description="Of lm-evaluation-harness, beside the rows.")
    resources: Resources
    needs_token: bool = False

    @property
    def baseline(self) -> Combination:
        """What the others are compared with: the first with an adapter, else the first."""
        return next((each for each in self.combinations if each.adapter), self.combinations[0])


class Scores(Sealed):
    """How the adapter did in its newest evaluation: on which dataset, how many rows, the numbers."""

    dataset: str
    rows: int
    values: dict[str, float]
    evaluation_job_id: str


class ExportSpec(Sealed):
    """An adapter to be put where others use it, with its base model. `destination` is a ModelExportType.

    `training` and `scores` are where it came from: for the lineage, the model card, and prompts to compare answers with.
    """

    kind: Literal[JobKind.export] = JobKind.export
    job_id: str
    name: str
    destination: str
    model: ModelSource
    adapter: AdapterSource
    model_name: str = Field(description="The name it is registered or deployed under.")
    model_description: str = ""
    artifact_location: str | None = None
    merge: bool = True
    directory: str | None = Field(None, description="Absolute; what a merged model's directory becomes.")
    hub_name: str | None = None
    private: bool = True
    alias: str | None = None
    training: FineTuningSpec | None = Field(None, description="The job that made the adapter, if it was one of ours.")
    scores: Scores | None = None
    generation: dict[str, Any]
    resources: Resources
    needs_token: bool = False


class Parity(BaseModel):
    """How alike the export answers: in its final form, against base and adapter, on so many prompts."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    prompts: int
    max_logit_difference: float
    same_text: int = Field(description="Prompts that are answered by the same text, greedily.")
    near_ties: int = Field(0, description="Those answered otherwise where the two best tokens were as good as equal.")


class Exported(BaseModel):
    """What an export made: where it is, its files' SHA-256, and that it answers like base and adapter."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    location: str | None = Field(None, description="The directory of a merged model.")
    version: str | None = Field(None, description="The version in the registry.")
    uri: str | None = Field(None, description="What loads it: models:/NAME/VERSION, or its page on the Hub.")
    commit: str | None = Field(None, description="The commit on the Hub.")
    files: dict[str, str] = {}
    parity: Parity


class PlanSpec(Sealed):
    """A training that is only looked at: rows, tokens, batches, steps. It takes no room, so that no runner is too busy for it."""

    kind: Literal[JobKind.plan] = JobKind.plan
    job_id: str
    name: str
    request: FineTuningSpec
    resources: Resources = Resources(cpus=0, gpus=0, memory=0)
    needs_token: bool = False


class EndpointSpec(Sealed):
    """A base model with adapters behind HTTP, each by its own name, until someone stops it or nobody asks."""

    kind: Literal[JobKind.endpoint] = JobKind.endpoint
    job_id: str
    name: str
    model: ModelSource
    adapters: list[AdapterSource] = []
    engine: Literal[EndpointEngine.studio, EndpointEngine.vllm, EndpointEngine.cml_model] = EndpointEngine.studio
    description: str = Field("", description="What a model of Cloudera ML tells of itself.")
    host: str = Field("127.0.0.1", description="The address of the runner's host that it listens at.")
    port: int = Field(0, description="0: any that is free; the same again in later attempts, when it is free then.")
    key_sha256: str | None = Field(
        None, description="Of the key that callers must give; None: nobody is asked for one."
    )
    auth: bool = Field(True, description="Whether Cloudera ML asks callers who they are, where it has the endpoint.")
    idle_seconds: int = Field(0, description="It ends when nobody has asked for so long; 0: never.")
    max_concurrency: int = Field(8, description="Requests that are answered at once; more are told to come later.")
    generation: dict[str, Any]
    resources: Resources
    needs_token: bool = False


class Voice(Sealed):
    """One that answers in a comparison: the base model with an adapter, or bare."""

    adapter: AdapterSource | None = None
    chat_template: bool = Field(False, description="Asked with the chat template, as it was taught.")


class ComparisonSpec(Sealed):
    """A base model and adapters that are held in memory and asked (asked.json), until nobody asks for `idle_seconds`."""

    kind: Literal[JobKind.comparison] = JobKind.comparison
    job_id: str
    name: str
    model: ModelSource
    voices: list[Voice] = Field(description="The bare model first.")
    dataset: DatasetSource | None = Field(None, description="What rows are drawn from.")
    prompt: PromptSource | None = None
    sampling: Sampling | None = Field(None, description="How the first of its trainings split that dataset.")
    learned: list[Training] = Field([], description="Trainings of all voices: rows that none learned are drawn first.")
    generation: dict[str, Any]
    model_bnb: dict[str, Any] | None = None
    idle_seconds: float
    resources: Resources
    needs_token: bool = False


Spec = Annotated[
    FineTuningSpec | EvaluationSpec | ExportSpec | PlanSpec | EndpointSpec | ComparisonSpec, Field(discriminator="kind")
]
SPEC: TypeAdapter[Spec] = TypeAdapter(Spec, config=ConfigDict(defer_build=True))
