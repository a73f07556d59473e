"""bitsandbytes only where a job needs it: importing it takes seconds and asks CUDA for its devices.

peft imports it whenever it is installed, so the warm process and the jobs without quantisation make it look absent.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

# Optimisers of torch and transformers themselves; the others are bitsandbytes', or rare enough for a slower start.
_OWN_OPTIMISERS = ("adamw_torch", "sgd", "adagrad", "rmsprop", "adafactor")
_CACHES = ("peft.import_utils", "transformers.utils.import_utils", "accelerate.utils.imports")


def needed(spec: dict[str, Any]) -> bool:
    """Whether the job of `spec` (spec.json) quantises, or asks for an optimiser that may be bitsandbytes'."""
    optimiser = str((spec.get("training_arguments") or {}).get("optim", "adamw_torch"))
    own = optimiser.startswith(_OWN_OPTIMISERS) and not optimiser.endswith(("_bnb", "bit"))
    return bool(spec.get("model_bnb") or spec.get("adapter_bnb")) or not own


def keep_out() -> None:
    """Make bitsandbytes look absent in this process: importing it raises ModuleNotFoundError, find_spec answers None."""
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # what the import system documents for this


def admit() -> None:
    """Undo `keep_out` where the libraries are imported already: the marker, cached answers, names bound to nothing."""
    sys.modules.pop("bitsandbytes", None)
    for name in _CACHES:
        for function in _about_bitsandbytes(sys.modules.get(name)):
            getattr(function, "cache_clear", lambda: None)()
    for name in [name for name in sys.modules if name.startswith("peft.tuners.") and name.endswith(".bnb")]:
        del sys.modules[name]  # its classes are defined only when bitsandbytes can be imported
    helpers = sys.modules.get("peft.helpers")
    if helpers is not None:
        vars(helpers)["bnb"] = importlib.import_module("bitsandbytes")


def _about_bitsandbytes(module: ModuleType | None) -> list[Any]:
    values = list(vars(module).values()) if module is not None else []
    names = [(getattr(value, "__name__", ""), value) for value in values]
    return [value for name, value in names if callable(value) and ("bnb" in name or "bitsandbytes" in name)]
