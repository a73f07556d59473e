"""Training as it must be: the right rows, an end that is learned, no leak between rows, and the same adapter after any kill."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.spec import DatasetSource, PromptSource, Sampling
from core.types import LossOn
from gpu_runner import child
from gpu_runner.data import load_rows, sample_and_split
from gpu_runner.failures import JobError
from gpu_runner.tokens import IGNORED, set_padding, tokenize
from tests.runner.tiny import make_model, make_rows, tiny_spec

PROMPT = PromptSource(
    id="p",
    name="p",
    prompt_template="{question} {answer}",
    input_template="{question}",
    completion_template=" {answer}",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("m") / "tiny")


@pytest.fixture
def tokenizer(model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


def run(root: Path, spec: dict[str, Any], attempt: int = 1) -> list[dict[str, Any]]:
    """Run an attempt in this process; its records."""
    directory = root / "jobs" / spec["job_id"] / str(attempt)
    directory.mkdir(parents=True)
    (directory / "spec.json").write_text(json.dumps(spec))
    child.run(directory, None)
    return [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]


def weights(spec: dict[str, Any], attempt: int = 1) -> bytes:
    return (Path(spec["out_dir"]) / spec["job_id"] / str(attempt) / "adapter_model.safetensors").read_bytes()


def last(records: list[dict[str, Any]]) -> dict[str, Any]:
    assert records[-1]["type"] == "finished"
    return records[-1]


# ─── rows ────────────────────────────────────────────────────────────────────────────────────────


def test_rows_are_drawn_and_split_as_datasets_itself_does(tmp_path: Path) -> None:
    import datasets

    rows = [{"n": n} for n in range(50)]
    drawn = datasets.Dataset.from_list(rows).train_test_split(test_size=0.5, shuffle=True, seed=42)["train"]
    split = drawn.train_test_split(test_size=1 - 0.9, shuffle=True, seed=42)
    train, held_out = sample_and_split({"train": rows}, Sampling(fraction=0.5, split=0.9))
    assert [row["n"] for row in train] == split["train"]["n"] and [row["n"] for row in held_out] == split["test"]["n"]


def test_ten_rows_at_nine_tenths_are_nine_and_one() -> None:
    train, held_out = sample_and_split({"train": [{"n": n} for n in range(10)]}, Sampling(split=0.9))
    assert (len(train), len(held_out)) == (9, 1)


def test_a_split_of_ones_own_is_kept_and_split_1_holds_nothing_out() -> None:
    rows = [{"n": n} for n in range(4)]
    assert sample_and_split({"train": rows, "test": [{"n": 8}], "validation": [{"n": 9}]}, Sampling(split=0.5)) == (
        rows,
        [{"n": 9}],
    )
    assert sample_and_split({"train": rows}, Sampling(split=1.0)) == (rows, [])


def test_text_stays_as_it_is_and_odd_line_breaks_end_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('code,text\n007,"two\nlines"\n1.50,a\x0cb\u2028c\n', encoding="utf-8")
    rows = load_rows(DatasetSource(id="d", name="d", type="project_csv", location=str(tmp_path / "a.csv")))["train"]
    assert rows == [{"code": "007", "text": "two\nlines"}, {"code": "1.50", "text": "a\x0cb\u2028c"}]


def test_a_file_that_changed_since_it_was_added_is_refused(tmp_path: Path) -> None:
    make_rows(tmp_path / "r.jsonl")
    source = DatasetSource(id="d", name="d", type="project_jsonl", location=str(tmp_path / "r.jsonl"), sha256="0" * 64)
    with pytest.raises(JobError, match="changed since"):
        load_rows(source)


# ─── tokens ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("loss_on", list(LossOn))
def test_the_eos_that_ends_a_row_is_always_learned(tokenizer: Any, loss_on: LossOn) -> None:
    tokenizer.pad_token = tokenizer.eos_token
    made = tokenize([{"question": "a b", "answer": "c d"}], PROMPT, tokenizer, 32, loss_on)
    assert made.input_ids[0][-1] == made.labels[0][-1] == tokenizer.eos_token_id
    assert (made.labels[0][0] == IGNORED) is (loss_on is LossOn.completion)


def test_on_completion_the_prompt_is_not_learned_and_is_tokenized_as_when_asked(tokenizer: Any) -> None:
    made = tokenize([{"question": "a b", "answer": "c d"}], PROMPT, tokenizer, 32, LossOn.completion)
    asked = tokenizer("a b")["input_ids"]
    assert made.input_ids[0][: len(asked)] == asked
    assert made.labels[0][: len(asked)] == [IGNORED] * len(asked)
    assert tokenizer.decode([label for label in made.labels[0] if label != IGNORED]) == "c d </s>"


def test_what_is_cut_or_dropped_is_counted_and_nothing_left_is_an_error(tokenizer: Any) -> None:
    rows = [{"question": "a", "answer": "b"}, {"question": "a b c d e f", "answer": "b"}]
    made = tokenize(rows, PROMPT, tokenizer, 4, LossOn.completion)
    assert (len(made.input_ids), made.cut, made.dropped) == (1, 1, 1)
    with pytest.raises(JobError, match="cuts every row"):
        tokenize(rows[1:], PROMPT, tokenizer, 4, LossOn.completion)


@pytest.mark.parametrize(
    ("vocabulary", "tokens", "added", "chosen"),
    [
        (["<pad>", "<unk>"], {"pad_token": "<pad>", "unk_token": "<unk>"}, None, "<pad>"),
        (["<unk>"], {"pad_token": "</s>", "unk_token": "<unk>"}, None, "<unk>"),
        ([], {}, "<|reserved_7|>", "<|reserved_7|>"),
        ([], {}, None, "</s>"),
        ([], {"unk_token": "</s>"}, None, "</s>"),
    ],
)
def test_the_padding_token_is_chosen_by_the_chain(
    vocabulary: list[str], tokens: dict[str, str], added: str | None, chosen: str
) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({word: place for place, word in enumerate(["a", "</s>", *vocabulary])}, unk_token="a"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", **tokens)
    if added:
        tokenizer.add_tokens([added])
    assert set_padding(tokenizer) == chosen == tokenizer.pad_token


def test_a_given_padding_token_counts_when_it_is_in_the_vocabulary(tokenizer: Any) -> None:
    tokenizer.pad_token = None
    assert set_padding(tokenizer, "w5") == "w5"


# ─── training ────────────────────────────────────────────────────────────────────────────────────


def test_a_model_that_was_trained_ends_its_answers(tmp_path: Path, model: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments = {
        "num_train_epochs": 30,
        "per_device_train_batch_size": 8,
        "learning_rate": 0.05,
        "logging_steps": 50,
        "optim": "adamw_torch",
    }
    lora = {"r": 8, "target_modules": "all-linear", "modules_to_save": ["lm_head"], "task_type": "CAUSAL_LM"}
    rows = make_rows(tmp_path / "r.jsonl")
    rows.write_text("".join(json.dumps({"question": f"w{n} a", "answer": "c d"}) + "\n" for n in range(24)))
    spec = tiny_spec(
        "e",
        tmp_path,
        model,
        rows,
        training_arguments=arguments,
        lora=lora,
        loss_on="completion",
        sampling={"split": 1.0},
    )
    assert last(run(tmp_path, spec))["outcome"] == "succeeded"
    tokenizer = AutoTokenizer.from_pretrained(model)
    tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), Path(spec["out_dir"]) / "e" / "1")
    asked = tokenizer("w3 a", return_tensors="pt")
    answer = tuned.generate(
        input_ids=asked["input_ids"],
        attention_mask=asked["attention_mask"],
        max_new_tokens=12,
        do_sample=False,
        pad_token_id=3,
    )
    assert tokenizer.decode(answer[0][asked["input_ids"].shape[1] :]).endswith("d </s>")


def test_packed_rows_do_not_see_each_other(model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    network = AutoModelForCausalLM.from_pretrained(model).eval()
    collate = DataCollatorForLanguageModeling(pad_token_id=3, padding_free=True)
    first, second = [5, 6, 7, 2], [9, 10, 11, 2]
    packed = collate([{"input_ids": first + second, "labels": first + second, "seq_lengths": [4, 4]}])
    packed.pop("labels")
    alone = collate([{"input_ids": second, "labels": second, "seq_lengths": [4]}])
    alone.pop("labels")
    with torch.no_grad():
        together, apart = network(**packed, use_cache=False).logits[0, 4:], network(**alone, use_cache=False).logits[0]
    assert torch.allclose(together, apart, atol=1e-5)


KILLS = {
    "plain": {},
    "accumulated": {"gradient_accumulation_steps": 2},
    "grouped": {"length_grouped": True},
    "packed": {"packing": True, "max_length": 10},
}


@pytest.mark.parametrize("how", KILLS)
@pytest.mark.parametrize("step", [3, 8])
def test_a_job_that_dies_at_any_step_ends_with_the_same_adapter(
    tmp_path: Path, model: Path, how: str, step: int
) -> None:
    """The child dies for real, by SIGKILL from its own trainer; the next attempt goes on from the checkpoint."""
    extra = dict(KILLS[how])
    arguments = {
        "num_train_epochs": 6,
        "per_device_train_batch_size": 2,
        "learning_rate": 0.01,
        "logging_steps": 1,
        "save_steps": 2,
        "save_strategy": "steps",
        "optim": "adamw_torch",
    }
    arguments |= {name: extra.pop(name) for name in list(extra) if name == "gradient_accumulation_steps"}
    rows = make_rows(tmp_path / "r.jsonl", 12)
    lora = {"r": 4, "lora_dropout": 0.1, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    calm = tiny_spec("calm", tmp_path, model, rows, training_arguments=arguments, lora=lora, **extra)
    records = run(tmp_path, calm)
    assert last(records)["outcome"] == "succeeded" and last(records)["summary"]["steps"] > step

    stormy = {**calm, "job_id": "stormy"}
    pid = os.fork()
    if pid == 0:
        _die_at(step)
        run(tmp_path, stormy)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    records = run(tmp_path, stormy, attempt=2)
    assert (
        next(record for record in records if record["type"] == "resumed")["from_step"] == (step - 1) // 2 * 2
    )  # it dies before that step is saved
    assert last(records)["outcome"] == "succeeded"
    assert weights(stormy, 2) == weights(calm)


def _die_at(step: int) -> None:
    from gpu_runner.trainer import Pace

    stepped = Pace.stepped

    def dying(self: Pace, now: int) -> None:
        stepped(self, now)
        if now >= step:
            os.kill(os.getpid(), 9)

    Pace.stepped = dying  # type: ignore[method-assign]


def saved(tmp_path: Path, model: Path) -> dict[str, Any]:
    """A job whose first attempt left checkpoints at steps 4 and 5 and no adapter."""
    arguments = {
        "max_steps": 5,
        "per_device_train_batch_size": 2,
        "save_steps": 2,
        "save_strategy": "steps",
        "optim": "adamw_torch",
    }
    spec = tiny_spec("j", tmp_path, model, make_rows(tmp_path / "r.jsonl"), training_arguments=arguments)
    run(tmp_path, spec)
    shutil.rmtree(spec["out_dir"])
    return spec


def test_a_broken_checkpoint_is_told_and_the_older_good_one_is_taken(tmp_path: Path, model: Path) -> None:
    spec = saved(tmp_path, model)
    newest = tmp_path / "jobs" / "j" / "1" / "checkpoints" / "checkpoint-5"
    (newest / "optimizer.pt").write_bytes(b"torn")
    records = run(tmp_path, spec, attempt=2)
    assert any("optimizer.pt is not what was saved" in record.get("text", "") for record in records)
    assert next(record for record in records if record["type"] == "resumed")["from_step"] == 4
    assert last(records)["outcome"] == "succeeded"


def test_a_checkpoint_without_its_random_state_is_not_used(tmp_path: Path, model: Path) -> None:
    spec = saved(tmp_path, model)
    for path in (tmp_path / "jobs" / "j" / "1" / "checkpoints").iterdir():
        manifest = json.loads((path / "manifest.json").read_text())
        manifest["files"] = {name: told for name, told in manifest["files"].items() if "rng_state" not in name}
        (path / "manifest.json").write_text(json.dumps(manifest))
    records = run(tmp_path, spec, attempt=2)
    assert next(record for record in records if record["type"] == "resumed")["from_step"] == 0


def test_going_on_with_another_batch_size_is_refused(tmp_path: Path, model: Path) -> None:
    spec = saved(tmp_path, model)
    spec["training_arguments"]["per_device_train_batch_size"] = 4
    error = last(run(tmp_path, spec, attempt=2))["error"]
    assert error["kind"] == "user_error" and "was saved with another" in error["message"]


def test_only_the_newest_checkpoints_stay_and_drafts_go(tmp_path: Path, model: Path) -> None:
    saved(tmp_path, model)
    attempt = tmp_path / "jobs" / "j" / "1"
    assert {path.name for path in (attempt / "checkpoints").iterdir()} == {"checkpoint-4", "checkpoint-5"}
    assert not (attempt / "drafts").exists()


@pytest.mark.parametrize(("order", "outcome"), [("cancel", "cancelled"), ("pause", "paused")])
def test_orders_are_obeyed_between_steps(tmp_path: Path, model: Path, order: str, outcome: str) -> None:
    rows = make_rows(tmp_path / "r.jsonl")
    arguments = {"max_steps": 100_000, "per_device_train_batch_size": 2, "optim": "adamw_torch", "logging_steps": 1000}
    spec = tiny_spec("o", tmp_path, model, rows, training_arguments=arguments)
    directory = tmp_path / "jobs" / "o" / "1"
    directory.mkdir(parents=True)
    write = f"import json,time\ntime.sleep(2)\nopen({str(directory / 'control.json')!r}, 'w').write(json.dumps({{'order': {order!r}}}))"
    orderer = subprocess.Popen([sys.executable, "-c", write])
    (directory / "spec.json").write_text(json.dumps(spec))
    child.run(directory, None)
    orderer.wait()
    records = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    assert last(records)["outcome"] == outcome
    assert any(record["type"] == "checkpoint" for record in records) is (order == "pause")


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"training_arguments": {"no_such_key": 1}}, "training arguments are refused"),
        ({"lora": {"r": 0, "task_type": "CAUSAL_LM"}}, "LoRA config is refused"),
        ({"model": {"id": "m", "name": "gone", "location": "/nowhere"}}, "gone can't be loaded"),
        ({"dataset": {"id": "d", "name": "d", "type": "project_csv", "location": "/nowhere.csv"}}, "can't be read"),
    ],
)
def test_what_a_user_can_mend_is_told_as_such_with_a_hint(
    tmp_path: Path, model: Path, broken: dict[str, Any], told: str
) -> None:
    spec = {**tiny_spec("b", tmp_path, model, make_rows(tmp_path / "r.jsonl")), **broken}
    error = last(run(tmp_path, spec))["error"]
    assert error["kind"] == "user_error" and told in error["message"] and error["hint"]


def test_what_the_device_lacks_is_done_otherwise_and_told(tmp_path: Path, model: Path) -> None:
    arguments = {"max_steps": 1, "fp16": True, "optim": "adamw_torch"}
    records = run(
        tmp_path, tiny_spec("f", tmp_path, model, make_rows(tmp_path / "r.jsonl"), training_arguments=arguments)
    )
    assert any("fp16 was asked for" in record.get("text", "") for record in records if record["type"] == "warning")
    assert last(records)["outcome"] == "succeeded"
