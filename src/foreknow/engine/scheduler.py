"""The scheduler: claims jobs, looks after their workers, settles how they ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from foreknow.engine.executor import Executor, Exit
from foreknow.engine.folder import JobFolder
from foreknow.engine.job import Job, JobStatus
from foreknow.engine.memory import LOWER, killed_for_memory, oom_kills
from foreknow.engine.queue import JobQueue
from foreknow.errors import ForeknowError, JobError, ResourceError

__all__ = ["MAX_LOST", "Scheduler"]

logger = logging.getLogger(__name__)

TICK_S = 0.2
GRACE_S = 15.0  # between asking a worker to end and ending it
MAX_LOST = 1  # workers a job may lose and still be started again on its own


class Scheduler:
    """Runs jobs, in a thread of its own or tick by tick.

    Args:
        queue: Where jobs come from.
        executor: Where workers run.
        folder_of: The folder of a job.
        workers: Jobs per device at a time.
        is_ready: Whether what jobs need (MLflow) is there; nothing is claimed before.
        close_runs: Closes what runs a lost worker of a job left open.
        grace_s: See `GRACE_S`.
    """

    def __init__(
        self,
        queue: JobQueue,
        executor: Executor,
        folder_of: Callable[[str], JobFolder],
        *,
        workers: int = 1,
        is_ready: Callable[[], bool] = lambda: True,
        close_runs: Callable[[str], None] = lambda job_id: None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._queue, self._executor, self._folder_of = queue, executor, folder_of
        self._workers, self._is_ready, self._close_runs, self._grace_s = workers, is_ready, close_runs, grace_s
        self._asked: dict[tuple[str, int], float] = {}  # when a worker was asked to end
        self._kills: dict[tuple[str, int], int] = {}  # `oom_kills` when the attempt was first seen
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.problem: str | None = None

    def start(self) -> None:
        """Run in the background."""
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def stop(self) -> None:
        """End the background thread; workers go on."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def suspend(self, timeout_s: float) -> None:
        """Stop the thread, then all workers: their jobs go back into the queue, to go on from their checkpoints."""
        self.stop()
        for job in self._queue.running():
            self._queue.request_stop(job, "suspend")
        end = time.monotonic() + timeout_s
        while (running := self._queue.running()) and time.monotonic() < end:
            for job in running:
                self._look_after(job)
            time.sleep(0.05)

    def tick(self) -> None:
        """Look after running jobs, then start what may start."""
        for job in self._queue.running():
            self._look_after(job)
        while self._is_ready() and (claimed := self._queue.claim(self._workers)) is not None:
            self._begin(claimed)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.tick()
                self.problem = None
            except Exception as e:  # a full disk, say: jobs must go on when there is room again
                if str(e) != self.problem:
                    logger.exception("the scheduler can't go on for now")
                self.problem = str(e)
                self._stopping.wait(1.0)
            self._wake.wait(TICK_S)
            self._wake.clear()

    def _begin(self, job: Job) -> None:
        folder = self._folder_of(job.id)
        self._kills[job.id, job.attempt] = oom_kills()
        try:
            folder.make()
            if job.attempt > 1:
                folder.append(f"--- attempt {job.attempt} ---")
            process = self._executor.start(job)
        except (ForeknowError, OSError) as e:
            error = e if isinstance(e, ForeknowError) else JobError(f"the job can't be started: {e}")
            self._queue.finish(job, JobStatus.FAILED, error.to_dict())
            return
        self._queue.set_process(job, process)

    def _look_after(self, job: Job) -> None:
        key = job.id, job.attempt
        self._kills.setdefault(key, oom_kills())
        ended = self._executor.poll(job)
        if ended is not None:
            self._settle(self._queue.get(job.id), ended)  # a stop may have been asked for meanwhile
            self._asked.pop(key, None)
            self._kills.pop(key, None)
            return
        if job.stop is None and job.timeout_s is not None:
            running_s = self._executor.running_s(job)
            if running_s is not None and running_s > job.timeout_s:
                self._queue.request_stop(job, "timeout")
                job = self._queue.get(job.id)
        if job.stop is None:
            return
        if key not in self._asked:
            self._executor.stop(job, kill=False)
            self._asked[key] = time.monotonic()
        elif time.monotonic() > self._asked[key] + self._grace_s:
            self._executor.stop(job, kill=True)

    def _settle(self, job: Job, ended: Exit) -> None:
        """Bring a job whose worker has ended to its next state."""
        result = self._folder_of(job.id).result(job.attempt)
        outcome = None if result is None else result["outcome"]
        if outcome == "COMPLETED":
            self._queue.finish(job, JobStatus.COMPLETED)
            return
        if outcome == "FAILED":
            assert result is not None
            self._queue.finish(job, JobStatus.FAILED, result["error"])
            return
        self._close_left_open(job)
        if job.stop == "cancel":
            self._queue.finish(job, JobStatus.CANCELED)
        elif job.stop == "suspend":
            self._queue.requeue(job, is_lost=False)
        elif job.stop == "timeout":
            self._fail(
                job,
                JobError(
                    f"the job ran longer than its limit of {job.timeout_s:g} s and was stopped",
                    hint="what it learnt is kept: submit it with a larger timeout, or retry it to go on for as long",
                ),
            )
        elif killed_for_memory(ended.code, self._kills.get((job.id, job.attempt), oom_kills())):
            text = "the worker used more memory than there is and was killed by the system"
            self._fail(job, ResourceError(text, hint=LOWER))
        elif job.lost < MAX_LOST:
            self._folder_of(job.id).append(f"the worker was lost ({_said(ended)}); the job goes back into the queue")
            self._queue.requeue(job, is_lost=True)
        else:
            times = f"{job.lost + 1} times"
            self._fail(
                job,
                JobError(
                    f"the worker was lost {times}, the last time {_said(ended)}",
                    hint=f"the job's log may say why; retry goes on from the last checkpoint: "
                    f"foreknow jobs retry {job.id}",
                ),
            )

    def _fail(self, job: Job, error: ForeknowError) -> None:
        self._folder_of(job.id).append(f"{type(error).__name__}: {error}")
        self._queue.finish(job, JobStatus.FAILED, error.to_dict())

    def _close_left_open(self, job: Job) -> None:
        try:
            self._close_runs(job.id)
        except Exception as e:  # MLflow is away: the next start of the engine closes them
            logger.warning("runs of job %s can't be closed now: %s", job.id, e)


def _said(ended: Exit) -> str:
    if ended.code is None:
        return "nobody saw how it ended"
    return f"killed by signal {-ended.code}" if ended.code < 0 else f"it left with status {ended.code}"
