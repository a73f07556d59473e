"""No row that any adapter of a batch learned is asked, whatever was done to the dataset meanwhile."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.spec import EvaluationSpec, FineTuningSpec, Sampling
from gpu_runner import fingerprints
from gpu_runner.child import Context
from gpu_runner.data import Row, load_rows, sample_and_split
from gpu_runner.failures import JobError
from gpu_runner.spool import Spool, read_records
from gpu_runner.unseen import choose_rows
from tests.runner.tiny import make_rows, tiny_spec

ROWS = 40
PROMPT = {"id": "p", "name": "p", "prompt_template": "{question} {answer}", "input_template": "{question}"}
PROMPT |= {"completion_template": " {answer}"}


class Studio:
    """A place with a dataset, trainings of it, and batches that ask what they held out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = make_rows(root / "rows.jsonl", ROWS)
        self.trainings: list[FineTuningSpec] = []

    def train(self, job: str, *, note: bool = True, **sampling: Any) -> list[Row]:
        """What a training of the file learns, noted as a training notes it."""
        spec = tiny_spec(job, self.root, self.root / "base", self.file, sampling=sampling, prompt=PROMPT)
        spec["dataset"]["sha256"] = hashlib.sha256(self.file.read_bytes()).hexdigest()
        made = FineTuningSpec.model_validate(spec)
        rows, _ = sample_and_split(load_rows(made.dataset), made.sampling)
        if note:
            fingerprints.keep(made, self.context(job), rows)
        self.trainings.append(made)
        return rows

    def context(self, job: str = "batch") -> Context:
        directory = self.root / "jobs" / job / "1"
        directory.mkdir(parents=True, exist_ok=True)
        return Context(directory, Spool(directory / "events.jsonl"))

    def ask(self, file: Path | None = None, **fields: Any) -> list[Row]:
        """The rows that a batch of all trainings asks of a file."""
        kind = {".csv": "project_csv"}.get((file or self.file).suffix, "project_jsonl")
        spec = {
            "job_id": "batch",
            "name": "n",
            "combinations": [],
            "dataset": {"id": "d", "name": "d", "type": kind, "location": str(file or self.file)},
            "prompt": PROMPT,
            "learned": [each.training.model_dump() for each in self.trainings],
            "generation": {},
            "resources": {"cpus": 1, "gpus": 0, "memory": 1},
            **fields,
        }
        return choose_rows(EvaluationSpec.model_validate(spec), self.context())

    def warnings(self) -> list[str]:
        records, _ = read_records(self.root / "jobs" / "batch" / "1" / "events.jsonl", 0, 1 << 20)
        return [each["text"] for each in records if each["type"] == "warning"]


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


def write(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def questions(rows: Sequence[Row]) -> set[str]:
    return {str(row["question"]) for row in rows}


def all_of(studio: Studio) -> list[dict[str, Any]]:
    return [json.loads(line) for line in studio.file.read_text().splitlines()]


@pytest.mark.decision("D-185")
def test_several_adapters_with_different_splits_are_asked_what_all_of_them_held_out(studio: Studio) -> None:
    one, two = studio.train("one", split=0.5), studio.train("two", split=0.6, seed=7)
    asked = studio.ask(sampling=Sampling(split=0.5).model_dump())
    everything = questions(all_of(studio))
    assert questions(asked) == everything - questions(one) - questions(two) != everything - questions(one)
    assert "rows are left out" in studio.warnings()[0]


def test_a_part_of_the_dataset_that_was_trained_on_is_left_out_and_the_rest_may_be_asked(studio: Studio) -> None:
    learned = studio.train("one", fraction=0.5, split=0.5)
    assert len(learned) == 10
    assert questions(studio.ask()) == questions(all_of(studio)) - questions(learned)
    assert len(studio.ask(sampling=Sampling(fraction=0.5, split=0.5).model_dump())) == 10


def test_a_row_that_is_in_the_file_twice_is_not_asked_when_one_of_the_two_was_learned(studio: Studio) -> None:
    rows = all_of(studio)
    write(studio.file, [*rows, *rows])
    learned = studio.train("one", split=0.8)
    asked = studio.ask(sampling=Sampling(split=0.8).model_dump())
    assert asked and not questions(asked) & questions(learned)
    assert len(asked) < 16 and f"{16 - len(asked)} of 16 rows are left out" in studio.warnings()[0]


@pytest.mark.parametrize("noted", [True, False], ids=["noted by the training", "read again"])
def test_a_changed_file_gives_back_nothing_that_was_learned(studio: Studio, tmp_path: Path, noted: bool) -> None:
    learned = studio.train("one", split=0.5, note=noted)
    rows = [{"number": place, **row} for place, row in enumerate(reversed(all_of(studio)))]
    new = [{"number": 99, "question": "w97 z", "answer": "new"}]
    changed = write(tmp_path / "changed.jsonl", [*new, *rows])
    table = tmp_path / "changed.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["answer", "number", "question"])
        writer.writeheader()
        writer.writerows([*new, *rows])
    for each in (changed, table):
        asked = studio.ask(each)
        assert questions(asked) == questions(all_of(studio)) - questions(learned) | {"w97 z"}


def test_other_names_of_the_columns_and_other_blanks_hide_no_row(studio: Studio, tmp_path: Path) -> None:
    learned = studio.train("one", split=0.5)
    renamed = [{"q": f"  {row['question']}\r", "a": f"{row['answer']} "} for row in all_of(studio)]
    prompt = {**PROMPT, "prompt_template": "{q} {a}", "input_template": "{q}", "completion_template": "{a}"}
    asked = studio.ask(write(tmp_path / "renamed.jsonl", renamed), prompt=prompt)
    assert {str(row["q"]).strip() for row in asked} == questions(all_of(studio)) - questions(learned)


@pytest.mark.parametrize(
    ("learned", "asked"),
    [
        ({"question": "Is it?", "answer": True}, {"question": "Is it?", "answer": "true"}),
        ({"question": "how many", "answer": 1.0}, {"question": "how many", "answer": "1"}),
        ({"question": "how many", "answer": 7}, {"question": "how many", "answer": "007"}),
        ({"question": "which", "answer": ["a", 1]}, {"question": "which", "answer": '["a", 1.0]'}),
        ({"question": "caf\u00e9", "answer": "c"}, {"question": "cafe\u0301", "answer": "c"}),
        ({"question": "where", "answer": "c"}, {"question": "\ufeffwh\u200bere", "answer": "c"}),
        ({"question": "Where IS it", "answer": "Open"}, {"question": "where is it", "answer": "open"}),
    ],
)
def test_what_another_program_writes_otherwise_is_the_row_that_was_learned(
    studio: Studio, tmp_path: Path, learned: Row, asked: Row
) -> None:
    write(studio.file, [learned] * 4)
    studio.train("one", split=1.0)
    new = {"question": "something else", "answer": "1.5"}
    changed = write(tmp_path / "changed.jsonl", [{**asked, "number": 3}, {**new, "number": 4}])
    assert questions(studio.ask(changed)) == {"something else"}


def test_an_overwritten_file_that_no_training_noted_ends_the_batch_with_what_to_do(
    studio: Studio, tmp_path: Path
) -> None:
    studio.train("one", split=0.5, note=False)
    write(studio.file, [{"question": "w1", "answer": "c"}])
    with pytest.raises(JobError, match=r"it can't be told which rows job one learned.*changed since") as caught:
        studio.ask(write(tmp_path / "other.jsonl", all_of(studio)))
    assert "back as they were" in caught.value.hint


def test_an_overwritten_file_whose_rows_were_noted_is_of_no_matter(studio: Studio, tmp_path: Path) -> None:
    learned, before = studio.train("one", split=0.5), all_of(studio)
    write(studio.file, [{"question": "w1", "answer": "c"}])
    asked = studio.ask(write(tmp_path / "copy.jsonl", before))
    assert questions(asked) == questions(before) - questions(learned)


def test_a_batch_that_has_learned_everything_is_told_so(studio: Studio) -> None:
    studio.train("one", split=1.0)
    with pytest.raises(JobError, match="none of the 40 rows can be asked"):
        studio.ask()


def test_another_dataset_is_asked_whole_and_nothing_is_said(studio: Studio, tmp_path: Path) -> None:
    studio.train("one", split=0.5)
    other = [{"question": f"w{number} other", "answer": "c"} for number in range(9)]
    assert len(studio.ask(write(tmp_path / "other.jsonl", other))) == 9 and studio.warnings() == []


def test_conversations_are_known_by_what_is_said_in_them(studio: Studio, tmp_path: Path) -> None:
    talks = [[{"role": "user", "content": f"w{n}"}, {"role": "assistant", "content": "c"}] for n in range(20)]
    write(studio.file, [{"messages": talk} for talk in talks])
    learned = studio.train("one", split=0.5)
    kept = [row["messages"] for row in learned]
    asked = studio.ask(write(tmp_path / "more.jsonl", [{"id": 7, "messages": talk} for talk in talks]))
    assert [row["messages"] for row in asked] == [talk for talk in talks if talk not in kept]


def test_the_fraction_is_drawn_of_what_is_left(studio: Studio) -> None:
    learned = studio.train("one", split=0.5)
    asked = studio.ask(fraction=0.5)
    assert len(asked) == 10 and not questions(asked) & questions(learned)


def test_the_id_of_an_imported_job_leads_to_no_file_elsewhere(studio: Studio, tmp_path: Path) -> None:
    learned = studio.train("one", split=0.5)
    (tmp_path.parent / "evil.rows").write_bytes(b"")
    studio.trainings = [studio.trainings[0].model_copy(update={"job_id": "../../evil"})]
    assert questions(studio.ask()) == questions(all_of(studio)) - questions(learned)
