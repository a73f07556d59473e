"""The studio's own copies of what a registry holds: registries change and go, and a runner has none of their passwords.

A copy lies in a directory of its own below the artifacts root, which runners share. The directory is noted as one that may
go before anything is fetched, and held by a lock until the request is answered: so what a killed process, a full disk or a
refusal leaves is freed (freeing.py), and what a row points to stays.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import yaml

from actors import freeing
from actors.desk import Desk
from actors.registry import Absent, Version, asking
from actors.world import RealWorld
from core.errors import Unavailable
from core.messages import Message
from core.messages.models import TOKENIZERS
from core.rules import CHEAP, check, refusing
from core.settings import Settings

MOST = 10_000  # files of a version that are looked at
SPARE = 64 << 20  # bytes that stay free on the disk beside a copy
LARGEST_NOTE = 1 << 20  # bytes of an MLmodel file that are read
# Files that a model or adapter is made of; anything else, code above all, stays where it is.
TAKEN = {".json", ".safetensors", ".model", ".txt", ".jinja"}
PICKLED = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}
Files = Mapping[str, int | None]  # a file's path in the version -> its bytes, where the store tells them
Choose = Callable[[Version, Files], dict[str, str]]


def home(settings: Settings) -> Path:
    """Where copies lie."""
    return settings.artifacts_root / "registry"


def own(settings: Settings, location: str | None) -> Path | None:
    """The directory of the copy that a row points to; None when it points elsewhere."""
    root = home(settings).resolve()
    path = Path(location or "").resolve()
    return root / path.relative_to(root).parts[0] if root in path.parents else None


def facts(
    message: Message[Any], world: RealWorld, version: Version, choose: Choose, look: Callable[[Path], dict[str, Any]]
) -> dict[str, Any]:
    """What `look` finds in a copy of the version, and where it came from; no location when no copy was worth while.

    Raises Absent when the version holds nothing of use, Unavailable when it can't be copied now.
    """
    path = copied(message, world, version, choose)
    if path is None:
        return version.facts
    try:
        return {**version.facts, **look(path)}
    except ValueError as error:
        raise Absent(str(error).replace(str(path), str(version))) from None


def copied(message: Message[Any], world: RealWorld, version: Version, choose: Choose) -> Path | None:
    """A copy of the version's files, as `choose` maps them to names; None when the request is refused anyway.

    Raises Absent when the version holds no such files, Unavailable when they can't be fetched or there is no room.
    """
    settings = world.desk.settings
    if refusing(check(message, world, CHEAP)):
        return None
    world.session.rollback()  # it takes minutes: no snapshot of the database is held for so long
    with asking(settings, str(version)):
        files = files_of(version)
        chosen = choose(version, files)
    directory = world.held.enter_context(_room(world.desk))
    path = directory / _called(version)
    with _copying(version, directory):
        _check_room(directory, sum(files[each] or 0 for each in chosen))
        _fetch(version, chosen, directory / "draft", path)
    return path


def files_of(version: Version) -> dict[str, int | None]:
    """Every file of the version. Raises Absent for a version without end, or with paths that lead out of it."""
    found: dict[str, int | None] = {}
    directories: list[str | None] = [None]
    seen: set[str] = set()
    while directories:
        for each in version.artifacts.list_artifacts(directories.pop()):
            path = PurePosixPath(each.path)
            if path.is_absolute() or ".." in path.parts or len(seen) >= MOST:
                raise Absent(f"{version} can't be copied: it lists more than {MOST} files, or {each.path!r} outside it")
            if each.is_dir and each.path not in seen:
                directories.append(each.path)
            elif not each.is_dir:
                found[each.path] = each.file_size
            seen.add(each.path)
    return found


def model_files(version: Version, files: Files) -> dict[str, str]:
    """The files of a base model and its tokenizer, by their names in the copy; raises Absent with what is missing.

    MLflow's transformers flavour keeps a model in model/ and its tokenizer in components/tokenizer/.
    """
    if adapters := [path for path in files if PurePosixPath(path).name == "adapter_config.json"]:
        raise Absent(f"{version} holds an adapter ({adapters[0]}): add it as an adapter, and its base as a model")
    place = _place(version, files, "config.json", "model")
    chosen = _within(files, place)
    if not _tokenizer(chosen.values()):
        chosen = {**_within(files, place.parent / "components" / "tokenizer"), **chosen}
    if not _tokenizer(chosen.values()):
        raise Absent(f"{version} has no tokenizer ({', '.join(TOKENIZERS)}) beside {place / 'config.json'}")
    return chosen


def adapter_files(version: Version, files: Files) -> dict[str, str]:
    """The files of an adapter, by their names in the copy; raises Absent with what is missing."""
    return _within(files, _place(version, files, "adapter_config.json", "peft"))


def _place(version: Version, files: Files, config: str, usual: str) -> PurePosixPath:
    """The directory with the config and safetensors weights: the version's own, the usual one, or the only one."""
    weights = {PurePosixPath(each).parent for each in files if each.endswith(".safetensors")}
    places = sorted(place for place in weights if str(place / config) in files)
    for place in (PurePosixPath(), PurePosixPath(usual)):
        if place in places:
            return place
    if len(places) == 1:
        return places[0]
    if places:
        several = ", ".join(f"{place}/" for place in places)
        raise Absent(f"{version} has {config} and weights in several places ({several}): register one of them alone")
    raise Absent(f"{version} has no directory with {config} and *.safetensors weights{_why(version, files)}")


def _why(version: Version, files: Files) -> str:
    """What it has instead, as far as that helps."""
    pickled = sorted(each for each in files if PurePosixPath(each).suffix in PICKLED)
    if pickled:
        return f" ({', '.join(pickled[:5])}: pickled weights can run code and are not loaded; convert them)"
    source = _refers(version) if "MLmodel" in files and (files["MLmodel"] or 0) <= LARGEST_NOTE else None
    return f"; it only refers to {source} on the Hub: add that, type huggingface" if source else ""


def _refers(version: Version) -> str | None:
    """The Hub's name in a version that MLflow keeps without weights."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(version.artifacts.download_artifacts("MLmodel", dst_path=directory))
        try:
            told: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
            flavour = told["flavors"]["transformers"]
            name, revision = flavour["source_model_name"], flavour.get("source_model_revision")
        except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError):
            return None
    return f"{name}@{revision}" if revision else str(name)


def _within(files: Files, place: PurePosixPath) -> dict[str, str]:
    """What is taken of one directory."""
    paths = [path for path in map(PurePosixPath, files) if path.parent == place and path.suffix in TAKEN]
    return {str(path): path.name for path in paths}


def _tokenizer(names: Any) -> bool:
    return bool(set(TOKENIZERS) & set(names))


def _called(version: Version) -> str:
    """A name for the copy: it ends the path by which adapters name their base model."""
    return re.sub(r"[^\w.-]", "-", f"{version.registered[:80]}-{version.number[:32]}", flags=re.ASCII)


@contextmanager
def _room(desk: Desk) -> Iterator[Path]:
    """A new directory that is ours until the block ends; then it goes, unless a row points there."""
    directory = home(desk.settings).resolve() / str(uuid4())
    try:
        directory.mkdir(parents=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise Unavailable(
            f"{directory} can't be made: {error.strerror}; send this again when that is mended"
        ) from error
    try:
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with desk.store.write() as unit:
                freeing.note(unit, directory, directory.parent)
            yield directory
    finally:
        freeing.sweep(desk, [str(directory)])


def _check_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed + SPARE:
        raise OSError(f"No space left for {needed >> 20} MiB: {free >> 20} MiB are free")


@contextmanager
def _copying(version: Version, directory: Path) -> Iterator[None]:
    """What goes wrong with files that were listed a moment ago is no fault of the request; MLflow often tells only a text of it."""
    try:
        yield
    except Exception as error:
        told = str(error).strip().rpartition("\n")[2]
        full = "No space left" in told or "quota exceeded" in told or shutil.disk_usage(directory).free < SPARE
        what = f"there is no room on the disk of {directory.parent}" if full else f"{version} could not be copied"
        raise Unavailable(f"{what} ({told}); send this again when that is mended") from error


def _fetch(version: Version, chosen: Mapping[str, str], draft: Path, path: Path) -> None:
    """Fetch the files, each to its name in `path`, and bring them to the disk."""
    draft.mkdir()
    path.mkdir()
    for source, name in chosen.items():
        Path(version.artifacts.download_artifacts(source, dst_path=str(draft))).replace(path / name)
        _sync(path / name)
    _sync(path)
    shutil.rmtree(draft)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
