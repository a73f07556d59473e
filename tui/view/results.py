"""What an evaluation's screen shows: the table of combinations by one metric, and the rows with two answers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from core.text import plain
from tui.view import scores, words
from tui.view.cells import Cell
from tui.view.fit import GAP, cut

Row = Mapping[str, Any]
Table = tuple[list[str], dict[str, list[Cell]]]  # titles, key -> cells

ORDERS = {"row": "by number", "differs": "most unlike first", "worst": "worst first", "best": "best first"}
MARKS = 8  # combinations whose right and wrong is marked beside a row
NARROWEST = 16  # cells of a combination's name
FLAT = 300  # characters of a text in a cell
SHARED = 10  # characters that all prompts begin with, from which on they are left out


def table(results: Sequence[Row], metrics: Sequence[str], metric: str, room: int) -> Table:
    """A line for each combination: the metric with its difference and what that is worth, then others as far as there is room."""
    names = scores.short_names(results)
    titles = ["combination", scores.named(metric) if metric else "", "difference", "against the baseline"]
    more = ["95 % from … to", "chance", *map(scores.named, others := [each for each in metrics if each != metric])]
    lines = {str(each["id"]): _line(each, metric, others, names) for each in results}
    taken = sum(_wide(at, titles, lines) + GAP for at in range(1, len(titles))) + GAP
    for cells in lines.values():
        cells[0] = cut(cells[0][0], max(NARROWEST, room - taken)), ""
    return _fitting([*titles, *more], lines, room, least=len(titles))


def _line(result: Row, metric: str, others: Sequence[str], names: Mapping[str, str]) -> list[Cell]:
    score = result["scores"].get(metric) or {}
    cells: list[Cell] = [
        (names[str(result["id"])], ""),
        (scores.figure(metric, score.get("value")), "bold"),
        (scores.difference(metric, score), ""),
        state(result, metric),
        (scores.interval(metric, score), "dim"),
        (scores.chance(score), "dim"),
    ]
    return [*cells, *(_other(result, each) for each in others)]


def state(result: Row, metric: str) -> Cell:
    """What a combination's difference is worth; of one that is not scored, why not."""
    status = str(result["status"])
    if status != "succeeded" or not result["scores"]:
        return words.state(status), words.style(status)
    return scores.word(result, metric)


def _other(result: Row, metric: str) -> Cell:
    """A metric in short: its value, and the symbol of what its difference is worth."""
    score = result["scores"].get(metric)
    if score is None:
        return "", ""
    symbol, style = scores.VERDICTS.get(str(score.get("verdict") or ""), ("", ""))
    return f"{scores.figure(metric, score['value'])} {symbol}".rstrip(), style


def _fitting(titles: list[str], lines: dict[str, list[Cell]], room: int, least: int) -> Table:
    """The columns that fit whole, at least so many."""
    natural = [_wide(at, titles, lines) for at in range(len(titles))]
    shown = least
    while shown < len(titles) and sum(natural[: shown + 1]) + GAP * (shown + 1) <= room:
        shown += 1
    return titles[:shown], {key: cells[:shown] for key, cells in lines.items()}


def _wide(at: int, titles: Sequence[str], lines: Mapping[str, Sequence[Cell]]) -> int:
    """How many cells a column takes."""
    return max(cell_len(titles[at]), *(cell_len(cells[at][0]) for cells in lines.values()), 0)


def rows(answers: Sequence[Row], results: Sequence[Row], chosen: Sequence[str], metric: str | None) -> Table:
    """A line for each row: right or wrong for every combination, and what the chosen ones answered."""
    names = scores.short_names(results)
    ids = [*chosen, *(str(each["id"]) for each in results if str(each["id"]) not in chosen)]
    titles = ["row", "right", *([scores.named(metric)] if metric else []), "prompt", "expected"]
    lines, begin = {}, shared([row["prompt"] for row in answers])
    for row in answers:
        scored = [(" → ".join(_score(row, id, metric) for id in chosen), "dim")] if metric else []
        lines[str(row["row"])] = [
            (str(row["row"]), "dim"),
            (marks(row, ids), ""),
            *scored,
            ("…" * bool(begin) + _flat(row["prompt"][begin:]), ""),
            (_flat(row["expected"]), ""),
            *(_answer(row, id) for id in chosen),
        ]
    return [*titles, *(names[id] for id in chosen)], lines


def shared(texts: Sequence[str]) -> int:
    """How many characters all texts begin with alike, up to a word's end: a template's words tell no rows apart."""
    if len(texts) < 2:
        return 0
    first, last = min(texts), max(texts)  # all others lie between
    alike = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    begin = first.rfind(" ", 0, alike) + 1
    return begin if begin > SHARED and alike < len(first) else 0


def _answer(row: Row, id: str) -> Cell:
    """What a combination answered, and whether that is right."""
    if id not in row["answers"]:
        return "", ""
    mark, style = ("✓", "right") if row["correct"].get(id) else ("✗", "wrong")
    return f"{mark} {_flat(row['answers'][id])}", style


def _score(row: Row, id: str, metric: str) -> str:
    return scores.figure(metric, row["scores"].get(id, {}).get(metric)) or "–"


def marks(row: Row, ids: Sequence[str]) -> str:
    """Right, wrong or no answer, in the order of `ids`: first those whose answers stand beside, as they stand there."""
    signs = ["✓" if row["correct"].get(id) else "✗" if id in row["answers"] else "–" for id in ids]
    return "".join(signs[:MARKS]) + ("…" if len(signs) > MARKS else "")


def _flat(text: str) -> str:
    return plain(text[:FLAT].replace("\n", " "), limit=FLAT)


def compared(results: Sequence[Row], wanted: str | None) -> list[str]:
    """Whose answers stand side by side: the baseline's, and the one that is chosen, else the first other one."""
    ids = [str(each["id"]) for each in results]
    baseline = next((str(each["id"]) for each in results if each["baseline"]), None)
    other = wanted if wanted in ids and wanted != baseline else next((id for id in ids if id != baseline), None)
    return [id for id in (baseline, other) if id is not None]


def about(told: Row, pages: Sequence[str] = ()) -> str:
    """What else is to be known of a batch: what was done otherwise, where its results are, what the words mean.

    `pages` are lines that tell where it is to be seen in Cloudera ML.
    """
    failed = [f"{each['combination']}: {each['error']}" for each in told["results"] if each.get("error")]
    parts = {
        "dataset": told.get("dataset") or "",
        "notes": "\n".join(told["notes"]),
        "failed": "\n".join(failed),
        "files": "\n".join(told["files"]),
        "MLflow": "\n".join(filter(None, (told.get("mlflow_uri"), told.get("mlflow_experiment")))),
        "Cloudera ML": "\n".join(pages),
        "what the words mean": scores.LEGEND,
    }
    return "\n\n".join(f"── {name}\n{plain(text, limit=20_000, lines=True)}" for name, text in parts.items() if text)
