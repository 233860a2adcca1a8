"""The front of the client: ``foreknow.Client``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foreknow.client.job import Job
from foreknow.client.operations import Operations
from foreknow.client.views import Rows, RunView, SchemaView, TaskPreview

__all__ = ["Client"]

JOB_COLUMNS = ("id", "kind", "status", "priority", "run_id", "created", "ended")
RUN_COLUMNS = ("run_id", "run_name", "experiment", "status", "best_epoch")


class Client:
    """An engine, over HTTP or in this process; the same methods, the same answers, the same errors.

    ``Client("http://127.0.0.1:8770")`` speaks to an engine that runs. ``Client()`` and ``Client("shop")`` find the one
    that runs on the project of that folder; if there is none, they are one, until `close` (or the end of ``with``).
    Jobs that run then go on from their checkpoints when an engine is next started.

    Args:
        where: Address of an engine, or a project: a file, a folder, a database.
        token: Of the engine; ``FOREKNOW_TOKEN`` if not given.
        workspace: Of the project; ``FOREKNOW_HOME``, or ``.foreknow`` beside it, if not given.
        workers: Jobs per device at a time, for an engine in this process.
        tracking_uri: MLflow server for an engine in this process; ``MLFLOW_TRACKING_URI``, or its own, if not given.
        operations: Speak to this instead; everything else is not looked at.

    Raises:
        ConfigError: The address or project makes no sense.
        EngineError: The engine of that workspace is in another process, and without an address.
    """

    def __init__(
        self,
        where: str | Path = ".",
        *,
        token: str | None = None,
        workspace: str | Path | None = None,
        workers: int = 1,
        tracking_uri: str | None = None,
        operations: Operations | None = None,
    ) -> None:
        self._operations = operations or _connect(
            where,
            token=token or os.environ.get("FOREKNOW_TOKEN"),
            workspace=workspace or os.environ.get("FOREKNOW_HOME"),
            workers=workers,
            tracking_uri=tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the engine; if it is in this process, it ends."""
        self._operations.close()

    def health(self) -> dict[str, Any]:
        """How the engine is: ``status``, ``version``, ``mlflow``, ``jobs`` by status."""
        return self._operations.health()

    # --- the project ----------------------------------------------------------------------------------------

    def source(self) -> dict[str, Any]:
        """Tables and columns of the source, as it declares them."""
        return self._operations.source()

    def schema(self, project: str | None = None) -> SchemaView:
        """What the tables mean; `project`: proposed for another database."""
        return SchemaView(values=self._operations.schema(project))

    def tasks(self) -> Rows:
        """Tasks of the project."""
        columns = ("name", "type", "metric", "query")
        return Rows(values=self._operations.tasks(), columns=columns)

    def preview(self, task: str, definition: str | Mapping[str, Any] | None = None) -> TaskPreview:
        """Rows, seed times and labels per split of a task of the project, or of a new one."""
        return TaskPreview(values=self._operations.preview(task, definition))

    # --- jobs -----------------------------------------------------------------------------------------------

    def submit(self, kind: str, *, priority: int = 0, timeout_s: float | None = None, **spec: Any) -> Job:
        """Put a job into the queue.

        Args:
            kind: train, predict, train_predict or evaluate.
            priority: Higher ones first.
            timeout_s: Seconds it may run.
            **spec: What it is told.

        Raises:
            ConfigError: It isn't understood.
        """
        return Job(self._operations, self._operations.submit(kind, spec, priority=priority, timeout_s=timeout_s))

    def train(
        self,
        task: str,
        *,
        definition: str | Mapping[str, Any] | None = None,
        register_as: str | None = None,
        alias: str | None = None,
        allow: Sequence[str] = (),
        priority: int = 0,
        timeout_s: float | None = None,
        **parameters: Any,
    ) -> Job:
        """Train a model for a task.

        Args:
            task: Name of a task of the project, or of the new one in `definition`.
            definition: A predictive query, or what stands under ``tasks: NAME:`` in a project file.
            register_as: Registered model to add the result to.
            alias: Alias for the new version.
            allow: Findings of the leakage audit to let pass; see ``foreknow.audit``.
            priority: Higher ones first.
            timeout_s: Seconds it may run.
            **parameters: Training parameters on top of the project's; see ``TrainConfig``.
        """
        spec = {
            "task": task,
            "definition": definition,
            "register_as": register_as,
            "alias": alias,
            "allow": list(allow),
            "parameters": parameters,
        }
        return self.submit("train", priority=priority, timeout_s=timeout_s, **spec)

    def predict(self, into: str, *, priority: int = 0, timeout_s: float | None = None, **spec: Any) -> Job:
        """Predict into a table; `spec`: ``run_id`` or ``model``, and see ``foreknow.workflow.predict``."""
        return self.submit("predict", priority=priority, timeout_s=timeout_s, into=into, **spec)

    def train_predict(
        self, task: str, into: str, *, priority: int = 0, timeout_s: float | None = None, **spec: Any
    ) -> Job:
        """Train, then predict into a table with what was trained; training parameters under ``parameters``."""
        return self.submit("train_predict", priority=priority, timeout_s=timeout_s, task=task, into=into, **spec)

    def evaluate(self, *, priority: int = 0, timeout_s: float | None = None, **spec: Any) -> Job:
        """Score a trained model on labelled rows; `spec`: ``run_id`` or ``model``, ``split`` or ``table``."""
        return self.submit("evaluate", priority=priority, timeout_s=timeout_s, **spec)

    def job(self, job_id: str) -> Job:
        """A job by its id, or the beginning of it.

        Raises:
            UnknownJobError: There is none.
        """
        return Job(self._operations, self._operations.job(job_id))

    def jobs(self, *, statuses: Sequence[str] = (), limit: int = 100) -> Rows:
        """Jobs, newest first."""
        found = self._operations.jobs(statuses=statuses, limit=limit)
        return Rows(values=found, columns=JOB_COLUMNS, title="Jobs")

    # --- results --------------------------------------------------------------------------------------------

    def runs(self) -> Rows:
        """Trainings, newest first."""
        return Rows(values=self._operations.runs(), columns=RUN_COLUMNS, title="Runs")

    def run(self, run_id: str) -> RunView:
        """A training.

        Raises:
            UnknownModelError: There is none of that id.
        """
        return RunView(values=self._operations.run(run_id))

    def models(self) -> Rows:
        """Versions of registered models."""
        return Rows(values=self._operations.models(), columns=("name", "version", "aliases", "run_id"), title="Models")

    def register(self, name: str, run_id: str, *, alias: str | None = None) -> dict[str, Any]:
        """Make a run's model a version of a registered one."""
        return self._operations.register(name, run_id, alias=alias)

    def predictions(self) -> Rows:
        """Prediction tables."""
        columns = ("name", "num_rows", "where")
        return Rows(values=self._operations.predictions(), columns=columns, title="Predictions")

    def prediction_rows(self, name: str, *, offset: int = 0, limit: int = 100) -> Rows:
        """Rows of a prediction table."""
        found = self._operations.prediction_rows(name, offset=offset, limit=limit)
        return Rows(values=found, columns=tuple(found[0]) if found else (), title=name)


def _connect(
    where: str | Path, *, token: str | None, workspace: str | Path | None, workers: int, tracking_uri: str | None
) -> Operations:
    from foreknow.client.http import HTTPOperations

    if "://" in str(where):
        return HTTPOperations(str(where), token=token)
    from foreknow.engine.engine import Engine, find_engine, workspace_of

    running = find_engine(workspace_of(Path(where).expanduser().resolve(), workspace))
    if running is not None and running["address"] is not None:
        return HTTPOperations(running["address"], token=token)
    engine = Engine(where, workspace=workspace, workers=workers, tracking_uri=tracking_uri)
    try:
        return engine.start()
    except BaseException:
        engine.close()
        raise
