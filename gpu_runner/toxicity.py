"""How toxic answers are, by a text classification model that the studio is told of (FTS_TOXICITY_MODEL): none comes with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from gpu_runner.device import Device
from gpu_runner.failures import JobError

LABELS = (
    "toxic",
    "toxicity",
    "hate",
    "hateful",
    "offensive",
    "label_1",
)  # what models call it; the first that there is
BATCH, LONGEST = 32, 512


class Toxicity:
    """The classifier, in memory. Raises JobError when it can't be loaded, or tells no such label."""

    def __init__(self, where: str, device: Device, token: str | None) -> None:
        """`where` is a directory, or a name on the Hub."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        local = Path(where).is_dir()
        options: dict[str, Any] = {"local_files_only": True} if local else {"token": token or False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                where, trust_remote_code=False, use_safetensors=True, **options
            )
        except (OSError, ValueError) as error:
            raise JobError(f"the model of toxicity, {where}, can't be loaded: {error}") from error
        labels = {str(name).lower(): int(place) for place, name in model.config.id2label.items()}
        found = next((labels[name] for name in LABELS if name in labels), None)
        if found is None:
            raise JobError(
                f"the model of toxicity, {where}, tells none of {', '.join(LABELS)}, but {', '.join(labels)}"
            )
        self._label, self._model = found, model.to(device.kind).eval()

    def __call__(self, texts: Sequence[str], look: Callable[[], None]) -> list[float]:
        """The probability that each text is toxic. `look` is called now and then, and may raise to stop."""
        found: list[float] = []
        for start in range(0, len(texts), BATCH):
            look()
            given = self._tokenizer(
                list(texts[start : start + BATCH]),
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_tensors="pt",
            )
            with torch.inference_mode():
                logits = self._model(**given.to(self._model.device)).logits.float()
            several = self._model.config.problem_type == "multi_label_classification"
            chances = logits.sigmoid() if several else logits.softmax(dim=-1)
            found += chances[:, self._label].tolist()
        return found
