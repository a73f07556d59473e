"""The corpus through a real terminal: nothing of it is obeyed, no action runs, nothing falls over."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEQUENCE = re.compile(
    r"\x1b\[([0-?]*)([ -/]*[@-~])"  # CSI
    r"|\x1b\](.*?)(?:\x07|\x1b\\)"  # OSC
    r"|\x1b([P_^X].*?)\x1b\\"  # DCS, APC, PM, SOS
    r"|\x1b([ -/]*[0-~])",
    re.S,
)
CLIPBOARD = re.compile(r"52;c;[A-Za-z0-9+/=]*")
# What Textual sends by itself: modes that it sets and takes back, colours, places, the keyboard's protocol, the pointer's shape.
TEXTUAL = {
    *(f"CSI ?{mode}{final}" for mode in (7, 25, 1000, 1003, 1004, 1006, 1015, 1016, 1049, 2004, 2026, 2048) for final in "hl"),
    "CSI m", "CSI H", "CSI >25u", "CSI >1u", "CSI <u", "CSI ?$p", "CSI ?2026$p", "OSC 22;default", "OSC 22;pointer", "OSC 22;text",
    "OSC 52 of ours",
}  # fmt: skip


def walked(pieces: str, tmp_path: Path, keys: int, size: tuple[int, int]) -> tuple[str, dict[str, Any]]:
    """What the walk wrote to its terminal, and what it reports."""
    report = tmp_path / f"{pieces}.json"
    command = ["-m", "tests.hostile.walk", pieces, str(keys), str(report)]
    written = written_by(command, size, FTS_HOME=str(tmp_path / ".app"), FTS_NOTIFY_TERMINAL="off")
    return written, json.loads(report.read_text())


def written_by(command: list[str], size: tuple[int, int], **environment: str) -> str:
    """What a Python program writes to its terminal until it ends well."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *command], stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, start_new_session=True,
        env={**known, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
    )  # fmt: skip
    os.close(slave)
    written = b""
    while True:
        try:
            written += os.read(master, 1 << 16)
        except OSError:  # the program is gone
            break
    os.close(master)
    assert process.wait() == 0, written[-4000:].decode(errors="replace")
    return written.decode()


def kinds(written: str) -> set[str]:
    """The kinds of escape sequences: what stands in a colour or a place is left out, what else it says is not."""
    found = set()
    for parameters, final, osc, string, other in SEQUENCE.findall(written):
        if final:
            found.add(
                f"CSI {parameters if final in 'hlcnpu' else parameters[:1] if parameters[:1] in '<=>?' else ''}{final}"
            )
        elif osc:
            found.add("OSC 52 of ours" if CLIPBOARD.fullmatch(osc) else f"OSC {osc[:40]}")
        else:
            found.add(f"string {string[:40]}" if string else f"ESC {other}")
    return found


def bare(written: str) -> dict[str, str]:
    """Control and invisible characters outside escape sequences, with what stands around them."""
    text = SEQUENCE.sub("", written)
    found = {}
    for place, char in enumerate(text):
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and char not in "\r\n\u200d\u200c":
            found.setdefault(f"U+{ord(char):04X}", ascii(text[max(0, place - 40) : place + 40]))
    return found


def test_nothing_of_the_corpus_reaches_the_terminal_from_any_page(tmp_path: Path) -> None:
    written, report = walked("hostile", tmp_path, 1, (80, 24))
    _look(written, report)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_nor_by_any_key_and_all_that_it_gets_is_what_it_gets_for_harmless_text(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    benign, _ = walked("benign", tmp_path, 99, size)
    assert kinds(benign) <= TEXTUAL and bare(benign) == {}
    written, report = walked("hostile", tmp_path, 99, size)
    _look(written, report)


def _look(written: str, report: dict[str, Any]) -> None:
    assert bare(written) == {}
    assert kinds(written) - TEXTUAL == set()
    assert report["failures"] == [] and report["links"] == [] and report["done"]
    assert {"FormScreen", "ListScreen", "ReadingScreen", "JobScreen"} <= set(report["screens"])


def test_nor_from_anything_that_the_command_prints() -> None:
    written = written_by(["-m", "tests.hostile.printing"], (100, 30))
    assert bare(written) == {}
    assert kinds(written) <= {"CSI m"}
    assert "─ ListDatasets yaml" in written and "XX-001" in written
