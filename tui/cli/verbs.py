"""The nouns and verbs of `fts`, each a message: `fts dataset add` is AddDataset."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import NotFound, Refused, StudioError
from core.messages import REGISTRY, Command, Message, parse
from core.rules import check, refusing
from core.sender import who
from core.text import plain
from tui.cli import console, output
from tui.cli.commands import NOUNS
from tui.cli.console import say, warn
from tui.cli.fields import add_options, options, payload, seconds, when
from tui.cli.parsing import add_command, add_group, refer
from tui.cli.references import MODEL, hints, places, resolve

if TYPE_CHECKING:
    from core.client import StudioClient


@dataclass(frozen=True)
class Verb:
    """A verb of a noun; `positional` is a field given without its flag, `second` one behind it."""

    noun: str
    verb: str
    message: str
    positional: str | None = None
    second: str | None = None


VERBS: tuple[Verb, ...] = (
    Verb("dataset", "add", "AddDataset"),
    Verb("dataset", "list", "ListDatasets"),
    Verb("dataset", "show", "GetDataset", "id"),
    Verb("dataset", "preview", "PreviewDataset", "dataset_id"),
    Verb("dataset", "files", "ListFiles", "beginning"),
    Verb("dataset", "formats", "MatchAxolotlFormats", "dataset_id"),
    Verb("dataset", "edit", "EditDataset", "id"),
    Verb("dataset", "remove", "RemoveDataset", "id"),
    Verb("model", "add", "AddModel"),
    Verb("model", "list", "ListModels"),
    Verb("model", "show", "GetModel", "id"),
    Verb("model", "edit", "EditModel", "id"),
    Verb("model", "remove", "RemoveModel", "id"),
    Verb("prompt", "add", "AddPrompt"),
    Verb("prompt", "list", "ListPrompts"),
    Verb("prompt", "show", "GetPrompt", "id"),
    Verb("prompt", "generate", "GeneratePrompt", "dataset_id"),
    Verb("prompt", "preview", "PreviewPrompt", "prompt_id"),
    Verb("prompt", "edit", "EditPrompt", "id"),
    Verb("prompt", "remove", "RemovePrompt", "id"),
    Verb("config", "add", "AddConfig"),
    Verb("config", "list", "ListConfigs"),
    Verb("config", "show", "GetConfig", "id"),
    Verb("config", "edit", "EditConfig", "id"),
    Verb("config", "remove", "RemoveConfig", "id"),
    Verb("adapter", "add", "AddAdapter"),
    Verb("adapter", "list", "ListAdapters"),
    Verb("adapter", "show", "GetAdapter", "id"),
    Verb("adapter", "split", "GetDatasetSplitByAdapter", "adapter_id"),
    Verb("adapter", "edit", "EditAdapter", "id"),
    Verb("adapter", "remove", "RemoveAdapter", "id"),
    Verb("job", "submit", "StartFineTuningJob"),
    Verb("job", "list", "ListFineTuningJobs"),
    Verb("job", "show", "GetFineTuningJob", "id"),
    Verb("job", "metrics", "GetJobMetrics", "id"),
    Verb("job", "cancel", "CancelJob", "id"),
    Verb("job", "pause", "PauseJob", "id"),
    Verb("job", "resume", "ResumeJob", "id"),
    Verb("job", "retry", "RetryJob", "id"),
    Verb("job", "checkpoint", "CheckpointJob", "id"),
    Verb("job", "priority", "SetJobPriority", "id", "priority"),
    Verb("job", "edit", "EditFineTuningJob", "id"),
    Verb("job", "remove", "RemoveFineTuningJob", "id"),
    Verb("evaluation", "submit", "StartEvaluationJob"),
    Verb("evaluation", "list", "ListEvaluationJobs"),
    Verb("evaluation", "show", "GetEvaluationJob", "id"),
    Verb("evaluation", "results", "GetEvaluationResults", "parent_job_id"),
    Verb("evaluation", "rows", "GetEvaluationAnswers", "parent_job_id"),
    Verb("evaluation", "row", "GetEvaluationAnswers", "parent_job_id", "row"),
    Verb("evaluation", "cancel", "CancelJob", "id"),
    Verb("evaluation", "pause", "PauseJob", "id"),
    Verb("evaluation", "resume", "ResumeJob", "id"),
    Verb("evaluation", "retry", "RetryJob", "id"),
    Verb("evaluation", "priority", "SetJobPriority", "id", "priority"),
    Verb("evaluation", "edit", "EditEvaluationJob", "id"),
    Verb("evaluation", "remove", "RemoveEvaluationJob", "id"),
    Verb("export", "submit", "ExportModel"),
    Verb("export", "list", "ListExportJobs"),
    Verb("export", "show", "GetExportJob", "id"),
    Verb("export", "cancel", "CancelJob", "id"),
    Verb("export", "retry", "RetryJob", "id"),
    Verb("export", "priority", "SetJobPriority", "id", "priority"),
    Verb("promotion", "list", "ListPromotions"),
    Verb("promotion", "show", "GetPromotion", "id"),
    Verb("endpoint", "start", "StartEndpoint"),
    Verb("endpoint", "list", "ListEndpoints"),
    Verb("endpoint", "show", "GetEndpoint", "id"),
    Verb("endpoint", "stop", "StopEndpoint", "id"),
    Verb("endpoint", "retry", "RetryJob", "id"),
    Verb("endpoint", "remove", "RemoveEndpoint", "id"),
    Verb("compare", "start", "StartComparison", "base_model_id"),
    Verb("compare", "list", "ListComparisons"),
    Verb("compare", "show", "GetComparison", "id"),
    Verb("compare", "stop", "StopAnswers", "id", "number"),
    Verb("compare", "end", "EndComparison", "id"),
    Verb("compare", "cancel", "CancelJob", "id"),
    Verb("compare", "retry", "RetryJob", "id"),
    Verb("compare", "priority", "SetJobPriority", "id", "priority"),
    Verb("compare", "remove", "RemoveComparison", "id"),
    Verb("database", "export", "ExportDatabase", "path"),
    Verb("database", "import", "ImportDatabase", "imported_json_path"),
    Verb("event", "list", "ListEvents"),
    Verb("event", "at", "GetQueueAt", "at"),
    Verb("message", "list", "ListMessages"),
    Verb("message", "show", "GetMessage", "id"),
    Verb("letter", "list", "ListDeadLetters"),
    Verb("letter", "show", "GetDeadLetter", "id"),
    Verb("letter", "requeue", "RequeueDeadLetter", "id"),
    Verb("letter", "drop", "DropDeadLetters", "ids"),
    Verb("notifications", "list", "ListNotifications"),
    Verb("notifications", "retry", "RetryNotifications", "id"),
    Verb("notifications", "test", "TestNotifications"),
    Verb("runner", "list", "ListRunners"),
    Verb("runner", "drain", "DrainRunner", "id"),
)

KEY = "idempotency key: the same key does it once"


def common(parser: argparse.ArgumentParser, *, command: bool, key: str = KEY) -> None:
    """The options that every request takes. `key` is the help of a command's --key."""
    parser.add_argument("-o", "--output", choices=output.FORMS, default="table", help="how the reply is shown")
    parser.add_argument("--timeout", type=seconds, default=None, help="seconds to wait for the reply")
    if command:
        parser.add_argument("--key", help=key)
        parser.add_argument("--dry-run", action="store_true", help="check by the local rules and send nothing")


def add_verbs(nouns: Any) -> dict[str, Any]:
    """Declare every verb; return the subparsers of each noun, for verbs that are more than a message."""
    made: dict[str, Any] = {}
    for noun, text in NOUNS.items():
        made[noun] = add_group(nouns, noun, text)
    for verb in VERBS:
        _declare(made[verb.noun], verb)
    return made


def _declare(verbs: Any, verb: Verb) -> None:
    message = REGISTRY[verb.message]
    summary = " ".join((message.__doc__ or "").split())
    parser = add_command(verbs, verb.verb, summary, description=f"{summary} ({verb.message})")
    common(parser, command=issubclass(message, Command))
    if verb.positional:
        option = next((each for each in options(message) if each.path == (verb.positional,)), None)
        needed = message.model_fields[verb.positional].is_required()
        action = parser.add_argument(
            f"positional_{verb.positional}",
            nargs="+" if option and option.many else None if needed else "?",
            type=option.read if option and option.read is when else str,
            metavar="FILE" if verb.positional.endswith("path") else verb.positional.removesuffix("_id").upper(),
            help=_meant(verb) or (option.help if option and option.read is when else ""),
        )
        refer(action, places(verb.positional, verb.message))
    if verb.second:
        second = next(each for each in options(message) if each.path == (verb.second,))
        parser.add_argument(
            f"positional_{verb.second}", type=second.read, metavar=verb.second.upper(), help=second.help
        )
    if verb.message == "RetryJob":
        text = "begin anew: the same as --no-from-checkpoint"
        parser.add_argument("--anew", dest="field_from_checkpoint", action="store_const", const=False, help=text)
    if verb.message == "StartEvaluationJob":
        pair = parser.add_argument(
            "--pair",
            action="append",
            default=[],
            metavar="MODEL[:ADAPTER]",
            help="a base model, with an adapter or without; again for each",
        )
        refer(pair, (MODEL,))
    if verb.message == "GetEvaluationResults":
        text = "every metric in a table of its own, with intervals and chance"
        parser.add_argument("--all", action="store_true", help=text)
    if verb.message == "ListMessages":
        text = "only what you sent from this machine"
        parser.add_argument("--mine", dest="field_sender", action="store_const", const=who(), help=text)
    if issubclass(message, Command) and verb.verb in ("submit",):
        parser.add_argument("--wait", action="store_true", help="show progress and wait for the end")
    add_options(parser, message, without=(verb.positional, verb.second))
    parser.set_defaults(run=_runner(verb, message))


def _meant(verb: Verb) -> str:
    """What may be given for the word after the verb."""
    listings = places(verb.positional or "", verb.message)
    return next((each.help for each in listings if each.names), "id") if listings else ""


def _runner(verb: Verb, message: type[Message[Any]]) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        fields = payload(arguments, message)
        for name in filter(None, (verb.positional, verb.second)):
            if (given := getattr(arguments, f"positional_{name}")) is not None:
                fields[name] = given
        if pairs := getattr(arguments, "pair", []):
            fields["model_adapter_combinations"] = [_pair(text) for text in pairs]
        return request(arguments, verb.message, _as_log(fields) if verb.message == "ListEvents" else fields)

    return run


def _as_log(fields: dict[str, Any]) -> dict[str, Any]:
    """A log is read from its end, and without plans where no single resource is asked about; who pages begins where asked."""
    return {"last": "after" not in fields, "plans": "resource_id" in fields, **fields}


def _pair(text: str) -> dict[str, str | None]:
    model, _, adapter = text.partition(":")
    return {"base_model_id": model, "adapter_id": adapter or None}


def request(arguments: argparse.Namespace, name: str, fields: dict[str, Any]) -> int:
    """Send one message, or only check it; print the reply; return the exit code."""
    try:
        if getattr(arguments, "dry_run", False):
            return dry_run(name, fields, arguments.output)
        return _send(arguments, name, fields)
    except StudioError as error:
        return output.fail(error, arguments.output)


def dry_run(name: str, fields: dict[str, Any], form: str) -> int:
    """Check a message by the rules that need neither the studio nor the network."""
    breaches = check(parse(name, fields))
    if refusing(breaches):
        return output.fail(Refused.because(breaches), form)
    output.notes(breaches)
    output.show({"ok": True, "name": name, "payload": fields}, "json" if form == "table" else form)
    return 0


def _send(arguments: argparse.Namespace, name: str, fields: dict[str, Any]) -> int:
    with console.client() as client:
        try:
            message = parse(name, resolve(client, fields, name))
            answer = client.ask(message, key=getattr(arguments, "key", None), timeout=arguments.timeout)
        except (Refused, NotFound) as error:
            code = output.fail(error, arguments.output)
            _hint(client, fields, name, error.message)
            return code
        output.notes(answer.breaches)
        value = answer.value.model_dump(mode="json")
        if getattr(arguments, "wait", False):
            return _wait(client, value, arguments.output)
        output.show(value, arguments.output, whole=getattr(arguments, "all", False))
        if value.get("removed") is False:
            _hint(client, fields, name, repr(fields.get("id")))
        if name == "GeneratePrompt" and arguments.output == "table":
            _offer(value)
        return _code(name, value)


def _code(name: str, value: dict[str, Any]) -> int:
    """The exit code of what was answered: an import that left rows out did not do all that it was asked."""
    failed = sum(table["failed"] for table in value["tables"]) if name == "ImportDatabase" else 0
    if failed:
        warn(f"{failed} row{'s' if failed > 1 else ''} can't be stored as told above")
    return output.EXIT_FAILED if failed else 0


def _hint(client: StudioClient, fields: dict[str, Any], name: str, told: str) -> None:
    """Say which names come nearest to those that the studio does not know."""
    for text in hints(client, fields, name, told):
        warn(f"  hint: {text}")


def _offer(value: dict[str, Any]) -> None:
    """The command that stores a draft."""
    from tui.forms import command_line

    draft = {name: text for name, text in value["prompt"].items() if text and name not in ("id", "type")}
    say(f"\nThis stores it:\n\n{plain(command_line('AddPrompt', {'prompt': draft}), limit=50_000, lines=True)}")


def _wait(client: StudioClient, value: dict[str, Any], form: str) -> int:
    from tui.cli.watch import wait_for

    if batch := value.get("parent_job_id"):
        return wait_for(client, batch, noun="evaluation", form=form)
    if endpoint := value.get("endpoint"):
        from tui.cli.serve import wait_until_it_answers

        return wait_until_it_answers(client, endpoint["id"], form)
    noun, job = ("export", value["export_job"]) if "export_job" in value else ("job", value["fine_tuning_job"])
    return wait_for(client, job["id"], noun=noun, form=form)


def send(arguments: argparse.Namespace) -> int:
    """`fts send NAME --json {...}`: any message, as it stands."""
    return request(arguments, arguments.name, arguments.json)
