"""The script of the template jobs at Cloudera's: it starts the studio's own Python on gpu_runner.cml.pod, and ends as that ends.

A kernel runs this file's text, in the project's directory, with a Python that may have nothing of the studio: so it imports
nothing but the standard library, and knows no __file__.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def studio() -> Path:
    """The directory that the studio lies in: the project's own, or below it where it is part of another (IS_COMPOSABLE)."""
    here = [Path(file).resolve().parents[2]] if (file := globals().get("__file__")) else []
    for each in (*here, Path.cwd(), Path.cwd() / "fine-tuning-studio"):
        if (each / "gpu_runner" / "cml" / "pod.py").is_file():
            return each
    sys.exit(f"the studio (gpu_runner/cml/pod.py) is neither in {Path.cwd()} nor in fine-tuning-studio below it")


def python(home: Path) -> str:
    """The Python that has the studio's libraries: FTS_PYTHON, the studio's own environment, or this one."""
    own = home / ".venv" / "bin" / "python"
    return os.environ.get("FTS_PYTHON") or (str(own) if own.exists() else sys.executable)


def main() -> int:
    """Run the pod's process to its end; its exit code, as a shell tells it."""
    home = studio()
    path = os.pathsep.join(filter(None, (str(home), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        [python(home), "-m", "gpu_runner.cml.pod"],
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip

    def pass_on(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    with contextlib.suppress(ValueError):  # a kernel's other thread can't hear: the pod then ends with this process
        for number in PASSED_ON:
            signal.signal(number, pass_on)
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)  # a kernel shows what is printed, not what a process of its writes
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__" and (code := main()) != 0:
    sys.exit(code)
