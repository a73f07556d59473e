"""A base model with several adapters in memory at once, each put on by its name in an instant."""

from __future__ import annotations

import gc
import warnings
from typing import Any

from peft import PeftConfig, PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from safetensors import SafetensorError

from core.spec import AdapterSource, ModelSource
from gpu_runner.device import Device
from gpu_runner.failures import JobError
from gpu_runner.models import adapter_path, load_model, load_tokenizer
from gpu_runner.swapping import must_fit


class Wardrobe:
    """One base model, loaded here, and the adapters that were added. It is one thread's at a time. Raises JobError."""

    def __init__(self, source: ModelSource, device: Device, bnb: dict[str, Any] | None, token: str | None) -> None:
        self.source, self.device, self.bnb, self.token = source, device, bnb, token
        self.tokenizer = load_tokenizer(source, token)
        self.model = self._load()  # what answers, in whatever it wears
        self._peft: Any = None
        self._names: dict[str, str] = {}  # ours -> PEFT's, which may hold no dot
        self._worn: str | None = None
        self._layers: list[Any] = []  # those of the model that wear adapters

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str, adapter: AdapterSource) -> None:
        """Load an adapter beside the others. Raises JobError when it is not one of this model's; the others stay."""
        path = adapter_path(adapter, self.token)
        inner = f"a{len(self._names)}"
        otherwise = f"adapter {adapter.name} can't be put on {self.source.name}"
        try:
            _must_share(PeftConfig.from_pretrained(path), otherwise)
            with warnings.catch_warnings(action="ignore"):  # what they say is checked below, or not our users' affair
                self._put(path, inner)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            self._take_away(inner)
            raise JobError(f"{otherwise}: {error}") from error
        try:
            must_fit(self._peft, path, f"adapter {adapter.name} does not fit {self.source.name}", inner)
        except JobError:
            self._take_away(inner)
            raise
        self._names[name] = inner
        self.wear(name)

    def wear(self, name: str | None) -> None:
        """Answer with this adapter from now on, or bare. Raises KeyError for one that was not added."""
        if name == self._worn or self._peft is None:
            return
        inner = [] if name is None else [self._names[name]]
        for layer in self._layers:
            # PEFT's own way walks over the whole model for its gradients: a third of a small model's step, and answers that
            # take turns do this before every token.
            layer._active_adapter, layer._disable_adapters = inner or layer._active_adapter, name is None
        self._worn = name

    def _load(self) -> Any:
        return load_model(self.source, self.device, self.bnb, self.token).eval()

    def _put(self, path: str, inner: str) -> None:
        if self._peft is None:
            self._peft = PeftModel.from_pretrained(self.model, path, adapter_name=inner)
        else:
            self._peft.load_adapter(path, adapter_name=inner)
        self._peft.eval()
        self._look()

    def _take_away(self, inner: str) -> None:
        """One that failed half way leaves pieces. Those of the first go with the model, which is read again."""
        if self._names and inner in self._peft.peft_config:
            self._peft.delete_adapter(inner)
        elif not self._names:
            self._peft = None
            del self.model
            gc.collect()
            self.model = self._load()
        self._look()

    def _look(self) -> None:
        """Whatever PEFT has put on, the next `wear` says it anew."""
        kinds = (BaseTunerLayer, AuxiliaryTrainingWrapper)
        self._layers = [each for each in self.model.modules() if isinstance(each, kinds)]
        self._worn = "" if self._layers else None


def _must_share(config: Any, otherwise: str) -> None:
    """Only what lies beside a model's own weights can be put on and taken off. Raises JobError."""
    if config.is_prompt_learning or getattr(config, "bias", "none") != "none":
        raise JobError(f"{otherwise} beside others: it changes more than the layers that it adds")
