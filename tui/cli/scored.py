"""`fts evaluation results` and `rows` as tables, and `fts evaluation export`, which writes both into a file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import StudioError
from core.messages import parse
from core.text import plain
from tui.cli import console, output
from tui.cli.console import say, warn
from tui.cli.parsing import add_command, refer
from tui.cli.references import BATCH, by_name
from tui.cli.tables import table, wide
from tui.exported import SUFFIXES, export
from tui.view import scores
from tui.view.describe import described
from tui.view.fit import cut

TEXT = "Write the rows of a batch with all answers and scores into a file: CSV for spreadsheets, or JSON with the table too."


def add(evaluations: Any) -> None:
    """Declare `fts evaluation export`."""
    parser = add_command(evaluations, "export", TEXT, description=TEXT)
    refer(parser.add_argument("parent_job_id", metavar="PARENT_JOB", help=BATCH.help), (BATCH,))
    parser.add_argument("--to", type=_file, required=True, metavar="FILE", help="a name that ends in .csv or .json")
    parser.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how a failure is shown")
    parser.set_defaults(run=run)


def _file(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"{plain(text, limit=200)} ends neither in .csv nor in .json")
    return path


def run(arguments: argparse.Namespace) -> int:
    """Ask for everything, and write it whole or not at all."""
    try:
        with console.client() as client:
            batch = by_name(client, (BATCH,), arguments.parent_job_id)

            def ask(name: str, fields: dict[str, Any]) -> dict[str, Any]:
                return client.call(parse(name, fields)).model_dump(mode="json")  # type: ignore[no-any-return]

            rows, combinations = export(ask, batch, arguments.to)
    except StudioError as error:
        return output.fail(error, arguments.output)
    except OSError as error:
        warn(plain(f"{arguments.to} can't be written: {error.strerror or error}"))
        return output.EXIT_FAILED
    say(plain(f"{rows} rows of {combinations} combinations are in {arguments.to}"))
    return 0


def show_results(value: Mapping[str, Any], *, whole: bool = False) -> None:
    """What each combination came to, and what its difference from the baseline is worth: by what decides, or by every metric."""
    results = [each for each in value["results"] if each["scores"]]
    if whole:
        _by_metric(value["metrics"], results)
    elif results:
        _in_short(value["metrics"], results)
    for each in value["results"]:
        if each["status"] != "succeeded":
            say(plain(f"{each['combination']}: {each['status']}. {each['error'] or ''}", limit=400).strip())
    _around(value)
    if any(score["verdict"] for each in results for score in each["scores"].values()):
        warn(scores.LEGEND if whole else scores.WORDS)


def _in_short(metrics: Sequence[str], results: Sequence[Mapping[str, Any]]) -> None:
    """One table of what decides; where a line has no room for the words, they stand below their figures."""
    titles = {metric: title for metric, title in DECIDING.items() if metric in metrics}
    names, columns, room = scores.short_names(results), (WHO, *titles.values()), console.room()
    told = [(names[str(each["id"])], [scores.in_short(each, metric) for metric in titles]) for each in results]
    rows = [_row(columns, who, map(" ".join, cells)) for who, cells in told]
    if room is not None and wide(columns, rows) > room:
        figures = [[figure for figure, _ in cells] for _, cells in told]
        words = [_row(columns, "", (word for _, word in cells)) for _, cells in told]
        left = room - wide(columns, [*words, *(_row(columns, "", each) for each in figures)]) + len(WHO)
        first = [
            _row(columns, cut(who, max(len(WHO), left)), each) for (who, _), each in zip(told, figures, strict=True)
        ]
        rows = [line for pair in zip(first, words, strict=True) for line in pair]
    table(rows, columns)
    if more := len(metrics) - len(titles):
        warn(f"{more} more metric{'s' if more > 1 else ''}, intervals and chance: --all")
    say()


def _row(columns: Sequence[str], who: str, cells: Iterable[str]) -> dict[str, str]:
    return dict(zip(columns, (who, *(each.strip() for each in cells)), strict=True))


def _by_metric(metrics: Sequence[str], results: Sequence[Mapping[str, Any]]) -> None:
    """A table for every metric that has an interval, and one of what only describes."""
    sure = [metric for metric in metrics if scores.is_sure(metric, results)]
    if len(results) == 1:
        table([{"metric": scores.named(metric), **_figures(results[0], metric)} for metric in sure], (METRIC, *COLUMNS))
    for metric in sure if len(results) > 1 else ():
        say(scores.heading(metric, results))
        table([_line(each, metric) for each in results if metric in each["scores"]], (WHO, *COLUMNS))
        say()
    if others := [metric for metric in metrics if metric not in sure]:
        table([_described(each, others) for each in results], (WHO, *map(scores.named, others)))
        say()


METRIC, WHO = "metric", "combination"
DECIDING = {  # by these one sees which is better -> how they are called where there is little room
    "exact_match": "exact %",
    "f1": "F1 %",
    "rougeL": "rougeL %",
    "loss": "loss",
    "stopped_by_eos": "EOS %",
}
COLUMNS = ("value", "difference", "against the baseline", "95 % from … to", "chance")


def _line(result: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """A combination's figures by a metric."""
    told = {WHO: plain(result["combination"], limit=100), **_figures(result, metric)}
    return {**told, "difference": scores.difference(metric, result["scores"][metric]),
            "against the baseline": scores.word(result, metric)[0]}  # fmt: skip


def _figures(result: Mapping[str, Any], metric: str) -> dict[str, Any]:
    score = result["scores"].get(metric, {})
    value = scores.figure(metric, score.get("value"))
    return {"value": value, "95 % from … to": scores.interval(metric, score), "chance": scores.chance(score)}


def _described(result: Mapping[str, Any], metrics: list[str]) -> dict[str, Any]:
    """What only describes a combination's answers."""
    told = {scores.named(each): scores.figure(each, result["scores"].get(each, {}).get("value")) for each in metrics}
    return {WHO: plain(result["combination"], limit=100), **told}


def _around(value: Mapping[str, Any]) -> None:
    """What else is to be known of the batch."""
    facts = {
        name: value.get(name)
        for name in ("name", "dataset", "status", "notes", "files", "mlflow_experiment", "mlflow_uri")
    }
    say(described({**facts, "rows": next((each["rows"] for each in value["results"] if each["rows"]), None)}))


def show_rows(value: Mapping[str, Any]) -> None:
    """Rows, each with what every combination answered: right or wrong, and how it scored."""
    names = {id: plain(name, limit=100) for id, name in value["combinations"].items()}
    for row in value["rows"]:
        say(f"── row {row['row']}")
        say(_indented(row["prompt"]))
        told = {"expected": row["expected"]}
        told |= {_answerer(row, id, names): text for id, text in row["answers"].items()}
        say(described({name: text or "(nothing)" for name, text in told.items()}) + "\n")
    order = f", ordered by {scores.named(value['metric'])}" if value.get("metric") else ""
    warn(f"{len(value['rows'])} of {value['total']} rows{order}")


def _answerer(row: Mapping[str, Any], id: str, names: Mapping[str, str]) -> str:
    """Who answers, whether it is right, and its best-known scores."""
    told = row["scores"].get(id, {})
    shown = [f"{scores.named(name)} {scores.figure(name, told[name])}" for name in ("f1", "rougeL") if name in told]
    return f"{'✓' if row['correct'].get(id) else '✗'} {names.get(id, id)}" + (f" ({', '.join(shown)})" if shown else "")


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in plain(text, limit=20_000, lines=True).split("\n"))
