"""Checkpoints that can be trusted: written under a temporary name, described by a manifest, synced, renamed.

A checkpoint without its optimizer or random state resumes silently wrong, as does a changed batch size; so the manifest
holds every file's size and SHA-256 and the hash of all that must be alike, and what does not hold is not used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from core.settings import settings
from gpu_runner.failures import JobError
from gpu_runner.files import earlier_attempts

NEEDED = ("optimizer.pt", "scheduler.pt", "rng_state", "trainer_state.json")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Identity:
    """What must be alike for a checkpoint to be gone on from: hashes of data and configuration, world size, effective batch."""

    data: str
    config: str
    world_size: int
    effective_batch: int


def digest(value: object) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def size_of(directory: Path) -> int:
    """Bytes of the files in a directory."""
    return sum(path.stat().st_size for path in _files(directory))


def seal(draft: Path, final: Path, identity: Identity, step: int, position: dict[str, Any]) -> None:
    """Describe the files of `draft`, sync them and rename it to `final`; then remove all but the newest checkpoints."""
    files = {_name(path, draft): {"size": path.stat().st_size, "sha256": _sha256(path)} for path in _files(draft)}
    manifest = {"step": step, "identity": vars(identity), "position": position, "files": files}
    (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    publish(draft, final)
    for older in _checkpoints(final.parent)[settings().keep_checkpoints :]:
        shutil.rmtree(older, ignore_errors=True)


def weights(final: Path) -> dict[str, str]:
    """name -> SHA-256 of the weights in a sealed checkpoint, as its manifest tells them."""
    files = json.loads((final / "manifest.json").read_text(encoding="utf-8"))["files"]
    return {name: told["sha256"] for name, told in files.items() if name.endswith(".safetensors")}


def publish(draft: Path, final: Path) -> dict[str, str]:
    """Sync a directory's files and rename it to `final`, whole or not at all; return name -> SHA-256."""
    made = hashes(draft)
    directories = [path for path in draft.rglob("*") if path.is_dir()]
    for path in [*_files(draft), *directories, draft]:
        _sync(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    draft.rename(final)
    _sync(final.parent)
    return made


def hashes(directory: Path) -> dict[str, str]:
    """name -> SHA-256 of a directory's files."""
    return {_name(path, directory): _sha256(path) for path in _files(directory)}


def publish_file(path: Path, pieces: Iterable[str]) -> str:
    """Write a file of these pieces whole or not at all; return its SHA-256. Half of a character that UTF-8 can't hold is told as \\ud800."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        file.writelines(pieces)
    _sync(draft)
    draft.replace(path)
    return _sha256(path)


class Found(NamedTuple):
    """A checkpoint that holds; `position` is what `seal` was told of where training was."""

    path: Path
    step: int
    position: dict[str, Any]


def newest(
    attempt_dir: Path, identity: Identity, tell: Tell, needed: tuple[str, ...] = NEEDED, *, own: bool = False
) -> Found | None:
    """The newest checkpoint of this job's attempts before this one whose manifest holds; None when there is none.

    `needed` are beginnings of names: each must be that of a file. `own`: those of this attempt count too.

    Raises JobError when one holds but is of other data or configuration: going on would be silently wrong.
    """
    for path in _earlier(attempt_dir, own=own):
        try:
            manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
            found, saved = Found(path, int(manifest["step"]), manifest["position"]), dict(manifest["identity"])
            broken = _broken(path, manifest, identity.world_size, needed)
        except (OSError, ValueError, KeyError, TypeError) as error:
            broken = str(error)
        if broken:
            tell(f"{path.parent.parent.name}/{path.name} can't be used: {broken}; an older one is looked for")
            continue
        _must_match(path, saved, identity)
        return found
    return None


def _earlier(attempt_dir: Path, *, own: bool) -> Iterator[Path]:
    """Checkpoints of earlier attempts, by step, newest first; of equal steps the newer attempt's first."""
    attempts = [*([attempt_dir.name] if own else []), *map(str, earlier_attempts(attempt_dir))]
    found = [path for attempt in attempts for path in _checkpoints(attempt_dir.parent / attempt / "checkpoints")]
    yield from sorted(found, key=_step, reverse=True)


def _checkpoints(directory: Path) -> list[Path]:
    found = [path for path in directory.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal()]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("checkpoint-"))


def _broken(path: Path, manifest: dict[str, Any], workers: int, needed: tuple[str, ...]) -> str | None:
    files = manifest["files"]
    own_dice = "rng_state" in needed and manifest["identity"]["world_size"] == workers > 1  # each worker has its own
    for each in [*needed, *(f"rng_state_{rank}.pth" for rank in range(workers) if own_dice)]:
        if not any(name.startswith(each) for name in files):
            return f"it has no {each}"
    for name, told in files.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != told["size"] or _sha256(file) != told["sha256"]:
            return f"{name} is not what was saved"
    return None


def _must_match(path: Path, saved: dict[str, Any], identity: Identity) -> None:
    for name, value in vars(identity).items():
        if saved.get(name) != value:
            text = f"{path.name} was saved with another {name.replace('_', ' ')} than this attempt has"
            raise JobError(text, "Start a new job: this one can't go on where its inputs differ.")


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _name(path: Path, directory: Path) -> str:
    return path.relative_to(directory).as_posix()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
