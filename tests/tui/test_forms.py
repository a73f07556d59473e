"""A form shows what is wrong at the field that it speaks of, whichever of its names the rule uses."""

from __future__ import annotations

import textwrap

import pytest

from core.rules import Breach
from tui import drafts, forms
from tui.grouping import GROUPS
from tui.labels import TITLES


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


def test_fields_are_called_in_breaches_as_they_are_in_the_form() -> None:
    form = forms.fields("StartFineTuningJob")
    told = "prompt_id is required; early_stopping_patience needs held-out rows, and some_thing else"
    assert forms.worded(form, told) == (
        "Prompt is required; Patience, evaluations needs held-out rows, and some_thing else"
    )


@pytest.mark.parametrize("name", sorted(GROUPS))
def test_every_field_of_a_message_has_one_place_in_its_form_and_a_label_of_words(name: str) -> None:
    form = forms.fields(name)
    keys = [field.key for field in form]
    assert len(keys) == len(set(keys))
    assert all("_" not in field.label and field.label[0].isupper() for field in form)
    listed = {each for _, names in GROUPS[name] for each in names}
    assert listed <= {field.name for field in form}, "a group names what is no field"


def test_a_draft_that_is_broken_or_too_old_is_none(own_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    drafts.keep("AddModel", {"name": "x\ud800"})
    assert drafts.kept("AddModel") is not None and drafts.kept("AddModel").values == {"name": "x\ud800"}  # type: ignore[union-attr]
    for text in ("", "{", "[]", '{"at": "then", "values": {"a": 1}}', '{"at": 1, "values": {"a": 1}}'):
        drafts.path("AddModel").write_text(text)
        assert drafts.kept("AddModel") is None
    drafts.forget("AddModel")
    drafts.forget("AddModel")
    assert not drafts.path("AddModel").exists()


def test_what_every_field_is_for_has_room_below_the_form_on_a_small_terminal() -> None:
    for name in TITLES:
        for field in forms.fields(name):
            told = textwrap.wrap(field.told, 78)
            assert len(told) <= 2, f"{name}.{field.name}: {told}"
