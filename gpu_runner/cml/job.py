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


def python(home: Path) -> tuple[str, list[str]]:
    """The Python that has the studio's libraries, and where it looks for them beside its own: FTS_PYTHON, the studio's own
    environment, or this one. In the studio's own the runtime's packages would only stand in the way of newer ones.
    """
    own, path = home / ".venv" / "bin" / "python", os.environ.get("PYTHONPATH", "")
    if os.environ.get("FTS_PYTHON") or not own.exists():
        return os.environ.get("FTS_PYTHON") or sys.executable, [str(home), path]
    return str(own), [str(home)]


def kernel(home: Path) -> dict[str, str]:
    """What a pod is told of this kernel, whose Python alone has Cloudera's workers API: the Python, its path, this script."""
    script = (
        str((home / "gpu_runner" / "cml" / "job.py").relative_to(Path.cwd())) if home.is_relative_to(Path.cwd()) else ""
    )
    return {"FTS_KERNEL": sys.executable, "FTS_KERNEL_PATH": os.environ.get("PYTHONPATH", ""), "FTS_JOB_SCRIPT": script}


def main() -> int:
    """Run the pod's process to its end; its exit code, as a shell tells it."""
    home = studio()
    program, path = python(home)
    told = {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1", **kernel(home)}
    process = subprocess.Popen(
        [program, "-m", "gpu_runner.cml.pod"], env={**os.environ, **told},
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
