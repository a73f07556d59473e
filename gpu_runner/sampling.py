"""The order of rows, and the dice of a step: functions of the seed and of where training is, not of what came before.

The libraries draw both from one global stream. What an evaluation or a data loader takes from it between a checkpoint and
the next step is missing after a resume, so a resumed run would see other rows and drop other weights. Here epoch E and step
S are alike however a run came to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

STRIDE = 1_000_003  # between the seeds of two runs, so that their steps share none


class EpochSampler(Sampler[int]):
    """A permutation an epoch; with `group` (rows a step) rows of like length are batched together.

    `blanks` rows, which follow the others, end each epoch: what fills up the last batches of several workers.
    """

    def __init__(self, lengths: Sequence[int], seed: int, group: int | None = None, blanks: int = 0) -> None:
        self.lengths, self.seed, self.group, self.blanks, self.epoch = list(lengths), seed, group, blanks, 0

    def __len__(self) -> int:
        return len(self.lengths) + self.blanks

    def set_epoch(self, epoch: int) -> None:
        """Told by the trainer before each epoch, a resumed one too."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        dice = torch.Generator()
        dice.manual_seed(self.seed * STRIDE + self.epoch)
        rows = len(self.lengths)
        order = (
            torch.randperm(rows, generator=dice).tolist()
            if self.group is None
            else get_length_grouped_indices(self.lengths, self.group, generator=dice)
        )
        return iter([*order, *range(rows, rows + self.blanks)])


def roll(seed: int, step: int, rank: int = 0) -> None:
    """Set the dice (dropout) of an optimiser step, other ones for each worker."""
    torch.manual_seed((seed * STRIDE + step) ^ (rank << 53))
