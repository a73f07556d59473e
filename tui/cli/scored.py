"""`fts evaluation results` and `rows` as tables, and `fts evaluation export`, which writes both into a file."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StudioError
from core.messages.results import GetEvaluationAnswers, GetEvaluationResults
from core.text import plain
from tui.cli import output
from tui.cli.parsing import add_command
from tui.cli.references import BATCH, by_name
from tui.cli.tables import table
from tui.view import scores
from tui.view.describe import described

if TYPE_CHECKING:
    from core.client import StudioClient

PAGE = 1000
TEXT = "Write the rows of a batch with all answers and scores into a file: CSV for spreadsheets, or JSON with the table too."
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would reckon with what begins so


def add(evaluations: Any) -> None:
    """Declare `fts evaluation export`."""
    parser = add_command(evaluations, "export", TEXT, description=TEXT)
    parser.add_argument("parent_job_id", metavar="PARENT_JOB", help=BATCH.help)
    parser.add_argument("--to", type=_file, required=True, metavar="FILE", help="a name that ends in .csv or .json")
    parser.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how a failure is shown")
    parser.set_defaults(run=run)


def _file(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".csv", ".json"):
        raise argparse.ArgumentTypeError(f"{plain(text, limit=200)} ends neither in .csv nor in .json")
    return path


def run(arguments: argparse.Namespace) -> int:
    """Ask for everything, and write it whole or not at all."""
    from core.client import StudioClient

    try:
        with StudioClient() as client:
            batch = by_name(client, (BATCH,), arguments.parent_job_id)
            results = client.call(GetEvaluationResults(parent_job_id=batch)).model_dump(mode="json")
            rows = list(_rows(client, batch))
    except StudioError as error:
        return output.fail(error, arguments.output)
    text = as_csv(results, rows) if arguments.to.suffix.lower() == ".csv" else as_json(results, rows)
    try:
        _write(arguments.to, text)
    except OSError as error:
        print(plain(f"{arguments.to} can't be written: {error.strerror or error}"), file=sys.stderr)
        return output.EXIT_FAILED
    print(plain(f"{len(rows)} rows of {len(results['results'])} combinations are in {arguments.to}"))
    return 0


def _rows(client: StudioClient, batch: str) -> Iterator[dict[str, Any]]:
    """Every row, a page at a time."""
    after, more = 0, True
    while more:
        page = client.call(GetEvaluationAnswers(parent_job_id=batch, after=after, limit=PAGE))
        yield from (row.model_dump(mode="json") for row in page.rows)
        after, more = after + len(page.rows), page.has_more and bool(page.rows)


def as_json(results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The table and the rows."""
    return json.dumps({**results, "answers": list(rows)}, indent=2, ensure_ascii=False) + "\n"


def as_csv(results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a row, with every combination's answer and scores behind one another; no cell is taken for a formula."""
    features = list(dict.fromkeys(name for row in rows for name in row["features"]))
    told = {each["id"]: each["combination"] for each in results["results"]}
    metrics = list(dict.fromkeys(name for row in rows for each in row["scores"].values() for name in each))
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    columns = [f"{name}: {what}" for name in told.values() for what in ("answer", *metrics)]
    writer.writerow([_cell(each) for each in ("row", "prompt", "expected", *features, *columns)])
    for row in rows:
        own = [row["features"].get(name) for name in features]
        answers = [
            value
            for id in told
            for value in (row["answers"].get(id), *(row["scores"].get(id, {}).get(name) for name in metrics))
        ]
        writer.writerow([_cell(each) for each in (row["row"], row["prompt"], row["expected"], *own, *answers)])
    return file.getvalue()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: such a text gets a quote before it."""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def show_results(value: Mapping[str, Any]) -> None:
    """A table for each metric: what each combination came to, and what its difference from the baseline is worth."""
    results = value["results"]
    names = {each["id"]: plain(each["combination"], limit=100) for each in results}
    for metric in value["metrics"]:
        print(scores.heading(metric, results))
        table([_line(each, metric, names) for each in results if metric in each["scores"]], COLUMNS)
        print()
    for each in results:
        if each["status"] != "succeeded":
            print(plain(f"{names[each['id']]}: {each['status']}. {each['error'] or ''}", limit=400).strip())
    _around(value)


COLUMNS = ("combination", "value", "difference", "word", "from_to", "chance")


def _line(result: Mapping[str, Any], metric: str, names: Mapping[str, str]) -> dict[str, Any]:
    score = result["scores"][metric]
    told = scores.word(result, metric)[0]
    return {
        "combination": names[result["id"]],
        "value": scores.figure(metric, score["value"]),
        "difference": scores.difference(metric, score),
        "word": told,
        "from_to": scores.interval(metric, score),
        "chance": scores.chance(score),
    }


def _around(value: Mapping[str, Any]) -> None:
    """What else is to be known of the batch."""
    facts = {
        name: value.get(name)
        for name in ("name", "dataset", "status", "notes", "files", "mlflow_experiment", "mlflow_uri")
    }
    print(described({**facts, "rows": next((each["rows"] for each in value["results"] if each["rows"]), None)}))
    if any(score["verdict"] for each in value["results"] for score in each["scores"].values()):
        print(scores.LEGEND, file=sys.stderr)


def show_rows(value: Mapping[str, Any]) -> None:
    """Rows, each with what every combination answered: right or wrong, and how it scored."""
    names = {id: plain(name, limit=100) for id, name in value["combinations"].items()}
    for row in value["rows"]:
        print(f"── row {row['row']}")
        print(_indented(row["prompt"]))
        told = {"expected": row["expected"]}
        told |= {_answerer(row, id, names): text for id, text in row["answers"].items()}
        print(described({name: text or "(nothing)" for name, text in told.items()}) + "\n")
    order = f", ordered by {scores.named(value['metric'])}" if value.get("metric") else ""
    print(f"{len(value['rows'])} of {value['total']} rows{order}", file=sys.stderr)


def _answerer(row: Mapping[str, Any], id: str, names: Mapping[str, str]) -> str:
    """Who answers, whether it is right, and its best-known scores."""
    told = row["scores"].get(id, {})
    shown = [f"{scores.named(name)} {scores.figure(name, told[name])}" for name in ("f1", "rougeL") if name in told]
    return f"{'✓' if row['correct'].get(id) else '✗'} {names.get(id, id)}" + (f" ({', '.join(shown)})" if shown else "")


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in plain(text, limit=20_000, lines=True).split("\n"))
