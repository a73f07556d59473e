"""What this runner has to offer, and what of it no job occupies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.messages.runners import Gpu
from core.spec import Resources


@dataclass(frozen=True)
class Held:
    """What one attempt occupies, its workers taken together; `gpus` by the names that CUDA_VISIBLE_DEVICES takes."""

    cpus: int = 0
    memory: int = 0
    gpus: tuple[str, ...] = ()

    @classmethod
    def by(cls, resources: Resources, gpus: tuple[str, ...], workers: int) -> Held:
        """What so many workers of a job of these resources occupy."""
        return cls(resources.cpus * workers, resources.memory * workers, gpus)


@dataclass(frozen=True)
class Room:
    """The runner's processors, memory (GiB) and GPUs."""

    cpus: int
    memory: float
    gpus: tuple[Gpu, ...] = ()

    def free(self, held: Iterable[Held]) -> dict[str, float]:
        """What is left, never below 0: cpus, memory, gpus."""
        taken = list(held)
        return {
            "cpus": max(0, self.cpus - sum(each.cpus for each in taken)),
            "memory": max(0.0, self.memory - sum(each.memory for each in taken)),
            "gpus": max(0, len(self.gpus) - sum(len(each.gpus) for each in taken)),
        }

    def bind(self, count: int, held: Iterable[Held]) -> tuple[str, ...] | None:
        """Names of `count` GPUs that are free (the UUID when known, which stays true when indices move), or None."""
        taken = {name for each in held for name in each.gpus}
        names = [name for name in (gpu.uuid or str(gpu.index) for gpu in self.gpus) if name not in taken]
        return tuple(names[:count]) if len(names) >= count else None
