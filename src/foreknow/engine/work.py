"""What a worker does for each kind of job. Steps can be repeated: an earlier attempt's work is found, not redone."""

from __future__ import annotations

import datetime as dt
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from foreknow.database import Database, open_database
from foreknow.engine.folder import JobFolder
from foreknow.engine.job import Job
from foreknow.engine.progress import JobReporter
from foreknow.engine.queue import JobQueue
from foreknow.engine.spec import (
    EvaluateSpec,
    JobSpec,
    PredictSpec,
    TrainPredictSpec,
    TrainSpec,
    read_spec,
)
from foreknow.engine.wire import plain, read_json
from foreknow.predict.stored import predicted_at
from foreknow.project import make_config
from foreknow.track.registry import Registry
from foreknow.track.runs import JOB_TAG, finish_run
from foreknow.track.server import MLflowServer
from foreknow.workflow import default_destination, evaluate, predict, train

__all__ = ["perform"]

logger = logging.getLogger(__name__)


def perform(workspace: Path, queue: JobQueue, job: Job, folder: JobFolder) -> dict[str, Any]:
    """Do a job; returns its result as plain values."""
    return _Work(workspace, queue, job, folder).run()


class _Work:
    """One attempt. ``MLFLOW_TRACKING_URI`` names the tracking server if it isn't the workspace's own."""

    def __init__(self, workspace: Path, queue: JobQueue, job: Job, folder: JobFolder) -> None:
        self.workspace, self.queue, self.job, self.folder = workspace, queue, job, folder
        self.spec = read_spec(job.kind, job.spec)
        self.reporter = JobReporter(folder, on_run=self._note_run)
        self.tracking_uri = os.environ.get("MLFLOW_TRACKING_URI")
        self.database = self._open()
        self.server: MLflowServer | None = None
        if self.tracking_uri is None and isinstance(self.spec, TrainSpec | TrainPredictSpec):
            # a user of the workspace's server: it stays up though the engine that started it may go
            self.server = MLflowServer(workspace).start()

    def run(self) -> dict[str, Any]:
        """Do what the kind asks for."""
        kinds: Mapping[type[JobSpec], Callable[[Any], dict[str, Any]]] = {
            TrainSpec: self._train,
            PredictSpec: self._predict,
            TrainPredictSpec: self._train_predict,
            EvaluateSpec: self._evaluate,
        }
        try:
            return cast(dict[str, Any], plain(kinds[type(self.spec)](self.spec)))
        finally:
            if self.server is not None:
                self.server.stop()

    def _open(self) -> Database:
        assert self.spec.project is not None, "the engine names the project when it takes the job"
        return open_database(self.spec.project, home=self.workspace, progress=lambda text: self.reporter.stage(text))

    def _note_run(self, run_id: str) -> None:
        self.queue.set_run(self.job, run_id)

    def _url(self) -> str:
        if self.server is not None:
            return self.server.wait().url
        assert self.tracking_uri is not None
        return self.tracking_uri

    # --- train ----------------------------------------------------------------------------------------------

    def _train(self, spec: TrainSpec | TrainPredictSpec) -> dict[str, Any]:
        run_id = self.job.run_id
        home = None if run_id is None else self.workspace / "runs" / run_id
        if home is not None and (home / "result.json").exists():
            return self._finished(home, spec)
        resume = run_id if home is not None and (home / "checkpoint" / "state.json").exists() else None
        if resume is not None:
            self.reporter.stage(f"going on with run {resume} from its last checkpoint")
        bound = self.database.task(spec.task, spec.definition)
        config = make_config({**self.database.project.file.train, **spec.parameters})
        run = train(
            bound,
            None if resume is not None else config,
            tracking_uri=self.tracking_uri,
            server=self.server,
            register=spec.register_as,
            alias=spec.alias,
            resume=resume,
            allow=spec.allow,
            tags={JOB_TAG: self.job.id},
            reporter=self.reporter,
        )
        return run.to_dict()

    def _finished(self, home: Path, spec: TrainSpec | TrainPredictSpec) -> dict[str, Any]:
        """The run an earlier attempt finished before its worker was lost."""
        self.reporter.stage(f"run {home.name} is finished")
        result = read_json(home / "result.json")
        assert result is not None
        finish_run(self._url(), home.name)
        if spec.register_as is not None and result.get("model_version") is None:
            registry = Registry(self._url())
            known = [v for v in registry.list() if v.name == spec.register_as and v.run_id == home.name]
            version = known[0] if known else registry.register_run(spec.register_as, home.name, alias=spec.alias)
            result["model_version"] = version.version
        return result

    # --- predict, evaluate ----------------------------------------------------------------------------------

    def _predict(self, spec: PredictSpec) -> dict[str, Any]:
        return self._write_predictions(spec, run_id=spec.run_id, model=spec.model, device=spec.device)

    def _train_predict(self, spec: TrainPredictSpec) -> dict[str, Any]:
        trained = self._train(spec)
        written = self._write_predictions(spec, run_id=str(trained["run_id"]), model=None, device="cpu")
        return {**trained, "predictions": written}

    def _write_predictions(
        self, spec: PredictSpec | TrainPredictSpec, *, run_id: str | None, model: str | None, device: str
    ) -> dict[str, Any]:
        """Predict, with one time stamp for all attempts: a table that bears it is this job's own, and whole."""
        note = self.folder.note("predict") or {"predicted_at": dt.datetime.now(dt.UTC).isoformat()}
        self.folder.set_note("predict", note)
        stamp = dt.datetime.fromisoformat(note["predicted_at"])
        to = None if spec.to is None else Path(spec.to)
        is_ours = self.job.attempt > 1 and predicted_at(to or default_destination(self.database), spec.into) == {stamp}
        done = predict(
            self.database,
            run_id=run_id,
            model=model,
            into=spec.into,
            table=spec.table,
            at=spec.at,
            to=to,
            embeddings=spec.embeddings,
            overwrite=spec.overwrite or is_ours,
            batch_size=spec.batch_size,
            device=device,
            tracking_uri=self.tracking_uri,
            predicted_at=stamp,
            reporter=self.reporter,
        )
        return {
            "tables": dict(done.tables),
            "rows": done.num_rows,
            "columns": done.columns,
            "head": done.head,
            "metrics": dict(done.metrics),
            "findings": [f.to_dict() for f in done.findings],
        }

    def _evaluate(self, spec: EvaluateSpec) -> dict[str, Any]:
        metrics = evaluate(
            self.database,
            run_id=spec.run_id,
            model=spec.model,
            split=spec.split,
            table=spec.table,
            tracking_uri=self.tracking_uri,
            reporter=self.reporter,
        )
        return {"split": spec.table or spec.split, "metrics": metrics}
