"""A job: what somebody asked for, and where it stands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = ["ENDED", "Job", "JobStatus", "StopReason"]

StopReason = Literal["cancel", "timeout", "suspend"]
"""Why a running job is being stopped: by a person, by its time limit, or because the engine goes down."""


class JobStatus(StrEnum):
    """Where a job stands."""

    CREATED = "CREATED"  # accepted, not in the queue yet
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELED)
"""Nothing more happens to such a job unless it is retried."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row of the queue.

    Attributes:
        seq: Order of arrival; moments of a clock that may jump back don't order anything.
        id: Name of the job.
        kind: What is done; see `spec.KINDS`.
        spec: With what, as plain values.
        status: Where it stands.
        priority: Higher ones first.
        timeout_s: Seconds it may run, if limited.
        device: Where it computes; so many jobs per device run at a time.
        pid: Worker process, with `pid_start` and `boot_id` to tell it from a later one of the same number.
        pid_start: When the process began, in the system's own count.
        boot_id: The boot it belongs to.
        run_id: MLflow run, as soon as it exists.
        attempt: How many times it was started.
        lost: How many workers were lost since it was last put into the queue by a person.
        stop: Why it is being stopped, if it is.
        created: Unix seconds, as all moments here.
        started: When the last attempt began.
        ended: When it ended.
        error: Why it failed, as `ForeknowError.to_dict` says it.
    """

    seq: int
    id: str
    kind: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    status: JobStatus
    priority: int = 0
    timeout_s: float | None = None
    device: str = "cpu"
    pid: int | None = None
    pid_start: float | None = None
    boot_id: str | None = None
    run_id: str | None = None
    attempt: int = 0
    lost: int = 0
    stop: StopReason | None = None
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    error: Mapping[str, Any] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in ENDED

    def to_dict(self) -> dict[str, Any]:
        """What clients are told; moments as text in UTC."""
        return {
            "id": self.id,
            "kind": self.kind,
            "spec": dict(self.spec),
            "status": str(self.status),
            "priority": self.priority,
            "timeout_s": self.timeout_s,
            "device": self.device,
            "run_id": self.run_id,
            "attempt": self.attempt,
            "stopping": self.stop,
            "created": _moment(self.created),
            "started": _moment(self.started),
            "ended": _moment(self.ended),
            "error": None if self.error is None else dict(self.error),
        }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
