"""Write configs/facts/*.json: which keys the installed training libraries accept, which of them the studio forbids, and
what older names are called today; and configs/families/*.json (generate_families.py). `--check` only tells whether the files are stale (exit code 1).
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
import sys
import types
import typing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from configs.generate_families import all_families

FACTS = Path(__file__).resolve().parent / "facts"
FAMILIES = FACTS.parent / "families"

PLACE = "the runner chooses where an attempt's files go"
HUB = "training never uploads; ExportModel does, when asked"
OWN = "the studio's own field of the job says it"
CODE = "it can load or run code that the studio did not check"
CHECKPOINTS = "the runner keeps verified checkpoints and resumes from them by itself"
FORBIDDEN = {
    "output_dir": PLACE,
    "run_name": "the studio names the run",
    "project": "the studio tracks runs in MLflow",
    "trackio_space_id": HUB,
    "trackio_bucket_id": HUB,
    "trackio_static_space_id": HUB,
    "push_to_hub": HUB,
    "hub_always_push": HUB,
    "hub_model_id": HUB,
    "hub_private_repo": HUB,
    "hub_revision": HUB,
    "hub_strategy": HUB,
    "hub_token": "secrets are no part of a config",
    "max_length": OWN + " (max_length)",
    "packing": OWN + " (packing)",
    "completion_only_loss": OWN + " (loss_on)",
    "assistant_only_loss": OWN + " (loss_on)",
    "dataset_text_field": "the studio renders rows itself",
    "eos_token": "the model's own tokenizer says how an answer ends",
    "dataset_kwargs": "the studio prepares rows itself",
    "remove_unused_columns": "the studio prepares rows itself",
    "label_names": "the studio prepares rows itself",
    "chat_template_path": CODE,
    "trust_remote_code": CODE,
    "model_init_kwargs": CODE,
    "deepspeed": CODE,
    "fsdp": "several workers are the job's num_workers",
    "fsdp_config": "several workers are the job's num_workers",
    "parallelism_config": "several workers are the job's num_workers",
    "accelerator_config": "the runner sets up the device",
    "local_rank": "the runner sets up the device",
    "use_cpu": "num_gpu says it",
    "torch_compile": CODE,
    "torch_compile_backend": CODE,
    "torch_compile_mode": CODE,
    "resume_from_checkpoint": CHECKPOINTS,
    "restore_callback_states_from_checkpoint": CHECKPOINTS,
    "ignore_data_skip": CHECKPOINTS,
    "save_only_model": CHECKPOINTS,
    "save_on_each_node": CHECKPOINTS,
    "enable_jit_checkpoint": CHECKPOINTS,
    "do_train": "a fine-tuning job trains",
    "do_predict": "an evaluation job answers",
    "auto_find_batch_size": "a resumed run must have the batch size it began with",
    "dataloader_num_workers": "rows are tokenized before training; more processes would outlive a killed job",
    "dataloader_multiprocessing_context": "rows are tokenized before training",
}
RENAMED = {
    "warmup_ratio": {"to": "warmup_steps", "note": "a value below 1 is a share of all steps"},
    "evaluation_strategy": {"to": "eval_strategy", "note": ""},
    "max_seq_length": {"to": None, "note": "the job's max_length says it; this key is left out"},
    "no_cuda": {"to": None, "note": "the job's num_gpu says it; this key is left out"},
    "overwrite_output_dir": {"to": None, "note": "every attempt has a directory of its own; this key is left out"},
    "group_by_length": {
        "to": "train_sampling_strategy",
        "note": "true means group_by_length",
        "values": {"true": "group_by_length", "false": "random"},
    },
    "tokenizer": {"to": None, "note": "the model's own tokenizer is used; this key is left out"},
    "per_gpu_train_batch_size": {"to": "per_device_train_batch_size", "note": ""},
    "per_gpu_eval_batch_size": {"to": "per_device_eval_batch_size", "note": ""},
    "logging_dir": {"to": None, "note": "the studio tracks runs in MLflow; this key is left out"},
    "save_safetensors": {"to": None, "note": "weights are always safetensors; this key is left out"},
    "include_tokens_per_second": {"to": None, "note": "tokens per second are always told; this key is left out"},
}
SCALARS = {int: "int", float: "float", bool: "bool", str: "str", list: "list", dict: "dict", type(None): "null"}


def main() -> int:
    """Write the files, or only compare them."""
    files = {FACTS / f"{name}.json": made for name, made in all_facts().items()}
    files |= {FAMILIES / f"{name}.json": made for name, made in all_families().items()}
    stale = [path for path, made in files.items() if not same(path, made)]
    stale += [path for path in (*FACTS.glob("*.json"), *FAMILIES.glob("*.json")) if path not in files]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(FACTS.parent.parent)} is stale: run `make docs`")
        return int(bool(stale))
    for path, made in files.items():
        path.write_text(text(made), encoding="utf-8")
    return 0


def same(path: Path, made: dict[str, Any]) -> bool:
    """Whether the file holds just that."""
    return path.exists() and path.read_text(encoding="utf-8") == text(made)


def text(made: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(made, indent=1, sort_keys=True, default=str) + "\n"


def all_facts() -> dict[str, dict[str, Any]]:
    """The facts of every type that has some."""
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig, GenerationConfig
    from trl import SFTConfig

    arguments = dataclass_keys(SFTConfig)
    forbidden = {key: why for key, why in FORBIDDEN.items() if key in arguments}
    bnb = documented_keys(BitsAndBytesConfig, defaults_of(BitsAndBytesConfig))
    bnb["quant_method"] = {"type": "str", "default": "bitsandbytes"}
    generation = documented_keys(GenerationConfig, GenerationConfig().to_dict())
    arguments["attn_implementation"] = {"type": "null|str", "default": None}
    trl, peft, transformers = (f"{name} {version(name)}" for name in ("trl", "peft", "transformers"))
    return {
        "training_arguments": facts("training_arguments", trl, arguments, forbidden, RENAMED),
        "lora": facts("lora", peft, dataclass_keys(LoraConfig), LORA_FORBIDDEN),
        "bitsandbytes": facts("bitsandbytes", transformers, bnb, {}),
        "generation": facts("generation", transformers, generation, GENERATION_FORBIDDEN),
    }


LORA_FORBIDDEN = {
    "auto_mapping": CODE,
    "base_model_name_or_path": "the job's base model says it",
    "peft_type": "it is LoRA",
    "inference_mode": "a fine-tuning job trains",
    "revision": "the base model's commit is recorded with it",
    "runtime_config": "the runner sets up the device",
    "loftq_config": "it quantises the base model a second time",
    "eva_config": "it needs a pass over the data that the runner does not make",
    "corda_config": "it needs a pass over the data that the runner does not make",
    "lora_ga_config": "it needs a pass over the data that the runner does not make",
    "megatron_config": CODE,
    "megatron_core": CODE,
    "peft_version": "the library writes it",
}
GENERATION_FORBIDDEN = {"_from_model_config": "the library writes it", "transformers_version": "the library writes it"}


# What the libraries check only when a job is at it, or not at all: (lowest, highest) value of a key.
LIMITS: dict[str, dict[str, tuple[float | None, float | None]]] = {
    "training_arguments": {
        "num_train_epochs": (0, None),
        "learning_rate": (0, None),
        "per_device_train_batch_size": (1, None),
        "per_device_eval_batch_size": (1, None),
        "gradient_accumulation_steps": (1, None),
        "warmup_steps": (0, None),
        "max_grad_norm": (0, None),
        "weight_decay": (0, None),
        "max_steps": (-1, None),  # -1: as the epochs say
        "eval_steps": (0, None),
        "save_steps": (0, None),
        "logging_steps": (0, None),
        "seed": (0, 2**32 - 1),
        "data_seed": (0, 2**32 - 1),
        "adam_beta1": (0, 1),
        "adam_beta2": (0, 1),
        "adam_epsilon": (0, None),
    },
    "lora": {"r": (1, None), "lora_alpha": (1, None), "lora_dropout": (0, 1)},
    "bitsandbytes": {"llm_int8_threshold": (0, None)},
    "generation": {
        "max_new_tokens": (1, None),
        "min_new_tokens": (0, None),
        "num_beams": (1, None),
        "num_return_sequences": (1, None),
        "temperature": (0, None),
        "top_k": (0, None),
        "top_p": (0, 1),
        "min_p": (0, 1),
        "repetition_penalty": (0, None),
    },
}
CHOICES: dict[str, dict[str, list[str]]] = {
    # Of loading the model, but where people look for it.
    "training_arguments": {"attn_implementation": ["eager", "sdpa", "flash_attention_2", "flash_attention_3"]},
    "lora": {},
    "bitsandbytes": {
        "bnb_4bit_quant_type": ["fp4", "nf4"],
        "bnb_4bit_compute_dtype": ["float16", "bfloat16", "float32"],
        "bnb_4bit_quant_storage": ["uint8", "int8", "float16", "bfloat16", "float32", "float64"],
        "quant_method": ["bitsandbytes"],
    },
    "generation": {},
}
ARGUMENT = re.compile(r"^ +(\w+) \(([^)]*)\)", re.MULTILINE)
DOCUMENTED = {name: name for name in ("int", "float", "bool", "str", "list", "dict")}
DOCUMENTED |= {"tuple": "list", "torch.dtype": "str"}


def facts(
    file: str, library: str, keys: dict[str, Any], forbidden: dict[str, str], renamed: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One file's content."""
    allowed = {name: limited(file, name, fact) for name, fact in keys.items() if name not in forbidden}
    allowed = {
        name: {key: each for key, each in fact.items() if key != "choices" or each} for name, fact in allowed.items()
    }
    return {"library": library, "keys": allowed, "forbidden": forbidden, "renamed": renamed or {}}


def dataclass_keys(cls: Any) -> dict[str, Any]:
    """Name -> type and default of a dataclass's fields."""
    hints = typing.get_type_hints(cls)
    return {
        field.name: {
            "type": kind_of(hints.get(field.name, Any)),
            "default": plain(field.default),
            "choices": choices_of(hints.get(field.name, Any)),
        }
        for field in dataclasses.fields(cls)
        if field.init
    }


def documented_keys(cls: Any, defaults: dict[str, Any]) -> dict[str, Any]:
    """Name -> type and default of what a class without type hints says of its arguments in its docstring."""
    told = {name: documented(text) for name, text in ARGUMENT.findall(cls.__doc__ or "")}
    return {name: {"type": told.get(name, "any"), "default": plain(value)} for name, value in defaults.items()}


def defaults_of(cls: Any) -> dict[str, Any]:
    """Name -> default of a constructor's arguments."""
    parameters = inspect.signature(cls.__init__).parameters.items()
    return {name: each.default for name, each in parameters if name not in {"self", "kwargs"}}


def documented(text: str) -> str:
    """The types that a docstring names, "`int` or `list[int]`, *optional*", as names joined by |."""
    named = (
        " ".join(text.replace("`", "").split()).split(", *optional*")[0].split(", default")[0].removeprefix("Union[")
    )
    words = (part.split("[")[0].split("(")[0].strip() for part in re.split(r" or |, ", named))
    return "|".join(sorted({DOCUMENTED.get(word, "any") for word in words}))


def limited(file: str, key: str, fact: dict[str, Any]) -> dict[str, Any]:
    """The fact with the values that are legal, where they are known."""
    low, high = LIMITS[file].get(key, (None, None))
    chosen = CHOICES[file].get(key) or fact.get("choices")
    more = {"at_least": low, "at_most": high, "choices": chosen}
    return {**fact, **{name: value for name, value in more.items() if value is not None}}


def choices_of(hint: Any) -> list[str] | None:
    """The texts that an enumeration among a hint's types, or a hint of texts only, allows; None: any."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    for part in parts:
        if isinstance(part, type) and issubclass(part, enum.Enum):
            return [str(each.value) for each in part]
    if typing.get_origin(hint) is typing.Literal and all(isinstance(each, str) for each in typing.get_args(hint)):
        return list(typing.get_args(hint))
    return None


def kind_of(hint: Any) -> str:
    """A type hint as names joined by |; what JSON can't tell apart is any."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return "|".join(sorted({part for each in typing.get_args(hint) for part in kind_of(each).split("|")}))
    if typing.get_origin(hint) is typing.Literal:
        return "|".join(sorted({SCALARS[type(each)] for each in typing.get_args(hint)}))
    bare = typing.get_origin(hint) or hint
    if isinstance(bare, type) and issubclass(bare, str):
        return "str"
    return SCALARS.get(bare, "any") if isinstance(bare, type) else "any"


def plain(value: Any) -> Any:
    """A default as JSON can hold it."""
    if value in (dataclasses.MISSING, inspect.Parameter.empty):
        return None
    return value if isinstance(value, str | int | float | bool | type(None) | list | dict) else str(value)


if __name__ == "__main__":
    sys.exit(main())
