"""Installs the studio in a project of Cloudera ML: an environment of its own in .venv, so that neither the runtime's packages nor
Cloudera's add-ons stand in its way. Run again it does what is missing; the application's start runs it after an update.

A kernel runs this file's text, in the project's directory: nothing but the standard library, and no __file__.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

LEAST = (3, 11)
EXTRAS = "train,web,postgresql"
# What is on the path of every Python of a runtime: its packages are older than ours, and would be found first.
FOREIGN = "import sys; sys.path[:] = [each for each in sys.path if 'cmladdon' not in each]\n"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # what a workbench with certificates of its own adds them to
PLACE = "import sysconfig; print(sysconfig.get_path('purelib'), end='')"


def studio() -> Path:
    """The directory of the studio: the project's own, or below it as a part of another."""
    for each in (Path.cwd(), Path.cwd() / "fine-tuning-studio"):
        if (each / "configs" / "cml" / "install.py").is_file():
            return each
    raise RuntimeError(f"the studio is neither in {Path.cwd()} nor in fine-tuning-studio below it")


def stamp(home: Path) -> str:
    """What an installation is known by: what it was made of, and with which Python."""
    made_of = b"".join((home / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return f"{sys.version_info[0]}.{sys.version_info[1]} {hashlib.sha256(made_of).hexdigest()}"


def run(*command: object, **more: str) -> None:
    """Run a program, show what it prints, and raise when it fails: a kernel shows what is printed, not what a process writes."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more}
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen(
        [str(each) for each in command], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            print(line, end="", flush=True)
    if process.wait() != 0:
        raise RuntimeError(
            f"{' '.join(str(each) for each in command[:6])} … ended with {process.returncode}: see above"
        )


def version_of(python: Path) -> str:
    """What an environment's Python says that it is; empty when it can't be run."""
    if not python.exists():
        return ""
    told = "import sys; print(tuple(sys.version_info[:2]))"
    return subprocess.run([str(python), "-c", told], capture_output=True, text=True, check=False).stdout.strip()


def make(home: Path) -> Path:
    """The environment, empty; one that another Python made, or that broke off, is made anew."""
    python = home / ".venv" / "bin" / "python"
    if version_of(python) != str(tuple(sys.version_info[:2])):
        print(f"making {home / '.venv'} with Python {sys.version.split()[0]}", flush=True)
        run(sys.executable, "-m", "venv", "--clear", home / ".venv")
    (place_of(python) / "cloudera_addons.pth").write_text(FOREIGN)
    return python


def place_of(python: Path) -> Path:
    """Where an environment keeps its packages."""
    return Path(subprocess.run([str(python), "-c", PLACE], capture_output=True, text=True, check=True).stdout)


def packages(home: Path, python: Path) -> None:
    """The studio and what it needs, at the versions that it was tried with. Nothing is kept of what was downloaded."""
    pip = (python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "-c", home / "constraints.txt")
    run(*pip, "torch")
    run(*pip, "-e", f"{home}[{EXTRAS}]")


def sdk(python: Path) -> None:
    """Cloudera's own SDK, which is on no index: the workbench's, else the one of this kernel. Without it no job can run here."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if subprocess.run([str(python), "-c", "import cmlapi"], env=own, capture_output=True, check=False).returncode == 0:
        return
    address = urlsplit(os.environ.get("CDSW_API_URL", ""))
    try:
        trust = {"PIP_CERT": CERTIFICATES} if Path(CERTIFICATES).exists() else {}
        url = f"{address.scheme}://{address.netloc}/api/v2/python.tar.gz"
        run(python, "-m", "pip", "install", "--quiet", "--no-cache-dir", url, **trust)
    except RuntimeError as error:
        print(f"the workbench does not give its SDK ({error}); this kernel's is taken", flush=True)
        copied(python)


def copied(python: Path) -> None:
    """Copy the SDK that this kernel has: plain Python."""
    try:
        import cmlapi
    except ImportError:
        print("▲ there is no SDK (cmlapi): the studio will run, but no job can run at Cloudera's", flush=True)
        return
    run(python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "urllib3", "six", "certifi", "python-dateutil")
    shutil.copytree(Path(cmlapi.__file__).parent, place_of(python) / "cmlapi", dirs_exist_ok=True)


def main() -> None:
    """Install, unless it is done."""
    if sys.version_info < LEAST:
        raise RuntimeError(
            f"this runtime has Python {sys.version.split()[0]}, the studio needs {LEAST[0]}.{LEAST[1]} or newer: choose a runtime "
            "with it (Project Settings, Runtime/Engine; the job Install Dependencies and the templates then take it too)"
        )
    home = studio()
    with (home / ".venv.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # the application may start while the job installs
        install(home)


def install(home: Path) -> None:
    """What is not done yet."""
    done = home / ".venv" / ".installed"
    if done.exists() and done.read_text() == stamp(home):
        print("the studio is installed", flush=True)
        sdk(home / ".venv" / "bin" / "python")  # which may have been away then
        return
    print("installing the studio: some 15 minutes and 8 GB of the project's file system the first time", flush=True)
    python = make(home)
    done.unlink(missing_ok=True)
    packages(home, python)
    sdk(python)
    done.write_text(stamp(home))
    print(
        "installed; the application Fine Tuning Studio starts it, and in a session's terminal: .venv/bin/fts",
        flush=True,
    )


if __name__ == "__main__":
    main()
