"""A job's folder: log, progress, result, and the lock its worker holds."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from foreknow.engine.wire import read_json, write_json

__all__ = ["JobFolder", "LogChunk"]

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class LogChunk:
    """A piece of a log. ``offset`` is where the next one begins, in bytes."""

    text: str
    offset: int


@dataclass(frozen=True, kw_only=True)
class JobFolder:
    """``jobs/<id>/`` in the workspace."""

    path: Path

    @classmethod
    def of(cls, workspace: Path, job_id: str) -> JobFolder:
        """The folder of a job."""
        return cls(path=workspace / "jobs" / job_id)

    @property
    def log_path(self) -> Path:
        """All the job's attempts printed."""
        return self.path / "log.txt"

    def make(self) -> None:
        """Make the folder and an empty log."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.log_path.touch()

    def append(self, line: str) -> None:
        """Add a line of the engine's own to the log."""
        with self.log_path.open("a") as log:
            log.write(f"{line}\n")

    def read_log(self, offset: int) -> LogChunk:
        """What stands in the log from a byte on, up to 64 KiB, in whole characters."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(offset, 0))
                data = log.read(CHUNK_BYTES)
        except FileNotFoundError:
            return LogChunk(text="", offset=offset)
        cut = _whole_characters(data)
        return LogChunk(text=data[:cut].decode("utf-8", "replace"), offset=max(offset, 0) + cut)

    def progress(self) -> dict[str, Any] | None:
        """How far the last attempt is; None if it hasn't said."""
        return read_json(self.path / "progress.json")

    def set_progress(self, value: Any) -> None:
        """Say how far the job is."""
        write_json(self.path / "progress.json", value)

    def result(self, attempt: int) -> dict[str, Any] | None:
        """How an attempt ended in its worker's own words; None if it didn't say."""
        found = read_json(self.path / "result.json")
        return found if found is not None and found.get("attempt") == attempt else None

    def set_result(self, attempt: int, outcome: str, *, value: Any = None, error: Any = None) -> None:
        """Say how an attempt ended. Written whole or not at all: its presence is the truth."""
        write_json(self.path / "result.json", {"attempt": attempt, "outcome": outcome, "value": value, "error": error})

    def note(self, name: str) -> dict[str, Any] | None:
        """What an earlier attempt noted for later ones."""
        return read_json(self.path / f"{name}.json")

    def set_note(self, name: str, value: Any) -> None:
        """Note something for later attempts."""
        write_json(self.path / f"{name}.json", value)

    def is_held(self) -> bool:
        """Whether a worker holds the job's lock. The system lets go of it when the process ends, however it does."""
        try:
            with (self.path / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    @contextmanager
    def held(self, *, wait_s: float) -> Iterator[bool]:
        """Hold the job's lock; gives whether it could be had in time."""
        with (self.path / "lock").open("a") as lock:
            yield _lock(lock, wait_s)


def _lock(lock: IO[str], wait_s: float) -> bool:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        else:
            return True


def _whole_characters(data: bytes) -> int:
    """How many bytes to take so that no character of UTF-8 is cut; all if the end is no UTF-8 anyway."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        needs = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) if back >= needs else len(data) - back
    return len(data)
