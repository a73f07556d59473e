"""Answering prompts in batches: sorted by length, padded on the left, only what is new decoded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from gpu_runner.device import Device
from gpu_runner.reading import Loss, Text, answer, can_go_on, fitting, is_greedy, read

BATCH = 32
TOKENS = 32_768  # prompts and answers of a batch together: long prompts go in smaller batches
NEW_TOKENS = 60  # guide, default generation config
BOS_DEFAULT, EOS_DEFAULT = 1, 2  # guide: for models whose config lacks them
SAMPLING = {"temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"}
ALLOWED = SAMPLING | {
    "do_sample", "max_new_tokens", "min_new_tokens", "num_beams", "early_stopping", "length_penalty", "repetition_penalty",
    "no_repeat_ngram_size", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "renormalize_logits", "use_cache",
}  # fmt: skip


@dataclass(frozen=True)
class Generated:
    """One answer: its text without the prompt and special tokens, how many tokens it took, and whether EOS ended it.

    `seconds` is the answer's share of its batch; `loss` that of the answer expected, when one was given.
    """

    text: str
    new_tokens: int
    stopped_by_eos: bool
    seconds: float
    loss: Loss | None = None


@dataclass(frozen=True)
class Marks:
    """The token ids that generation needs: the first EOS is the tokenizer's, any of them ends an answer."""

    bos: int
    eos: tuple[int, ...]
    pad: int


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    settings: dict[str, Any],
    device: Device,
    *,
    batch_size: int = BATCH,
    templated: bool = False,
    expected: Sequence[Text] | None = None,
    on_batch: Callable[[int], None] = lambda done: None,
    warn: Callable[[str], None] = lambda text: None,
) -> list[Generated]:
    """Answer every prompt, in the order given; `on_batch(done)` is called after each batch and may raise to stop.

    Prompts that a chat template wrote (`templated`) hold their special tokens already. `expected` are the prompts with the
    answers expected, as the model was taught them, whose loss is told too. With do_sample false the text is the same as one by one (in fp32). A batch that memory has no room for is halved.
    """
    options, marks = options_of(settings, warn), marks_of(model, tokenizer)
    ids = [list(tokenizer(prompt, add_special_tokens=not templated)["input_ids"]) for prompt in prompts]
    encoded = cut_to_fit(model, ids, options["max_new_tokens"], marks, warn)
    texts = _texts(model, encoded, expected, options)
    order = sorted(range(len(prompts)), key=lambda index: (len(texts[index].before), len(texts[index].after)))
    answers: dict[int, Generated] = {}
    while len(answers) < len(order):
        rest = order[len(answers) : len(answers) + batch_size]
        batch = rest[: _fitting(model, [texts[index] for index in rest], options["max_new_tokens"])]
        made = _tried(model, tokenizer, [texts[index] for index in batch], options, marks, device)
        if made is None:
            batch_size = max(1, len(batch) // 2)
            torch.cuda.empty_cache()
            continue
        answers.update(zip(batch, made, strict=True))
        on_batch(len(answers))
    return [answers[index] for index in range(len(prompts))]


def _texts(
    model: Any, encoded: list[list[int]], expected: Sequence[Text] | None, options: dict[str, Any]
) -> list[Text]:
    """The prompts, each with what is expected behind it where both can be read at once: then it begins with the very prompt
    that is asked, and the model has room for both.
    """
    if expected is None or not can_go_on(model) or not is_greedy(model, options):
        return [Text(ids, []) for ids in encoded]
    room = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    return [
        wanted if wanted.before == ids and len(ids) + len(wanted.after) <= room else Text(ids, [])
        for ids, wanted in zip(encoded, expected, strict=True)
    ]


def _fitting(model: Any, texts: list[Text], new: int) -> int:
    """How many of the texts, shortest first, go in a batch: long ones in smaller batches."""
    behind = max(len(each.after) for each in texts)
    longest = len(texts[-1].before) + max(new, behind)
    return min(max(1, TOKENS // longest), fitting(model, behind))


def options_of(settings: dict[str, Any], warn: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """A generation config as `model.generate` takes it: what is null or does not concern one answer a row is left out."""
    given = {name: value for name, value in settings.items() if value is not None and name != "max_length"}
    if foreign := sorted(given.keys() - ALLOWED):
        warn(f"these generation settings are not used: {', '.join(foreign)}")
    options = {"max_new_tokens": NEW_TOKENS, "do_sample": False} | {
        name: given[name] for name in given.keys() & ALLOWED
    }
    if not options["do_sample"]:
        options |= dict.fromkeys(SAMPLING)  # the model's own ones too: without sampling they only cause warnings
    return options


def marks_of(model: Any, tokenizer: Any) -> Marks:
    """The tokenizer's ids, then the model's, then the guide's defaults; padding is any token that does not end an answer."""
    config = model.config
    bos = next((each for each in (tokenizer.bos_token_id, config.bos_token_id) if each is not None), BOS_DEFAULT)
    own = [tokenizer.eos_token_id, config.eos_token_id, getattr(model.generation_config, "eos_token_id", None)]
    flat = [id for each in own if each is not None for id in (each if isinstance(each, list | tuple) else [each])]
    eos = tuple(dict.fromkeys(flat)) or (EOS_DEFAULT,)
    pads = (tokenizer.pad_token_id, tokenizer.unk_token_id, bos)
    usable = (each for each in pads if each is not None and each not in eos and 0 <= each < config.vocab_size)
    return Marks(bos, eos, next(usable, eos[0]))


def cut_to_fit(
    model: Any, prompts: Sequence[list[int]], new: int, marks: Marks, warn: Callable[[str], None]
) -> list[list[int]]:
    """Token ids of every prompt, without an EOS that its tokenizer adds; what the model has no room for is cut in front."""
    room = max(1, (getattr(model.config, "max_position_embeddings", None) or 1 << 30) - new)
    made, cut = [], 0
    for ids in prompts:
        if len(ids) > 1 and ids[-1] == marks.eos[0]:
            ids.pop()
        cut += len(ids) > room
        made.append(ids[-room:] or [marks.bos])
    if cut:
        warn(f"{cut} prompts are longer than the {room} tokens that the model has room for and were cut in front")
    return made


def _tried(
    model: Any, tokenizer: Any, texts: list[Text], options: dict[str, Any], marks: Marks, device: Device
) -> list[Generated] | None:
    """The batch's answers; None when memory has no room for it and it could be smaller."""
    try:
        return _batch(model, tokenizer, texts, options, marks, device)
    except RuntimeError as error:  # torch.OutOfMemoryError is one; on a CPU it is a plain one
        full = isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if len(texts) == 1 or not full:
            raise
    return None


def _batch(
    model: Any, tokenizer: Any, texts: list[Text], options: dict[str, Any], marks: Marks, device: Device
) -> list[Generated]:
    began = time.perf_counter()
    losses: list[Loss] = []
    with computing(device):
        if can_go_on(model) and is_greedy(model, options):
            said, losses = answer(model, texts, options["max_new_tokens"], marks.eos, marks.pad)
        else:
            prompts = [each.before for each in texts]
            out = model.generate(**arguments(model, prompts, options, marks))
            said = out[:, max(map(len, prompts)) :].tolist()
    seconds = (time.perf_counter() - began) / len(texts)
    answers = [replace(_answer(tokenizer, each, marks.eos), seconds=seconds) for each in said]
    return [
        replace(each, loss=loss) if loss.tokens else each
        for each, loss in zip(answers, losses or [Loss(0.0, 0)] * len(answers), strict=True)
    ]


def losses(
    model: Any, texts: Sequence[Text], marks: Marks, device: Device, on_batch: Callable[[], None] = lambda: None
) -> list[Loss]:
    """The loss of each text's second part, given its first; what the model has no room for is cut in front, and behind.

    An empty first part is the BOS, as when it is asked: without anything before it nothing tells how likely a token was.
    """
    room = getattr(model.config, "max_position_embeddings", None) or 1 << 30
    cut = [_cut(Text(each.before or [marks.bos], each.after), room) for each in texts]
    order = sorted(range(len(cut)), key=lambda index: (len(cut[index].before), len(cut[index].after)))
    found: dict[int, Loss] = {}
    while len(found) < len(order):
        rest = order[len(found) : len(found) + BATCH]
        batch = rest[: _fitting(model, [cut[index] for index in rest], 0)]
        with computing(device):
            done = read(model, [cut[index] for index in batch], marks.pad)
        found.update(zip(batch, done.losses, strict=True))
        on_batch()
    return [found[index] for index in range(len(cut))]


def _cut(text: Text, room: int) -> Text:
    after = text.after[: room - 1]
    return Text(text.before[-(room - len(after)) :], after)


@contextmanager
def computing(device: Device) -> Iterator[None]:
    """Answering is done in this: no gradients, and the device's precision."""
    autocast = torch.autocast(device.kind, dtype=device.load_dtype) if device.autocasts() else nullcontext()
    with torch.inference_mode(), autocast:
        yield


def arguments(model: Any, encoded: list[list[int]], options: dict[str, Any], marks: Marks) -> dict[str, Any]:
    """What `model.generate` is called with for prompts of token ids: padded on the left, with our own penalty."""
    longest = max(map(len, encoded))
    pads = torch.tensor([longest - len(each) for each in encoded], device=model.device)
    ids = torch.tensor([[marks.pad] * (longest - len(each)) + each for each in encoded], device=model.device)
    mask = (torch.arange(longest, device=model.device) >= pads[:, None]).long()
    penalty = options.get("repetition_penalty") or getattr(model.generation_config, "repetition_penalty", None) or 1.0
    own = LogitsProcessorList([PenaltyWithoutPads(penalty, pads)] if penalty != 1 else [])
    special = {"pad_token_id": marks.pad, "eos_token_id": list(marks.eos), "bos_token_id": marks.bos}
    given = {"input_ids": ids, "attention_mask": mask, "logits_processor": own}
    return {**given, **options, "repetition_penalty": 1.0, **special}


class PenaltyWithoutPads(LogitsProcessor):  # type: ignore[misc]
    """The repetition penalty on a row's own tokens: the library's counts padding too, and then batches change the text."""

    def __init__(self, penalty: float, pads: torch.Tensor) -> None:
        """`pads` (batch,) is how many columns at the left of each row are padding."""
        self.inner, self.pads = RepetitionPenaltyLogitsProcessor(float(penalty)), pads

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """`input_ids` (batch x beams, length), `scores` (batch x beams, vocabulary)."""
        pads = self.pads.repeat_interleave(input_ids.shape[0] // len(self.pads))[:, None]
        columns = torch.arange(input_ids.shape[1], device=input_ids.device)
        own = torch.where(columns < pads, input_ids.gather(1, pads), input_ids)
        penalised: torch.FloatTensor = self.inner(own, scores)
        return penalised


def _answer(tokenizer: Any, new: list[int], eos: tuple[int, ...]) -> Generated:
    end = next((place for place, id in enumerate(new) if id in eos), None)
    kept = new if end is None else new[:end]
    return Generated(
        tokenizer.decode(kept, skip_special_tokens=True), len(kept) + (end is not None), end is not None, 0.0
    )
