"""A form shows what is wrong at the field that it speaks of, whichever of its names the rule uses."""

from __future__ import annotations

import pytest

from core.rules import Breach
from tui import forms


@pytest.mark.parametrize(
    ("message", "breach", "field"),
    [
        ("AddModel", "cml_registered_model_id", "model_registry_id"),
        ("AddModel", "huggingface_model_name", "huggingface_name"),
        ("AddAdapter", "cml_registered_model_id", "cml_registered_model_id"),
        ("AddPrompt", "prompt_template", "prompt.prompt_template"),
        ("StartEvaluationJob", "model_adapter_combinations.0.adapter_id", "model_adapter_combinations"),
        ("AddModel", "nothing_of_the_form", ""),
    ],
)
def test_a_breach_is_shown_at_its_field(message: str, breach: str, field: str) -> None:
    found = forms.by_field(forms.fields(message), [Breach(rule="XX-101", field=breach, message="it is wrong")])
    assert found == {field: ["it is wrong (XX-101)"]}


def test_several_ids_are_marked_in_a_list() -> None:
    form = forms.fields("StartComparison")
    kinds = {field.name: field.kind for field in form}
    assert (kinds["adapter_ids"], kinds["base_model_id"]) == ("several", "reference")
    made, wrong = forms.payload(form, {"base_model_id": "m", "adapter_ids": "a b"})
    assert made == {"base_model_id": "m", "adapter_ids": ["a", "b"]} and not wrong
