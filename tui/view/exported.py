"""An export, for people: where it went, how alike it answers, and what it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tui.view import words

Fact = tuple[str, object, str]
TYPES = {
    "model_registry": "MLflow's model registry",
    "merged": "a directory",
    "huggingface": "the Hugging Face Hub",
    "cml_model": "Cloudera ML",
}


def place(row: dict[str, Any]) -> str:
    """Where it is, once it is there."""
    made = row.get("result") or {}
    return str(made.get("location") or made.get("uri") or "")


def alike(row: dict[str, Any]) -> str:
    """What the comparison with base and adapter came to."""
    parity = (row.get("result") or {}).get("parity")
    if not parity:
        return ""
    ties = f", {parity['near_ties']} at a near tie" if parity.get("near_ties") else ""
    return (
        f"{parity['same_text']} of {parity['prompts']} prompts answered alike{ties}; "
        f"logits differ by {parity['max_logit_difference']:.2g} at most"
    )


def asked(row: dict[str, Any]) -> Iterator[Fact]:
    """What was asked for."""
    yield "to", TYPES.get(str(row.get("type")), row.get("type")), ""
    yield "name", row.get("model_name"), "bold"
    yield "repository", row.get("hub_name"), ""
    yield "alias", row.get("alias"), ""
    yield "description", row.get("model_description"), ""
    form = "merged weights" if row.get("merge", True) else "base and adapter apart"
    yield "form", form if row.get("type") == "model_registry" else None, ""
    yield "base model", row.get("base_model_name") or row.get("base_model_id"), ""
    yield "adapter", row.get("adapter_name") or row.get("adapter_id"), ""
    yield "generation", row.get("generation_config"), "dim"
    yield "id", row.get("id"), "dim"


def told(row: dict[str, Any]) -> Iterator[Fact]:
    """How it stands, and what it made."""
    status, made = str(row.get("status") or ""), row.get("result") or {}
    yield "status", words.state(status), words.style(status)
    yield "doing", row.get("phase"), ""
    yield "waits for", row.get("waiting_for"), "wait"
    share = words.share(row)
    yield "progress", words.bar(share, 20) if share is not None and status == "running" else None, "bar"
    yield "is at", place(row), "bold"
    yield "commit", made.get("commit"), ""
    yield "answers", alike(row), ""
    yield "files", len(made.get("files") or {}) or None, ""
    yield "runner", row.get("runner"), "dim"
