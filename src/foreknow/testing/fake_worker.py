"""A worker that only pretends to work: the real one's protocol, in a tenth of a second.

What a job does stands in its ``definition``:

    {}                               completes with {"did": "nothing"}
    {"say": "hello"}                 prints
    {"sleep": 2.0}                   takes so long; SIGTERM ends it
    {"stubborn": 2.0}                takes so long; SIGTERM doesn't end it
    {"error": "no such column"}      fails with a `TaskError`
    {"bug": "oops"}                  fails with an error of Python's own
    {"memory": true}                 fails for lack of memory
    {"exit": 3}                      leaves without a result
    {"die": 1}                       is killed in its first attempt, or as many as are told
    {"steps": 5, "step_s": 0.1}      goes on where an earlier attempt stopped

Every attempt that completes adds its name to ``done.txt`` in the workspace: once per job, or something is wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foreknow.engine.folder import JobFolder
from foreknow.engine.job import Job
from foreknow.engine.queue import JobQueue
from foreknow.engine.worker import main
from foreknow.errors import TaskError

__all__ = ["fake_command", "fake_perform"]

DONE = "done.txt"


def fake_command(workspace: Path, job: Job) -> list[str]:
    """For `LocalExecutor`."""
    given = ["--workspace", str(workspace), "--job", job.id, "--attempt", str(job.attempt)]
    return [sys.executable, "-m", "foreknow.testing.fake_worker", *given]


def fake_perform(workspace: Path, queue: JobQueue, job: Job, folder: JobFolder) -> dict[str, Any]:
    """Pretend to do a job."""
    told: Mapping[str, Any] = job.spec.get("definition") or {}
    for line in [told["say"]] if "say" in told else []:
        print(line, flush=True)
    if "error" in told:
        raise TaskError(told["error"], hint="mend it")
    if "bug" in told:
        raise ZeroDivisionError(told["bug"])
    if told.get("memory"):
        raise MemoryError("cannot allocate memory for 10 TB")
    if "exit" in told:
        os._exit(told["exit"])
    if job.attempt <= told.get("die", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if "stubborn" in told:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(told.get("sleep", told.get("stubborn", 0.0)))
    begun = int((folder.note("checkpoint") or {"step": 0})["step"])
    for step in range(begun, told.get("steps", 0)):
        time.sleep(told.get("step_s", 0.0))
        folder.set_note("checkpoint", {"step": step + 1})
        folder.set_progress({"stage": "training", "epoch": step + 1, "epochs": told["steps"]})
    with (workspace / DONE).open("a") as done:
        done.write(f"{job.id} {job.attempt}\n")
    return {"did": told.get("say", "nothing"), "begun_at": begun, "attempt": job.attempt}


if __name__ == "__main__":
    sys.exit(main(perform=fake_perform))
