"""Attempts of a tiny job, run in this process as the child runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.spec import FineTuningSpec
from gpu_runner import child, fingerprints
from gpu_runner.data import load_rows, sample_and_split
from gpu_runner.spool import read_records


class Attempt:
    """An attempt's directory below an artifacts root, and what came of it."""

    def __init__(self, root: Path, number: int = 1, job_id: str = "job") -> None:
        self.root, self.directory = root, root / "jobs" / job_id / str(number)
        self.directory.mkdir(parents=True)

    def prepare(self, spec: dict[str, Any], order: str | None = None) -> Path:
        """Lay down what the daemon lays down; the attempt's directory."""
        (self.directory / "spec.json").write_text(json.dumps(spec))
        if order is not None:
            (self.directory / "control.json").write_text(json.dumps({"order": order}))
        return self.directory

    def run(self, spec: dict[str, Any], order: str | None = None) -> dict[str, Any]:
        """Run it to its end; the finished record."""
        child.run(self.prepare(spec, order), None)
        return self.finished()

    def records(self, *types: str) -> list[dict[str, Any]]:
        """The spool's records, of some types or all."""
        read = read_records(self.directory / "events.jsonl", 0, 1 << 26)[0]
        return [record for record in read if not types or record["type"] in types]

    def finished(self) -> dict[str, Any]:
        """The last record, which says how it ended."""
        last = self.records()[-1]
        assert last["type"] == "finished"
        return last

    def adapter(self, name: str = "adapter_model.safetensors") -> Path:
        """A file of the adapter that it left."""
        return Path(self.finished()["summary"]["location"]) / name

    def noted(self) -> bool:
        """Whether the rows that its specification says are learned are noted, and no others."""
        spec = FineTuningSpec.model_validate_json((self.directory / "spec.json").read_text())
        rows, held_out = sample_and_split(load_rows(spec.dataset), spec.sampling)
        told, learned = fingerprints.read(self.root / spec.training.rows), fingerprints.of_rows(rows, spec.prompt)
        return told is not None and told.tolist() == learned.tolist() and bool(rows and held_out)

    def checkpoints(self) -> list[str]:
        """Names of its checkpoints."""
        return sorted(path.name for path in self.directory.glob("checkpoints/*"))
