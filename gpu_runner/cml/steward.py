"""The steward of an attempt that is run at Cloudera's: the child of this host's daemon, which keeps a child's contract.

`python -m gpu_runner.cml.steward LAUNCH`. It computes nothing: it has a run made there, copies what the run's pod writes, and
tells what became of it. Killed (-9) it is started again, and finds the run in its book; nothing is lost, nothing made twice.
SIGTERM only wakes it up to look at its orders (control.json): without one it leaves the run alone and ends.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from core.settings import settings
from core.spec import EndpointSpec, EvaluationSpec
from gpu_runner.cml.errand import Errand
from gpu_runner.launch import Launch, enter, read_token

BROKEN = 70


def attend(errand: Errand) -> int:
    """Look after what the attempt is, to its end; the exit code."""
    return _who(errand)(errand)


def _who(errand: Errand) -> Callable[[Errand], int]:
    """Who looks after such an attempt."""
    if isinstance(errand.spec, EndpointSpec):
        from gpu_runner.cml import endpoint

        return endpoint.look_after
    if isinstance(errand.spec, EvaluationSpec) and _apart(errand):
        from gpu_runner.cml import parts

        return parts.look_after
    from gpu_runner.cml import single

    return single.look_after


def _apart(errand: Errand) -> bool:
    """Whether each combination of an evaluation is a run of its own: as it was begun, else as it is set."""
    if errand.book.parts:
        return errand.book.parts[0].name != errand.job_id
    return errand.using.cml_evaluation == "child"


def main() -> NoReturn:
    """Look after the attempt that the command line tells."""
    launch = Launch.from_json(sys.argv[1])
    for descriptor in (launch.lock_fd, launch.token_fd):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    enter(launch)
    code, errand = BROKEN, None
    try:
        errand = Errand(Path(launch.attempt_dir), settings(), launch.runner_id, read_token(launch.token_fd))
        signal.signal(signal.SIGTERM, errand.signal)
        code = attend(errand)
    except BaseException:
        traceback.print_exc()
        if errand is not None:
            errand.merged.write(
                "log", level="error", text=f"its steward broke, and begins anew: {traceback.format_exc()}"
            )
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
