"""JOB_ARGUMENTS of the guide, as the original studio writes them and as people type them, become the studio's own messages."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages.evaluation import StartEvaluationJob
from core.messages.fine_tuning import StartFineTuningJob
from gpu_runner.cml.asked import Asked, Unreadable, double, read, with_spaces

KEY = "0b7c2f9e-1111-2222-3333-444455556666"
ORIGINAL = (
    f"--base_model_id m --dataset_id d --experimentid {KEY} --out_dir data/adapters/{KEY} --train_out_dir outputs/{KEY} "
    '--adapter_name tickets --finetuning_framework_type legacy --prompt_id p --bnb_config {"load_in_4bit":true} '
    '--lora_config {"r":16,"target_modules":["q_proj"]} --training_arguments_config {"num_train_epochs":2} --auto_add_adapter '
    "--train_test_split 0.8999999761581421 --dataset_fraction 0.5 --hf_token hf_canary --dist_num 1 --dist_cpu 2 "
    "--dist_mem 8 --dist_gpu 1 --gpu_label_id -1"
)
GUIDE = f"--base_model_id m --dataset_id d --experimentid {KEY} --out_dir out --train_out_dir t --adapter_name a --framework_type axolotl --axolotl_config_id x --bnb_config c1 --lora_config c2 --training_arguments_config c3 --dist_num 2 --dist_cpu 4.0 --dist_mem 16.0 --dist_gpu 1"
SCORED = (
    "--base_model_id m --base_model_id m --dataset_id d --prompt_id p --adapter_id a --result_dir mlflow_results/1 "
    '--adapter_bnb_config {"load_in_4bit":true} --generation_config {"max_new_tokens":60} --selected_features '
    "['mycol','b'] --eval_dataset_fraction 0.20000000298023224 --comparison_adapter_id None --job_id 7 --run_number 2"
)


def message(asked: Asked) -> StartFineTuningJob | StartEvaluationJob:
    return (StartFineTuningJob if asked.kind == "training" else StartEvaluationJob).model_validate(asked.fields)


def test_what_the_original_studio_sends_for_a_training_is_understood() -> None:
    asked = read(ORIGINAL)
    assert (asked.kind, asked.key, asked.token) == ("training", KEY, "hf_canary")
    assert asked.fields == {
        "base_model_id": "m",
        "dataset_id": "d",
        "prompt_id": "p",
        "adapter_name": "tickets",
        "framework_type": "legacy",
        "adapter_bnb_config": '{"load_in_4bit":true}',
        "lora_config": '{"r":16,"target_modules":["q_proj"]}',
        "training_arguments_config": '{"num_train_epochs":2}',
        "train_test_split": 0.9,
        "dataset_fraction": 0.5,
        "out_dir": "data/adapters",
    }
    assert message(asked).model_dump(include=set(asked.fields)) == asked.fields


def test_the_guides_own_spelling_is_understood_with_ids_of_configs_and_workers() -> None:
    asked = read(GUIDE)
    told = {"adapter_bnb_config_id": "c1", "lora_config_id": "c2", "training_arguments_config_id": "c3"}
    workers = {"num_workers": 2, "dist_cpu": 4, "dist_mem": 16, "dist_gpu": 1}
    rest = {"framework_type": "axolotl", "axolotl_config_id": "x", "out_dir": "out", "adapter_name": "a"}
    assert asked.fields == {"base_model_id": "m", "dataset_id": "d", **told, **workers, **rest}
    assert message(asked).num_workers == 2  # type: ignore[union-attr]


def test_what_the_original_studio_sends_for_an_evaluation_is_understood() -> None:
    asked = read(SCORED)
    assert (asked.kind, asked.key, str(asked.results)) == ("evaluation", "7/2", "mlflow_results/1")
    sent = message(asked)
    assert isinstance(sent, StartEvaluationJob) and sent.eval_dataset_fraction == 0.2
    assert [each.model_dump() for each in sent.model_adapter_combinations] == [
        {"base_model_id": "m", "adapter_id": "a"}
    ]
    assert with_spaces(sent.selected_features, ["a", "my col", "b"]) == ["my col", "b"]
    assert "adapter_id" not in read(SCORED.replace("--adapter_id a", "")).fields["model_adapter_combinations"][0]


def test_an_adapter_without_a_name_is_called_as_its_job_and_json_may_be_typed_with_spaces_and_quotes() -> None:
    typed = """'{ "r": 16, "target_modules": ["q_proj"]}'"""
    text = ORIGINAL.replace("--adapter_name tickets", "--adapter_name")
    text = text.replace('{"r":16,"target_modules":["q_proj"]}', typed)
    assert read(text).fields["adapter_name"] == KEY
    assert read(text).fields["lora_config"] == typed.strip("'")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["--base_model_id is lacking", "--job_id is lacking"]),
        ("secret --base_model_id m", ["begin with a value", "--dataset_id is lacking"]),
        (f"{ORIGINAL} --hf_tokn hf_other --train_test_split much", ["--hf_tokn is no option", "--train_test_split can't"]),
        (f"{SCORED} --selected_features open('x')", ["--selected_features can't be read"]),
        (f"{SCORED} --dataset_fraction 1", ["--dataset_fraction is no option of a job of evaluation"]),
    ],
)  # fmt: skip
def test_everything_that_is_wrong_is_told_at_once_and_no_value_with_it(text: str, told: list[str]) -> None:
    with pytest.raises(Unreadable) as raised:
        read(text)
    assert all(each in str(raised.value) for each in told)
    assert not any(each in str(raised.value) for each in ("canary", "other", "secret", "much", "open"))


@given(st.floats(0.001, 1).map(lambda value: round(value, 4)))
def test_a_number_that_went_through_32_bits_is_the_number_that_was_meant(value: float) -> None:
    narrow = struct.unpack("f", struct.pack("f", value))[0]
    assert double(narrow) == value
    assert double(value) == value
