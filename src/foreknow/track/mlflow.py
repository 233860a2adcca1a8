"""MLflow: the tracker behind live pages, and the model registry. The only file of the library that imports mlflow.

Metrics are queued and sent by a background thread, many at a time (``log_batch``): a synchronous call costs the
loop 25-33 ms, queueing costs microseconds. If the server can't be reached the queue grows, training goes on, and
what is still unsent at the end is written to a file beside the checkpoint.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote as quote_url

from foreknow.errors import TrackingError
from foreknow.track.base import RunStatus
from foreknow.track.guard import Guard
from foreknow.track.server import MLflowServer

__all__ = ["MLflowTracker", "ModelVersion", "Registry", "run_url"]

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 1.0
FLUSH_AT = 500  # metrics
BATCH = 1000  # metrics per call; MLflow's limit
CLOSE_TIMEOUT_S = 30.0
NOTE_TAG = "mlflow.note.content"


def _import() -> Any:
    """Import MLflow quietly, telemetry off, and with short retries: a queue retries better than a blocked call."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    for about in (
        r"(?s).*dataset source can be interpreted",
        r"(?s).*Inferred schema contains integer",
        r"(?s).*An input example was not",
    ):
        warnings.filterwarnings("ignore", message=about, category=UserWarning)  # advice to people, not to programs
    return mlflow


def run_url(base: str, experiment_id: str, run_id: str) -> str:
    """The page of a run, opened in the model-training view."""
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


class MLflowTracker:
    """One MLflow run, from creation to its final status.

    Args:
        url: Address of the tracking server; must answer.
        experiment: Experiment name, ``Dataset/task_type/Task``.
        tags: Tags set at creation.
        description: Shown on the run's page.
        run_id: Go on with this run instead of making one.
        server: The server, if this process started it; the guard stops it should this process be killed.
        system_metrics: Record CPU, memory and disk use every few seconds.
    """

    def __init__(
        self,
        url: str,
        experiment: str,
        *,
        tags: Mapping[str, str] | None = None,
        description: str = "",
        run_id: str | None = None,
        server: MLflowServer | None = None,
        system_metrics: bool = True,
    ) -> None:
        self._mlflow = _import()
        self._url = url
        self._spill: Path | None = None
        self._client = self._mlflow.MlflowClient(tracking_uri=url)
        try:
            self._experiment_id = self._experiment(experiment)
            if run_id is None:
                run = self._client.create_run(
                    self._experiment_id, tags={**(tags or {}), **({NOTE_TAG: description} if description else {})}
                )
            else:
                run = self._client.get_run(run_id)
                self._client.update_run(run_id, status="RUNNING")
        except self._mlflow.exceptions.MlflowException as e:
            raise TrackingError(
                f"MLflow at {url} refuses the run: {e.message}", hint="is MLFLOW_TRACKING_URI right?"
            ) from e
        self._run_id: str = run.info.run_id
        self._run_name: str = run.info.run_name
        self._closed = False
        owned = server.process.pid if server is not None and server.process is not None else None
        self._guard = Guard(url, self._run_id, owned) if url.startswith("http") else None
        self._monitor = self._start_monitor() if system_metrics else None
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._stopping = False
        self._unsent: list[Any] = []
        self._thread = threading.Thread(target=self._send, name="mlflow-metrics", daemon=True)
        self._thread.start()

    @property
    def run_id(self) -> str:
        """Identifier of the run."""
        return self._run_id

    @property
    def run_name(self) -> str:
        """The name MLflow gave the run."""
        return self._run_name

    @property
    def experiment_id(self) -> str:
        """Identifier of the run's experiment."""
        return self._experiment_id

    @property
    def url(self) -> str | None:
        """The run's page; None if the tracking store has none."""
        return run_url(self._url, self._experiment_id, self._run_id) if self._url.startswith("http") else None

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Queue metrics; returns at once."""
        now = int(time.time() * 1000)
        metric = self._mlflow.entities.Metric
        num = 0
        for name, value in values.items():
            if math.isfinite(value):
                self._queue.put(metric(name, float(value), now, step))
                num += 1
        if self._queue.qsize() >= FLUSH_AT:
            self._wake.set()

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; values longer than MLflow takes are cut."""
        flat = dict(_flatten(values))
        param = self._mlflow.entities.Param
        params = [param(k, str(v)[:6000]) for k, v in flat.items()]
        with self._explained("parameters"):
            for i in range(0, len(params), 100):
                self._client.log_batch(self._run_id, params=params[i : i + 100])

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Record tags."""
        tag = self._mlflow.entities.RunTag
        with self._explained("tags"):
            self._client.log_batch(self._run_id, tags=[tag(k, str(v)[:5000]) for k, v in values.items()])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Upload a file, or all files of a folder."""
        with self._explained(f"'{path.name}'"):
            if path.is_dir():
                self._client.log_artifacts(self._run_id, str(path), folder)
            else:
                self._client.log_artifact(self._run_id, str(path), folder)

    def log_dataset(self, sample: Any, *, name: str, source: str, target: str | None, context: str) -> None:
        """Record a data set the run used: name, digest and columns. ``sample``: a few rows, as a pandas frame."""
        mlflow = self._mlflow
        with self._explained("the data set"):
            dataset = mlflow.data.from_pandas(sample, source=source, name=name, targets=target)
            entity = mlflow.entities.DatasetInput(
                dataset=dataset._to_mlflow_entity(),
                tags=[mlflow.entities.InputTag(key="mlflow.data.context", value=context)],
            )
            self._client.log_inputs(self._run_id, [entity])

    def log_model(
        self,
        bundle: Path,
        code: Path,
        *,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        optional: Sequence[str] = (),
    ) -> str:
        """Log the bundle as a pyfunc model defined by a code file.

        Args:
            bundle: Bundle folder, stored as the model's artifact.
            code: Python file that sets the model ("models from code": nothing is pickled).
            inputs: MLflow type names of the input columns; ``array:double`` for lists.
            outputs: The same for output columns.
            optional: Input columns that may be left out.

        Returns:
            The model's URI.
        """
        mlflow = self._mlflow
        from mlflow.models import Model
        from mlflow.models.signature import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema
        from mlflow.types.schema import Array

        def column(name: str, kind: str) -> Any:
            if kind.startswith("array:"):
                return ColSpec(Array(DataType[kind.removeprefix("array:")]), name=name)
            return ColSpec(DataType[kind], name=name, required=name not in optional)

        signature = ModelSignature(
            inputs=Schema([column(k, v) for k, v in inputs.items()]),
            outputs=Schema([column(k, v) for k, v in outputs.items()]),
        )
        with self._explained("the model"), _tracking_uri(mlflow, self._url):
            mlflow.set_experiment(experiment_id=self._experiment_id)  # else the model is filed under "Default"
            info = Model.log(
                artifact_path=None,
                flavor=mlflow.pyfunc,
                name="model",
                python_model=str(code),
                artifacts={"bundle": str(bundle)},
                signature=signature,
                pip_requirements=[f"foreknow=={version('foreknow')}"],
                run_id=self._run_id,
            )
        uri: str = info.model_uri
        return uri

    def register(
        self, name: str, model_uri: str, *, alias: str | None, description: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Make the run's model a version of a registered model."""
        with self._explained(f"model version '{name}'"):
            return Registry(self._url).register(
                name, model_uri, run_id=self._run_id, alias=alias, description=description, tags=tags
            )

    def spill_to(self, path: Path) -> None:
        """Where metrics go that could not be sent by the end of the run."""
        self._spill = path

    def note_failure(self, text: str) -> None:
        """Say on the run's page why it failed, if MLflow can be reached."""
        try:
            self._client.set_tag(self._run_id, "foreknow.error", text[:5000])
        except Exception as e:  # the failure itself is being raised; this must not hide it
            logger.warning("MLflow could not be told why the run failed (%s)", type(e).__name__)

    def finish(self, status: RunStatus) -> None:
        """Send what is queued, close the run, dismiss the guard. Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        if self._monitor is not None:
            self._monitor.finish()
        self._stopping = True
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        left = [*self._unsent, *self._drain()]
        if left:
            self._spill_metrics(left)
        try:
            self._client.set_terminated(self._run_id, status)
        except Exception as e:  # the server may be gone; the run's result must not be lost over it
            logger.warning("MLflow at %s could not be told that the run ended (%s)", self._url, type(e).__name__)
        if self._guard is not None:
            self._guard.dismiss()

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            # the tag makes the page open on its runs instead of on views for language models
            tags = {"mlflow.experimentKind": "custom_model_development"}
            return str(self._client.create_experiment(name, tags=tags))
        if found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"the MLflow experiment '{name}' is deleted", hint="restore it in MLflow, or rename the task"
            )
        return str(found.experiment_id)

    def _start_monitor(self) -> Any:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        with _tracking_uri(self._mlflow, self._url):
            monitor: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
                self._run_id, sampling_interval=10, samples_before_logging=1, tracking_uri=self._url
            )
            monitor.start()
        return monitor

    def _send(self) -> None:
        """Background thread: flush every second, when much is queued, and at the end."""
        pause = FLUSH_EVERY_S
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            stopping = self._stopping
            self._unsent += self._drain()
            try:
                while self._unsent:
                    self._client.log_batch(self._run_id, metrics=self._unsent[:BATCH])
                    del self._unsent[:BATCH]
                pause = FLUSH_EVERY_S
            except Exception as e:  # any failure to send means: keep, and try again later
                if pause == FLUSH_EVERY_S:
                    logger.warning("MLflow at %s can't be reached (%s); metrics are kept", self._url, type(e).__name__)
                pause = min(pause * 2, 15.0)
            if stopping:
                return

    def _drain(self) -> list[Any]:
        items = []
        while True:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                return items

    def _spill_metrics(self, metrics: list[Any]) -> None:
        rows = [{"key": m.key, "value": m.value, "timestamp": m.timestamp, "step": m.step} for m in metrics]
        if self._spill is None:
            logger.warning("%d metrics could not be sent to MLflow", len(rows))
            return
        self._spill.parent.mkdir(parents=True, exist_ok=True)
        self._spill.write_text(json.dumps({"run_id": self._run_id, "metrics": rows}))
        logger.warning("%d metrics could not be sent to MLflow; they are in '%s'", len(rows), self._spill)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turn MLflow's and the network's errors into ours."""
        try:
            yield
        except (self._mlflow.exceptions.MlflowException, OSError) as e:
            raise TrackingError(f"MLflow at {self._url} could not take {what}: {e}") from e


class ModelVersion:
    """A version of a registered model."""

    def __init__(self, name: str, version: str, run_id: str | None, aliases: tuple[str, ...], source: str) -> None:
        self.name, self.version, self.run_id, self.aliases, self.source = name, version, run_id, aliases, source

    @property
    def uri(self) -> str:
        """``models:/NAME/VERSION``."""
        return f"models:/{self.name}/{self.version}"

    def url(self, base: str) -> str:
        """The version's page."""
        return f"{base}/#/models/{quote_url(self.name)}/versions/{self.version}?workflowType=machine_learning"


class Registry:
    """Registered models on a tracking server."""

    def __init__(self, url: str) -> None:
        self._mlflow = _import()
        self._url = url
        self._client = self._mlflow.MlflowClient(tracking_uri=url, registry_uri=url)

    def register(
        self,
        name: str,
        model_uri: str,
        *,
        run_id: str,
        alias: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Make a logged model a version of `name`, which is made if new."""
        exceptions = self._mlflow.exceptions
        try:
            self._client.create_registered_model(name)
        except exceptions.MlflowException as e:
            if e.error_code != "RESOURCE_ALREADY_EXISTS":
                raise TrackingError(f"'{name}' can't be a registered model: {e.message}") from e
        with _tracking_uri(self._mlflow, self._url):
            v = self._mlflow.register_model(model_uri, name, await_registration_for=0, tags=dict(tags or {}))
        if description:
            self._client.update_model_version(name, v.version, description)
        if alias:
            self._client.set_registered_model_alias(name, alias, v.version)
        return ModelVersion(name, str(v.version), run_id, (alias,) if alias else (), model_uri)

    def register_run(self, name: str, run_id: str, *, alias: str | None = None) -> ModelVersion:
        """Make the model a run logged a version of `name`.

        Raises:
            TrackingError: The run is unknown or logged no model.
        """
        try:
            run = self._client.get_run(run_id)
        except self._mlflow.exceptions.MlflowException as e:
            raise TrackingError(f"there is no run '{run_id}': {e.message}") from e
        models = run.outputs.model_outputs if run.outputs else []
        if not models:
            raise TrackingError(f"run '{run_id}' logged no model", hint="did it finish? See its page in MLflow")
        description = run.data.tags.get(NOTE_TAG, "")
        tags = {k: v for k, v in run.data.tags.items() if k.startswith("foreknow.")}
        uri = f"models:/{models[-1].model_id}"
        return self.register(name, uri, run_id=run_id, alias=alias, description=description, tags=tags)

    def resolve(self, reference: str) -> ModelVersion:
        """Find a version by ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``; the prefix may be left out.

        Raises:
            TrackingError: There is no such model, version or alias.
        """
        text = reference.removeprefix("models:/")
        name, at, alias = text.partition("@")
        try:
            if at:
                v = self._client.get_model_version_by_alias(name, alias)
            else:
                name, _, version = text.rpartition("/")
                if not name:
                    raise TrackingError(
                        f"'{reference}' names no model version", hint="write models:/NAME/VERSION or models:/NAME@ALIAS"
                    )
                v = self._client.get_model_version(name, version)
        except self._mlflow.exceptions.MlflowException as e:
            names = ", ".join(sorted(m.name for m in self._client.search_registered_models())) or "none"
            raise TrackingError(
                f"there is no model '{reference}': {e.message}", hint=f"registered models: {names}"
            ) from e
        return ModelVersion(v.name, str(v.version), v.run_id, tuple(v.aliases), v.source)

    def list(self) -> list[ModelVersion]:
        """All versions of all registered models, newest first per model."""
        versions = []
        for model in self._client.search_registered_models():
            for v in self._client.search_model_versions(f"name = '{model.name}'"):
                full = self._client.get_model_version(model.name, v.version)
                versions.append(ModelVersion(v.name, str(v.version), v.run_id, tuple(full.aliases), v.source))
        return versions

    def download_bundle(self, *, run_id: str, into: Path) -> Path:
        """Fetch the bundle a run logged.

        Raises:
            TrackingError: The run is unknown or logged no model.
        """
        mlflow = self._mlflow
        try:
            run = self._client.get_run(run_id)
            models = run.outputs.model_outputs if run.outputs else []
            uri = f"models:/{models[-1].model_id}" if models else f"runs:/{run_id}/model"
            with _tracking_uri(mlflow, self._url):
                folder = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into))
        except (mlflow.exceptions.MlflowException, OSError) as e:
            raise TrackingError(
                f"run '{run_id}' has no model to fetch: {e}",
                hint="is the id right, and did the run finish? See its page in MLflow",
            ) from e
        found = sorted(Path(folder).rglob("bundle.json"))
        if not found:
            raise TrackingError(f"the model of run '{run_id}' holds no bundle")
        return found[0].parent


@contextmanager
def _tracking_uri(mlflow: Any, url: str) -> Iterator[None]:
    """MLflow's fluent functions read a global; set it for a moment."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(url)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
