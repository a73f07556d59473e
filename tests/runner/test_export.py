"""A merged model (docs/decisions.md, D-201) answers like base and adapter, is whole under its name or not there, and a broken one is caught."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpu_runner import export, merged, parity
from gpu_runner.checkpoint import hashes
from gpu_runner.failures import JobError
from gpu_runner.files import Child, Files
from tests.runner.attempts import Attempt
from tests.runner.exporting import answers, die_and_go_on, export_spec, make_pair

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning:transformers"), pytest.mark.timeout(300)]
PROMPTS = ["w3 a b", "w7 a b", "a b c"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pair(tmp_path_factory.mktemp("pair"))


def asked(directory: Path, prompts: list[str]) -> list[str]:
    """What a merged model answers, with no setting but its own."""
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    texts = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        texts.append(tokenizer.decode(model.generate(input_ids=ids)[0, ids.shape[1] :], skip_special_tokens=True))
    return texts


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_a_merged_model_answers_like_base_and_adapter_by_its_own_settings(pair: Path, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    told = attempt.run(export_spec(pair, tmp_path, "merged"))
    assert told["outcome"] == "succeeded", told
    made = told["summary"]["exported"]
    directory = tmp_path / "exports" / "tickets"
    assert made["location"] == str(directory) and names(tmp_path / "exports") == ["tickets"]
    assert asked(directory, PROMPTS) == answers(pair, PROMPTS, pair / "adapter") != answers(pair, PROMPTS)
    assert made["parity"]["prompts"] == made["parity"]["same_text"] == 8
    # above 0: base and adapter were asked apart, not merged already
    assert 0 < made["parity"]["max_logit_difference"] < 1e-5
    assert made["files"] == hashes(directory) and "model.safetensors" in made["files"]
    assert not [name for name in made["files"] if name.endswith((".bin", ".py", ".pt"))]
    assert str(pair) not in (directory / "config.json").read_text()
    phases = [each["name"] for each in attempt.records("phase")]
    assert phases[0] == "loading base and adapter" and phases[-1] == "publishing"
    assert attempt.records("progress")[-1]["step"] == 5


def test_the_prompts_are_rows_that_the_adapters_own_training_held_out(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[list[str]] = []
    real = parity.prompts
    monkeypatch.setattr(export, "prompts", lambda *args: chosen.append(real(*args)) or chosen[-1])
    spec = export_spec(pair, tmp_path, "merged")
    assert Attempt(tmp_path).run(spec)["outcome"] == "succeeded"
    held_out = [prompt for prompt in chosen[0] if prompt.endswith(" a b")]
    assert len(held_out) == 3 and chosen[0][3:] == list(parity.FIXED[:5])  # 24 rows, a tenth held out
    (tmp_path / "gone").mkdir()
    spec |= {"directory": str(tmp_path / "exports" / "again"), "job_id": "again"}
    spec["training"]["dataset"]["location"] = str(tmp_path / "gone")
    other = Attempt(tmp_path, job_id="again")
    assert other.run(spec)["outcome"] == "succeeded" and chosen[1] == list(parity.FIXED)
    assert any("fixed set" in each["text"] for each in other.records("log"))


def forget_a_layer(model: Any) -> Any:
    """A merge that loses what the adapter does to one layer."""
    layer = next(each for name, each in model.named_modules() if name.endswith("q_proj"))
    layer.lora_B["default"].weight.data.zero_()
    return model.merge_and_unload()


def test_a_broken_merge_is_caught_and_leaves_nothing(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged, "merge", forget_a_layer)
    told = Attempt(tmp_path).run(export_spec(pair, tmp_path, "merged"))
    assert told["outcome"] == "failed"
    assert "the merged model does not answer like base and adapter" in told["error"]["message"]
    assert names(tmp_path / "exports") == []


def test_what_was_written_otherwise_than_merged_is_caught_and_leaves_nothing(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: Any, tokenizer: Any, directory: Path) -> None:
        write(model, tokenizer, directory)
        path = directory / "model.safetensors"
        weights = load_file(path)
        weights["model.layers.0.mlp.down_proj.weight"] += 0.01
        save_file(weights, path, {"format": "pt"})

    write = merged.write
    monkeypatch.setattr(merged, "write", spoil)
    told = Attempt(tmp_path).run(export_spec(pair, tmp_path, "merged"))
    assert told["outcome"] == "failed" and "opened again, does not answer" in told["error"]["message"]
    assert names(tmp_path / "exports") == []


@pytest.mark.parametrize("place", [0, 1, 2])
def test_logits_that_are_no_numbers_are_near_to_none_whichever_prompt_has_them(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = [torch.tensor([[0.0, 1.0]]) for _ in range(3)]
    expected = parity.Expected(None, ["a", "b", "c"], {}, logits, [])
    found = [each.clone() for each in logits]
    monkeypatch.setattr(parity, "logits_of", lambda *_: found)
    expected.merged(None)
    found[place][0, 1] = float("nan")
    with pytest.raises(JobError, match="does not answer like base and adapter"):
        expected.merged(None)


def test_a_base_kept_in_half_precision_stays_so_and_a_broken_merge_of_it_is_caught_too(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = shutil.copytree(pair, tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(half / "base").to(torch.bfloat16).save_pretrained(half / "base")
    attempt = Attempt(tmp_path)
    told = attempt.run(export_spec(half, tmp_path, "merged"))
    assert told["outcome"] == "succeeded", told
    weights = load_file(tmp_path / "exports" / "tickets" / "model.safetensors")
    assert {each.dtype for each in weights.values()} == {torch.bfloat16}
    found = told["summary"]["exported"]["parity"]
    assert found["same_text"] + found["near_ties"] == 8 and found["max_logit_difference"] > 0
    real = merged.write

    def spoil(model: Any, tokenizer: Any, directory: Path) -> None:
        """Write a weight otherwise than merged, by less than what rounding does to logits."""
        real(model, tokenizer, directory)
        weights = load_file(directory / "model.safetensors")
        weights["model.layers.0.mlp.down_proj.weight"][0, 0] *= 1.01
        save_file(weights, directory / "model.safetensors", {"format": "pt"})

    with monkeypatch.context() as patch:
        patch.setattr(merged, "write", spoil)
        spec = export_spec(half, tmp_path, "merged", job_id="spoilt", directory=str(tmp_path / "exports" / "spoilt"))
        told = Attempt(tmp_path, job_id="spoilt").run(spec)
    assert told["outcome"] == "failed" and "the weights that were written" in told["error"]["message"]
    monkeypatch.setattr(merged, "merge", forget_a_layer)
    again = Attempt(tmp_path, job_id="again")
    spec = export_spec(half, tmp_path, "merged", job_id="again", directory=str(tmp_path / "exports" / "again"))
    assert again.run(spec)["outcome"] == "failed" and names(tmp_path / "exports") == ["tickets"]


def test_an_adapter_of_another_base_is_refused(pair: Path, tmp_path: Path) -> None:
    other = make_pair(tmp_path / "other", hidden_size=16)
    spec = export_spec(pair, tmp_path, "merged")
    spec["adapter"]["location"] = str(other / "adapter")
    told = Attempt(tmp_path).run(spec)
    assert told["outcome"] == "failed" and "can't be put on base" in told["error"]["message"]


def test_a_directory_that_something_else_made_is_left_alone(pair: Path, tmp_path: Path) -> None:
    mine = tmp_path / "exports" / "tickets"
    mine.mkdir(parents=True)
    (mine / "mine.txt").write_text("mine")
    told = Attempt(tmp_path).run(export_spec(pair, tmp_path, "merged"))
    assert told["outcome"] == "failed" and "is there already" in told["error"]["message"]
    assert names(mine) == ["mine.txt"]


def test_drafts_that_no_attempt_of_this_studio_made_are_left_alone(pair: Path, tmp_path: Path) -> None:
    Attempt(tmp_path, job_id="died")
    for name in (".thesis.1.draft", ".tickets.elsewhere.1.draft", ".tickets.died.1.draft"):
        (tmp_path / "exports" / name).mkdir(parents=True)
    assert Attempt(tmp_path).run(export_spec(pair, tmp_path, "merged"))["outcome"] == "succeeded"
    assert names(tmp_path / "exports") == [".thesis.1.draft", ".tickets.elsewhere.1.draft", "tickets"]


def test_where_it_came_from_is_told_to_people_and_programs_and_no_name_breaks_out_of_its_line(
    pair: Path, tmp_path: Path
) -> None:
    spec = export_spec(pair, tmp_path, "merged")
    spec["adapter"]["name"] = "x](http://evil)\n# Fake\x1b[31m"
    spec["training"]["prompt"]["prompt_template"] = "{question}\n```\n{answer}\x1b[31m\u202e"
    assert Attempt(tmp_path).run(spec)["outcome"] == "succeeded"
    directory = tmp_path / "exports" / "tickets"
    card, told = (directory / "README.md").read_text(), json.loads((directory / "fts_export.json").read_text())
    assert told["job_id"] == "job" and told["lineage"]["fts.training_job_id"] == "trained"
    assert told["lineage"]["fts.exact_match"] == "0.5" and told["lineage"]["fts.base_model"] == "base"
    assert told["parity"]["same_text"] == 8
    lines = card.splitlines()
    assert lines[0] == "---" and "# Fake" not in lines and "\x1b" not in card and "\u202e" not in card
    assert r"x\]\(http://evil\) \# Fake\\x1b\[31m" in card
    assert "````" in lines and r"| exact\_match | 0.5 |" in lines and r"sorts \*tickets\*" in lines


def test_an_export_that_is_killed_anywhere_leaves_no_half_one_and_the_next_attempt_makes_it(
    pair: Path, tmp_path: Path
) -> None:
    fates = ["gpu_runner.merged write after", "gpu_runner.checkpoint publish before"]
    *_, last = die_and_go_on(export_spec(pair, tmp_path, "merged"), tmp_path, fates)
    assert last.finished()["outcome"] == "succeeded" and names(tmp_path / "exports") == ["tickets"]
    assert asked(tmp_path / "exports" / "tickets", PROMPTS) == answers(pair, PROMPTS, pair / "adapter")


def test_what_was_published_before_the_kill_is_not_made_again(pair: Path, tmp_path: Path) -> None:
    fates = ["gpu_runner.checkpoint publish after"]
    killed, last = die_and_go_on(export_spec(pair, tmp_path, "merged"), tmp_path, fates)
    assert killed.records("artifact") == []
    made = last.finished()["summary"]["exported"]
    assert made["files"] == hashes(tmp_path / "exports" / "tickets") and made["parity"]["same_text"] == 8
    assert last.records("phase") == []


def test_a_runner_that_lost_the_job_meanwhile_publishes_nothing(pair: Path, tmp_path: Path) -> None:
    other = Attempt(tmp_path, 2)
    Files(other.directory).write_child(Child(1, "now", "another runner"))
    told = Attempt(tmp_path, 1).run(export_spec(pair, tmp_path, "merged"))
    assert told["outcome"] == "failed" and "another runner has this job" in told["error"]["message"]
    assert names(tmp_path / "exports") == []


@pytest.mark.parametrize(("order", "outcome"), [("cancel", "cancelled"), ("pause", "paused")])
def test_an_export_obeys_between_its_steps(pair: Path, tmp_path: Path, order: str, outcome: str) -> None:
    assert Attempt(tmp_path).run(export_spec(pair, tmp_path, "merged"), order)["outcome"] == outcome
    assert names(tmp_path / "exports") == []
