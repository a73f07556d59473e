"""The warm process: the training libraries imported once, from which every job is forked in milliseconds.

It computes nothing and never touches CUDA: a parent that did would leave its children with locks that nobody holds and
contexts that don't work. Importing peft imports bitsandbytes, which asks CUDA for its devices (and takes seconds):
it is made to look absent while warming up, and stays so in jobs that don't need it.

The daemon sends launches through a socket, with the descriptors of the attempt's lock and of the token's pipe, and gets
`ready`, `forked` and `exited` back as lines of JSON. When the daemon is gone, the warm process goes; the children stay.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from gpu_runner import bnb
from gpu_runner import launch as launching
from gpu_runner.files import read_json
from gpu_runner.launch import Launch

PROBE_SECONDS = 4  # a fork that can't add numbers by then hangs on a lock of its parent's
MODULES = (
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "datasets",
    "peft",
    "trl",
    "trl.trainer.sft_trainer",
    "gpu_runner.child",
    "gpu_runner.train",
    "gpu_runner.evaluate",
    "gpu_runner.plan",
)


def warm_up() -> None:
    """Import what jobs need, and keep the collector from touching (and so copying) it in the children."""
    bnb.keep_out()
    for name in MODULES:
        importlib.import_module(name)
    importlib.import_module("trl").SFTTrainer  # noqa: B018  # lazy modules are filled by asking
    gc.collect()
    gc.freeze()


def begin(launch: Launch) -> NoReturn:
    """Be the job, in a child that was just forked; a bad fork starts again cold, one that hangs is ended by SIGALRM."""
    importlib.import_module("gpu_runner.measure").begin()
    launching.enter(launch)
    torch = importlib.import_module("torch")
    if torch.cuda.is_initialized():
        launching.again_cold(launch)
    signal.alarm(PROBE_SECONDS)  # no handler: the system ends a process that hangs outside of Python too
    torch.set_num_threads(max(1, launch.cpus))
    torch.ones(256, 256).mm(torch.ones(256, 256)).sum().item()
    signal.alarm(0)
    random.seed()
    torch.seed()
    importlib.import_module("numpy").random.seed()
    if bnb.needed(read_json(Path(launch.attempt_dir) / "spec.json") or {}):
        bnb.admit()
    gc.enable()
    launching.run(launch)


class Server:
    """The loop of the warm process, on its end of the daemon's socket."""

    def __init__(self, daemon: socket.socket) -> None:
        self.daemon = daemon
        self.children: dict[int, str] = {}
        self.bell, self.ring = os.pipe()
        os.set_blocking(self.ring, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.ring, warn_on_full_buffer=False)

    def tell(self, **line: Any) -> None:
        """Send one line to the daemon."""
        self.daemon.sendall(json.dumps(line).encode() + b"\n")

    def serve(self) -> None:
        """Fork what is asked for until the daemon is gone."""
        while True:
            readable, _, _ = select.select([self.daemon.fileno(), self.bell], [], [])
            if self.bell in readable:
                os.read(self.bell, 4096)
            self.reap()
            if self.daemon.fileno() in readable and not self.answer():
                return

    def answer(self) -> bool:
        """Read one launch and fork it; False when the daemon hung up."""
        data, descriptors, _, _ = socket.recv_fds(self.daemon, 1 << 20, 2)
        if not data:
            return False
        lock, *token = descriptors
        launch = replace(Launch.from_json(data), lock_fd=lock, token_fd=token[0] if token else -1)
        try:
            pid = self.fork(launch)
        except OSError as error:
            self.tell(event="refused", attempt_dir=launch.attempt_dir, error=str(error))
        else:
            self.children[pid] = launch.attempt_dir
            self.tell(event="forked", attempt_dir=launch.attempt_dir, pid=pid)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def fork(self, launch: Launch) -> int:
        """Fork the job; the parent gets its pid."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            for descriptor in (self.daemon.detach(), self.bell, self.ring):
                os.close(descriptor)
            begin(launch)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)  # whatever happens, a child never runs the parent's code

    def reap(self) -> None:
        """Tell the daemon of every child that ended; codes are subprocess's: negative for a signal."""
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            attempt_dir = self.children.pop(pid, None)
            if attempt_dir is not None:
                self.tell(event="exited", attempt_dir=attempt_dir, pid=pid, code=os.waitstatus_to_exitcode(status))


def main() -> None:
    """Warm up and serve the daemon at the other end of the descriptor that the command line names."""
    daemon = socket.socket(fileno=int(sys.argv[1]))
    daemon.set_inheritable(False)
    began = time.monotonic()
    warm_up()
    server = Server(daemon)
    try:
        server.tell(event="ready", seconds=round(time.monotonic() - began, 2))
        server.serve()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the daemon is gone: a new one starts its own


if __name__ == "__main__":
    main()
