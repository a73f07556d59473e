"""What a template's script is here when nothing is to be computed: it keeps a pod's contract, and is done in no time.

What it does is in the specification's user_config: records (how many metrics), rate (a second), deaf (to orders and SIGTERM),
mute (it ends without a last word), code (exit code then), rest (seconds that it stays after its last word).
"""

import json
import os
import signal
import sys
import time

OUTCOMES = {"cancel": "cancelled", "pause": "paused"}


def main() -> None:
    """Run the part of an attempt that the environment names."""
    attempt, part = os.environ["FTS_ATTEMPT_DIR"], os.environ["FTS_PART"]
    with open(f"{attempt}/spec.json", encoding="utf-8") as file:  # noqa: PTH123
        plan = json.loads(json.load(file).get("user_config") or "{}")
    if plan.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    own = f"{attempt}/parts/{part}"
    os.makedirs(own, exist_ok=True)  # noqa: PTH103
    print("the pod is on", flush=True)  # noqa: T201
    with open(f"{own}/events.jsonl", "a", encoding="utf-8", buffering=1) as spool, open(f"{own}/log.txt", "a") as log:  # noqa: PTH123

        def write(**record: object) -> None:
            spool.write(json.dumps({"at": time.time(), **record}) + "\n")

        log.write("printed in the pod\n")
        log.flush()
        given = sorted(name for name in os.environ if name.startswith(("FTS_", "HUGGING")))
        write(type="started", pid=os.getpid(), details={"env": given, "run": os.environ["CDSW_ENGINE_ID"]})
        write(type="phase", name="training")
        for step in range(1, plan.get("records", 3) + 1):
            write(type="metrics", step=step, values={"loss": 1.0})
            time.sleep(1 / plan.get("rate", 100))
            if (outcome := OUTCOMES.get(_order(attempt))) and not plan.get("deaf"):
                break
        else:
            outcome = "succeeded"
        if not plan.get("mute"):
            write(type="finished", outcome=outcome)
            with open(f"{own}/exit.json", "w") as left:  # noqa: PTH123
                json.dump({"outcome": outcome, "code": 0}, left)
    time.sleep(plan.get("rest", 0))
    sys.exit(plan.get("code", 0))


def _order(attempt: str) -> str:
    try:
        with open(f"{attempt}/control.json", encoding="utf-8") as file:  # noqa: PTH123
            return str(json.load(file).get("order"))
    except (OSError, ValueError):
        return ""
