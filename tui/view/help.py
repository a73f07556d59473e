"""The keys, screen by screen."""

from __future__ import annotations

EVERYWHERE = """\
:  command: jobs, evaluations, comparisons, exports, endpoints, datasets,
   models, prompts, adapters, configs, runners, events,
   ticketing (an example application), help, quit
?  these keys            esc, q  back; on a list, q leaves the dashboard
ctrl+t  light or dark    the studio and its jobs go on when the dashboard is left"""

JOBS = """\
p  pause a job, or let it go on      s  save a checkpoint now
c  cancel                            C  clone: the form of one like it
t  try again, from its checkpoint    T  try again from the beginning
+ -  goes before others, or behind   v  evaluate what it trained"""

SCREENS = {
    "ListScreen": f"""\
j k g G, arrows   move               enter  open
/  filter                            d  describe          y  as YAML
n  new                               r  ask again         ]  more rows
l  a job's log                       ctrl+d  remove what the row shows
D  drain a runner, or let it work again

{JOBS}""",
    "JobScreen": f"""\
m M  another curve        enter  it alone, or all that have room
z Z 0  closer, farther away, all of it         , .  along what is zoomed
left right  read the curves at a point (shift: ten on)    escape  no longer
L  logarithmic axis       S  smoother          x  over steps, time or epochs
O  other jobs' curves beside                   w  curves alone, pane alone, both
l  log     e  events      o  configs   u  all numbers   P  printed   tab  next
f  why it failed, and what to do (1 2 3 4  one like it that may do better)
D  how its settings differ from another job's
/  search the whole log   n N  the next line found, where it stands
F  follow the newest lines                     j k g G, arrows  scroll
E  edit name, description       ctrl+d  remove       d  describe    y  as YAML

{JOBS}""",
    "BatchScreen": f"""\
j k g G, arrows   move    tab  the other table      enter  one row with every answer side by side
m M  another metric       o  rows by number, most unlike, worst or best first (by that metric)
f  only rows that not all got right or wrong alike      /  only rows that hold a text     ]  more rows
x  write all of it into a file (.csv, .json)            i  notes, files, MLflow, what the words mean
l  the batch's log        above, the cursor says whose answers stand beside the baseline's

{JOBS}""",
    "ComparisonScreen": """\
i  type a prompt: enter asks it, ctrl+j makes a new line, esc leaves it and the keys below work
n  ask a row of the dataset, at random       e  edit what was asked, to ask it again
s  stop what is being said
g  generation settings for the questions from now on, as name=value words; an empty line: the session's own
[ ]  the question before, the next one       left, right  other columns, where not all have room
j k, arrows  scroll                          y  question and answers as YAML
E  end the session: its memory is free then, and what was said stays
t  begin again with one that failed or was cancelled           c  cancel""",
    "AnswerScreen": """\
n p  next row, row before       h l, left right   columns that did not fit
tab  the next text              j k, arrows       scroll it""",
    "TicketingScreen": """\
i  type a customer's ticket: enter sends it, esc leaves it and the keys below work
n  a ticket of the demo that no model was trained on        v  let another adapter of the session answer
o  the session that answers, with its base model beside     j k, arrows  scroll""",
    "ExportScreen": f"""\
j k g G, arrows   scroll the log     n  the form of an export like this one
d  describe               y  as YAML     r  ask again

{JOBS}""",
    "EndpointScreen": """\
c  copy the line that calls it               K  copy its key, right after its start
s  stop it       l  its log                  d  describe     y  as YAML     r  ask again""",
    "FormScreen": """\
tab, shift+tab  next or previous field       ctrl+s  send
enter           open a choice                space   mark one of several
ctrl+o  the same as CLI, Python and JSON     esc  leave
ctrl+p  what would come of a training (rows, examples, steps, memory, time), and back""",
}


def keys(screen: str) -> str:
    """The help of a screen."""
    return f"{SCREENS.get(screen, '')}\n\n{EVERYWHERE}".lstrip()
