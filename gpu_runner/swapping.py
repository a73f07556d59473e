"""A base model that its adapters share: loaded once, adapters put in and taken out in place."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from peft import PeftModel, get_peft_model_state_dict
from peft.utils import load_peft_weights
from safetensors import SafetensorError

from core.spec import AdapterSource, ModelSource
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.models import adapter_path, load_model, load_tokenizer


class Base:
    """A base model and its tokenizer, read when first asked for; what can't be read is not tried again."""

    def __init__(self, source: ModelSource, device: Device, bnb: dict[str, Any] | None, token: str | None) -> None:
        self.source, self.device, self.bnb, self.token = source, device, bnb, token
        self._model: Any = None
        self._tokenizer: Any = None
        self._error: Exception | None = None

    @property
    def tokenizer(self) -> Any:
        """The base model's tokenizer. Raises JobError."""
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self.source, self.token)
        return self._tokenizer

    @contextmanager
    def wearing(self, adapter: AdapterSource | None) -> Iterator[Any]:
        """The model with the adapter, or bare. Raises JobError when the adapter is not one of this model's."""
        base = self._bare()
        if adapter is None:
            yield base
            return
        path = adapter_path(adapter, self.token)
        self._model = None  # an adapter that fails half way leaves pieces in it: the next one gets a fresh one
        try:
            with warnings.catch_warnings(action="ignore"):  # what they say is checked below, or not our users' affair
                model = PeftModel.from_pretrained(base, path).eval()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise JobError(f"adapter {adapter.name} can't be put on {self.source.name}: {error}") from error
        must_fit(model, path, f"adapter {adapter.name} does not fit {self.source.name}")
        try:
            yield model
        finally:
            self._model = model.unload()
            vars(self._model).pop("peft_config", None)  # PEFT's mark of a model that was adapted

    def _bare(self) -> Any:
        if self._error is not None:
            raise self._error
        if self._model is None:
            try:
                self._model = load_model(self.source, self.device, self.bnb, self.token).eval()
            except Exception as error:
                self._error = error
                raise
        return self._model


def must_fit(model: Any, path: str, otherwise: str, name: str = "default") -> None:
    """PEFT only warns of weights that an adapter lacks, and the model would answer as its base. Raises JobError."""
    known = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False).keys()
    given = load_peft_weights(path, device="cpu").keys()
    if missing := sorted(known - given):
        raise JobError(f"{otherwise}: {len(missing)} of its weights are missing, {missing[0]} among them")
    if foreign := sorted(name for name in given - known if "lora_" in name):
        raise JobError(f"{otherwise}: the model has no place for {len(foreign)} weights, {foreign[0]} among them")
