"""What a tracker does for a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

__all__ = ["RunStatus", "Tracker"]

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker(Protocol):
    """One run. Metrics may be buffered; nothing a training loop calls may block it."""

    @property
    def run_id(self) -> str:
        """Identifier of the run."""
        ...

    @property
    def run_name(self) -> str:
        """Its name, of the tracking server's making."""
        ...

    @property
    def url(self) -> str | None:
        """The page where the run can be watched."""
        ...

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Record metrics at a step; values that are not finite are left out. Returns at once."""
        ...

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record parameters, nested ones flattened with dots."""
        ...

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Record tags."""
        ...

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file or a folder's content with the run."""
        ...

    def finish(self, status: RunStatus) -> None:
        """Send what is buffered and close the run."""
        ...
