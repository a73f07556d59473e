"""The actors: they validate each message, persist its effect and answer. app.py is the composition root."""
