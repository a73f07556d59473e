"""The terminal: the dashboard, and the `fts` command in cli/."""

import gc

# Imports make many objects and hardly any garbage: at the default of 700 the collector takes half of their time.
gc.set_threshold(50_000, 20, 20)
