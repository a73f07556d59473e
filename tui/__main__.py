"""`python -m tui`: the dashboard."""

import sys

from tui.app import run

sys.exit(run())
