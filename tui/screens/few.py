"""A question before a training of hardly any steps is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core import short
from tui.screens.confirm import ConfirmScreen


class FewScreen(ConfirmScreen):
    """Yes takes what the plan advises; `as_it_is` tells that it was sent without."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("s", "as_it_is", "send it as it is")]
    keys = "enter send with that   s send as it is   esc back"

    def __init__(self, doubt: Mapping[str, Any]) -> None:
        """`doubt` is core.messages.planning.Longer with the `few` steps that there would be."""
        super().__init__(f"It would train {short.told(doubt['few'])}.\n\n{doubt['text']}.")
        self.as_it_is = False

    def action_as_it_is(self) -> None:
        """s."""
        self.as_it_is = True
        self.dismiss(True)
