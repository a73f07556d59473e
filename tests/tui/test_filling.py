"""Forms as one fills them in: by keys alone, from an empty studio to a job; whatever the studio answers, nothing typed is lost."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, TextArea

from core.errors import Unavailable
from core.messages.browsing import Entry
from core.messages.models import ModelMetadata
from core.messages.prompts import PromptMetadata
from core.rules import Breach
from tests.tui.filling import FormStudio, tickets
from tests.tui.test_dashboard import here, shown, until
from tui import drafts
from tui.app import Dashboard
from tui.screens import form
from tui.screens.form import FormScreen
from tui.screens.job import JobScreen
from tui.screens.listing import ListScreen
from tui.widgets.beside import Beside
from tui.widgets.choice import Choice
from tui.widgets.line import Line
from tui.widgets.preflight import Preflight

NARROW = (80, 24)
Kind = TypeVar("Kind", bound=Widget)


def app(studio: FormStudio, page: str = "") -> Dashboard:
    return Dashboard(make=lambda: studio, page=page)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Beside, "PAUSE", 0.05)
    monkeypatch.setattr(Preflight, "PAUSE", 0.05)
    monkeypatch.setattr(form, "AFTER_TYPING", 0.05)


def sent(studio: FormStudio, name: str) -> list[Any]:
    return [message for message in studio.asked if type(message).__name__ == name]


def field(screen: Screen[Any], name: str, kind: type[Kind]) -> Kind:
    """The widget of a form that a field is filled in with."""
    return screen.query_one(f"#input-{name}", kind)


def focused(pilot: Pilot[None]) -> str:
    return str(pilot.app.focused.id) if pilot.app.focused is not None else ""


# ─── the way from nothing to a job ────────────────────────────────────────────────────────────────


async def test_from_an_empty_studio_to_a_running_job_by_keys_that_the_screen_tells() -> None:
    studio = FormStudio()
    studio.plan = tickets().plan
    studio.rows["models"] = [ModelMetadata(id="other", type="project", name="of another kind")]
    dashboard = app(studio, "datasets")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "n adds a CSV")
        await pilot.press("n")
        await here(pilot, "^s send")
        await pilot.press("tab", *"tickets.csv")
        await until(pilot, lambda: field(dashboard.screen, "type", Choice).value == "project_csv")
        await until(pilot, lambda: field(dashboard.screen, "name", Input).value == "tickets")
        await here(pilot, "2 columns")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(dashboard.screen, ListScreen))
        await here(pilot, "tickets")
        # From here on the training's form leads to what is missing.
        await pilot.press("colon", *"train", "enter")
        await here(pilot, "Name of the adapter")
        await here(pilot, "none yet; ctrl+n adds one")
        await pilot.press(*"first", "tab", "tab")
        await pilot.press("ctrl+n")
        await here(pilot, "Where its files are")
        await pilot.press("enter")
        await here(pilot, "enter takes it")
        await pilot.press(*"directory", "enter")
        await until(pilot, lambda: field(dashboard.screen, "type", Choice).value == "project")
        await pilot.press("tab", *"models/", "ctrl+s")
        training: Any = dashboard.screen_stack[2]
        await until(pilot, lambda: dashboard.screen is training)
        await until(pilot, lambda: field(training, "base_model_id", Choice).value == "m-new")
        await pilot.press("tab", "tab")
        assert focused(pilot) == "input-prompt_id"
        await pilot.press("ctrl+n")
        await here(pilot, "^g write it")
        await until(pilot, lambda: field(dashboard.screen, "prompt-dataset_id", Choice).value == "d-new")
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "{intent}" in field(dashboard.screen, "prompt-completion_template", TextArea).text)
        await here(pilot, "track_parcel")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: dashboard.screen is training)
        await until(pilot, lambda: field(training, "prompt_id", Choice).value == "p-new")
        await here(pilot, "fits gpu-host")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(dashboard.screen, JobScreen))
    (job,) = sent(studio, "StartFineTuningJob")
    assert (job.adapter_name, job.base_model_id, job.dataset_id, job.prompt_id) == ("first", "m-new", "d-new", "p-new")


# ─── what depends on what ─────────────────────────────────────────────────────────────────────────


async def test_only_what_the_chosen_type_needs_is_asked_and_sent() -> None:
    studio = FormStudio()
    dashboard = app(studio, "import-models")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "Where it is")
        assert "Directory" not in shown(dashboard) and "Name on the Hub" not in shown(dashboard)
        models = dashboard.screen
        field(models, "type", Choice).value = "project"
        await here(pilot, "Directory")
        field(models, "location", Input).value = "models/"
        field(models, "type", Choice).value = "huggingface"
        await here(pilot, "Name on the Hub")
        assert "Directory" not in shown(dashboard)
        field(models, "huggingface_name", Input).value = "org/tiny"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: sent(studio, "AddModel"))
        (model,) = sent(studio, "AddModel")
        assert (model.huggingface_name, model.location) == ("org/tiny", None)


async def test_a_models_directory_is_looked_at_as_it_is_typed_and_tells_its_name() -> None:
    studio = FormStudio()
    studio.files += [Entry(path="models/tiny/config.json"), Entry(path="models/tiny/pytorch_model.bin", bytes=5)]
    dashboard = app(studio, "import-models")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "Where it is")
        models = dashboard.screen
        field(models, "type", Choice).value = "project"
        place, name = field(models, "location", Input), field(models, "name", Input)
        place.value = "models/tin"
        await here(pilot, "✗ there is no directory models/tin with files in it")
        place.value = "models/tiny/"
        await here(pilot, "✗ no tokenizer, no *.safetensors weights")
        assert name.value == "tiny"
        await pilot.press("ctrl+p")
        await here(pilot, "convert them to safetensors")
        studio.files += [Entry(path=f"models/whole/{each}", bytes=2048) for each in ("config.json", "tokenizer.json")]
        studio.files += [Entry(path=f"models/whole/model-{part}.safetensors", bytes=2048) for part in (1, 2)]
        place.value = "models/whole"
        await here(pilot, "2 files of weights, 4 KiB")
        field(models, "type", Choice).value = "huggingface"
        field(models, "huggingface_name", Input).value = "org/small@main"
        await until(pilot, lambda: name.value == "org/small")
        name.value = "mine"
        field(models, "huggingface_name", Input).value = "org/other"
        await until(pilot, lambda: models.fields.payload()[0].get("huggingface_name") == "org/other")  # type: ignore[attr-defined]
        await pilot.pause()
        assert name.value == "mine"


async def test_the_framework_decides_which_fields_a_training_has() -> None:
    dashboard = app(tickets(), "train")
    async with dashboard.run_test(size=(80, 60)) as pilot:
        await here(pilot, "LoRA config")
        field(dashboard.screen, "framework_type", Choice).value = "axolotl"
        await here(pilot, "Axolotl config")
        assert "LoRA config" not in shown(dashboard) and "Preset" not in shown(dashboard)


async def test_what_a_field_must_have_stands_in_it_and_goes_when_it_has_it() -> None:
    dashboard = app(FormStudio(), "import-datasets")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "choose one (needed)")
        await pilot.press("enter", *"parquet", "enter")
        await here(pilot, "a Parquet file of the project")
        assert "choose one (needed)" not in shown(dashboard)


# ─── keys ─────────────────────────────────────────────────────────────────────────────────────────


async def test_enter_goes_on_page_keys_go_from_group_to_group_and_letters_find_a_choice() -> None:
    dashboard = app(tickets(), "train")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "Name of the adapter")
        await pilot.press("enter")
        assert focused(pilot) == "input-framework_type"
        await pilot.press("pagedown")
        assert focused(pilot) == "input-preset"
        await pilot.press("f")
        await until(pilot, lambda: field(dashboard.screen, "preset", Choice).value == "fast")
        await pilot.press("delete", "pageup")
        assert field(dashboard.screen, "preset", Choice).value is None
        assert focused(pilot) == "input-adapter_name"
        await pilot.press("tab", "tab", "s")
        await here(pilot, "enter takes it")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen))


async def test_letters_typed_at_once_all_reach_the_list_that_the_first_one_opens() -> None:
    studio = tickets()
    studio.rows["models"].append(studio.rows["models"][0].model_copy(update={"id": "m2", "name": "Smaller"}))
    dashboard = app(studio, "train")
    async with dashboard.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: field(dashboard.screen, "base_model_id", Choice).options)
        await pilot.press("tab", "tab")
        for letter in "small":
            dashboard.post_message(Key(letter, letter))
        await here(pilot, "1 of 2   enter takes it")
        await pilot.press("enter")
        await until(pilot, lambda: field(dashboard.screen, "base_model_id", Choice).value == "m2")


async def test_of_a_few_the_whole_word_can_be_typed_by_either_name_and_the_form_tells_it() -> None:
    dashboard = app(tickets(), "train")
    async with dashboard.run_test(size=NARROW) as pilot:
        framework = field(dashboard.screen, "framework_type", Choice)
        packing = field(dashboard.screen, "packing", Choice)
        loss = field(dashboard.screen, "loss_on", Choice)
        framework.focus()
        await here(pilot, "letters or ← → choose")
        await pilot.press(*"axolotl")
        assert framework.value == "axolotl"
        await pilot.press(*"le")
        assert framework.value == "legacy" and isinstance(dashboard.screen, FormScreen)
        packing.focus()
        await pilot.press(*"no")
        assert packing.value == "no" and isinstance(dashboard.screen, FormScreen)
        loss.focus()
        await pilot.press("c", *"every")  # a word of the list, not the value "all"
        assert loss.value == "all" and isinstance(dashboard.screen, FormScreen)
        dashboard.screen.query_one("#input-dataset_id").focus()
        await here(pilot, "letters find one")


async def test_a_prompt_is_chosen_among_those_of_the_dataset_and_goes_with_it() -> None:
    studio = tickets()
    first, prompt = studio.rows["datasets"][0], studio.rows["prompts"][0]
    first.features = ["instruction", "intent"]
    studio.rows["datasets"] += [
        first.model_copy(update={"id": "d2", "name": "held out"}),
        first.model_copy(update={"id": "d3", "name": "SQL", "features": ["question", "answer"]}),
    ]
    studio.rows["prompts"] += [
        prompt.model_copy(update={"id": "p2", "name": "other words"}),
        PromptMetadata(
            id="p3",
            name="queries",
            dataset_id="d3",
            prompt_template="{question} {answer}",
            input_template="{question}",
            completion_template=" {answer}",
        ),
    ]
    dashboard = app(studio, "train")
    async with dashboard.run_test(size=NARROW) as pilot:
        dataset = field(dashboard.screen, "dataset_id", Choice)
        chosen = field(dashboard.screen, "prompt_id", Choice)
        await until(pilot, lambda: len(chosen.options) == 3)
        dataset.value = "d1"
        await until(pilot, lambda: [id for _, id in chosen.options] == ["p1", "p2"])
        chosen.value = "p2"
        dataset.value = "d2"  # has none of its own, and the same columns: what fits stays, and says whose it is
        await until(pilot, lambda: chosen.called == "other words  (of tickets)")
        dataset.value = "d3"  # its only prompt takes the place of one that names what it has not
        await until(pilot, lambda: (chosen.value, chosen.options) == ("p3", [("queries", "p3")]))
        dataset.value = "d1"
        await until(pilot, lambda: chosen.value is None)
        assert [name for name, _ in chosen.options] == ["actions", "other words"]


async def test_a_prompt_that_comes_with_its_dataset_stays_whosever_it_is() -> None:
    studio = tickets()
    studio.rows["prompts"] += [studio.rows["prompts"][0].model_copy(update={"id": "p2", "dataset_id": "gone"})]
    dashboard = app(studio)
    async with dashboard.run_test(size=NARROW) as pilot:
        dashboard.show_form("StartFineTuningJob", {"dataset_id": "d1", "prompt_id": "p2"})
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen) and dashboard.screen.fields.prompts)
        like: Any = dashboard.screen
        like.fields.fill({"dataset_id": "d1", "prompt_id": "p2"}, by_hand=True)
        await pilot.pause()
        chosen = field(like, "prompt_id", Choice)
        assert (chosen.value, chosen.called) == ("p2", "actions  (of another dataset)")


async def test_editing_keys_and_letters_typed_at_once_take_effect_in_their_order() -> None:
    dashboard = app(tickets(), "import-datasets")
    async with dashboard.run_test(size=NARROW) as pilot:
        name = field(dashboard.screen, "name", Line)
        name.focus()
        name.value = "what was there"
        await until(pilot, lambda: name.has_focus)
        for key in ("end", "ctrl+u", *"smollm", "home", "x"):
            dashboard.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: name.value == "xsmollm")


async def test_a_text_that_is_longer_than_its_line_is_seen_as_far_as_that() -> None:
    dashboard = app(tickets(), "import-datasets")
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await here(pilot, "needed")
        field(dashboard.screen, "name", Input).value = "a long name " * 20
        await here(pilot, "a long name a long name")


async def test_what_is_chosen_of_several_has_a_mark_of_its_own() -> None:
    studio = tickets()
    dashboard = app(studio, "evaluate")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "[ ] SmolLM2 + tickets-lora")
        await pilot.press("space")
        await here(pilot, "[x] SmolLM2  (base)")
        assert "[ ] SmolLM2 + tickets-lora" in shown(dashboard)
        await pilot.press("pagedown")
        assert focused(pilot) == "input-generation_config"
        dashboard.screen.query_one("#input-selected_features").focus()
        await here(pilot, "tickets has: instruction, intent")
        area = field(dashboard.screen, "metrics", TextArea)
        area.text = "mine.py\n\n  other.py "
        await pilot.press("ctrl+s")
        await until(pilot, lambda: sent(studio, "StartEvaluationJob"))
        assert sent(studio, "StartEvaluationJob")[0].metrics == ["mine.py", "other.py"]


async def test_tab_completes_a_path_as_far_as_it_is_one_and_then_goes_on() -> None:
    dashboard = app(FormStudio(), "import-datasets")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "^s send")
        await pilot.press("tab", *"ti")
        await here(pilot, "tab completes: tickets.csv  tickets-2.csv")
        path = field(dashboard.screen, "location", Input)
        await pilot.press("tab")
        assert path.value == "tickets" and "notes.txt" not in shown(dashboard)
        await pilot.press("minus")
        await until(pilot, lambda: path._suggestion == "tickets-2.csv")
        await pilot.press("tab")
        assert path.value == "tickets-2.csv"
        await here(pilot, "that is there")
        await pilot.press("tab")
        assert focused(pilot) != "input-location"


async def test_a_form_begins_like_an_earlier_job_under_a_free_name() -> None:
    studio = tickets()
    job = studio.rows["fine_tuning_jobs"][0]
    job.adapter_name, job.base_model_id, job.max_length, job.dataset_id = "tickets-4", "m1", 64, "d1"
    dashboard = app(studio, "train")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "^g like a job")
        await pilot.press("ctrl+g")
        await here(pilot, "tickets-4")
        await pilot.press(*"tickets-4", "enter")
        like: Any = dashboard.screen
        await until(pilot, lambda: field(like, "adapter_name", Input).value == "tickets-5")
        assert field(like, "max_length", Input).value == "64"
        assert like.fields.payload()[0]["lora_config"] == job.lora_config


async def test_a_rendered_row_follows_the_templates_and_another_row_is_a_key_away() -> None:
    dashboard = app(tickets(), "create-prompts")
    async with dashboard.run_test(size=(160, 50)) as pilot:
        await here(pilot, "{instruction}")
        await pilot.press("ctrl+g")
        await here(pilot, "⟦ track_parcel<eos>⟧")
        await pilot.press("ctrl+l")
        await here(pilot, "⟦ refund<eos>⟧")
        field(dashboard.screen, "prompt-completion_template", TextArea).text = " => {intent}"
        await here(pilot, " => refund")


async def test_a_config_begins_with_the_shipped_one_and_is_checked_as_one_types() -> None:
    studio = tickets()
    dashboard = app(studio)
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "adapter-run")
        dashboard.show_form("AddConfig", {"type": "lora_config"})
        await here(pilot, "^g the shipped one")
        await pilot.press("ctrl+g")
        area = field(dashboard.screen, "config", TextArea)
        await until(pilot, lambda: '"r": 16' in area.text)
        area.text = '{"rank": 16}'
        await here(pilot, "CF-102")
        area.text = '{"r": 8}'
        await until(pilot, lambda: "CF-102" not in shown(dashboard))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: sent(studio, "AddConfig"))


# ─── what goes wrong ──────────────────────────────────────────────────────────────────────────────


async def test_no_answer_loses_nothing_and_sent_again_it_is_done_once() -> None:
    studio = tickets()
    dashboard = app(studio)
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "adapter-run")
        dashboard.show_form("AddConfig", {"type": "lora_config", "config": '{"r": 8}'})
        await here(pilot, "^s send")
        studio.broken = Unavailable("no studio answers")
        await pilot.press("ctrl+s")
        await here(pilot, "ctrl+s sends it again")
        (first,) = [
            key for key, each in zip(studio.keys, studio.asked, strict=True) if type(each).__name__ == "AddConfig"
        ]
        studio.broken = None
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(dashboard.screen, ListScreen))
        keys = [key for key, each in zip(studio.keys, studio.asked, strict=True) if type(each).__name__ == "AddConfig"]
        assert keys == [first, first] and first


@pytest.mark.parametrize("error", [RuntimeError("[/boom] something broke"), ValueError("")])
async def test_whatever_the_studio_answers_the_form_stays_as_it_was_typed(error: Exception) -> None:
    studio = tickets()
    dashboard = app(studio)
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "adapter-run")
        dashboard.show_form("AddConfig", {"type": "lora_config", "config": '{"r": 8}'})
        await here(pilot, "^s send")
        studio.broken = error
        await pilot.press("ctrl+s")
        await here(pilot, "✗")
        assert isinstance(dashboard.screen, FormScreen)
        assert dashboard.screen.fields.payload()[0] == {"type": "lora_config", "config": '{"r": 8}'}


async def test_what_the_studio_refuses_is_told_at_its_field_and_at_the_foot_when_it_belongs_to_none() -> None:
    studio = tickets()
    dashboard = app(studio)
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "adapter-run")
        dashboard.show_form("AddConfig", {"type": "lora_config", "config": '{"r": 8}'})
        await here(pilot, "^s send")
        studio.refusal = [
            Breach(rule="CF-102", field="config", message="r is too small"),
            Breach(rule="MS-107", field="", message="the studio takes nothing just now"),
        ]
        await pilot.press("ctrl+s")
        await here(pilot, "✗ r is too small (CF-102)")
        assert "the studio takes nothing just now" in shown(dashboard) and focused(pilot) == "input-config"


async def test_a_dashboard_that_only_looks_sends_no_form() -> None:
    studio = tickets()
    dashboard = Dashboard(make=lambda: studio, readonly=True)
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "adapter-run")
        dashboard.show_form("AddConfig", {"type": "lora_config", "config": '{"r": 8}'})
        await here(pilot, "^s send")
        await pilot.press("ctrl+s")
        await here(pilot, "--readonly")
        field(dashboard.screen, "description", Input).value = "typed"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(dashboard.screen, ListScreen))
        assert not sent(studio, "AddConfig") and drafts.kept("AddConfig") is None


# ─── what is there ────────────────────────────────────────────────────────────────────────────────


async def test_a_datasets_rows_are_paged_by_split_and_read_whole() -> None:
    studio = tickets()
    studio.data = [{"instruction": f"ticket {n}\nsecond line", "intent": "x"} for n in range(250)]
    dashboard = app(studio, "datasets")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "tickets")
        await pilot.press("enter")
        await here(pilot, "rows 1 to 100 of 250")
        await pilot.press("right_square_bracket")
        await here(pilot, "rows 101 to 200 of 250")
        await pilot.press("j", "enter")
        await here(pilot, "second line")
        assert "row 102" in shown(dashboard)
        await pilot.press("escape", "s")
        await here(pilot, "[test]")
        assert sent(studio, "PreviewDataset")[-1].split == "test"


async def test_a_name_is_changed_and_a_description_cleared_in_a_form_of_their_own() -> None:
    studio = tickets()
    studio.rows["datasets"][0].description = "old"
    dashboard = app(studio, "datasets")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "tickets")
        await pilot.press("e")
        await here(pilot, "Rename a Dataset")
        field(dashboard.screen, "description", Input).value = ""
        await pilot.press("ctrl+s")
        await until(pilot, lambda: sent(studio, "EditDataset"))
        edit = sent(studio, "EditDataset")[0]
        assert (edit.id, edit.name, edit.description) == ("d1", "tickets", "")


async def test_a_prompt_is_shown_with_its_rows_and_cloned() -> None:
    dashboard = app(tickets(), "prompts")
    async with dashboard.run_test(size=(80, 40)) as pilot:
        await here(pilot, "actions")
        await pilot.press("enter")
        await here(pilot, "⟦ track_parcel<eos>⟧")
        await pilot.press("right_square_bracket")
        await here(pilot, "⟦ refund<eos>⟧")
        await pilot.press("C")
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen))
        await here(pilot, "Ticket: {instruction}")


async def test_a_base_model_is_shown_with_its_adapters_and_trained_from_there() -> None:
    studio = tickets()
    dashboard = app(studio, "models")
    async with dashboard.run_test(size=NARROW) as pilot:
        await here(pilot, "SmolLM2")
        await pilot.press("enter")
        await here(pilot, "1 adapter of it:")
        assert "tickets-lora" in shown(dashboard) and "LlamaForCausalLM" in shown(dashboard)
        await pilot.press("e")
        await here(pilot, "Rename a Base Model")
        await pilot.press("escape")
        await here(pilot, "e edit  t train")
        await pilot.press("t")
        await here(pilot, "Train a New Adapter")
        assert dashboard.screen.query_one("#input-base_model_id", Choice).value == "m1"
