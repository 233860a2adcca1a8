"""A progress bar for a job, in a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

__all__ = ["ProgressBar"]


class ProgressBar:
    """Shows what a job says of itself. ``shown``: whether at all; None for terminals and notebooks only."""

    def __init__(self, *, shown: bool | None = None, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        is_shown = (console.is_terminal or console.is_jupyter) if shown is None else shown
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=28))
        self._progress = Progress(*columns, console=console, transient=True, disable=not is_shown)
        self._bar = self._progress.add_task("waiting", total=None)

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, values: Mapping[str, Any]) -> None:
        """Show where the job stands."""
        from foreknow.client.job import describe

        progress = values.get("progress") or {}
        total = done = None
        if "steps" in progress and "epochs" in progress:
            total = progress["epochs"] * progress["steps"]
            done = (progress.get("epoch", 1) - 1) * progress["steps"] + progress.get("step", 0)
        text = f"{values['kind']} {values['id']}: {describe(values)}"
        self._progress.update(self._bar, description=text, total=total, completed=done or 0)
