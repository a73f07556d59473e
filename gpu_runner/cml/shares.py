"""What of a job the pods take that run it: one a worker where the studio trains itself, else one for all."""

from __future__ import annotations

from typing import Any

from core.spec import Resources

NONE = {"cpus": 0, "gpus": 0, "memory": 0}


def leads(spec: dict[str, Any]) -> bool:
    """Whether the job of this specification (spec.json) is trained by several pods, one a worker; the first leads them."""
    own = spec.get("framework", "legacy") == "legacy" and not spec.get("user_script")
    return spec.get("kind") == "fine_tuning" and own and (spec.get("resources") or {}).get("workers", 1) > 1


def of_first_pod(spec: dict[str, Any]) -> Resources:
    """What the pod takes that Cloudera is asked for: a worker's share, or that of all where they are processes of one pod."""
    each = Resources(**(spec.get("resources") or NONE))
    if leads(spec) or each.workers == 1:
        return each
    whole = {name: getattr(each, name) * each.workers for name in NONE}
    return each.model_copy(update={**whole, "workers": 1})
