"""Text that wants something of a terminal or of Textual. Each piece says what it is after, and none may get it."""

from __future__ import annotations

ESC, BEL, ST = "\x1b", "\x07", "\x1b\\"

PIECES = {
    "markup": "[red]red[/red] [/nope] [bold",
    "an action in markup": "[@click=app.quit]quit[/] [@click=screen.owned('x')]owned[/]",
    "a link in markup": "[link=file:///etc/passwd]passwd[/link]",
    "colours": f"{ESC}[31;5mred{ESC}[0m",
    "the cursor moved and the screen cleared": f"{ESC}[H{ESC}[2J{ESC}[10;10Hhere{ESC}[?25h",
    "the alternate screen left": f"{ESC}[?1049l{ESC}[?1000h{ESC}[?2004l",
    "the clipboard taken": f"{ESC}]52;c;ZXZpbA=={BEL}{ESC}]52;c;?{ST}",
    "the title set": f"{ESC}]0;owned{BEL}{ESC}]2;owned{ST}",
    "a link of the terminal": f"{ESC}]8;;https://evil.example{ST}click{ESC}]8;;{ST}",
    "a notification": f"{ESC}]9;owned{BEL}{ESC}]777;notify;owned;owned{BEL}",
    "a device string": f"{ESC}P+q544e{ST}{ESC}P1$r0m{ST}",
    "an application command": f"{ESC}_Gf=24,s=1;AAAA{ST}{ESC}^private{ST}",
    "a question that types its answer": f"{ESC}[c{ESC}[6n{ESC}[5n{ESC}Z\x05",
    "a reset": f"{ESC}c{ESC}[!p",
    "other alphabets": f"{ESC}(0{ESC})0\x0e\x0fqqqq",
    "C1 controls": "\x9b31m\x9d0;owned\x9c\x90q\x9c\x85\x84",
    "rubouts": "safe\b\b\b\bevil\x7f\x7f",
    "lines and returns": "one\rtwo\nthree\r\nfour\vfive\fsix\u2028seven\u2029eight",
    "NULs": "\x00a\x00b\x00",
    "reversed": "\u202egpj.exe\u202c \u2066left\u2069 \u200fright\u200e",
    "nothing to see": "a\u200bb\u200cc\u2060d\ufeffe\u00adf\u034fg\u180eh",
    "tags": "tag\U000e0041\U000e0042\U000e007f",
    "a pile of marks": "Z" + "\u0300\u0316\u0327\u0489" * 200 + "algo",
    "half characters": "\ud800 \udfff x",
    "private and unassigned": "\ue000 \uf8ff \U000f0000 \u0378",
    "families": "👩‍👩‍👧‍👦 👩🏽‍🚀 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🇩🇪 ❤️",
    "wide": "長" * 60 + " 한국어 ｆｕｌｌ",
    "right to left": "שלום עולם مرحبا بالعالم",
    "long": "x" * 10_000,
    "long without a break of width": "長い" * 5_000,
    "a template": "{0} {x!r} {x.__class__} %s %(x)s ${x} `x` $(x)",
    "spaces": " \t \u00a0\u3000\u2003 \t",
}

SHORT = [text for name, text in PIECES.items() if not name.startswith("long")]
ALL = " ".join(sorted(SHORT, key=lambda text: (text.isprintable(), "\n" in text)))  # the worst where it is surely seen
EVERYTHING = [*PIECES.values(), ALL]
