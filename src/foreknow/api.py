"""The Python front door: `open`, `train`, `predict`. Reads the environment; everything below takes arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foreknow.database import BoundTask, Database, open_database
from foreknow.project import make_config

if TYPE_CHECKING:
    from foreknow.task.audit import Audit
    from foreknow.workflow import Prediction, Reporter, Run

__all__ = ["audit", "open", "predict", "train"]


def open(
    where: str | Path, *, home: str | Path | None = None, progress: Callable[[str], None] | None = None
) -> Database:
    """Open a DuckDB file, a folder of CSV or Parquet files, or a project file.

    Args:
        where: What to open.
        home: Workspace; the environment variable ``FOREKNOW_HOME``, or ``.foreknow``, if not given.
        progress: Told what takes time.
    """
    return open_database(where, home=home or os.environ.get("FOREKNOW_HOME"), progress=progress)


def audit(task: BoundTask, *, allow: Sequence[str] = (), reporter: Reporter | None = None) -> Audit:
    """Look for leaks in a task, as is done before every training.

    Args:
        task: From ``Database.task``.
        allow: Findings to let pass: ``NAME``, ``NAME:table`` or ``NAME:table.column``.
        reporter: Told what happens.
    """
    from foreknow import workflow

    return workflow.audit(task, allow=allow, reporter=reporter)


def train(
    task: BoundTask,
    *,
    register: str | None = None,
    alias: str | None = None,
    resume: str | None = None,
    tracking_uri: str | None = None,
    allow: Sequence[str] = (),
    reporter: Reporter | None = None,
    **parameters: Any,
) -> Run:
    """Train a model for a task, live in MLflow.

    Args:
        task: From ``Database.task``.
        register: Name of a registered model to add the result to.
        alias: Alias for the new version.
        resume: A run id or ``latest``: go on with an interrupted run.
        tracking_uri: MLflow server; ``MLFLOW_TRACKING_URI``, or one started for the workspace, if not given.
        allow: Findings of the leakage audit to let pass: ``NAME``, ``NAME:table`` or ``NAME:table.column``.
        reporter: Told what happens.
        **parameters: Training parameters, on top of those of the project file; see ``TrainConfig``. A resumed run keeps
            its own.
    """
    from foreknow import workflow

    as_it_began = resume is not None and not parameters
    config = None if as_it_began else make_config({**task.database.project.file.train, **parameters})
    return workflow.train(
        task,
        config,
        tracking_uri=tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"),
        register=register,
        alias=alias,
        resume=resume,
        allow=allow,
        reporter=reporter,
    )


def predict(database: Database, **options: Any) -> Prediction:
    """Predict into a table; see ``foreknow.workflow.predict`` for the options."""
    from foreknow import workflow

    options.setdefault("tracking_uri", os.environ.get("MLFLOW_TRACKING_URI"))
    return workflow.predict(database, **options)
