"""Which accelerator labels a runner serves: what it says of itself (`gpu_label_id` of its labels), against what a job asks for."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

NAME = "gpu_label_id"
ANY = "any"  # a runner that has whatever is asked for made for it, as Cloudera does
ONLY = "only:"  # before a label: such a runner takes no job that does not ask for it
OWN = 1 << 30  # labels from here on belong to one job, and the runner that was started for it


def of_job(key: str) -> int:
    """The label of the one job that has this key."""
    return OWN + crc32(key.encode()) % OWN


def told(labels: Mapping[str, str] | None) -> str | None:
    """What a runner's labels say of accelerators."""
    return (labels or {}).get(NAME)


def is_of_job(label: str | None) -> bool:
    """Whether the label, of a job or behind ONLY of a runner, is that of one job."""
    number = (label or "").removeprefix(ONLY)
    return number.isdecimal() and int(number) >= OWN


def serves(own: str | None, asked: str | None) -> bool:
    """Whether a runner that says `own` takes a job that asks for a label, or for none."""
    if own is None or own == asked:
        return asked in (None, own)
    if own.startswith(ONLY):
        return asked == own.removeprefix(ONLY)
    return asked is None or (own == ANY and not is_of_job(asked))
