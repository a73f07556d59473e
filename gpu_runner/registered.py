"""An export to MLflow's model registry: logged without a name, opened and asked as whoever loads it will, then registered.

A registered version is made whole, with its tags, after the comparison. All attempts of a job share one run, by which their
leavings and an early death's version are found.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from huggingface_hub import ModelCard, snapshot_download
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from core.queue.connect import safe_text, safe_url
from core.settings import settings
from core.spec import Exported, ExportSpec, Parity
from gpu_runner import card, checkpoint, merged
from gpu_runner.child import Context
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.files import Files
from gpu_runner.generate import options_of
from gpu_runner.holding import Writing, with_room
from gpu_runner.models import adapter_path
from gpu_runner.parity import Opened
from gpu_runner.runs import JOB, Point, Run, Store

EXPERIMENT = "fts exports"
PARITY = "fts.parity"
ATTEMPT = "fts.attempt"
SCRIPT = Path(__file__).with_name("predict.py")
FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]  # of a base: no pickled weights, no code
REQUIRED = ("mlflow", "torch", "transformers", "tokenizers", "safetensors", "accelerate")
# What a request may set, and what it is where neither the export nor the base says.
PARAMS: dict[str, Any] = {
    "max_new_tokens": 60, "do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50, "repetition_penalty": 1.0,
    "num_beams": 1,
}  # fmt: skip


class Registry:
    """Target `model_registry`: merged weights in a transformers model, or base and adapter apart beside predict.py."""

    def __init__(self, spec: ExportSpec, context: Context) -> None:
        """Raises JobError when MLflow can't be reached."""
        self.spec, self.context = spec, context
        self.scratch = context.directory / "registry"
        self.model_id, self.uri = "", ""
        self.files: dict[str, str] = {}
        mlflow.set_tracking_uri(settings().tracking_uri)  # what knows no client means the studio's store too
        mlflow.set_registry_uri(settings().registry_uri)
        with self._asking():
            store = Store(settings().tracking_uri, context.root / "registry")
            self.experiment = store.experiment(*_experiment(spec))
            tags = {"fts.kind": spec.kind.value, **card.lineage(spec)}
            self.run: Run = store.run(self.experiment, spec.job_id, spec.name, time.time(), tags)
            self.client = MlflowClient(settings().tracking_uri, settings().registry_uri)

    def made_before(self) -> Exported | None:
        """The version that an earlier attempt registered before it died."""
        with self._asking():
            found = self._versions()
            if not found:
                return None
            self._named(found[0])
            self.files = checkpoint.hashes(self._fetched(found[0].source))
            self._drop_scratch()
            return self._exported(found[0], Parity.model_validate_json(found[0].tags[PARITY]))

    def clear(self) -> None:
        """Delete what this attempt, and those that nobody works at any more, logged and did not register."""
        with self._asking():
            used = {each.source for each in self._versions()}
            token = None
            while True:
                page = self.client.search_logged_models([self.experiment], page_token=token)
                for each in page:
                    if each.source_run_id == self.run.id and each.model_uri not in used and self._left(each):
                        with suppress(Exception):  # files that are not there, or a store that deletes none
                            get_artifact_repository(each.artifact_location).delete_artifacts()
                        self.client.delete_logged_model(each.model_id)
                if not (token := page.token):
                    return

    def write(self, model: Any, tokenizer: Any) -> None:
        """Log it, once there is room: MLflow writes it aside first."""
        log = self._log_merged if self.spec.merge else self._log_apart
        with_room(
            self.context,
            Writing("the model", 2 * merged.size_of(model), self.context.directory),
            [lambda: self._log(log, model, tokenizer)],
            self._undo,
        )

    def open(self, device: Device) -> Opened:
        """It, as `mlflow.pyfunc.load_model` gives it to anyone."""
        path = self._fetched(self.uri)
        self.files = checkpoint.hashes(path)
        loaded = mlflow.pyfunc.load_model(str(path))
        holder = loaded.get_raw_model() if self.spec.merge else loaded.unwrap_python_model().answerer

        def answer(prompt: str, new: int) -> str:
            params = {"do_sample": False, "num_beams": 1, "max_new_tokens": new}
            return str(loaded.predict([prompt], params=params)[0])

        return Opened(holder.model, holder.tokenizer, answer)

    def publish(self, parity: Parity) -> Exported:
        """Register a version, and give it the alias."""
        spec = self.spec
        with self._asking():
            self.run.metrics([Point("max_logit_difference", parity.max_logit_difference, 0, time.time())])
            with suppress_existing():
                self.client.create_registered_model(spec.model_name)
            tags = {JOB: spec.job_id, PARITY: parity.model_dump_json(), **card.lineage(spec)}
            words = spec.model_description or None
            self.client.create_model_version(
                spec.model_name, self.uri, self.run.id, tags=tags, description=words, model_id=self.model_id
            )
            first, *others = self._versions()
            for each in others:  # another attempt was quicker
                self.client.delete_model_version(each.name, each.version)
            self._named(first)
            self.run.status("FINISHED", time.time())
        self._drop_scratch()
        return self._exported(first, parity)

    def drop(self) -> None:
        """Delete what was logged; the run tells that it failed."""
        self._drop_scratch()
        with suppress(Exception):  # the store may be what failed
            self.clear()
            self.run.status("FAILED", time.time())

    def _left(self, logged: Any) -> bool:
        """Whether an attempt that is over logged it, or this one: another runner may have the job by now, and work at it."""
        attempt = logged.tags.get(ATTEMPT, "")
        if not attempt.isdecimal() or int(attempt) == self.context.attempt:
            return True
        return not Files(self.context.directory.with_name(attempt)).locked()

    def _undo(self) -> None:
        """Give the room back that half a model takes."""
        self._drop_scratch()
        self.clear()

    def _log(self, log: Any, model: Any, tokenizer: Any) -> None:
        self._drop_scratch()
        self.scratch.mkdir()
        with self._asking(), _temporary(self.scratch), mlflow.start_run(run_id=self.run.id):
            made = log(model, tokenizer)
            self.model_id, self.uri = made.model_id, made.model_uri
        self.client.update_run(self.run.id, "RUNNING")  # MLflow ends a run that was logged into

    def _log_merged(self, model: Any, tokenizer: Any) -> Any:
        return mlflow.transformers.log_model(
            {"model": model, "tokenizer": tokenizer},
            task="text-generation",
            model_card=ModelCard(card.text(self.spec)),
            model_config={"return_full_text": False},
            pip_requirements=_requirements(REQUIRED),
            **self._common(model, tokenizer),
        )

    def _log_apart(self, model: Any, tokenizer: Any) -> Any:
        options = {name: value for name, value in options_of(self.spec.generation).items() if value is not None}
        return mlflow.pyfunc.log_model(
            python_model=str(SCRIPT),
            artifacts={"base": str(self._base()), "adapter": str(self._adapter())},
            model_config=options,
            pip_requirements=_requirements((*REQUIRED, "peft")),
            **self._common(model, tokenizer),
        )

    def _common(self, model: Any, tokenizer: Any) -> dict[str, Any]:
        """Name, signature and example: a prompt in, a text out, and what a request may set."""
        own = merged.generation_config(model, tokenizer, self.spec.generation)
        params = {name: type(value)(_or(getattr(own, name, None), value)) for name, value in PARAMS.items()}
        prompt = "What are the three primary colors?"
        signature = infer_signature([prompt], ["Red, yellow and blue."], params=params)
        tags = {ATTEMPT: str(self.context.attempt), **card.lineage(self.spec)}
        return {"name": "model", "signature": signature, "input_example": [prompt], "tags": tags}

    def _base(self) -> Path:
        """The base's files, those that are wanted."""
        source, into = self.spec.model, self.scratch / "base"
        place = source.location or snapshot_download(
            source.hub_name or source.name, revision=source.revision, token=self.context.token, allow_patterns=FILES
        )
        return _copied(Path(place), into)

    def _adapter(self) -> Path:
        return _copied(Path(adapter_path(self.spec.adapter, self.context.token)), self.scratch / "adapter")

    def _fetched(self, uri: str) -> Path:
        """The files; those of a server are downloaded."""
        self.scratch.mkdir(exist_ok=True)
        with _temporary(self.scratch):
            return Path(mlflow.artifacts.download_artifacts(uri))

    def _versions(self) -> list[Any]:
        """The job's versions under the model's name, oldest first."""
        found = self.client.search_model_versions(f"run_id = '{self.run.id}'")
        own = [each for each in found if each.name == self.spec.model_name and each.tags.get(JOB) == self.spec.job_id]
        return sorted(own, key=lambda each: int(each.version))

    def _named(self, made: Any) -> None:
        if self.spec.alias:
            self.client.set_registered_model_alias(made.name, self.spec.alias, made.version)

    def _exported(self, made: Any, parity: Parity) -> Exported:
        number = str(made.version)
        return Exported(version=number, uri=f"models:/{made.name}/{number}", files=self.files, parity=parity)

    def _drop_scratch(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Tell what MLflow's errors mean, as JobError."""
        try:
            yield
        except MlflowException as error:
            reason = safe_text(str(error).partition("\n")[0])
            hint = "See that MLFLOW_TRACKING_URI is what the studio's is, and that it answers; then run the job again."
            where = safe_url(settings().registry_uri)
            raise JobError(f"MLflow at {where} does not take the model: {reason}", hint) from None


@contextmanager
def suppress_existing() -> Iterator[None]:
    """A registered model that is there gets one version more."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _temporary(directory: Path) -> Iterator[None]:
    """What MLflow writes aside lies in the attempt's directory, where a killed one's is found."""
    before, tempfile.tempdir = tempfile.tempdir, str(directory)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _experiment(spec: ExportSpec) -> tuple[str, str | None]:
    """(the experiment of exports, where its files are kept when that was asked for)."""
    place = spec.artifact_location
    return (f"{EXPERIMENT} {checkpoint.digest(place)[:8]}", place) if place else (EXPERIMENT, None)


def _copied(source: Path, into: Path) -> Path:
    """The wanted files of a directory, linked where the disk allows it."""
    into.mkdir()
    for path in sorted({path for pattern in FILES for path in source.glob(pattern)}):
        real = path.resolve()
        try:
            os.link(real, into / path.name)
        except OSError:
            shutil.copyfile(real, into / path.name)
    return into


def _requirements(names: tuple[str, ...]) -> list[str]:
    """Exact pins; a build's local part is on no index."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
