"""What the tests start they end: no process of a studio is left, whatever its command line looks like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.whole import Whole, until

# As a job that the warm process forked: a session of its own, and nothing of the studio in its command line.
FORKS = "import os, time; os.fork(); os.setsid() if os.getpid() != os.getsid(0) else None; time.sleep(60)"


def test_a_studio_that_is_taken_down_leaves_no_forked_process_behind(tmp_path: Path) -> None:
    whole = Whole(tmp_path)
    with subprocess.Popen([sys.executable, "-c", FORKS], env=whole.environment, start_new_session=True) as process:
        until(lambda: len(whole.left()) == 2, 60, "both are seen")
        whole.down()
        assert process.wait(60) == -9
    assert whole.left() == [] and not whole.directory.exists()
