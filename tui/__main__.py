"""`python -m tui`: the dashboard; with --readonly it changes nothing."""

import sys

from tui.app import run

sys.exit(run(readonly="--readonly" in sys.argv[1:]))
