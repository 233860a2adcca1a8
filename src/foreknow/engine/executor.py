"""Executors: where workers run. The local one starts a subprocess per job; a cluster's would submit the command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from foreknow.engine.folder import JobFolder
from foreknow.engine.job import Job
from foreknow.engine.process import Process, find_process, is_alive, signal_group, uptime_s
from foreknow.errors import EngineError

__all__ = ["Executor", "Exit", "LocalExecutor", "worker_command"]


@dataclass(frozen=True, kw_only=True)
class Exit:
    """A worker has ended. ``code``: its exit code, negative for a signal; None if nobody was there to see."""

    code: int | None


class Executor(Protocol):
    """Starts, watches and stops the worker of a job."""

    def start(self, job: Job) -> Process:
        """Start a worker for the job's attempt.

        Raises:
            EngineError: It can't be started.
        """
        ...

    def poll(self, job: Job) -> Exit | None:
        """How the worker ended; None while it runs. Works for workers of an earlier engine too."""
        ...

    def stop(self, job: Job, *, kill: bool) -> None:
        """Ask the worker to end in order, or end it at once. Returns without waiting."""
        ...

    def running_s(self, job: Job) -> float | None:
        """Seconds the worker has been running; None if it isn't known."""
        ...


def worker_command(workspace: Path, job: Job) -> list[str]:
    """What is run for an attempt of a job."""
    return [
        *(sys.executable, "-m", "foreknow.engine.worker"),
        *("--workspace", str(workspace), "--job", job.id, "--attempt", str(job.attempt)),
    ]


class LocalExecutor:
    """A subprocess per job, in a session of its own: it outlives the engine.

    Args:
        workspace: Holds the jobs' folders.
        environment: Environment of the workers; the engine's own, but for its token, if not given.
        command: Makes the command of an attempt.
    """

    def __init__(
        self,
        workspace: Path,
        *,
        environment: Mapping[str, str] | None = None,
        command: Callable[[Path, Job], list[str]] = worker_command,
    ) -> None:
        self._workspace, self._command = workspace, command
        given = os.environ if environment is None else environment
        self._environment = {k: v for k, v in given.items() if k != "FOREKNOW_TOKEN"}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, job: Job) -> Process:
        """Start the subprocess; what it prints goes to the job's log."""
        folder = JobFolder.of(self._workspace, job.id)
        try:
            with folder.log_path.open("ab") as log:
                child = subprocess.Popen(
                    self._command(self._workspace, job),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**self._environment, "PYTHONUNBUFFERED": "1"},
                    start_new_session=True,
                )
        except OSError as e:
            raise EngineError(f"the worker of job '{job.id}' can't be started: {e}") from e
        self._children[job.id] = child
        return find_process(child.pid) or Process(pid=child.pid, start=-1.0, boot="")

    def poll(self, job: Job) -> Exit | None:
        """Look at the child, or for the process an earlier engine started."""
        child = self._children.get(job.id)
        if child is not None:
            if child.poll() is None:
                return None
            del self._children[job.id]
            return Exit(code=child.returncode)
        process = _process(job)
        if process is not None:
            return None if is_alive(process) else Exit(code=None)
        # The engine died between claim and spawn, or between spawn and taking note. A worker that did start holds
        # the lock, or is about to find that the attempt isn't the job's any more.
        return None if JobFolder.of(self._workspace, job.id).is_held() else Exit(code=None)

    def stop(self, job: Job, *, kill: bool) -> None:
        """SIGTERM or SIGKILL to the worker and all it started."""
        process = self._find(job)
        if process is not None:
            signal_group(process, signal.SIGKILL if kill else signal.SIGTERM)

    def running_s(self, job: Job) -> float | None:
        """Since the process began, in the system's own count."""
        process = self._find(job)
        return None if process is None or not is_alive(process) else uptime_s(process)

    def wait(self, job: Job, timeout_s: float) -> Exit | None:
        """Wait for a worker to end; None if it doesn't in time."""
        end = time.monotonic() + timeout_s
        while (ended := self.poll(job)) is None and time.monotonic() < end:
            time.sleep(0.05)
        return ended

    def abandon(self) -> None:
        """Forget the children, which go on on their own: another engine takes them over."""
        for child in self._children.values():
            with contextlib.suppress(OSError):
                if child.poll() is None:
                    child.returncode = 0  # Popen needn't warn that it lives on
        self._children.clear()

    def _find(self, job: Job) -> Process | None:
        child = self._children.get(job.id)
        return _process(job) or (find_process(child.pid) if child is not None else None)


def _process(job: Job) -> Process | None:
    if job.pid is None or job.pid_start is None or job.boot_id is None:
        return None
    return Process(pid=job.pid, start=job.pid_start, boot=job.boot_id)
