"""Runs a script as Cloudera's Python kernel does: in the project's directory, without `__file__`. `kernel.py RUN_DIRECTORY SCRIPT`.

What it ends with is left in RUN_DIRECTORY/exit; whoever is killed leaves nothing.
"""

import os
import sys
import traceback


def _run(script: str) -> int:
    try:
        with open(script, encoding="utf-8") as file:  # noqa: PTH123  # what a script is run by imports as little as can be
            exec(compile(file.read(), script, "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)  # noqa: T201
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    directory, sys.argv = sys.argv[1], sys.argv[2:]
    sys.path[0] = ""
    code = _run(sys.argv[0])
    with open(os.path.join(directory, ".exit"), "w") as left:  # noqa: PTH118, PTH123
        left.write(str(code))
    os.replace(os.path.join(directory, ".exit"), os.path.join(directory, "exit"))  # noqa: PTH105, PTH118
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
