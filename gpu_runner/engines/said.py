"""What a program says, on its way to the spool."""

from __future__ import annotations

from typing import Any

from core.spec import FineTuningSpec
from gpu_runner import checkpoint
from gpu_runner.child import Context
from gpu_runner.engines import results

THROUGH = ("progress", "phase", "log", "warning")  # records that go on as they are


class Said:
    """Takes the records of one program; `summary` is what the finished record tells."""

    def __init__(self, spec: FineTuningSpec, context: Context, identity: checkpoint.Identity) -> None:
        self.spec, self.context, self.identity = spec, context, identity
        self.summary: dict[str, Any] = {}

    def take(self, record: dict[str, Any]) -> None:
        """Take one record in; what can't be read is told and passed over. Raises JobError."""
        kind = record.pop("type")
        try:
            if kind in ("progress", "metrics"):
                self.summary["steps"] = max(self.summary.get("steps", 0), int(record["step"]))
            if kind == "metrics":
                self.context.spool.metrics(int(record["step"]), dict(record["values"]), record.get("epoch"))
            elif kind in THROUGH:
                self.context.spool.write(kind, **{name: value for name, value in record.items() if name != "at"})
            else:
                self.more(kind, record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            text = f"the program said a {kind!r} that can't be read: {error!r}"
            self.context.spool.log(text, level="warning")

    def more(self, kind: str, record: dict[str, Any]) -> None:
        """What not every program says."""
        if kind == "checkpoint":
            results.seal(self.context, self.identity, int(record["step"]))
        elif kind == "artifact":
            self.summary["location"] = str(results.publish_adapter(self.spec, self.context))
        else:
            self.context.spool.log(f"the program said a record of the unknown type {kind!r}", level="warning")
