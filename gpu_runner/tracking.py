"""A job's spool replayed to MLflow, in a process of its own: training never waits for a tracking server.

    python -m gpu_runner.tracking ARTIFACTS/jobs/<job> --uri sqlite:////.../mlflow.db

The experiment is named by the job's id (guide). One run goes on through all attempts; where it has come to is kept in
tracking.json, so that a killed replay goes on without telling anything twice. An evaluation has a run for the batch and
one a combination below it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from gpu_runner.files import read_json, write_json
from gpu_runner.spool import read_records

log = logging.getLogger("fts.tracking")
LOOK = 1.0  # seconds between looks at a spool that has ended for now
ALONE = 600.0  # seconds without anything new, after which a job that nobody runs is left
PIECE = 256 * 1024  # bytes of a spool taken at once
PATIENCE = 60.0  # longest pause between tries while the tracking store is away
BATCH = 500  # metrics in one request
LONGEST = 500  # characters of a parameter's value
STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED", "paused": "SCHEDULED"}
T = TypeVar("T")


class Tracker:
    """The replay of one job."""

    def __init__(self, job_dir: Path, uri: str) -> None:
        import mlflow

        self.job_dir = job_dir
        self.client = mlflow.MlflowClient(tracking_uri=uri)
        self.path = job_dir / "tracking.json"
        self.place: dict[str, Any] = read_json(self.path) or {
            "runs": {},
            "attempt": 0,
            "offset": 0,
            "cut": 0,
            "step": -1,
        }

    def run(self) -> None:
        """Replay until the job has ended, or nobody has written for long."""
        quiet = time.monotonic()
        while True:
            if self._advance():
                quiet = time.monotonic()
            elif self.place.get("ended") or time.monotonic() - quiet > ALONE:
                return
            else:
                time.sleep(LOOK)

    def _advance(self) -> bool:
        """Take the next piece of the spool; whether there was one."""
        for attempt in self._attempts():
            offset = self.place["offset"] if attempt == self.place["attempt"] else 0
            records, end = read_records(self.job_dir / str(attempt) / "events.jsonl", offset, PIECE)
            if not records:
                continue
            patiently(lambda records=records, attempt=attempt: self._take(records, attempt))  # type: ignore[misc]
            self.place |= {"attempt": attempt, "offset": end}
            write_json(self.path, self.place)
            return True
        return False

    def _attempts(self) -> Iterator[int]:
        """This attempt and later ones, in order."""
        found = sorted(int(each.name) for each in self.job_dir.iterdir() if each.name.isdecimal())
        yield from (attempt for attempt in found if attempt >= self.place["attempt"])

    def _take(self, records: list[dict[str, Any]], attempt: int) -> None:
        spec = read_json(self.job_dir / str(attempt) / "spec.json") or {}
        run = self._main_run(spec, attempt)
        self._metrics(run, [record for record in records if record["type"] == "metrics"])
        for record in records:
            if record["type"] == "resumed":
                self.client.set_tag(run, "fts.resumed_from", str(record["from_step"]))
            elif record["type"] == "artifact":
                self.client.set_tag(run, f"fts.{record['kind']}", record["path"])
            elif record["type"] == "scored":
                self._scored(spec, run, record)
            elif record["type"] == "finished":
                self._finished(run, record)

    def _main_run(self, spec: dict[str, Any], attempt: int) -> str:
        run = self.place["runs"].get("main")
        if run is None:
            run = self._new_run(spec, "main", spec.get("name", ""), {})
            for name, value in _flat(_parameters(spec)):
                self.client.log_param(run, name[:250], str(value)[:LONGEST])
        if self.place.get("tagged") != attempt:
            self.client.set_tag(run, "fts.attempt", str(attempt))
            self.client.update_run(run, status="RUNNING")
            self.place["tagged"] = attempt
        return str(run)

    def _new_run(self, spec: dict[str, Any], key: str, name: str, tags: dict[str, str]) -> str:
        """The run of that key: one that an earlier replay made and did not live to note, or a new one."""
        label = f"Run: {spec['job_id']}" if spec.get("kind") == "evaluation" else spec["job_id"]
        experiment = self._experiment(label)
        marked = f"{spec['job_id']}/{key}"
        found = self.client.search_runs([experiment], f"tags.`fts.key` = '{marked}'", max_results=1)
        if found:
            run = found[0].info.run_id
        else:
            run = self.client.create_run(
                experiment, run_name=name, tags={"fts.key": marked, "fts.job_id": spec["job_id"], **tags}
            ).info.run_id
        self.place["runs"][key] = run
        write_json(self.path, self.place)
        return str(run)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self.client.create_experiment(name))

    def _metrics(self, run: str, records: list[dict[str, Any]]) -> None:
        """Numbers of steps that were not told before: what a resume repeats is the same number again."""
        from mlflow.entities import Metric

        points = []
        for record in records:
            for name, value in record["values"].items():
                told = self.place["told"].get(name, -1)
                if record["step"] > told:
                    self.place["told"][name] = record["step"]
                    points.append(Metric(name, value, int(record["at"] * 1000), record["step"]))
        for start in range(0, len(points), BATCH):
            self.client.log_batch(run, metrics=points[start : start + BATCH])

    def _scored(self, spec: dict[str, Any], parent: str, record: dict[str, Any]) -> None:
        """A combination's own run below the batch's."""
        id = record["job_id"]
        combination = next((each for each in spec.get("combinations", []) if each["job_id"] == id), None)
        if combination is None:
            return
        adapter = (combination.get("adapter") or {}).get("name", "base")
        run = self.place["runs"].get(id) or self._new_run(
            spec, id, f"{combination['model']['name']}-{adapter}".replace("/", "-"), {"mlflow.parentRunId": parent}
        )
        for name, value in record.get("values", {}).items():
            self.client.log_metric(run, name, value)
        if record["status"] != "running":
            self.client.set_terminated(run, STATUS[record["status"]])

    def _finished(self, run: str, record: dict[str, Any]) -> None:
        for name, value in (record.get("summary") or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self.client.log_metric(run, f"summary.{name}", value)
        if record.get("error"):
            self.client.set_tag(run, "fts.error", record["error"]["message"][:LONGEST])
        if record["outcome"] != "paused":
            self.client.set_terminated(run, STATUS[record["outcome"]])
        self.place["ended"] = record["outcome"] != "paused"


def _parameters(spec: dict[str, Any]) -> dict[str, Any]:
    names = (
        "model",
        "dataset",
        "prompt",
        "sampling",
        "training_arguments",
        "lora",
        "model_bnb",
        "generation",
        "max_length",
        "packing",
        "loss_on",
        "length_grouped",
        "fraction",
    )
    return {name: spec[name] for name in names if spec.get(name) is not None}


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def patiently(do: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
    """Do it, again and again with longer pauses while the tracking store is away or locked."""
    from mlflow.exceptions import MlflowException

    pause = 0.5
    while True:
        try:
            return do()
        except (MlflowException, OSError) as error:
            log.warning("the tracking store does not take it (%s); again in %.0f s", error, pause)
            sleep(pause)
            pause = min(PATIENCE, pause * 2)


def main() -> None:
    """Replay the job of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job_dir", type=Path)
    parser.add_argument("--uri", required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    tracker: Tracker = patiently(lambda: Tracker(arguments.job_dir, arguments.uri))
    tracker.run()
    print(json.dumps(tracker.place["runs"]))


if __name__ == "__main__":
    main()
