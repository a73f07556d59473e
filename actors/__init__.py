"""The actors: they validate each message, persist its effect and answer. app.py is the composition root."""

import gc

# Imports make many objects and hardly any garbage: at the default of 700 the collector takes a good part of the start.
gc.set_threshold(50_000, 20, 20)
