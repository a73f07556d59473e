"""Which form has which panel beside it."""

from __future__ import annotations

from tui.widgets.beside import Beside


def panel_of(message: str) -> Beside | None:
    """The panel of a message's form; none where there is nothing to see before it is sent."""
    if message == "StartFineTuningJob":
        from tui.widgets.preflight import Preflight

        return Preflight()
    if message == "AddDataset":
        from tui.widgets.datapreview import DataPreview

        return DataPreview()
    if message == "AddModel":
        from tui.widgets.modelfiles import ModelFiles

        return ModelFiles()
    if message == "AddPrompt":
        from tui.widgets.rendering import Rendering

        return Rendering()
    return None
