"""Write configs/axolotl/keys.json: which keys Axolotl's config knows, with their types, choices and ranges.

Axolotl needs other versions of the libraries than the studio, so its own Python runs this, after each change of its pins:

    FTS_HOME/engines/axolotl/venv-*/bin/python -m configs.generate_axolotl
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "axolotl" / "keys.json"
NAMES = {"integer": "int", "number": "float", "boolean": "bool", "string": "str", "array": "list", "object": "dict"}
PLUGIN_ARGUMENTS = re.compile(r'def get_input_args\(self\)[^"]*(?:""".*?""")?\s*return "([\w.]+)"', re.DOTALL)
# What Axolotl leaves to the libraries, which stop a job that is at it: (lowest, highest).
LIMITS: dict[str, tuple[float | None, float | None]] = {
    "lora_r": (1, None),
    "lora_alpha": (0, None),
    "lora_dropout": (0, 1),
    "sequence_len": (1, None),
    "micro_batch_size": (1, None),
    "eval_batch_size": (1, None),
    "gradient_accumulation_steps": (1, None),
    "num_epochs": (0, None),
    "learning_rate": (0, None),
    "weight_decay": (0, None),
    "max_grad_norm": (0, None),
    "warmup_steps": (0, None),
    "warmup_ratio": (0, 1),
    "val_set_size": (0, None),
    "neftune_noise_alpha": (0, None),
}


def main() -> None:
    """Write the file."""
    from axolotl.utils.schemas.config import AxolotlInputConfig

    keys: dict[str, Any] = {}
    for model in (*plugins(), AxolotlInputConfig):
        for name, field in model.model_fields.items():
            fact = {"type": "any"} if name in rewritten(model) else about(name, field)
            keys |= {each: fact for each in (name, field.alias) if each}
    made = {"library": f"axolotl {version('axolotl')}", "keys": keys}
    FILE.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def rewritten(model: Any) -> set[str]:
    """The keys whose values Axolotl changes before it looks at their types."""
    checks = (each.info for each in model.__pydantic_decorators__.field_validators.values())
    return {name for check in checks if check.mode != "after" for name in check.fields}


def plugins() -> Iterator[Any]:
    """What the plugins that Axolotl ships add to its config."""
    import axolotl.integrations

    for path in sorted(Path(axolotl.integrations.__path__[0]).rglob("*.py")):
        for place in PLUGIN_ARGUMENTS.findall(path.read_text(encoding="utf-8")):
            yield getattr(alone(path.with_name("args.py")), place.rpartition(".")[2])


def alone(path: Path) -> Any:
    """The module of a file without its package, which may want libraries that are not installed."""
    spec = spec_from_file_location(f"arguments_of_{path.parent.name}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)  # pydantic looks there for what annotations name
    spec.loader.exec_module(module)
    return module


def about(name: str, field: Any) -> dict[str, Any]:
    """A key's types, joined by |, and where they are known its choices and its lowest and highest value."""
    from pydantic import create_model
    from pydantic_core import PydanticSerializationError

    try:
        schema = create_model("Of", value=(field.annotation, field)).model_json_schema(by_alias=False)
    except PydanticSerializationError:
        return {"type": "dict|null"}  # a mapping with torch's types in it
    parts = list(alternatives(schema["properties"]["value"], schema.get("$defs", {})))
    types = sorted({NAMES.get(part.get("type", ""), part.get("type", "any")) for part in parts})
    made: dict[str, Any] = {"type": "any" if "any" in types else "|".join(types)}
    texts = [part for part in parts if part.get("type") == "string"]
    if texts and all("enum" in part or "const" in part for part in texts):
        made["choices"] = sorted({each for part in texts for each in part.get("enum", [part.get("const")])})
    low, high = LIMITS.get(name, (None, None))
    if name in LIMITS:  # learning_rate may be a text, since YAML takes 2e-5 for one
        made["type"] = "|".join(each for each in types if each != "str")
    low = next((part["minimum"] for part in parts if "minimum" in part), low)
    high = next((part["maximum"] for part in parts if "maximum" in part), high)
    return made | {key: value for key, value in (("at_least", low), ("at_most", high)) if value is not None}


def alternatives(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The schemas of which a value has to meet one."""
    if "$ref" in schema:
        yield from alternatives(known[schema["$ref"].rpartition("/")[2]], known)
    elif "anyOf" in schema:
        for part in schema["anyOf"]:
            yield from alternatives(part, known)
    else:
        yield schema


if __name__ == "__main__":
    main()
