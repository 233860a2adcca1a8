"""Engines under test: pretended jobs submitted and waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from foreknow.engine.engine import Engine

__all__ = ["NOWHERE", "ended", "submit_fake", "until"]

NOWHERE = "http://127.0.0.1:9"
"""Address of an MLflow server that isn't there; engines whose workers pretend need none."""

T = TypeVar("T")


def until(condition: Callable[[], T], timeout_s: float = 30.0) -> T:
    """Wait until something is so; returns it."""
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.02)
    return found


def submit_fake(engine: Engine, do: Mapping[str, Any] | None = None, **options: Any) -> str:
    """Submit a pretended training (see `fake_worker`); returns its id."""
    return str(engine.submit("train", {"task": "Buys", "definition": dict(do or {})}, **options)["id"])


def ended(engine: Engine, job_id: str, timeout_s: float = 30.0) -> dict[str, Any]:
    """Wait for a job to end; returns it."""

    def look() -> dict[str, Any] | None:
        job = engine.job(job_id)
        return job if job["status"] in ("COMPLETED", "FAILED", "CANCELED") else None

    found = until(look, timeout_s)
    assert found is not None
    return found
