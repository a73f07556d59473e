"""A ticketing agent: reads customers' tickets, lets a fine-tuned model say what each calls for, does it, and answers.

    fts serve smollm --adapter tickets-1 --num-gpu 0 --num-memory 4           prints the endpoint's address and, once, its key
    FTS_ENDPOINT_KEY=… python examples/ticketing_agent.py --url http://127.0.0.1:PORT --model tickets-1

It asks for tickets line by line, or takes a file of them (`agent.py … < tickets.txt`). What is done is written to
`tickets-done.jsonl`: the shop's own systems would stand there. Needs nothing but Python and the endpoint. Exit code 0; 1
when the endpoint can't be asked.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError

from core.ticketing import Decision, asked, decide

SECONDS = 60
READ = 64 * 1024  # bytes of an error that are read


def main() -> int:
    """Answer tickets until there are no more."""
    given = arguments()
    prompt = "Ticket (empty to end): " if sys.stdin.isatty() else ""
    while ticket := _line(prompt):
        try:
            answer = ask(given.url, given.model, ticket)
        except OSError as error:
            print(f"the endpoint can't be asked: {error}", file=sys.stderr)
            return 1
        decision = decide(ticket, answer)
        if decision.action is not None:
            note(given.done, ticket, decision)
        print(told(decision), flush=True)
    return 0


def arguments() -> argparse.Namespace:
    """Where the model answers, and where to write what was done."""
    made = argparse.ArgumentParser(description="Answer customers' tickets.")
    made.add_argument("--url", required=True, help="the endpoint's address, as `fts endpoint list` shows it")
    made.add_argument("--model", required=True, help="the adapter's name")
    made.add_argument("--done", type=Path, default=Path("tickets-done.jsonl"), help="what was done, a line a ticket")
    return made.parse_args()


def ask(url: str, model: str, ticket: str) -> str:
    """The action that the model names, written as it was taught to read. Raises OSError."""
    body = {"model": model, "prompt": asked(ticket), "max_tokens": 12, "temperature": 0}
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("FTS_ENDPOINT_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    base = url.rstrip("/").removesuffix("/v1")
    request = urllib.request.Request(f"{base}/v1/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            return str(json.load(reply)["choices"][0]["text"])
    except HTTPError as error:
        hint = " (it is read from FTS_ENDPOINT_KEY)" if error.code == HTTPStatus.UNAUTHORIZED else ""
        raise OSError(f"{error.code}: {why(error.read(READ))}{hint}") from None


def why(body: bytes) -> str:
    """What an endpoint says is wrong; the beginning of what was sent by anything else."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return body[:500].decode(errors="replace")


def note(path: Path, ticket: str, decision: Decision) -> None:
    """Write down what was done, so that it is there before the customer is told."""
    done = {"action": decision.action.name if decision.action else None, "order": decision.order, "ticket": ticket}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(done) + "\n")


def told(decision: Decision) -> str:
    """The agent's answer, and beside it what it does."""
    if decision.action is None:
        return f"  asks  {decision.reply}"
    why = "" if decision.understood else " (the model named no action)"
    return f"  does  {decision.action.name}: {decision.action.does}{why}\n  says  {decision.reply}"


def _line(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
