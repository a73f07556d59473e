"""The terminal: the dashboard, and the `fts` command in cli/."""

import gc

# Imports make many objects and hardly any garbage: the collector would take a fifth of the time to the first rows.
gc.set_threshold(1_000_000)


def settle() -> None:
    """Once started: never look at what the imports made again, and collect what comes from now on."""
    gc.freeze()
    gc.set_threshold(5_000, 20, 5)  # the oldest too: a closed screen lives in it
