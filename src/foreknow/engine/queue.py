"""The queue: a SQLite table that survives everything. Every change of a job's state is one statement.

Each change names the state it starts from (``WHERE status = ... AND attempt = ...``) and says whether it took place,
so two threads, or an old worker and a new one, can't both believe they changed it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from foreknow.engine.job import ENDED, Job, JobStatus, StopReason
from foreknow.engine.migrations import migrate
from foreknow.engine.process import Process
from foreknow.errors import EngineError, ForeknowError, JobError, UnknownJobError

__all__ = ["JobQueue"]

BUSY_S = 30.0  # how long a statement waits for another process's


class JobQueue:
    """The jobs of a workspace.

    Args:
        path: The database; made if new, brought up to date if old.
        clock: Unix seconds now. Recorded for people to read; decides nothing.

    Raises:
        EngineError: It can't be opened or written.
        StoreError: A newer Foreknow made it.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path, self._clock = path, clock
        self._write_lock, self._read_lock = threading.RLock(), threading.Lock()
        with self._explained("opened"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode = WAL")
            try:
                migrate(self._writer)
            except BaseException:
                self._writer.close()
                raise
            self._reader = self._connect()  # of its own: reading never waits for a write to reach the disk

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
        self._writer.close()

    # --- asking ---------------------------------------------------------------------------------------------

    def get(self, job_id: str) -> Job:
        """A job by its id, or by the beginning of it if no other begins so.

        Raises:
            UnknownJobError: There is none, or several.
        """
        rows = self._read("SELECT * FROM job WHERE id = ?", (job_id,))
        if not rows and len(job_id) >= 4 and job_id.isalnum():
            rows = self._read("SELECT * FROM job WHERE id GLOB ? LIMIT 2", (f"{job_id}*",))
        if len(rows) == 1:
            return rows[0]
        why = f"several jobs begin with '{job_id}'" if rows else f"there is no job '{job_id}'"
        raise UnknownJobError(why, hint="list them with: foreknow jobs list")

    def jobs(self, *, statuses: Sequence[JobStatus] = (), limit: int = 100) -> list[Job]:
        """Jobs, newest first."""
        where = f"WHERE status IN ({', '.join('?' * len(statuses))})" if statuses else ""
        return self._read(f"SELECT * FROM job {where} ORDER BY seq DESC LIMIT ?", (*map(str, statuses), limit))

    def running(self) -> list[Job]:
        """Jobs that have, or had, a worker."""
        return self._read("SELECT * FROM job WHERE status = 'RUNNING' ORDER BY seq")

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each status."""
        with self._explained("read"), self._read_lock:
            found = dict(self._reader.execute("SELECT status, count(*) FROM job GROUP BY status").fetchall())
        return {str(s): int(found.get(str(s), 0)) for s in JobStatus}

    def position(self, job: Job) -> int | None:
        """How many jobs are to be started before this one on its device; None if it doesn't wait."""
        if job.status is not JobStatus.QUEUED:
            return None
        with self._explained("read"), self._read_lock:
            (ahead,) = self._reader.execute(
                """SELECT count(*) FROM job WHERE status = 'QUEUED' AND device = ?
                   AND (priority > ? OR (priority = ? AND seq < ?))""",
                (job.device, job.priority, job.priority, job.seq),
            ).fetchone()
        return int(ahead)

    # --- putting in and out ---------------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        spec: Mapping[str, Any],
        *,
        device: str = "cpu",
        priority: int = 0,
        timeout_s: float | None = None,
    ) -> Job:
        """Accept a job. It waits outside the queue until `enqueue`."""
        return self._one(
            """INSERT INTO job (id, kind, spec, status, priority, timeout_s, device, created)
               VALUES (?, ?, ?, 'CREATED', ?, ?, ?, ?) RETURNING *""",
            (uuid4().hex[:12], kind, json.dumps(spec), priority, timeout_s, device, self._clock()),
        )

    def enqueue(self, job_id: str) -> None:
        """Put an accepted job into the queue."""
        self._change("UPDATE job SET status = 'QUEUED' WHERE id = ? AND status = 'CREATED'", (job_id,))

    def enqueue_created(self) -> int:
        """Put jobs into the queue whose acceptance was interrupted; returns how many."""
        return self._change("UPDATE job SET status = 'QUEUED' WHERE status = 'CREATED'", ())

    def claim(self, workers: int) -> Job | None:
        """Take the next job whose device runs fewer than `workers`, as RUNNING; None if there is none."""
        rows = self._write(
            """UPDATE job SET status = 'RUNNING', attempt = attempt + 1, started = ?, ended = NULL, error = NULL,
                   stop = NULL, pid = NULL, pid_start = NULL, boot_id = NULL
               WHERE seq = (
                   SELECT waiting.seq FROM job AS waiting WHERE waiting.status = 'QUEUED' AND (
                       SELECT count(*) FROM job AS busy WHERE busy.status = 'RUNNING' AND busy.device = waiting.device
                   ) < ? ORDER BY waiting.priority DESC, waiting.seq LIMIT 1)
               RETURNING *""",
            (self._clock(), workers),
        )
        return rows[0] if rows else None

    def set_process(self, job: Job, process: Process) -> bool:
        """Record the worker of an attempt."""
        return self._change_attempt(
            "pid = ?, pid_start = ?, boot_id = ?", job, (process.pid, process.start, process.boot)
        )

    def set_run(self, job: Job, run_id: str) -> bool:
        """Record the MLflow run of an attempt."""
        return self._change_attempt("run_id = ?", job, (run_id,))

    def request_stop(self, job: Job, reason: StopReason) -> bool:
        """Ask for a running attempt to be stopped; the first reason stands."""
        return self._change_attempt("stop = coalesce(stop, ?)", job, (reason,))

    def finish(self, job: Job, status: JobStatus, error: Mapping[str, Any] | None = None) -> bool:
        """End a running attempt."""
        if status not in ENDED:
            raise ValueError(f"{status} is no end")
        text = None if error is None else json.dumps(error)
        return self._change_attempt("status = ?, error = ?, ended = ?, stop = NULL", job, (status, text, self._clock()))

    def requeue(self, job: Job, *, is_lost: bool) -> bool:
        """Put a running attempt back into the queue; `is_lost`: its worker went without a word."""
        return self._change_attempt("status = 'QUEUED', stop = NULL, lost = lost + ?", job, (int(is_lost),))

    def cancel(self, job_id: str) -> Job:
        """Take a job out of the queue, or ask for it to be stopped if it runs.

        Raises:
            UnknownJobError: There is no such job.
            JobError: It has ended.
        """
        job = self.get(job_id)
        now = self._clock()
        if self._change(
            "UPDATE job SET status = 'CANCELED', ended = ? WHERE id = ? AND status IN ('CREATED', 'QUEUED')",
            (now, job.id),
        ) or self._change("UPDATE job SET stop = 'cancel' WHERE id = ? AND status = 'RUNNING'", (job.id,)):
            return self.get(job.id)
        raise JobError(f"job '{job.id}' has ended: {self.get(job.id).status}")

    def retry(self, job_id: str, *, fresh: bool = False) -> Job:
        """Put a failed or canceled job into the queue again.

        Args:
            job_id: Which.
            fresh: Start from the beginning instead of the last checkpoint.

        Raises:
            UnknownJobError: There is no such job.
            JobError: It isn't failed or canceled.
        """
        job = self.get(job_id)
        run = "run_id = NULL," if fresh else ""
        if self._change(
            f"""UPDATE job SET status = 'QUEUED', {run} lost = 0, ended = NULL, error = NULL, stop = NULL
                WHERE id = ? AND status IN ('FAILED', 'CANCELED')""",
            (job.id,),
        ):
            return self.get(job.id)
        status = self.get(job.id).status
        hint = "cancel it first" if status in (JobStatus.QUEUED, JobStatus.RUNNING) else "submit a new job"
        raise JobError(f"job '{job.id}' can't be retried: it is {status}", hint=hint)

    # --- statements -----------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before anybody is told of it
        return connection

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Job]:
        with self._explained("read"), self._read_lock:
            return _jobs(self._reader.execute(sql, values))

    def _write(self, sql: str, values: Sequence[Any]) -> list[Job]:
        with self._explained("written"), self._write_lock:
            return _jobs(self._writer.execute(sql, values))

    def _one(self, sql: str, values: Sequence[Any]) -> Job:
        (job,) = self._write(sql, values)
        return job

    def _change(self, sql: str, values: Sequence[Any]) -> int:
        with self._explained("written"), self._write_lock:
            return self._writer.execute(sql, values).rowcount

    def _change_attempt(self, assignments: str, job: Job, values: Sequence[Any]) -> bool:
        where = "WHERE id = ? AND status = 'RUNNING' AND attempt = ?"
        return bool(self._change(f"UPDATE job SET {assignments} {where}", (*values, job.id, job.attempt)))

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except ForeknowError:
            raise
        except (sqlite3.Error, OSError) as e:
            raise EngineError(
                f"the job queue '{self.path}' can't be {what}: {e}",
                hint="is the disk full, or the workspace not writable? FOREKNOW_HOME moves it",
            ) from e


def _jobs(cursor: sqlite3.Cursor) -> list[Job]:
    rows = cursor.fetchall()
    names = [column[0] for column in cursor.description]
    return [_job(dict(zip(names, row, strict=True))) for row in rows]


def _job(row: dict[str, Any]) -> Job:
    row["spec"] = json.loads(row["spec"])
    row["error"] = None if row["error"] is None else json.loads(row["error"])
    row["status"] = JobStatus(row["status"])
    return Job(**row)
