"""What an evaluation's answers come to: its figures, how sure they are, and what they are compared with."""

from __future__ import annotations

import csv
import json
import math
import shutil
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from core.spec import Combination, ModelSource
from gpu_runner import evaluate, sheets
from gpu_runner.reading import Loss
from tests.runner.evaluations import ROWS, Attempt, finished, texts

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
SCRIPT = Path(__file__).with_name("recompute.py")


@pytest.fixture
def right(made: Path, spec: Any, tmp_path: Path) -> dict[str, Any]:
    """A dataset whose answers are those of the adapter `one` in two of three rows, and of `two` in some."""
    for name in ("one", "two"):
        Attempt(tmp_path / "asked" / name).run(spec(name))
    said = {name: Attempt.answers_of(tmp_path / "asked" / name, f"1-{name}") for name in ("one", "two")}
    rows = []
    for index in range(ROWS):
        who = "one" if index % 3 else "two"
        rows.append({"question": said[who][index]["prompt"], "answer": said[who][index]["answer"]})
    (tmp_path / "right.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"id": "r", "name": "r", "type": "project_jsonl", "location": str(tmp_path / "right.jsonl")}


def recomputed(*files: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, str(SCRIPT), *map(str, files)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_figures_and_intervals_are_as_a_script_reckons_them_from_the_files_alone(
    spec: Any,
    right: dict[str, Any],
    tmp_path: Path,
) -> None:
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", "base", "two", dataset=right))
    baseline = tmp_path / attempt.scored()["1-one"]["answers"]
    for name in ("1-one", "2-base", "3-two"):
        told = attempt.scored()[name]
        others = [] if name == "1-one" else [baseline]
        again = recomputed(tmp_path / told["answers"], *others)
        assert (again["rows"], again["exact_match"]) == (told["rows"], pytest.approx(told["values"]["exact_match"]))
        sure = told["statistics"]["exact_match"]
        assert [sure["low"], sure["high"]] == pytest.approx(again["exact_match_interval"], abs=1.01 / ROWS)
        f1 = told["statistics"]["f1"]
        assert [f1["low"], f1["high"]] == pytest.approx(again["f1_interval"], abs=0.03)
        assert (sure["delta"], sure["p"]) == (pytest.approx(again.get("delta")), pytest.approx(again.get("p")))
    values = attempt.scored()["1-one"]["values"]
    assert values["exact_match"] >= 16 / ROWS and values["f1"] >= values["exact_match"]
    assert {"rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "chrf", "stopped_by_eos", "latency"} <= values.keys()


def test_the_baseline_is_asked_first_wherever_it_stands(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    records = attempt.run(spec("gone", "base", "one", "two"))
    begun = [each["job_id"] for each in records if each["type"] == "scored" and each["status"] == "running"]
    assert begun == ["3-one", "2-base", "4-two", "1-gone"]
    deltas = {name: each.get("statistics", {}).get("f1", {}).get("delta") for name, each in attempt.scored().items()}
    assert deltas["3-one"] is None and deltas["2-base"] is not None and deltas["4-two"] is not None


def test_without_its_baseline_nothing_is_compared_and_that_is_told(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    records = attempt.run(spec("torn", "base", "two"))
    told = [each["text"] for each in records if each["type"] == "warning"]
    assert [each for each in told if "baseline" in each] == [
        "nothing is compared: the baseline, the first adapter of the batch, was not scored"
    ]
    for name in ("2-base", "3-two"):
        sure = attempt.scored()[name]["statistics"]["f1"]
        assert sure["low"] is not None and sure["delta"] is sure["p"] is None


def test_what_an_earlier_attempt_scored_is_compared_with_as_if_it_were_this_one(spec: Any, tmp_path: Path) -> None:
    whole = Attempt(tmp_path / "whole")
    whole.run(spec("one", "two"))
    Attempt(tmp_path / "parts").run(spec("one"))
    second = Attempt(tmp_path / "parts", 2)
    assert finished(second.run(spec("one", "two")))["outcome"] == "succeeded"
    for name in ("1-one", "2-two"):
        assert second.scored()[name]["statistics"] == whole.scored()[name]["statistics"]


def test_what_was_scored_before_its_baseline_is_compared_when_a_later_attempt_has_scored_that(
    spec: Any, tmp_path: Path
) -> None:
    asked, whole, later = spec("torn", "base", "two"), Attempt(tmp_path / "whole"), Attempt(tmp_path / "parts")
    later.run(asked)
    assert later.scored()["3-two"]["statistics"]["f1"]["delta"] is None
    mended = json.loads(json.dumps(asked))
    mended["combinations"][0]["adapter"]["location"] = spec("one")["combinations"][0]["adapter"]["location"]
    whole.run(mended)
    later = Attempt(tmp_path / "parts", 2)
    later.run(mended)
    assert later.scored()["3-two"]["statistics"]["f1"]["delta"] is not None
    for name in ("1-torn", "2-base", "3-two"):
        assert later.scored()[name]["statistics"] == whole.scored()[name]["statistics"]


def test_what_an_earlier_attempt_asked_of_other_rows_is_asked_again(spec: Any, tmp_path: Path) -> None:
    Attempt(tmp_path).run(spec("one"))
    second = Attempt(tmp_path, 2)
    end = finished(second.run(spec("one", "base", fraction=0.5)))
    assert [second.scored()[name]["rows"] for name in ("1-one", "2-base")] == [ROWS // 2] * 2
    assert second.scored()["2-base"]["statistics"]["f1"]["delta"] is not None
    assert len(json.loads((tmp_path / end["summary"]["results"]["json"]).read_text())["rows"]) == ROWS // 2


def test_a_line_of_answers_tells_each_rows_scores(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.run(spec("one"))
    values = attempt.scored()["1-one"]["values"]
    lines = attempt.answers("1-one")
    for name in ("exact_match", "f1", "rouge1", "rouge2", "rougeL", "rougeLsum"):
        assert values[name] == pytest.approx(sum(line["scores"][name] for line in lines) / ROWS)
    assert all(line["seconds"] > 0 and {"bleu", "chrf"} <= line["scores"].keys() for line in lines)


def test_loss_and_perplexity_are_told_of_every_expected_answer(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", "base"))
    for name in ("1-one", "2-base"):
        values, lines = attempt.scored()[name]["values"], attempt.answers(name)
        assert {line["expected_tokens"] for line in lines} == {3}  # "c", "w7" and EOS
        assert values["loss"] == pytest.approx(sum(line["scores"]["loss"] for line in lines) / ROWS)
        assert values["perplexity"] == pytest.approx(math.exp(values["loss"]))
    sure = attempt.scored()["2-base"]["statistics"]["loss"]
    assert sure["low"] < values["loss"] < sure["high"] and sure["higher_is_better"] is False


def test_losses_are_the_same_where_the_library_answers(spec: Any, tmp_path: Path) -> None:
    ours, librarys = Attempt(tmp_path / "ours"), Attempt(tmp_path / "library")
    ours.run(spec("one"))
    librarys.run(spec("one", generation={"do_sample": False, "max_new_tokens": 4, "num_beams": 2}))
    told = [attempt.scored()["1-one"]["values"]["loss"] for attempt in (ours, librarys)]
    assert told[0] == pytest.approx(told[1], rel=1e-3)


def test_results_are_files_that_other_programs_read_and_no_spreadsheet_computes(
    spec: Any, made: Path, tmp_path: Path
) -> None:
    bad = ["=1+1", "+2", "-3", "@SUM(A1)", "\tx", "\ry", "harmless, -1", "= w"]
    rows = [{"question": f"w{number} a", "answer": text} for number, text in enumerate(bad)]
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"id": "b", "name": "b", "type": "project_jsonl", "location": str(tmp_path / "bad.jsonl")}
    attempt = Attempt(tmp_path)
    asked = spec("one", "torn", "base", dataset=data)
    asked["combinations"][0]["adapter"]["name"] = "=HYPERLINK(1)"
    end = finished(attempt.run(asked))
    files = {kind: tmp_path / path for kind, path in end["summary"]["results"].items()}
    with files["csv"].open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["answer"] for row in table] == [f"'{text}" if text[0] in "=+-@\t\r" else text for text in bad]
    assert all(not cell.startswith(("=", "+", "@", "\t", "\r")) for row in table for cell in [*row, *row.values()])
    assert not [name for name in table[0] if "torn" in name]
    whole = json.loads(files["json"].read_text())
    assert [each["id"] for each in whole["combinations"]] == ["1-one", "3-base"]
    for each in whole["combinations"]:
        told = attempt.scored()[each["id"]]
        assert (each["values"], each["statistics"]) == (told["values"], told["statistics"])
        answers = [row["answers"][each["id"]]["answer"] for row in whole["rows"]]
        assert answers == texts(attempt, each["id"])
        f1 = [row["answers"][each["id"]]["scores"]["f1"] for row in whole["rows"]]
        assert f1 == [float(row[f"{each['name'].lstrip('=')}: f1"]) for row in table]
    assert [row["features"] for row in whole["rows"]] == [{"answer": text} for text in bad]


def test_results_hold_what_an_earlier_attempt_scored(spec: Any, tmp_path: Path) -> None:
    Attempt(tmp_path).run(spec("one"))
    second = Attempt(tmp_path, 2)
    end = finished(second.run(spec("one", "base")))
    whole = json.loads((tmp_path / end["summary"]["results"]["json"]).read_text())
    assert [each["id"] for each in whole["combinations"]] == ["1-one", "2-base"] and len(whole["rows"]) == ROWS


DYING = """
import os, signal, sys
from pathlib import Path
from gpu_runner import spool
from gpu_runner.child import run

real = spool.Spool.write

def write(self, type, **fields):
    real(self, type, **fields)
    if type == "scored" and [fields["job_id"], fields["status"]] == sys.argv[2:]:
        os.kill(os.getpid(), signal.SIGKILL)

spool.Spool.write = write
run(Path(sys.argv[1]), None)
"""
MOMENTS = [("1-one", "succeeded"), ("1-one", "running"), ("2-base", "running"), ("3-two", "succeeded")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "moment", [MOMENTS[0], *(pytest.param(each, marks=pytest.mark.nightly) for each in MOMENTS[1:])], ids=str
)
def test_killed_it_goes_on_to_the_results_of_one_left_alone(spec: Any, tmp_path: Path, moment: tuple[str, str]) -> None:
    asked, whole = spec("one", "base", "two"), Attempt(tmp_path / "whole")
    alone = finished(whole.run(asked))
    killed = Attempt(tmp_path / "killed")
    (killed.directory / "spec.json").write_text(json.dumps(asked))
    command = [sys.executable, "-c", DYING, str(killed.directory), *moment]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    second = Attempt(tmp_path / "killed", 2)
    end = finished(second.run(asked))
    assert end["outcome"] == "succeeded" and end["summary"]["evaluated"] == 3
    for name, told in whole.scored().items():
        assert second.scored()[name]["statistics"] == told["statistics"]
        assert texts(second, name) == texts(whole, name)
    sure = []
    for place, told in ((tmp_path / "killed", end), (tmp_path / "whole", alone)):
        results = json.loads((place / told["summary"]["results"]["json"]).read_text())
        sure.append([each["statistics"] for each in results["combinations"]])
    assert sure[0] == sure[1]


def test_a_loss_that_is_no_number_costs_its_row_and_spoils_no_figure(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = evaluate.losses

    def broken(*of: Any) -> list[Loss]:
        return [Loss(math.nan, each.tokens) if place == 2 else each for place, each in enumerate(reading(*of))]

    monkeypatch.setattr(evaluate, "losses", broken)
    attempt = Attempt(tmp_path)
    attempt.run(spec("one", generation={"do_sample": False, "max_new_tokens": 4, "num_beams": 2}))
    told, lines = attempt.scored()["1-one"], attempt.answers("1-one")
    losses = [line["scores"]["loss"] for line in lines if "loss" in line["scores"]]
    assert len(losses) == ROWS - 1 and told["values"]["loss"] == pytest.approx(sum(losses) / len(losses))
    assert told["statistics"]["loss"]["low"] is not None and told["values"]["perplexity"] > 1
    warned = [each["text"] for each in attempt.records() if each["type"] == "warning"]
    assert warned == [f"one: the loss of 1 of {ROWS} rows is no number (NaN or infinite) and left out"]


def test_a_perplexity_beyond_all_numbers_leaves_results_that_are_json(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "losses", lambda _, texts, *of: [Loss(1e6, 1) for _ in texts])
    attempt = Attempt(tmp_path)
    end = finished(attempt.run(spec("one", generation={"do_sample": False, "max_new_tokens": 4, "num_beams": 2})))

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    whole = json.loads((tmp_path / end["summary"]["results"]["json"]).read_text(), parse_constant=refuse)
    values = whole["combinations"][0]["values"]
    assert values["perplexity"] is None and values["loss"] == 1e6


def test_losses_of_models_with_other_tokens_are_told_and_not_compared(spec: Any, made: Path, tmp_path: Path) -> None:
    other = shutil.copytree(made / "base", tmp_path / "other")
    file = other / "tokenizer.json"
    told = json.loads(file.read_text())
    told["normalizer"] = {"type": "Replace", "pattern": {"String": " w"}, "content": " c w"}
    file.write_text(json.dumps(told))
    asked = spec("one", "base", "base")
    asked["combinations"][2]["job_id"] = "3-other"
    asked["combinations"][2]["model"] = {"id": "other", "name": "other", "location": str(other)}
    attempt = Attempt(tmp_path)
    attempt.run(asked)
    same, strange = (attempt.scored()[name] for name in ("2-base", "3-other"))
    assert same["statistics"]["loss"]["delta"] is not None and strange["statistics"]["f1"]["delta"] is not None
    for metric in ("loss", "perplexity"):
        assert strange["values"][metric] > 0 and strange["statistics"][metric]["low"] is not None
        assert strange["statistics"][metric]["delta"] is None
    assert [each for each in attempt.records() if each["type"] == "warning" and "not compared" in each["text"]]


def test_half_a_character_in_a_column_keeps_no_batch_from_its_results(spec: Any, tmp_path: Path) -> None:
    row = {"question": "w1 a", "answer": "c", "note": "\ud800"}
    (tmp_path / "odd.jsonl").write_text(json.dumps(row) + "\n")
    data = {"id": "b", "name": "b", "type": "project_jsonl", "location": str(tmp_path / "odd.jsonl")}
    end = finished(Attempt(tmp_path).run(spec("one", dataset=data, selected_features=["note"])))
    files = {kind: (tmp_path / path).read_text() for kind, path in end["summary"]["results"].items()}
    assert "\\ud800" in files["csv"] and json.loads(files["json"])["rows"][0]["features"] == {"note": "\ud800"}


def test_results_of_many_rows_take_no_more_memory_than_those_of_few(tmp_path: Path) -> None:
    line = {"prompt": "w1 " * 200, "expected": "c", "answer": "c", "features": {}, "scores": {"f1": 1.0}}
    told = {}
    for name in ("one", "two"):
        (tmp_path / name).write_text("".join(json.dumps({"row": row, **line}) + "\n" for row in range(5_000)))
        told[name] = {"answers": name}
    asked = [Combination(job_id=name, run_number=1, model=ModelSource(id="m", name="m")) for name in told]
    found = sheets.scored(tmp_path, asked, told)
    tracemalloc.start()
    try:
        assert sum(1 for _ in sheets.as_csv(found)) == 5_001
        assert sum(map(len, sheets.as_json(found))) > 5_000 * 1_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
