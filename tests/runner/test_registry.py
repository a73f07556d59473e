"""A model and an adapter of MLflow's registry all the way: registered, added, trained on, evaluated (docs/decisions.md, D-118)."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.desk import Desk
from core.store.tables import Job
from gpu_runner import child
from tests.handlers.work import say
from tests.registries import Registry
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, make_rows

pytestmark = [
    pytest.mark.filterwarnings("ignore::Warning:mlflow", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
]
ARGUMENTS = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 0.01, "save_strategy": "no"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A tiny Llama as MLflow's transformers flavour logs it, and a LoRA adapter of it as PEFT saves it."""
    made = Registry(tmp_path_factory.mktemp("registry"))
    base = make_model(made.directory / "base")
    _log(made, base)
    torch.manual_seed(0)
    strong = {"r": 4, "lora_alpha": 400, "target_modules": ["v_proj", "down_proj"], "init_lora_weights": False}
    config = LoraConfig(task_type="CAUSAL_LM", **strong)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(made.directory / "lora")
    made.add("lora", made.directory / "lora")
    return made


def _log(registry: Registry, base: Path) -> None:
    """Log the model, and register it by its run, which has no such files of its own: they lie with the model."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("MLFLOW_TRACKING_URI", registry.uri)
        import mlflow

        parts = {"model": AutoModelForCausalLM.from_pretrained(base), "tokenizer": AutoTokenizer.from_pretrained(base)}
        with mlflow.start_run(experiment_id=registry.experiment) as run:
            mlflow.transformers.log_model(parts, name="pipe", task="text-generation", pip_requirements=["torch"])
        registry.client.create_registered_model("tiny")
        registry.client.create_model_version("tiny", f"runs:/{run.info.run_id}/pipe", run.info.run_id)


@pytest.fixture
def ids(desk: Desk, registry: Registry) -> dict[str, str]:
    """The ids of the model, its adapter, rows and a prompt, added as people add them."""
    desk.settings.mlflow_tracking_uri = registry.uri
    rows = make_rows(desk.settings.project / "rows.jsonl", 16)
    model = say(desk, "AddModel", type="model_registry", model_registry_id="tiny/1", name="tiny")["model"]
    dataset = say(desk, "AddDataset", type="project_jsonl", name="rows", location=rows.name)["dataset"]
    texts = {
        "prompt_template": "{question} {answer}",
        "input_template": "{question}",
        "completion_template": " {answer}",
    }
    prompt = say(desk, "AddPrompt", prompt={"name": "p", "dataset_id": dataset["id"], **texts})["prompt"]
    fields = {"model_id": model["id"], "cml_registered_model_id": "lora", "name": "lora"}
    adapter = say(desk, "AddAdapter", type="model_registry", **fields)["adapter"]
    return {"model": model["id"], "dataset": dataset["id"], "prompt": prompt["id"], "adapter": adapter["id"]}


def spec(desk: Desk, id: str) -> dict[str, Any]:
    with desk.store.read() as session:
        return session.get_one(Job, id).spec


def train(desk: Desk, ids: dict[str, str], name: str) -> dict[str, Any]:
    asked = {f"{field}_id": ids[field] for field in ("dataset", "prompt")} | {"base_model_id": ids["model"]}
    sizes = {"num_cpu": 1, "num_gpu": 0, "num_memory": 1, "max_length": 32, "packing": False}
    arguments = {"training_arguments_config": json.dumps(ARGUMENTS)}
    job = say(desk, "StartFineTuningJob", adapter_name=name, **asked, **sizes, **arguments)["fine_tuning_job"]
    return spec(desk, job["id"])


def test_a_model_of_the_registry_is_trained_on_and_compared_with_an_adapter_of_it(
    desk: Desk, ids: dict[str, str]
) -> None:
    root = desk.settings.artifacts_root
    trained = Attempt(root, job_id="training")
    finished = trained.run(train(desk, ids, "tuned"))
    assert finished["outcome"] == "succeeded" and finished["summary"]["steps"] >= 1
    config = json.loads(trained.adapter("adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == say(desk, "GetModel", id=ids["model"])["model"]["location"]

    pairs = [{"base_model_id": ids["model"], "adapter_id": adapter} for adapter in (None, ids["adapter"])]
    asked = {"model_adapter_combinations": pairs, "dataset_id": ids["dataset"], "prompt_id": ids["prompt"]}
    generation = {"generation_config": '{"do_sample": false, "max_new_tokens": 4}'}
    batch = say(desk, "StartEvaluationJob", num_cpu=1, num_gpu=0, num_memory=1, **asked, **generation)
    evaluated = Attempt(root, job_id="evaluation")
    child.run(evaluated.prepare(spec(desk, batch["parent_job_id"])), None)
    assert evaluated.finished()["outcome"] == "succeeded"
    ends = [each for each in evaluated.records("scored") if each["status"] != "running"]
    assert [each["status"] for each in ends] == ["succeeded", "succeeded"] and {each["rows"] for each in ends} == {16}
    base, adapted = ((root / each["answers"]).read_text() for each in ends)
    assert base != adapted, "the adapter of the registry has its say"


def test_a_copy_that_changed_since_it_was_made_is_trained_on_by_nobody(desk: Desk, ids: dict[str, str]) -> None:
    weights = Path(say(desk, "GetModel", id=ids["model"])["model"]["location"]) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    finished = Attempt(desk.settings.artifacts_root).run(train(desk, ids, "tuned"))
    assert finished["outcome"] == "failed" and "changed since the model was added" in finished["error"]["message"]
