"""The demo's data is what its script writes, and its held-out rows are held out."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from configs.demo import make_tickets
from core.template import columns

DEMO = Path(make_tickets.__file__).parent


def rows(name: str) -> list[dict[str, str]]:
    with (DEMO / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_script_writes_the_same_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_tickets, "HERE", tmp_path)
    make_tickets.main()
    for name in ("train.csv", "heldout.csv"):
        assert (tmp_path / name).read_bytes() == (DEMO / name).read_bytes()


def test_there_are_enough_rows_of_enough_intents_evenly() -> None:
    train, held_out = rows("train.csv"), rows("heldout.csv")
    assert len(train) >= 600 and len(held_out) >= 100
    counts = Counter(row["intent"] for row in train)
    assert len(counts) >= 12 and len(set(counts.values())) == 1
    assert set(counts) == {row["intent"] for row in held_out}


def test_no_held_out_ticket_or_sentence_is_trained_on() -> None:
    assert not {row["instruction"].lower() for row in rows("train.csv")} & {
        row["instruction"].lower() for row in rows("heldout.csv")
    }
    for known, kept in make_tickets.INTENTS.values():
        assert not set(known) & set(kept)


def test_the_demo_prompt_fits_the_data() -> None:
    prompt = json.loads((DEMO / "prompt.json").read_text(encoding="utf-8"))
    assert set(columns(prompt["prompt_template"])) == {"instruction", "intent"}
    assert prompt["prompt_template"] == prompt["input_template"] + prompt["completion_template"]
