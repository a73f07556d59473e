"""What each class of failure is called, what it mostly comes from, and what helps: for whoever has nothing better to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.types import FailureClass

if TYPE_CHECKING:
    from core.events import Failure

F = FailureClass
TAIL = 20  # last lines of a job's log that are told with a failure


@dataclass(frozen=True)
class Told:
    """A class of failure, for people."""

    title: str
    cause: str
    hint: str


CLASSES: dict[FailureClass, Told] = {
    F.user_error: Told(
        "what the job was given",
        "Its data, a config, a name or a file is not what the job needs.",
        "Mend what the message names, then start a job like this one with the change; or run it again, when a file was mended.",
    ),
    F.out_of_memory: Told(
        "out of memory",
        "The model with its activations, at this batch size and length of rows, needs more memory than there is.",
        "Lower max_length or per_device_train_batch_size, turn on gradient_checkpointing, quantise the model"
        " (model_bnb_config), or take a runner with more memory.",
    ),
    F.disk_full: Told(
        "the disk is full",
        "A quota or a limit was met, or the disk of a cache is full. A job that finds no room in the artifacts directory waits for it.",
        "Free some room, or raise the limit, then run the job again: it goes on from its last checkpoint.",
    ),
    F.runner_lost: Told(
        "the runner was lost",
        "Its host went down or lost its network, or its daemon ended and was not started again.",
        "See that the host and its daemon are back (`fts runner list`), then run the job again: it goes on from its last"
        " checkpoint.",
    ),
    F.killed: Told(
        "the process was killed",
        "Something ended the process from outside, or it broke in native code: the last lines of the log may tell.",
        "Run it again: it goes on from its last checkpoint. If it dies at the same place, ask for less (a smaller batch,"
        " shorter rows) or another runner.",
    ),
    F.stopped: Told(
        "stopped in Cloudera ML",
        "Someone stopped it, or removed it, on Cloudera's own pages.",
        "Run it again: it goes on from its last checkpoint.",
    ),
    F.bug: Told(
        "a fault of the studio's or of a library's",
        "Something came that the studio does not expect: a fault of its own, a library's, or a file of its that was damaged.",
        "The traceback is in the job's log. Run it again if the cause is gone; report it if it is not.",
    ),
}


def known(kind: str) -> FailureClass:
    """The class that a failure's kind names; of what this version does not know, a bug."""
    return F(kind) if kind in set(F) else F.bug


def title(kind: str) -> str:
    """What a failure's kind is called; imported, and what a newer version tells, by its own word."""
    return CLASSES[F(kind)].title if kind in set(F) else kind.replace("_", " ")


def filled(failure: Failure) -> Failure:
    """The failure with a cause and a next step, whoever told it."""
    told = CLASSES[known(failure.kind)]
    return failure.model_copy(update={"cause": failure.cause or told.cause, "hint": failure.hint or told.hint})
