"""The worker: one process, one job, one attempt.

    python -m foreknow.engine.worker --workspace .foreknow --job 0c3e4634f3e6 --attempt 1

It holds the lock of the job's folder as long as it lives, and leaves at once if the job is another attempt's by then.
How it ended is written to ``result.json``, which is the truth: nobody can ask an adopted process for its exit code.
SIGTERM ends it in order: the run is closed, the checkpoint of the last epoch stays.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from foreknow.engine.folder import JobFolder
from foreknow.engine.job import Job, JobStatus
from foreknow.engine.memory import explain_shortage
from foreknow.engine.process import find_process
from foreknow.engine.queue import JobQueue
from foreknow.errors import ForeknowError

__all__ = ["QUEUE_FILE", "Perform", "main"]

Perform = Callable[[Path, JobQueue, Job, JobFolder], Any]
"""Does a job; what it returns is the job's result."""

QUEUE_FILE = "engine.db"
LOCK_WAIT_S = 60.0  # an earlier attempt's worker may be on its way out
INTERRUPTED = 130
NICENESS = 5  # a training takes what is left over: whoever asks the engine gets an answer at once


def main(arguments: Sequence[str] | None = None, *, perform: Perform | None = None) -> int:
    """Run one attempt of one job; returns the exit status.

    Args:
        arguments: Of the command line.
        perform: Does the job; `work.perform` if not given.
    """
    parser = argparse.ArgumentParser(prog="foreknow.engine.worker")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--attempt", type=int, required=True)
    given = parser.parse_args(arguments)
    logging.basicConfig(
        stream=sys.stdout, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("foreknow").setLevel(logging.INFO)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    folder = JobFolder.of(given.workspace, given.job)
    with folder.held(wait_s=LOCK_WAIT_S) as is_ours:
        queue = JobQueue(given.workspace / QUEUE_FILE)
        job = queue.get(given.job)
        this = find_process(os.getpid())
        if not is_ours or job.status is not JobStatus.RUNNING or job.attempt != given.attempt or this is None:
            return 0  # this attempt was given up before it began
        queue.set_process(job, this)
        return _run_attempt(given.workspace, queue, job, folder, perform)


def _run_attempt(workspace: Path, queue: JobQueue, job: Job, folder: JobFolder, perform: Perform | None) -> int:
    """Do what the job asks for, and write how it ended."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if perform is None:
            from foreknow.engine import work

            perform = work.perform
        value = perform(workspace, queue, job, folder)
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        folder.set_result(job.attempt, "INTERRUPTED")
        return INTERRUPTED
    except Exception as e:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        folder.set_result(job.attempt, "FAILED", error=_failure(e))
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    folder.set_result(job.attempt, "COMPLETED", value=value)
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _failure(error: Exception) -> dict[str, Any]:
    """Why the job failed, for its log and for whoever asks."""
    shortage = explain_shortage(error)
    if shortage is not None:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        error = shortage
    if isinstance(error, ForeknowError):
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
        return error.to_dict()
    traceback.print_exc(file=sys.stdout)
    sys.stdout.write("This is a bug in foreknow. Please report it with the lines above.\n")
    return {"type": type(error).__name__, "message": str(error), "hint": "the job's log says where", "findings": []}


if __name__ == "__main__":
    sys.exit(main())
