"""A preset gives what a request leaves out; the presets that are shipped are legal requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.messages import parse
from core.presets import presets
from core.rules import check, refusing
from tui import forms

ASKED = {"adapter_name": "a", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p"}


def request(**fields: Any) -> dict[str, Any]:
    return parse("StartFineTuningJob", {**ASKED, **fields}).model_dump()


@pytest.mark.parametrize("name", list(presets()))
def test_a_shipped_preset_breaks_no_rule(name: str) -> None:
    assert refusing(check(parse("StartFineTuningJob", {**ASKED, "preset": name}))) == []


def test_the_guides_preset_is_what_a_request_means_that_names_none() -> None:
    assert request(preset="guide") == request() | {"preset": "guide"}


def test_what_a_request_says_itself_wins_even_when_it_says_the_default() -> None:
    fast = request(preset="fast")
    assert (fast["packing"], fast["loss_on"], fast["max_length"]) == (False, "completion", 512)
    assert json.loads(fast["training_arguments_config"])["per_device_train_batch_size"] == 8
    own = request(preset="fast", packing=True, max_length=64, training_arguments_config_id="c", lora_config=None)
    assert (own["packing"], own["max_length"], own["loss_on"]) == (True, 64, "completion")
    assert own["training_arguments_config"] is None and own["lora_config"] is None


def test_a_preset_that_there_is_not_is_refused_by_name() -> None:
    (breach,) = check(parse("StartFineTuningJob", {**ASKED, "preset": "quick"}))
    assert (breach.rule, breach.field) == ("FT-119", "preset") and "fast" in breach.message


def test_what_was_filled_in_means_the_same_when_it_is_sent_on() -> None:
    once = request(preset="fast")
    assert parse("StartFineTuningJob", once).model_dump() == once


def test_a_form_sends_what_differs_from_the_chosen_preset() -> None:
    form = forms.fields("StartFineTuningJob")
    shown = {field.key: field.default for field in form} | {"preset": "fast", "loss_on": "completion", "packing": True}
    made, wrong = forms.payload(form, {**shown, "length_grouped": True, "train_splits": "train\nextra"})
    assert made == {"preset": "fast", "packing": True, "train_splits": ["train", "extra"]} and not wrong
