"""Workers of a run at Cloudera's: pods beside its own, which live no longer than it. Asked for by their own API, from its kernel.

`python workers.py`, of the runtime's Python, which alone has that API: a question as JSON on standard input, the answer in the
last line that is printed. So this file imports nothing but the standard library. The API's shape is in no reference that comes
with it; what is used here is what published projects use: launch_workers, list_workers (of those that run), stop_workers.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any


def api() -> Any:
    """Cloudera's module: of newer runtimes, or of older ones. Raises ImportError."""
    try:
        return importlib.import_module("cml.workers_v1")
    except ImportError:
        return importlib.import_module("cdsw")


def answer(asked: dict[str, Any]) -> Any:
    """The ids of what was launched, or of all workers that run. Raises whatever the API raises."""
    if asked["do"] == "launch":
        return [str(each["id"]) for each in api().launch_workers(n=1, **asked["worker"])]
    if asked["do"] == "list":
        return [str(each["id"]) for each in api().list_workers() if each.get("status") in (None, *RUNNING)]
    return api().stop_workers(*asked["ids"]) and None


RUNNING = ("scheduling", "starting", "running")


if __name__ == "__main__":
    told = answer(json.load(sys.stdin))
    sys.stdout.write(f"\n{json.dumps(told)}\n")
