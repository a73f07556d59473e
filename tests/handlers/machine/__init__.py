"""A machine that says every command to a studio, and a simple model of plain dictionaries that foretells what is answered.

values.py   what is said: values with what is known of them, good, wrong and hostile
model.py    the tables as dictionaries, and what all commands have in common
plays.py    how a command is played: what may be asked, what must come of it, what it changes
adding.py, editing.py, removing.py, starting.py (what follows has in common), training.py, planning.py, scoring.py,
asking.py, running.py, reporting.py, importing.py    the plays
looking.py, listing.py    the queries: what each must answer; formats.py    which of Axolotl's formats fits
studio.py   a real studio, its tables as they are, and its surroundings
machine.py  the state machine: one rule a command, and what holds after every step

The model shares nothing with the handlers but the names of messages, tables and columns.
"""
