"""The engine: one per workspace. Keeps the queue, runs jobs, answers questions in plain values.

Its public methods are the operations of the HTTP service and of the client; whoever calls them gets values JSON knows,
and errors of ours.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from foreknow.database import HOME
from foreknow.engine.catalog import Catalog
from foreknow.engine.executor import Executor, LocalExecutor
from foreknow.engine.folder import JobFolder
from foreknow.engine.job import Job, JobStatus
from foreknow.engine.process import Process, find_process, is_alive
from foreknow.engine.queue import JobQueue
from foreknow.engine.scheduler import GRACE_S, Scheduler
from foreknow.engine.spec import JobSpec, check_spec, device_of, read_spec
from foreknow.engine.tracking import Tracking
from foreknow.engine.wire import read_json, write_json
from foreknow.engine.worker import QUEUE_FILE
from foreknow.errors import ConfigError, EngineError
from foreknow.track.runs import close_job_runs

__all__ = ["Engine", "find_engine", "workspace_of"]

RECORD = "engine.json"
POLL_S = 0.2  # between looks at a log that is followed


class Engine:
    """A workspace's engine. Answers questions as it is; runs jobs between `start` and `close`.

    Args:
        project: Project file or the folder it is in, a database, or a folder of files.
        workspace: Where everything is kept; ``.foreknow`` beside the project if not given.
        workers: Jobs per device at a time.
        tracking_uri: MLflow server to use instead of the workspace's own.
        mlflow_port: Where to try to start the workspace's own.
        allow_paths: Folders besides the project's that requests may name; None for anywhere.
        executor: Where workers run; subprocesses if not given.
        grace_s: Seconds a worker has to end in order when it is stopped.
    """

    def __init__(
        self,
        project: str | Path = ".",
        *,
        workspace: str | Path | None = None,
        workers: int = 1,
        tracking_uri: str | None = None,
        mlflow_port: int = 5000,
        allow_paths: Sequence[str | Path] | None = None,
        executor: Executor | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self.project = Path(project).expanduser().resolve()
        if not self.project.exists():
            raise ConfigError(f"there is nothing at '{project}'", hint="name a project file, a database or a folder")
        if workers < 1:
            raise ConfigError(f"workers is {workers}", hint="at least one job must be able to run")
        self.workspace = workspace_of(self.project, workspace)
        base = self.project if self.project.is_dir() else self.project.parent
        roots = None if allow_paths is None else (base, self.workspace, *(Path(p).resolve() for p in allow_paths))
        self.catalog = Catalog(self.project, self.workspace, roots=roots)
        self.tracking_uri = tracking_uri
        self.queue = JobQueue(self.workspace / QUEUE_FILE)
        self._executor = executor or LocalExecutor(self.workspace, environment=_environment(tracking_uri))
        self._tracking = Tracking(self.workspace, tracking_uri, port=mlflow_port, on_ready=self._close_strays)
        self._scheduler = Scheduler(
            self.queue,
            self._executor,
            self._folder,
            workers=workers,
            is_ready=lambda: self._tracking.is_ready,
            close_runs=lambda job_id: self._close_strays(self._tracking.url, but=job_id),
            grace_s=grace_s,
        )
        self._lock: IO[str] | None = None
        self._grace_s = grace_s
        self._heavy = threading.Semaphore(2)  # schema and previews compute; they mustn't crowd out the rest

    # --- life -----------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether jobs are run."""
        return self._lock is not None

    def start(self, *, address: str | None = None) -> Engine:
        """Begin to run jobs; takes over those an earlier engine left. MLflow starts in the background.

        Args:
            address: Where the engine can be reached over HTTP, told to whoever asks for it.

        Raises:
            EngineError: Another engine runs on the workspace; its address is told.
        """
        lock = (self.workspace / "engine.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            lock.close()
            raise EngineError(_taken(self.workspace), hint="use that one, or end it with: foreknow down") from e
        self._lock = lock
        this = find_process(os.getpid())
        assert this is not None
        write_json(
            self.workspace / RECORD,
            {"pid": this.pid, "pid_start": this.start, "boot_id": this.boot, "address": address},
        )
        self.queue.enqueue_created()
        self._tracking.start()
        self._scheduler.start()
        return self

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until MLflow answers, and jobs begin to run; returns whether they do."""
        return self._tracking.wait(timeout_s)

    def close(self, *, suspend: bool = True) -> None:
        """End the engine.

        Args:
            suspend: Stop running jobs; they go on from their checkpoints with the next engine. Otherwise their workers
                go on now, and the next engine finds them.
        """
        if self._lock is not None:
            if suspend:
                self._scheduler.suspend(self._grace_s + 5)
            else:
                self._scheduler.stop()
            self._tracking.stop()
            (self.workspace / RECORD).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
        if isinstance(self._executor, LocalExecutor):
            self._executor.abandon()
        self.queue.close()

    # --- operations: the engine -----------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """How the engine is."""
        return {
            "status": "ok" if self._scheduler.problem is None else "degraded",
            "problem": self._scheduler.problem or self._tracking.problem,
            "version": version("foreknow"),
            "is_running": self.is_running,
            "mlflow": {"url": self._tracking.url, "is_ready": self._tracking.is_ready},
            "jobs": self.queue.counts(),
        }

    # --- operations: what there is --------------------------------------------------------------------------

    def source(self) -> dict[str, Any]:
        """See `Catalog.source`."""
        return self.catalog.source()

    def schema(self, project: str | None = None) -> dict[str, Any]:
        """See `Catalog.schema`."""
        with self._heavy:
            return self.catalog.schema(project)

    def tasks(self) -> list[dict[str, Any]]:
        """See `Catalog.tasks`."""
        return self.catalog.tasks()

    def preview(self, task: str, definition: str | Mapping[str, Any] | None = None) -> dict[str, Any]:
        """See `Catalog.preview`."""
        with self._heavy:
            return self.catalog.preview(task, definition)

    def runs(self) -> list[dict[str, Any]]:
        """See `Catalog.runs`."""
        return self.catalog.runs()

    def run(self, run_id: str) -> dict[str, Any]:
        """See `Catalog.run`."""
        return self.catalog.run(run_id)

    def predictions(self) -> list[dict[str, Any]]:
        """See `Catalog.predictions`."""
        return self.catalog.predictions()

    def prediction_rows(self, name: str, *, offset: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """See `Catalog.prediction_rows`."""
        return self.catalog.prediction_rows(name, offset=offset, limit=limit)

    def models(self) -> list[dict[str, Any]]:
        """Versions of registered models."""
        return [_model(v) for v in self._registry().list()]

    def register(self, name: str, run_id: str, *, alias: str | None = None) -> dict[str, Any]:
        """Make a run's model a version of a registered one."""
        return _model(self._registry().register_run(name, run_id, alias=alias))

    def _registry(self) -> Any:
        from foreknow.track.connect import connect
        from foreknow.track.registry import Registry

        url = self._tracking.url if self._tracking.is_ready else self.tracking_uri
        return Registry(connect(self.workspace, url))

    # --- operations: jobs -----------------------------------------------------------------------------------

    def submit(
        self, kind: str, spec: Mapping[str, Any], *, priority: int = 0, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """Take a job into the queue.

        Raises:
            ConfigError: It isn't understood; everything that is wrong with it at once.
            AccessError: It names a path that requests may not reach.
        """
        read = read_spec(kind, spec)
        check_spec(read)
        if timeout_s is not None and not timeout_s > 0:
            raise ConfigError(f"timeout_s is {timeout_s}", hint="give seconds, or leave it out")
        values = self._placed(read)
        job = self.queue.add(kind, values, device=device_of(read), priority=priority, timeout_s=timeout_s)
        self._folder(job.id).make()
        self.queue.enqueue(job.id)
        self._scheduler.wake()
        return self.job(job.id)

    def job(self, job_id: str) -> dict[str, Any]:
        """A job: where it stands, how far it is, and its result once it is completed."""
        job = self.queue.get(job_id)
        folder = self._folder(job.id)
        result = folder.result(job.attempt) if job.status is JobStatus.COMPLETED else None
        return {
            **self._brief(job),
            "progress": folder.progress() if job.attempt else None,
            "result": None if result is None else result["value"],
        }

    def jobs(self, *, statuses: Sequence[str] = (), limit: int = 100) -> list[dict[str, Any]]:
        """Jobs, newest first.

        Raises:
            ConfigError: There is no such status.
        """
        unknown = [s for s in statuses if s not in set(JobStatus)]
        if unknown:
            raise ConfigError(f"there is no status '{unknown[0]}'", hint=f"statuses: {', '.join(JobStatus)}")
        found = self.queue.jobs(statuses=[JobStatus(s) for s in statuses], limit=limit)
        return [self._brief(job) for job in found]

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Take a job out of the queue, or stop it; what it learnt so far is kept."""
        job = self.queue.cancel(job_id)
        self._scheduler.wake()
        return self.job(job.id)

    def retry(self, job_id: str, *, fresh: bool = False) -> dict[str, Any]:
        """Put a failed or canceled job into the queue again, from its last checkpoint unless `fresh`."""
        job = self.queue.retry(job_id, fresh=fresh)
        self._scheduler.wake()
        return self.job(job.id)

    def log(self, job_id: str, offset: int = 0) -> dict[str, Any]:
        """A piece of a job's log: ``text``, the ``offset`` of the next piece, and whether this ``is_last``."""
        job = self.queue.get(job_id)  # asked before reading: what it printed until its end is in the file by then
        chunk = self._folder(job.id).read_log(offset)
        return {"text": chunk.text, "offset": chunk.offset, "is_last": job.has_ended and not chunk.text}

    def stream_log(self, job_id: str, *, offset: int = 0, follow: bool = False) -> Iterator[str]:
        """A job's log in pieces, from a byte on; `follow`: until the job has ended."""
        while True:
            piece = self.log(job_id, offset)
            offset = piece["offset"]
            if piece["text"]:
                yield piece["text"]
            elif piece["is_last"] or not follow:
                return
            else:
                time.sleep(POLL_S)

    # --- parts ----------------------------------------------------------------------------------------------

    def _folder(self, job_id: str) -> JobFolder:
        return JobFolder.of(self.workspace, job_id)

    def _brief(self, job: Job) -> dict[str, Any]:
        return {**job.to_dict(), "queue_position": self.queue.position(job)}

    def _placed(self, spec: JobSpec) -> dict[str, Any]:
        """A spec as plain values, its paths absolute: a job means the same wherever its worker starts."""
        values = spec.model_dump(mode="json", exclude_none=True)
        project = values.get("project")
        values["project"] = str(self.project if project is None else self.catalog.allowed(project))
        if values.get("to") is not None:
            values["to"] = str(self.catalog.allowed(values["to"]))
        return values

    def _close_strays(self, url: str | None, but: str | None = None) -> None:
        """Close MLflow runs of jobs that don't run; `but`: nor does this one, whatever the queue says."""
        if url is not None and self.is_running:
            close_job_runs(url, running={j.id for j in self.queue.running()} - {but})


def workspace_of(project: Path, workspace: str | Path | None = None) -> Path:
    """The workspace of a project: the given one, or ``.foreknow`` beside it."""
    if workspace is not None:
        return Path(workspace).expanduser().resolve()
    is_project = project.suffix in (".yaml", ".yml") or (project / "foreknow.yaml").exists()
    base = Path.cwd() if not is_project else (project if project.is_dir() else project.parent)
    return (base / HOME).resolve()


def find_engine(workspace: Path) -> dict[str, Any] | None:
    """The record of the engine that runs on a workspace (``pid``, ``address``); None if none does."""
    record = read_json(workspace / RECORD)
    if record is None:
        return None
    process = Process(pid=record["pid"], start=record["pid_start"], boot=record["boot_id"])
    return record if is_alive(process) else None


def _taken(workspace: Path) -> str:
    end = time.monotonic() + 2.0
    while (record := find_engine(workspace)) is None and time.monotonic() < end:
        time.sleep(0.1)  # it holds the lock already and is about to write its record
    where = "" if record is None else f" at {record['address'] or 'no address'} (process {record['pid']})"
    return f"an engine runs on '{workspace}' already{where}"


def _environment(tracking_uri: str | None) -> dict[str, str]:
    """Of the workers: where they track is what the engine was told, not what its own environment says."""
    kept = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    return {**kept, "MLFLOW_TRACKING_URI": tracking_uri} if tracking_uri is not None else kept


def _model(found: Any) -> dict[str, Any]:
    return {
        "name": found.name,
        "version": found.version,
        "run_id": found.run_id,
        "aliases": list(found.aliases),
        "description": found.description,
    }
