"""`python -m tui`: the dashboard."""

from tui.app import run

run()
