"""The protocol of clients: plain values in, plain values out, errors of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

__all__ = ["Operations"]


class Operations(Protocol):
    """What an engine does for a client. An engine in this process fulfils it, and so does a connection to one."""

    def health(self) -> dict[str, Any]:
        """How the engine is."""
        ...

    def source(self) -> dict[str, Any]:
        """Tables and columns of the source."""
        ...

    def schema(self, project: str | None = None) -> dict[str, Any]:
        """What the tables mean: of the engine's project, or proposed for another database."""
        ...

    def tasks(self) -> list[dict[str, Any]]:
        """Tasks of the project."""
        ...

    def preview(self, task: str, definition: str | Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Rows, seed times and labels per split of a task."""
        ...

    def submit(
        self, kind: str, spec: Mapping[str, Any], *, priority: int = 0, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Take a job into the queue."""
        ...

    def job(self, job_id: str) -> dict[str, Any]:
        """Where a job stands."""
        ...

    def jobs(self, *, statuses: Sequence[str] = (), limit: int = 100) -> list[dict[str, Any]]:
        """Jobs, newest first."""
        ...

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job."""
        ...

    def retry(self, job_id: str, *, fresh: bool = False) -> dict[str, Any]:
        """Put a failed or canceled job into the queue again."""
        ...

    def stream_log(self, job_id: str, *, offset: int = 0, follow: bool = False) -> Iterator[str]:
        """A job's log in pieces."""
        ...

    def runs(self) -> list[dict[str, Any]]:
        """Trainings, newest first."""
        ...

    def run(self, run_id: str) -> dict[str, Any]:
        """A training."""
        ...

    def models(self) -> list[dict[str, Any]]:
        """Versions of registered models."""
        ...

    def register(self, name: str, run_id: str, *, alias: str | None = None) -> dict[str, Any]:
        """Register a run's model."""
        ...

    def predictions(self) -> list[dict[str, Any]]:
        """Prediction tables."""
        ...

    def prediction_rows(self, name: str, *, offset: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Rows of a prediction table."""
        ...

    def close(self) -> None:
        """Leave."""
        ...
