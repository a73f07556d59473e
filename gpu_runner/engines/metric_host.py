"""Runs a user's metric in a process of its own: `python metric_host.py SCRIPT SHA256 ASKED.jsonl SCORED.jsonl`.

The text that has the hash is what runs: neither one that was put in its place meanwhile, nor what is cached of it. ASKED has a line {prediction, expected, row} for every row. SCORED gets {"lower_is_better": …} first, then for every row
{"score": …} or {"error": …}. It needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def load(script: str, sha256: str) -> Any:
    """The script's module; ends the process when it is another one, and when it defines no score()."""
    text = Path(script).read_bytes()
    if hashlib.sha256(text).hexdigest() != sha256:
        sys.exit("it is not as it was when the evaluation was started")
    spec = importlib.util.spec_from_file_location(Path(script).stem, script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(text, script, "exec", dont_inherit=True), module.__dict__)
    if not callable(getattr(module, "score", None)):
        sys.exit("it defines no function score(prediction, expected, row)")
    return module


def scored(module: Any, line: str) -> dict[str, Any]:
    """What it says of a row."""
    asked = json.loads(line)
    try:
        score = module.score(asked["prediction"], asked["expected"], asked["row"])
        json.dumps(score)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"score": score}


def main(script: str, sha256: str, asked: str, out: str) -> None:
    """Score every row."""
    module = load(script, sha256)
    with Path(asked).open(encoding="utf-8") as lines, Path(out).open("w", encoding="utf-8") as file:
        lower = getattr(module, "LOWER_IS_BETTER", False)
        lower = [lower] if isinstance(lower, str) else lower if isinstance(lower, bool) else list(lower)
        file.write(json.dumps({"lower_is_better": lower}) + "\n")
        for line in lines:
            file.write(json.dumps(scored(module, line)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
