"""All that the command prints, on a terminal: `python -m tests.hostile.printing`."""

from __future__ import annotations

from core.errors import NotFound, Refused, Unavailable
from core.messages.base import load
from core.rules import Breach
from tests.hostile.corpus import ALL, SHORT
from tests.hostile.studio import Maker
from tui.cli import console, output


def main() -> None:
    """Every reply in every form, and every way to fail."""
    maker = Maker([*SHORT, "x" * 3_000])
    for name, message in load().items():
        value = maker.reply(message.REPLY).model_dump(mode="json", warnings=False)
        for form in output.FORMS:
            console.say(f"── {name} {form}")
            output.show(value, form)
    breach = Breach(rule="XX-001", field=ALL, message=ALL)
    for error in (NotFound(ALL), Unavailable(ALL), Refused.because([breach])):
        for form in output.FORMS:
            output.fail(error, form)
    console.say(ALL)
    console.warn(ALL)


if __name__ == "__main__":
    main()
