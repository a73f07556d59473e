"""What this process may use of its host: control groups, both versions, from its own group up to the root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
VMSTAT = Path("/proc/vmstat")


def cores(root: Path = ROOT, own: Path = OWN) -> float | None:
    """Processors' worth of time, the least that any group above grants; None without a limit."""
    found = [_quota(each) for each in _groups("cpu", root, own)]
    return min((each for each in found if each is not None), default=None)


def memory(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes, the least that any group above grants; None without a limit. Version 1 has a huge number for none."""
    names = ("memory.max", "memory.limit_in_bytes")
    found = [_number(each / name) for each in _groups("memory", root, own) for name in names]
    return min((each for each in found if each is not None), default=None)


def oom_kills(vmstat: Path = VMSTAT) -> int:
    """How many processes the kernel has ended for want of memory, of the host or of any control group; 0 where it counts none."""
    try:
        lines = vmstat.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _groups(controller: str, root: Path, own: Path) -> Iterator[Path]:
    """The directories that limit this process; in a container its own group is mounted as the root."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    bases = [(root, "/"), (root / controller, "/")]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            bases.append((root, path))
        elif controller in controllers.split(","):
            bases.append((root / controller, path))
    for base, path in bases:
        group = base / path.lstrip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(base))


def _quota(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        allowed, each = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        return allowed / each if allowed is not None and allowed > 0 and each else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
