"""Loading base models, tokenizers and adapters: safetensors only, no code from anywhere, at the commit that was recorded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from core.spec import AdapterSource, ModelSource
from core.types import Method
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.links import keep_inside

CHUNK = 1 << 20
PACKED_TOGETHER = 32  # rows of a 4-bit weight that bitsandbytes packs together


def load_tokenizer(source: ModelSource, token: str | None = None) -> Any:
    """The model's tokenizer."""
    from transformers import AutoTokenizer

    return _reading(
        source.name, lambda: AutoTokenizer.from_pretrained(**located(source, token), trust_remote_code=False)
    )


def load_model(
    source: ModelSource,
    device: Device,
    bnb: dict[str, Any] | None = None,
    token: str | None = None,
    *,
    learns: Method | None = None,
    attention: str | None = None,
) -> Any:
    """The model on its device, quantised when `bnb` says so; a directory whose weights changed since it was added is refused.

    `learns` is the method that it is to be trained by, if it is; weights that are all trained are fp32. `attention` is an
    implementation by transformers' name.
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    verify(source)
    whole = learns is Method.full or (
        bnb is not None and device.kind == "cpu"
    )  # there quantised layers compute in fp32
    options: dict[str, Any] = {
        "dtype": torch.float32 if whole else device.load_dtype,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if attention is not None:
        options["attn_implementation"] = attention
    if bnb is not None:
        options["quantization_config"] = BitsAndBytesConfig(**_for_device(bnb, device))
    if device.kind == "cuda":
        options["device_map"] = {"": torch.cuda.current_device()}  # each worker of a job has its own
    model = _reading(source.name, lambda: AutoModelForCausalLM.from_pretrained(**located(source, token), **options))
    if bnb is not None and device.kind == "cpu":
        _keep_four_bits(model, learns)
    return model


def stored_in_half(source: ModelSource, token: str | None = None) -> bool:
    """Whether the model's weights are kept in half precision; not when its config can't be read or does not tell."""
    from transformers import AutoConfig

    try:
        config = _reading(
            source.name, lambda: AutoConfig.from_pretrained(**located(source, token), trust_remote_code=False)
        )
    except JobError:
        return False  # loading it tells why
    return getattr(config, "dtype", None) in (torch.bfloat16, torch.float16)


def _keep_four_bits(model: Any, learns: Method | None) -> None:
    """bitsandbytes packs 4-bit weights anew, and coarser, when they are first used outside training on some processors.

    Then an evaluation would change the base of what is trained after it; and not every shape can be packed.
    """
    for each in model.modules():
        if hasattr(each, "support_avx512bf16_for_cpu"):
            block = getattr(getattr(each.weight, "quant_state", None), "blocksize", 0) or 1
            whole = each.in_features % block == 0 and each.out_features % PACKED_TOGETHER == 0
            each.support_avx512bf16_for_cpu = each.support_avx512bf16_for_cpu and whole and learns is None


def adapter_path(source: AdapterSource, token: str | None = None) -> str:
    """The adapter's directory, with the weights that were recorded; one on the Hub is fetched at its commit, weights and
    config only. Raises JobError.
    """
    if source.location is not None:
        verify(source, "adapter")
        return source.location
    from huggingface_hub import snapshot_download

    patterns = ["adapter_config.json", "*.safetensors"]
    name = source.hub_name or source.name
    return str(
        _reading(name, lambda: snapshot_download(name, revision=source.revision, token=token, allow_patterns=patterns))
    )


def verify(source: ModelSource | AdapterSource, what: str = "model") -> None:
    """Compare the weights' SHA-256 with what was recorded, and refuse links that lead elsewhere; raises JobError."""
    if source.location is not None:
        keep_inside(source.location, f"the {what}")
    for name, recorded in source.files.items():
        path = Path(source.location or "") / name
        if not path.is_file():
            raise JobError(f"{path} is gone since the {what} was added", f"Put it back, or add the {what} again.")
        if _sha256(path) != recorded:
            raise JobError(
                f"{path} changed since the {what} was added", f"Add the {what} again under another name, and use that."
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def located(source: ModelSource, token: str | None) -> dict[str, Any]:
    """Where from_pretrained finds the model, as it was recorded. Raises JobError: a directory that is gone it takes for a name."""
    if source.location is not None:
        if not Path(source.location).is_dir():
            raise JobError(
                f"the directory {source.location} of the model {source.name} is gone, or can't be seen from this host",
                "Put it back where it was, or remove the model and import it again from where it is now.",
            )
        keep_inside(source.location, "the model")
        return {"pretrained_model_name_or_path": source.location, "local_files_only": True}
    return {"pretrained_model_name_or_path": source.hub_name, "revision": source.revision, "token": token or False}


def _for_device(bnb: dict[str, Any], device: Device) -> dict[str, Any]:
    """The quantisation as this device computes it best: on a CPU 4-bit layers compute in fp32. Raises JobError."""
    if not (bnb.get("load_in_4bit") or bnb.get("load_in_8bit")):
        raise JobError(
            f"the bitsandbytes config asks for neither load_in_4bit nor load_in_8bit: {', '.join(bnb)}",
            "Set one of them to true, or start the job without that config.",
        )
    config = {name: value for name, value in bnb.items() if name != "quant_method"}
    if device.kind == "cpu" and config.get("load_in_4bit"):
        config["bnb_4bit_compute_dtype"] = "float32"
    return config


def _reading(name: str, read: Any) -> Any:
    from safetensors import SafetensorError

    try:
        return read()
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise JobError(
            f"{name} can't be loaded: {error}", "Check the model's files, its name on the Hub and the token."
        ) from error
