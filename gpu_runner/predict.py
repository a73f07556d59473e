"""What answers in an export's place: Cloudera ML runs this file as an endpoint (`api_wrapper`), and MLflow's registry keeps it
beside a base and an adapter that stay apart.

It stands alone: nothing of the studio is imported, so that it runs where only torch, transformers, peft and mlflow are.
Safetensors only, and no code of a model is run.
"""

from __future__ import annotations

import ast
import json
import os
import threading
from functools import lru_cache
from typing import Any

import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

# What an endpoint is told by its environment (guide, "CML Model Serving").
BASE = "FINE_TUNING_STUDIO_BASE_MODEL_HF_NAME"
ADAPTER = "FINE_TUNING_STUDIO_ADAPTER_LOCATION"
GENERATION = "FINE_TUNING_STUDIO_GEN_CONFIG_STRING"
REVISION = "FINE_TUNING_STUDIO_BASE_MODEL_REVISION"  # a commit on the Hub; what is there now without it
TOKEN = "HUGGINGFACE_ACCESS_TOKEN"  # of the project, for a base model that is gated
# What an endpoint generates with where neither the request nor its environment says otherwise.
DEFAULTS: dict[str, Any] = {
    "temperature": 0.5,
    "max_new_tokens": 50,
    "top_p": 1.0,
    "top_k": 0,
    "repetition_penalty": 1.0,
    "num_beams": 1,
}
SAMPLING = {"temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"}
ALLOWED = SAMPLING | {
    "do_sample", "max_new_tokens", "min_new_tokens", "num_beams", "early_stopping", "length_penalty", "repetition_penalty",
    "no_repeat_ngram_size", "bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "renormalize_logits", "use_cache",
}  # fmt: skip


class Answerer:
    """A base model with its adapter, which answers one prompt after another."""

    def __init__(self, base: str, adapter: str, **source: str | None) -> None:
        """`base` is a directory or a name on the Hub, where `source` says how it is read: revision, token; `adapter` a directory.

        On a processor weights are fp32.
        """
        cuda = torch.cuda.is_available()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(base, trust_remote_code=False, **source)
        model = AutoModelForCausalLM.from_pretrained(
            base, dtype="auto" if cuda else torch.float32, use_safetensors=True, trust_remote_code=False, **source
        )
        self.model: Any = PeftModel.from_pretrained(model, adapter).to("cuda" if cuda else "cpu").eval()
        self._lock = threading.Lock()

    def answer(self, prompt: str, settings: dict[str, Any]) -> str:
        """The text that follows the prompt. `settings` are of a generation config; without do_sample it is the likeliest."""
        options = {name: value for name, value in settings.items() if name in ALLOWED and value is not None}
        if not options.get("do_sample"):
            options |= {"do_sample": False, **dict.fromkeys(SAMPLING)}
        ids = torch.tensor([self.tokenizer(prompt)["input_ids"]], device=self.model.device)
        with self._lock, torch.inference_mode():
            out = self.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), **{**options, **self._marks()}
            )
        return str(self.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))

    def _marks(self) -> dict[str, Any]:
        """Any EOS that tokenizer or model know ends an answer."""
        config = self.model.config
        own = [self.tokenizer.eos_token_id, config.eos_token_id, self.model.generation_config.eos_token_id]
        eos = list(
            dict.fromkeys(id for each in own if each is not None for id in (each if isinstance(each, list) else [each]))
        )
        pad = next((each for each in (self.tokenizer.pad_token_id, *eos) if each is not None), None)
        return {"eos_token_id": eos or None, "pad_token_id": pad}


def api_wrapper(args: dict[str, Any]) -> str:
    """Answer a request of Cloudera ML: {"prompt": "…"}, with settings of generation beside it. Raises ValueError."""
    given = args if isinstance(args, dict) else {}
    request = given["request"] if isinstance(given.get("request"), dict) else given
    prompt = request.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise ValueError('prompt is required, as a text: {"request": {"prompt": "…"}}')
    own = {name: value for name, value in request.items() if name != "prompt"}
    if unknown := sorted(own.keys() - ALLOWED):
        raise ValueError(f"not known: {', '.join(unknown)}; what can be set is {', '.join(sorted(ALLOWED))}")
    return endpoint().answer(prompt, {**DEFAULTS, **configured(os.environ.get(GENERATION, "")), **own})


predict = api_wrapper


@lru_cache(maxsize=1)
def endpoint() -> Answerer:
    """What the environment names, loaded once."""
    told = {"revision": os.environ.get(REVISION), "token": os.environ.get(TOKEN)}
    source = {name: value for name, value in told.items() if value}
    return Answerer(os.environ[BASE], os.environ[ADAPTER], **source)


def configured(text: str) -> dict[str, Any]:
    """A generation config as the environment tells it: JSON, or what Python prints of a dict; else nothing."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, dict) else {}
    return {}


class Registered(PythonModel):  # type: ignore[misc]
    """Base and adapter apart, as MLflow's registry serves them; it generates with the model's config, and a request's params."""

    def load_context(self, context: Any) -> None:
        """Load both from the model's own files."""
        self.answerer = Answerer(context.artifacts["base"], context.artifacts["adapter"])

    # MLflow takes type hints for a schema of what it is asked; the model has a signature of its own.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Answer every prompt: a list, a column, or a table's first column."""
        column = model_input.iloc[:, 0] if hasattr(model_input, "iloc") and model_input.ndim == 2 else model_input
        settings = {**(context.model_config or {}), **(params or {})}
        return [self.answerer.answer(str(prompt), settings) for prompt in column]


set_model(Registered())
if BASE in os.environ and ADAPTER in os.environ:
    endpoint()  # an endpoint is ready before its first request
