"""Reading texts with a model: how likely their second part was, and greedy answers that begin where it stopped agreeing.

An evaluation asks both how a model answers and how likely it holds the expected answer. One pass over a prompt with the
expected answer behind it tells the second, and of the first as much as the two agree: what the model would have said next
is there for each of its places. Decoding goes on from the first difference; a right answer takes no further step. Rows that
are through leave the batch.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

NEUTRAL = {  # settings that change no greedy answer, whatever they are
    "temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "max_length", "max_new_tokens",
    "bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache", "_from_model_config",
    "renormalize_logits", "length_penalty", "early_stopping", "cache_implementation",
}  # fmt: skip
ONE_IS_NONE = {
    "num_beams",
    "repetition_penalty",
    "num_return_sequences",
}  # those that a 1 switches off, as nothing does
LEAVE = 0.8  # rows that are through are taken out when no more than this share goes on
WORTH = 3  # tokens that all texts of a batch begin with, from which on they are read once for all
AT_ONCE = 1 << 26  # logits that are held at once


@dataclass(frozen=True)
class Text:
    """Token ids of a text in two parts: what a model is given, and what comes then, with its EOS (may be empty)."""

    before: list[int]
    after: list[int]


@dataclass(frozen=True)
class Loss:
    """The negative log likelihood of the second part given the first, in nats, and its tokens."""

    total: float
    tokens: int

    @property
    def mean(self) -> float:
        """Nats a token."""
        return self.total / self.tokens


@dataclass
class Read:
    """A batch of texts that a model has read. `guesses` (rows, 1 + longest second part) are what it would have said after so
    many tokens of each second part; `mask` (rows, columns) tells which columns of the cache are a row's.
    """

    losses: list[Loss]
    guesses: list[list[int]]
    mask: torch.Tensor
    columns: int  # of the first parts, padded in front of what is not shared
    cache: Any


def is_greedy(model: Any, options: dict[str, Any]) -> bool:
    """Whether a generation config, with what the model's own adds, means nothing but the likeliest token at each place."""
    own = model.generation_config.to_diff_dict() if model.generation_config else {}
    asked = {**own, **{name: value for name, value in options.items() if value is not None}}
    return not any(
        value for name, value in asked.items() if name not in NEUTRAL and not (value == 1 and name in ONE_IS_NONE)
    )


def can_go_on(model: Any) -> bool:
    """Whether a model's memory of a text can be cut at any place and gone on from: no window slides in it, nothing is summed up."""
    parameters = _parameters(model)
    if not {"position_ids", "past_key_values"} <= parameters.keys() or model.config.is_encoder_decoder:
        return False
    layers = DynamicCache(config=_bare(model).config).layers
    return bool(layers) and all(type(each) is DynamicLayer for each in layers)


def fitting(model: Any, longest: int) -> int:
    """How many rows with second parts of at most `longest` tokens are read at once."""
    return max(1, AT_ONCE // ((longest + 1) * int(model.config.get_text_config().vocab_size)))


def read(model: Any, texts: Sequence[Text], pad: int, *, keep: bool = False) -> Read:
    """Read a batch; with `keep` what the model remembers of it is kept, to go on from."""
    shared = _shared(texts) if keep else 0
    columns, behind = max(len(each.before) for each in texts), max(len(each.after) for each in texts)
    rows, marks = [], []
    for each in texts:
        empty, more = columns - len(each.before), behind - len(each.after)
        rows.append([*each.before[:shared], *[pad] * empty, *each.before[shared:], *each.after, *[pad] * more])
        marks.append([1] * shared + [0] * empty + [1] * (len(each.before) - shared + len(each.after)) + [0] * more)
    ids, mask = (torch.tensor(each, device=model.device) for each in (rows, marks))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=_bare(model).config) if keep else None
    if shared and cache is not None:
        _forward(model, ids[:1, :shared], mask[:1, :shared], positions[:1, :shared], cache, 1)
        cache.batch_repeat_interleave(len(texts))
    logits = _forward(model, ids[:, shared:], mask, positions[:, shared:], cache, behind + 1)
    return Read(
        losses=[_loss(logits[row], ids[row, columns:], len(each.after)) for row, each in enumerate(texts)],
        guesses=logits.argmax(dim=-1).tolist(),
        mask=mask,
        columns=columns,
        cache=cache,
    )


def _shared(texts: Sequence[Text]) -> int:
    """How many tokens all first parts begin with that are worth reading once; of each one is left."""
    first, last = min(each.before for each in texts), max(each.before for each in texts)
    alike = next((place for place, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    count = min(alike, min(len(each.before) for each in texts) - 1)
    return count if len(texts) > 1 and count >= WORTH else 0


def _loss(logits: torch.Tensor, wanted: torch.Tensor, tokens: int) -> Loss:
    """`logits` (1 + longest second part, vocabulary), `wanted` (longest second part,) ids, of which the first `tokens` count."""
    if tokens == 0:
        return Loss(0.0, 0)
    found = torch.nn.functional.cross_entropy(logits[:tokens].float(), wanted[:tokens], reduction="none")
    return Loss(float(found.double().sum()), tokens)


def answer(
    model: Any, texts: Sequence[Text], most: int, eos: tuple[int, ...], pad: int
) -> tuple[list[list[int]], list[Loss]]:
    """(the greedy answer to each first part: at most `most` tokens, up to its first EOS; the loss of each second part)."""
    done = read(model, texts, pad, keep=True)
    agreed = [_agreed(each.after, guesses) for each, guesses in zip(texts, done.guesses, strict=True)]
    answers = [
        _ended([*each.after[:count], guesses[count]], eos)[:most]
        for each, count, guesses in zip(texts, agreed, done.guesses, strict=True)
    ]
    rows = [row for row, said in enumerate(answers) if _open(said, most, eos)]
    if rows:
        reached = [done.columns + agreed[row] for row in rows]
        _go_on(model, answers, rows, reached, done, most, eos)
    return answers, done.losses


def _go_on(
    model: Any,
    answers: list[list[int]],
    rows: list[int],
    reached: list[int],
    done: Read,
    most: int,
    eos: tuple[int, ...],
) -> None:
    """Decode step by step what is open yet. Of row `rows[n]` the first `reached[n]` columns hold: a difference came then."""
    cache, mask = done.cache, done.mask
    kept = torch.tensor(rows, device=mask.device)
    if len(rows) < len(answers):
        cache.batch_select_indices(kept)
    cache.crop(-(mask.shape[1] - max(reached)))
    held = torch.arange(max(reached), device=mask.device) < torch.tensor(reached, device=mask.device)[:, None]
    mask = mask[kept, : max(reached)] * held
    while rows:
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        last = torch.tensor([[answers[row][-1]] for row in rows], device=mask.device)
        logits = _forward(model, last, mask, mask.sum(1, keepdim=True) - 1, cache, 1)
        for row, id in zip(rows, logits[:, -1].argmax(dim=-1).tolist(), strict=True):
            if _open(answers[row], most, eos):
                answers[row].append(id)
        going = [place for place, row in enumerate(rows) if _open(answers[row], most, eos)]
        if len(going) <= LEAVE * len(rows):
            rows = [rows[place] for place in going]
            chosen = torch.tensor(going, device=mask.device, dtype=torch.long)
            mask = mask[chosen]
            if rows:
                cache.batch_select_indices(chosen)


def _agreed(after: list[int], guesses: list[int]) -> int:
    """How many tokens of the second part are those that the model would have said."""
    return next((place for place, id in enumerate(after) if guesses[place] != id), len(after))


def _ended(ids: list[int], eos: tuple[int, ...]) -> list[int]:
    """The ids up to their first EOS."""
    end = next((place for place, id in enumerate(ids) if id in eos), len(ids))
    return ids[: end + 1]


def _open(said: list[int], most: int, eos: tuple[int, ...]) -> bool:
    return len(said) < most and said[-1] not in eos


def _forward(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any, keep: int
) -> torch.Tensor:
    """The logits (rows, keep, vocabulary) of the last `keep` columns of `ids`."""
    known = _parameters(model)
    given: dict[str, Any] = {"position_ids": positions} if "position_ids" in known else {}
    given |= {"logits_to_keep": keep} if "logits_to_keep" in known else {}
    given |= {"past_key_values": cache} if cache is not None else {}
    out: torch.Tensor = model(input_ids=ids, attention_mask=mask, use_cache=cache is not None, **given).logits
    return out[:, -keep:]


def _parameters(model: Any) -> Any:
    return inspect.signature(_bare(model).forward).parameters


def _bare(model: Any) -> Any:
    """The model itself, in an adapter or not: the adapter's own forward takes anything."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
