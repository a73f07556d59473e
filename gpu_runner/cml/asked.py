"""JOB_ARGUMENTS as the guide has them: what a job asks for that someone made by hand at Cloudera's.

A text of `--name value` with spaces between; inside of a value there are none, since the original studio takes them out.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOKEN = "hf_token"
NONE = ("", "None")  # what the original studio writes where there is nothing
REQUIRED = {
    "training": ("base_model_id", "dataset_id", "experimentid"),
    "evaluation": ("base_model_id", "dataset_id", "prompt_id", "job_id"),
}
# Option -> field of StartFineTuningJob, of StartEvaluationJob; None: read, and of no meaning here.
TRAINING: dict[str, str | None] = {
    "base_model_id": "base_model_id",
    "dataset_id": "dataset_id",
    "prompt_id": "prompt_id",
    "adapter_name": "adapter_name",
    "framework_type": "framework_type",
    "finetuning_framework_type": "framework_type",
    "bnb_config": "adapter_bnb_config",
    "lora_config": "lora_config",
    "training_arguments_config": "training_arguments_config",
    "user_script": "user_script",
    "user_config_id": "user_config_id",
    "axolotl_config_id": "axolotl_config_id",
    "train_test_split": "train_test_split",
    "dataset_fraction": "dataset_fraction",
    "dist_num": "num_workers",
    "dist_cpu": "dist_cpu",
    "dist_mem": "dist_mem",
    "dist_gpu": "dist_gpu",
    "out_dir": "out_dir",
    "experimentid": None,
    "train_out_dir": None,
    "auto_add_adapter": None,
    "gpu_label_id": None,
    TOKEN: None,
}
EVALUATION: dict[str, str | None] = {
    "base_model_id": "base_model_id",
    "adapter_id": "adapter_id",
    "dataset_id": "dataset_id",
    "prompt_id": "prompt_id",
    "model_bnb_config": "model_bnb_config",
    "adapter_bnb_config": "adapter_bnb_config",
    "generation_config": "generation_config",
    "selected_features": "selected_features",
    "eval_dataset_fraction": "eval_dataset_fraction",
    "result_dir": None,
    "comparison_adapter_id": None,
    "job_id": None,
    "run_number": None,
    "gpu_label_id": None,
    TOKEN: None,
}
FRACTIONS = ("train_test_split", "dataset_fraction", "eval_dataset_fraction")
NUMBERS = ("dist_num", "dist_cpu", "dist_mem", "dist_gpu", "run_number")
BY_ID = (
    "adapter_bnb_config",
    "lora_config",
    "training_arguments_config",
)  # of a training: given as JSON, or as a config's id


class Unreadable(ValueError):
    """Arguments that tell of no job: everything that is wrong with them, without a value, which may be a secret."""


@dataclass(frozen=True)
class Asked:
    """A job that was asked for by hand. The same key is the same job, however often its pod is started."""

    kind: str  # training or evaluation
    key: str
    fields: dict[str, Any]
    token: str | None = None
    results: Path | None = None  # where an evaluation's results are wanted


def read(text: str) -> Asked:
    """What the arguments ask for. Raises Unreadable."""
    given, wrong = _options(text)
    kind = "training" if "experimentid" in given or "train_out_dir" in given else "evaluation"
    known = TRAINING if kind == "training" else EVALUATION
    wrong += [f"--{name} is no option of a job of {kind}" for name in given if name not in known]
    wrong += [f"--{name} is lacking" for name in REQUIRED[kind] if given.get(name, "") in NONE]
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name in known and text not in NONE:
            try:
                values[name] = _value(name, text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                wrong.append(f"--{name} can't be read")
    if wrong:
        raise Unreadable("; ".join(wrong))
    fields = {field: values[name] for name, field in known.items() if field and name in values}
    token = values.get(TOKEN)
    if kind == "evaluation":
        results = Path(values["result_dir"]) if "result_dir" in values else None
        return Asked(kind, f"{values['job_id']}/{values.get('run_number', 0)}", _evaluation(fields), token, results)
    return Asked(kind, values["experimentid"], _training(fields, values["experimentid"]), token)


def _options(text: str) -> tuple[dict[str, str], list[str]]:
    """(the options with their texts, what is wrong). A value that was typed with spaces is put together again, and quotes
    that a shell would have taken off are taken off.
    """
    given: dict[str, str] = {}
    wrong: list[str] = []
    name = ""
    for piece in text.split():
        if piece.startswith("--"):
            name, _, value = piece[2:].partition("=")
            given[name] = value
        elif name:
            given[name] = f"{given[name]} {piece}".strip()
        elif not wrong:
            wrong.append("JOB_ARGUMENTS begin with a value, not with an option")
    return {name: _unquoted(value) for name, value in given.items()}, wrong


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _value(name: str, text: str) -> Any:
    if name in FRACTIONS:
        return double(float(text))
    if name in NUMBERS:
        return int(float(text))
    if name == "selected_features":
        found = ast.literal_eval(text)
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise ValueError
        return found
    return text


def _training(fields: dict[str, Any], key: str) -> dict[str, Any]:
    """The fields of StartFineTuningJob. An adapter without a name is called as its job; all are added, as they always were."""
    for name in BY_ID:
        if not str(fields.get(name, "{")).lstrip().startswith("{"):
            fields[f"{name}_id"] = fields.pop(name)
    out = Path(fields.pop("out_dir", ""))
    out = out.parent if out.name == key else out  # the original studio puts the job's id behind what was asked for
    if out.name:
        fields["out_dir"] = str(out)
    if fields.get("num_workers", 1) < 2:
        fields = {name: value for name, value in fields.items() if not name.startswith(("dist_", "num_workers"))}
    return {"adapter_name": key, **fields}


def _evaluation(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of StartEvaluationJob: a batch of one combination."""
    pair = {name: fields.pop(name) for name in ("base_model_id", "adapter_id") if name in fields}
    return {"model_adapter_combinations": [pair], **fields}


def double(value: float) -> float:
    """The number that was meant: the original studio's are of 32 bits, so that 0.9 comes as 0.8999999761581421."""
    narrow = struct.pack("f", value)
    if struct.unpack("f", narrow)[0] != value:
        return value
    shorter = (float(f"{value:.{digits}g}") for digits in range(1, 10))
    return next(each for each in shorter if struct.pack("f", each) == narrow)


def with_spaces(names: list[str], columns: list[str]) -> list[str]:
    """The columns that are meant by names whose spaces were taken out."""
    meant: Mapping[str, str] = {column.replace(" ", ""): column for column in columns}
    return [name if name in columns else meant.get(name.replace(" ", ""), name) for name in names]
