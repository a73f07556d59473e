"""An AddModel that is killed while its files are copied: `python -m tests.chaos.dying_copies PAYLOAD KEY`."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings

from actors import app
from actors.answering import answer
from core.settings import Settings

warnings.simplefilter("ignore")
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository  # noqa: E402


def die(*_: object, **__: object) -> None:
    """What is called for each file."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    LocalArtifactRepository._download_file = die
    answer(app.open_desk(Settings()), "AddModel", json.loads(sys.argv[1]), sys.argv[2])
