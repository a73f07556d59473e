"""Making an environment of exact pins with pip: its progress, its errors, and again where it broke off."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from core import engines
from core.text import plain
from tui.cli import console
from tui.cli.console import say

IMPORTED = ("torch", "transformers", "trl", "peft")  # what is tried beside the engine, as far as it is pinned
TOLD = 5  # pip's last lines in an error


class NotInstalled(Exception):
    """It can't be installed or removed; the message says why, and what to do."""


def install_pins(name: str, environment: Path, log: Path) -> Path:
    """Make `environment` hold the engine's pins; return its Python. What is there already stays. Raises NotInstalled, OSError."""
    python = environment / "bin" / "python"
    pinned = [line for line in engines.pins(name).read_text(encoding="utf-8").splitlines() if "==" in line]
    with log.open("w", encoding="utf-8") as file:
        if not (environment / "bin" / "pip").exists():
            say(f"making an environment in {environment}")
            _run([sys.executable, "-m", "venv", str(environment)], file.fileno(), log)
        progress = _Progress(len(pinned))
        command = [str(python), "-m", "pip", "install", "--progress-bar", "off", "-r", str(engines.pins(name))]
        for line in _lines(command, log):
            file.write(line)
            progress.see(line)
        progress.end()
        say("trying it")
        names = [module for module in IMPORTED if any(line.startswith(f"{module}==") for line in pinned)]
        _run([str(python), "-c", f"import {', '.join([*names, name])}"], file.fileno(), log)
    return python


class _Progress:
    """Which package pip is at: a line that is rewritten on a terminal, else a line for every tenth."""

    def __init__(self, total: int) -> None:
        self.total, self.seen, self.tenths = total, 0, 0
        self.live = console.on_terminal()

    def see(self, line: str) -> None:
        """Take in a line of pip's."""
        if line.startswith(("Collecting", "Requirement already satisfied")):
            self.seen += 1
            self._show(f"package {min(self.seen, self.total)} of {self.total}: {line.split('==')[0].split()[-1]}")
        elif line.startswith("Installing collected packages"):
            self.tenths = -1
            self._show(f"unpacking {self.total} packages; this takes minutes")

    def _show(self, text: str) -> None:
        if self.live:
            say(f"\r\x1b[K{plain(text, limit=100)}", end="", flush=True)
        elif self.seen * 10 // self.total > self.tenths or self.tenths < 0:
            self.tenths = max(self.tenths, self.seen * 10 // self.total)
            say(plain(text), flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self.live:
            say()


def _environment() -> dict[str, str]:
    """This one's, without what would lead the other Python to the studio's libraries."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return {**kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


def _run(command: list[str], printed: int, log: Path) -> None:
    done = subprocess.run(command, stdout=printed, stderr=subprocess.STDOUT, env=_environment(), check=False)
    if done.returncode:
        raise NotInstalled(_why(deque(log.read_text(encoding="utf-8", errors="replace").splitlines(), TOLD), log))


def _lines(command: list[str], log: Path) -> Iterator[str]:
    """The lines that a command prints, as they come. Raises NotInstalled when it fails."""
    last: deque[str] = deque(maxlen=TOLD)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=_environment()
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                last.append(line.strip())
            yield line
    if process.returncode:
        raise NotInstalled(_why(last, log))


def _why(last: deque[str], log: Path) -> str:
    errors = [line for line in last if line.startswith("ERROR")] or list(last)
    told = "\n  ".join(errors)
    return f"\n  {told}\nThe whole log is {log}. Give the command again when it is mended: it goes on from here."
