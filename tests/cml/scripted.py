"""A pod as Cloudera starts it: job.py with an environment, in a project's directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpu_runner.cml import job
from gpu_runner.files import Files
from gpu_runner.spool import read_records
from tests.runner.studio import spec_of
from tests.runner.tiny import make_rows

JOB = str(Path(job.__file__))
OWN = ("HUGGINGFACE_ACCESS_TOKEN", "HF_TOKEN", "JOB_ARGUMENTS")  # of whoever runs the tests


class Pod:
    """Part 0 of an attempt whose job is a user's script, which is done in no time."""

    def __init__(self, root: Path, script: str = "", number: int = 1, **extra: Any) -> None:
        self.root, self.files = root, Files(root / "artifacts" / "jobs" / "job" / str(number), 0)
        (root / "scripts").mkdir(exist_ok=True)
        (root / "scripts" / "mine.py").write_text(script)
        self.files.directory.mkdir(parents=True)
        (root / "artifacts" / ".fts-artifacts").write_text("marker\n")
        rows = {"id": "d", "name": "d", "type": "project_jsonl", "location": str(make_rows(root / "rows.jsonl"))}
        spec = spec_of("job", root, **{"user_script": "mine.py", "dataset": rows, **extra})
        self.files.spec.write_text(json.dumps(spec))

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Have Cloudera start it."""
        told = {
            "FTS_ATTEMPT_DIR": str(self.files.directory),
            "FTS_PART": "0",
            "FTS_RUNNER_ID": "r",
            "FTS_SCRIPTS_DIR": str(self.root / "scripts"),
            "HF_HUB_OFFLINE": "1",
        }
        kept = {name: value for name, value in os.environ.items() if name not in OWN}
        return subprocess.Popen(
            [sys.executable, JOB], cwd=self.root, env={**kept, **told, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, **environment: str) -> tuple[int, str]:
        """Run it to its end: its exit code, and what it printed."""
        process = self.start(**environment)
        printed, _ = process.communicate(timeout=120)
        return process.returncode, printed

    def records(self, *types: str) -> list[dict[str, Any]]:
        """What it said, of some types or all."""
        read = read_records(self.files.spool, 0, 1 << 26)[0]
        return [record for record in read if not types or record["type"] in types]
