"""A line of text whose keys take effect in the order in which they were typed."""

from __future__ import annotations

from textual.events import Key
from textual.widgets import Input


class Line(Input):
    """An Input that runs its own editing keys itself.

    Textual inserts a letter at once, but asks for a key's binding only when the key has bubbled up to the app: of `ctrl+u`
    and letters that come in one burst, over a slow line, the letters were inserted first and then deleted.
    """

    async def _on_key(self, event: Key) -> None:
        if event.is_printable:
            await super()._on_key(event)
            return
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            event.stop()
            event.prevent_default()
            self._restart_blink()
            await self.run_action(binding.action)
            return
