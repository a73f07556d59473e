"""Random numbers of one's own: libraries draw from one source, and answers take turns at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import torch

from gpu_runner.device import Device

State = tuple[torch.Tensor, torch.Tensor | None]


class Chance:
    """What is drawn inside is decided by the seed, whatever others draw meanwhile; without a seed it changes nothing."""

    def __init__(self, device: Device, seed: int | None) -> None:
        self._cuda, self._seed = device.kind == "cuda", seed
        self._others: State | None = None

    def __enter__(self) -> None:
        if self._seed is not None:
            self._others = self._state()
            torch.manual_seed(self._seed)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._others is not None:
            self._set(self._others)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let others draw in here."""
        if self._others is None:
            yield
            return
        own = self._state()
        self._set(self._others)
        yield
        self._others = self._state()
        self._set(own)

    def _state(self) -> State:
        return torch.get_rng_state(), torch.cuda.get_rng_state() if self._cuda else None

    def _set(self, state: State) -> None:
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1])
