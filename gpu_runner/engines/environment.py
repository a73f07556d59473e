"""What a program of another's making gets of this process's environment: no secrets but the Hub token where it is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

HELPER = Path(__file__).with_name("helper")
# What is the studio's own, or belongs to its Python; and whatever is named like a secret.
_OWN = re.compile(
    r"(FTS|CDSW|MLFLOW|FINE_TUNING_STUDIO|HUGGINGFACE)_.*|PYTHON(PATH|HOME|STARTUP|WARNINGS)|VIRTUAL_ENV|IS_COMPOSABLE"
)
_SECRET = re.compile(
    r".*(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE_KEY|(DATABASE|REDIS|BROKER|POSTGRES)\w*_UR[LI]|_DSN).*",
    re.IGNORECASE,
)
_HARMLESS = ("TOKENIZERS_PARALLELISM",)


def clean(token: str | None, **more: str) -> dict[str, str]:
    """The environment for the program: this one's without secrets, `more` laid over it, `token` as the Hub's when given."""
    kept = {name: value for name, value in os.environ.items() if not _withheld(name)}
    given: Mapping[str, str] = {"HF_TOKEN": token} if token else {}
    return {**kept, "PYTHONPATH": str(HELPER), "PYTHONUNBUFFERED": "1", **given, **more}


def _withheld(name: str) -> bool:
    return name not in _HARMLESS and bool(_OWN.fullmatch(name) or _SECRET.fullmatch(name))
