"""MLflow: the tracker behind live pages. The only file of the library that imports mlflow.

Metrics are queued and sent by a background thread, many at a time (``log_batch``): a synchronous call costs the
loop 25-33 ms, queueing costs microseconds. Once a run exists, MLflow can't stop a training: what can't be sent is
kept, and at the end written to a file beside the checkpoint, from where `deliver_unsent` sends it when the server is
back.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import math
import os
import queue
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from foreknow.errors import TrackingError
from foreknow.track.base import RunStatus
from foreknow.track.guard import Guard
from foreknow.track.server import MLflowServer

__all__ = ["MLflowTracker", "check_reachable", "deliver_unsent", "import_mlflow", "run_url", "tracking_uri"]

logger = logging.getLogger(__name__)

FLUSH_EVERY_S = 1.0
FLUSH_AT = 500  # metrics
BATCH = 1000  # metrics per call; MLflow's limit
SLOWEST_RETRY_S = 15.0
CLOSE_TIMEOUT_S = 30.0
SYSTEM_METRICS_EVERY_S = 10.0
NOTE_TAG = "mlflow.note.content"
VERSIONS_TAG = "mlflow.modelVersions"
FORMAT = 1  # of the file of what was not sent


def import_mlflow() -> Any:
    """Import MLflow quietly, telemetry off, and with short retries: a queue retries better than a blocked call."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    _reach_loopback_directly()
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its warnings are about what is dealt with here
    logging.getLogger("alembic").setLevel(logging.WARNING)  # announces every step of making a database
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    for about in (
        r"(?s).*dataset source can be interpreted",
        r"(?s).*Inferred schema contains integer",
        r"(?s).*An input example was not",
        r"(?s).*Any type hint is inferred",
    ):
        warnings.filterwarnings("ignore", message=about, category=UserWarning)  # advice to people, not to programs
    return mlflow


def _reach_loopback_directly() -> None:
    """A proxy for the world outside must not be asked for this machine's own server."""
    if not any(os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")):
        return
    for name in ("no_proxy", "NO_PROXY"):
        listed = [host for host in os.environ.get(name, "").split(",") if host]
        if "*" not in listed and "127.0.0.1" not in listed:
            os.environ[name] = ",".join([*listed, "127.0.0.1", "localhost"])


def run_url(base: str, experiment_id: str, run_id: str) -> str:
    """The page of a run, opened in the model-training view."""
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def check_reachable(url: str) -> None:
    """Find out whether a tracking server accepts connections, without waiting for retries.

    Raises:
        TrackingError: It doesn't.
    """
    problem = _unreachable(url)
    if problem is not None:
        raise TrackingError(
            f"MLflow at {_shown(url)} can't be reached: {problem}",
            hint="is MLFLOW_TRACKING_URI right, and the server running? Without it one is started here",
        )


@contextmanager
def tracking_uri(mlflow: Any, url: str) -> Iterator[None]:
    """MLflow's fluent functions read a global; set it for a moment.

    Setting it sets ``MLFLOW_TRACKING_URI`` too, which the next training would take for what a person wants.
    """
    variable = os.environ.get("MLFLOW_TRACKING_URI")
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(url)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None if before == variable else before)
        if variable is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        else:
            os.environ["MLFLOW_TRACKING_URI"] = variable


class MLflowTracker:
    """One MLflow run, from creation to its final status.

    Only the constructor can fail. Afterwards what MLflow doesn't take is listed in `missed` and kept for later.

    Args:
        url: Address of the tracking server; must answer.
        experiment: Experiment name, ``Dataset/task_type/Task``.
        tags: Tags set at creation.
        description: Shown on the run's page.
        run_id: Go on with this run instead of making one.
        server: The workspace's server, if `url` is its address; its guard watches the run too.
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
        self._mlflow = import_mlflow()
        self._url = url
        self._unsent_file: Path | None = None
        check_reachable(url)
        try:
            self._client = self._mlflow.MlflowClient(tracking_uri=url)
            self._experiment_id = self._experiment(experiment)
            if run_id is None:
                note = {NOTE_TAG: description} if description else {}
                run = self._client.create_run(self._experiment_id, tags={**_origin(), **(tags or {}), **note})
            else:
                run = self._client.get_run(run_id)
                self._client.update_run(run_id, status="RUNNING")
        except self._mlflow.exceptions.MlflowException as e:
            raise TrackingError(
                f"MLflow at {_shown(url)} refuses the run: {_first_line(e)}",
                hint="is MLFLOW_TRACKING_URI right? A resumed run must be on the server it began on",
            ) from e
        self._run_id: str = run.info.run_id
        self._run_name: str = run.info.run_name
        self._started: float = run.info.start_time / 1000
        self._writer = _RunWriter(self._mlflow, self._client, url, self._experiment_id, self._run_id)
        self._closed = False
        self._missed: list[dict[str, Any]] = []
        self._num_unsent = 0
        self._last: dict[str, dict[str, Any]] = {}
        self._recorded = self._history(run) if run_id is not None else set()
        self._guard, self._own_guard = self._watched(server)
        self._system = _SystemMetrics(self._run_id, url, self._started) if system_metrics else None
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
        if not self._url.startswith("http"):
            return None
        return run_url(_shown(self._url), self._experiment_id, self._run_id)

    @property
    def missed(self) -> tuple[str, ...]:
        """What MLflow didn't take, in words. Complete after `finish`."""
        metrics = [f"{self._num_unsent} metrics"] if self._num_unsent else []
        return (*(m["what"] for m in self._missed), *metrics)

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Queue metrics; returns at once."""
        now = int(time.time() * 1000)
        metric = self._mlflow.entities.Metric
        for name, value in values.items():
            if math.isfinite(value) and (name, step) not in self._recorded:
                self._last[name] = {"key": name, "value": float(value), "timestamp": now, "step": step}
                self._queue.put(metric(name, float(value), now, step))
        if self._queue.qsize() >= FLUSH_AT:
            self._wake.set()

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Record parameters; values longer than MLflow takes are cut."""
        flat = {k: str(v)[:6000] for k, v in _flatten(values)}
        self._do("parameters", "params", values=flat)

    def set_tags(self, values: Mapping[str, str]) -> None:
        """Record tags."""
        self._do("tags", "tags", values={k: str(v)[:5000] for k, v in values.items()})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Upload a file, or all files of a folder."""
        self._do(path.name, "artifact", path=str(path), folder=folder)

    def log_dataset(self, sample: Any, *, name: str, source: str, target: str | None, context: str) -> None:
        """Record a data set the run used: name, digest and columns. ``sample``: a few rows, as a pandas frame."""
        dataset = self._mlflow.data.from_pandas(sample, source=source, name=name, targets=target)
        self._do("data set", "dataset", dataset=dict(dataset._to_mlflow_entity()), context=context)

    def log_model(
        self,
        bundle: Path,
        code: Path,
        *,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        optional: Sequence[str] = (),
        metrics: Sequence[str] = (),
        step: int = 0,
    ) -> str | None:
        """Log the bundle as a pyfunc model defined by a code file.

        Args:
            bundle: Bundle folder, stored as the model's artifact.
            code: Python file that sets the model ("models from code": nothing is pickled).
            inputs: MLflow type names of the input columns; ``array:double`` for lists.
            outputs: The same for output columns.
            optional: Input columns that may be left out.
            metrics: Names of logged metrics to show beside the model.
            step: Epoch the model is of.

        Returns:
            The model's URI; None if MLflow can't be reached.
        """
        uri: str | None = self._do(
            "model",
            "model",
            bundle=str(bundle),
            code=str(code),
            inputs=dict(inputs),
            outputs=dict(outputs),
            optional=list(optional),
            metrics=[self._last[name] for name in metrics if name in self._last],
            step=step,
        )
        return uri

    def keep_unsent_in(self, path: Path) -> None:
        """Name the file for what could not be sent by the end of the run."""
        self._unsent_file = path

    def note_failure(self, text: str) -> None:
        """Say on the run's page why it failed."""
        self._do("reason of the failure", "tags", values={"foreknow.error": text[:5000]})

    def finish(self, status: RunStatus) -> None:
        """Send what is queued, close the run, dismiss the guard. Does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self._stopping = True
        self._wake.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        left = [*self._unsent, *self._drain()]
        self._num_unsent = len(left)
        ended = int(time.time() * 1000)
        self._do("final status", "status", status=status, ended=ended)
        if left or self._missed:
            self._keep(left)
        if self._guard is not None:
            self._guard.forget_run(self._run_id)
            if self._own_guard:
                self._guard.dismiss()

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            # the tag makes the page open on its runs instead of on views for language models
            tags = {"mlflow.experimentKind": "custom_model_development"}
            place = None
            if self._url.startswith("sqlite:///"):  # MLflow's own choice would be the working directory
                place = Path(self._url.removeprefix("sqlite:///")).resolve().with_suffix(".artifacts").as_uri()
            try:
                return str(self._client.create_experiment(name, artifact_location=place, tags=tags))
            except self._mlflow.exceptions.MlflowException as e:
                if e.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self._client.get_experiment_by_name(name)  # another process was quicker
        if found.lifecycle_stage == "deleted":
            raise TrackingError(
                f"the MLflow experiment '{name}' is deleted", hint="restore it in MLflow, or rename the task"
            )
        return str(found.experiment_id)

    def _history(self, run: Any) -> set[tuple[str, int]]:
        """Metrics and steps a resumed run has recorded already: told again, they must not be twice on the page."""
        names = [name for name in run.data.metrics if not name.startswith("system/")]
        try:
            return {(n, m.step) for n in names for m in self._client.get_metric_history(self._run_id, n)}
        except self._mlflow.exceptions.MlflowException as e:
            logger.warning("MLflow doesn't tell what the run recorded (%s); points may be doubled", _first_line(e))
            return set()

    def _watched(self, server: MLflowServer | None) -> tuple[Guard | None, bool]:
        """The guard that watches the run, and whether it is this tracker's own."""
        if not self._url.startswith("http"):
            return None, False
        shared = server.guard if server is not None else None
        guard = shared or Guard()
        guard.watch_run(self._url, self._run_id)
        return guard, shared is None

    def _do(self, what: str, action: str, **arguments: Any) -> Any:
        """Write to the run, or remember it for later if MLflow doesn't take it."""
        reason = _unreachable(self._url)  # asked first: MLflow's client would retry for seconds
        if reason is None:
            try:
                return getattr(self._writer, action)(**arguments)
            except (self._mlflow.exceptions.MlflowException, OSError) as e:
                reason = _unreachable(self._url) or _first_line(e)
        logger.warning("MLflow at %s didn't take the %s (%s); it is kept", _shown(self._url), what, reason)
        self._missed.append({"what": what, "action": action, "arguments": arguments})
        return None

    def _send(self) -> None:
        """Background thread: flush every second, when much is queued, and at the end."""
        pause = FLUSH_EVERY_S
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            stopping = self._stopping
            if self._system is not None:
                self._unsent += self._system.sample(self._mlflow, is_last=stopping)
            self._unsent += self._drain()
            problem = self._flush() if self._unsent else None
            if problem is None:
                pause = FLUSH_EVERY_S
            else:
                if pause == FLUSH_EVERY_S:
                    logger.warning("MLflow at %s takes no metrics (%s); they are kept", _shown(self._url), problem)
                pause = min(pause * 2, SLOWEST_RETRY_S)
            if stopping:
                return

    def _flush(self) -> str | None:
        """Send all there is; returns why not, if not."""
        problem = _unreachable(self._url)
        if problem is not None:
            return problem
        try:
            while self._unsent:
                self._client.log_batch(self._run_id, metrics=self._unsent[:BATCH])
                del self._unsent[:BATCH]
        except Exception as e:  # any failure to send means: keep, and try again later
            return _unreachable(self._url) or _first_line(e)
        return None

    def _drain(self) -> list[Any]:
        items = []
        while True:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                return items

    def _keep(self, metrics: list[Any]) -> None:
        if self._unsent_file is None:
            logger.warning("%s could not be sent to MLflow", ", ".join(self.missed))
            return
        rows = [{"key": m.key, "value": m.value, "timestamp": m.timestamp, "step": m.step} for m in metrics]
        record = {"format": FORMAT, "run_id": self._run_id, "metrics": rows, "calls": self._missed}
        self._unsent_file.parent.mkdir(parents=True, exist_ok=True)
        self._unsent_file.write_text(json.dumps(record, indent=1))


def deliver_unsent(runs: Path, url: str) -> list[str]:
    """Send what earlier runs could not.

    Args:
        runs: Folder with a folder per run; ``unsent.json`` in it holds what is to be sent.
        url: Address of a tracking server that answers. Runs it doesn't know are left alone.

    Returns:
        Ids of the runs that are complete now.
    """
    files = sorted(runs.glob("*/unsent.json"))
    if not files:
        return []
    mlflow = import_mlflow()
    client = mlflow.MlflowClient(tracking_uri=url)
    delivered = []
    for file in files:
        try:
            record = json.loads(file.read_text())
            if record["format"] != FORMAT:
                continue
            run_id: str = record["run_id"]
            run = client.get_run(run_id)
            writer = _RunWriter(mlflow, client, url, run.info.experiment_id, run_id)
            metrics = [mlflow.entities.Metric(**m) for m in record["metrics"]]
            for i in range(0, len(metrics), BATCH):
                client.log_batch(run_id, metrics=metrics[i : i + BATCH])
            for call in record["calls"]:
                getattr(writer, call["action"])(**call["arguments"])
        except (mlflow.exceptions.MlflowException, OSError, ValueError, KeyError, TypeError) as e:
            logger.info("'%s' can't be sent to %s: %s", file, _shown(url), _first_line(e))
            continue
        file.unlink()
        delivered.append(run_id)
    return delivered


class _RunWriter:
    """Writes to a run. Every method takes plain values, so that a call can be written down and made later."""

    def __init__(self, mlflow: Any, client: Any, url: str, experiment_id: str, run_id: str) -> None:
        self._mlflow, self._client, self._url = mlflow, client, url
        self._experiment_id, self._run_id = experiment_id, run_id

    def params(self, values: Mapping[str, str]) -> None:
        params = [self._mlflow.entities.Param(k, v) for k, v in values.items()]
        for i in range(0, len(params), 100):
            self._client.log_batch(self._run_id, params=params[i : i + 100])

    def tags(self, values: Mapping[str, str]) -> None:
        self._client.log_batch(self._run_id, tags=[self._mlflow.entities.RunTag(k, v) for k, v in values.items()])

    def artifact(self, path: str, folder: str | None) -> None:
        if Path(path).is_dir():
            self._client.log_artifacts(self._run_id, path, folder)
        else:
            self._client.log_artifact(self._run_id, path, folder)

    def dataset(self, dataset: Mapping[str, Any], context: str) -> None:
        entities = self._mlflow.entities
        tag = entities.InputTag(key="mlflow.data.context", value=context)
        self._client.log_inputs(self._run_id, [entities.DatasetInput(entities.Dataset(**dataset), [tag])])

    def status(self, status: str, ended: int) -> None:
        self._client.set_terminated(self._run_id, status, ended)

    def model(
        self,
        bundle: str,
        code: str,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        optional: Sequence[str],
        metrics: Sequence[Mapping[str, Any]],
        step: int,
    ) -> str:
        """As ``mlflow.pyfunc.log_model``, which would change the process's active experiment and run."""
        mlflow, client, entities = self._mlflow, self._client, self._mlflow.entities
        params = client.get_run(self._run_id).data.params
        model = client.create_logged_model(
            self._experiment_id, name="model", source_run_id=self._run_id, params=params, model_type="foreknow"
        )
        try:
            with tempfile.TemporaryDirectory() as folder, tracking_uri(mlflow, self._url):
                mlflow.pyfunc.save_model(
                    path=f"{folder}/model",
                    python_model=code,
                    artifacts={"bundle": bundle},
                    signature=self._signature(inputs, outputs, optional),
                    pip_requirements=[f"foreknow=={version('foreknow')}"],
                    mlflow_model=mlflow.models.Model(
                        artifact_path=model.artifact_location,
                        model_uuid=model.model_id,
                        run_id=self._run_id,
                        model_id=model.model_id,
                    ),
                )
                client.log_model_artifacts(model.model_id, f"{folder}/model")
        except BaseException:
            with contextlib.suppress(Exception):  # what went wrong is being raised
                client.finalize_logged_model(model.model_id, entities.LoggedModelStatus.FAILED)
            raise
        client.finalize_logged_model(model.model_id, entities.LoggedModelStatus.READY)
        client.log_outputs(self._run_id, [entities.LoggedModelOutput(model.model_id, step=step)])
        if metrics:  # the same values at the same moments: linked to the model, not recorded twice
            linked = [entities.Metric(**m, model_id=model.model_id, run_id=self._run_id) for m in metrics]
            client.log_batch(self._run_id, metrics=linked)
        return f"models:/{model.model_id}"

    def _signature(self, inputs: Mapping[str, str], outputs: Mapping[str, str], optional: Sequence[str]) -> Any:
        from mlflow.models.signature import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema
        from mlflow.types.schema import Array

        def column(name: str, kind: str) -> Any:
            if kind.startswith("array:"):
                return ColSpec(Array(DataType[kind.removeprefix("array:")]), name=name)
            return ColSpec(DataType[kind], name=name, required=name not in optional)

        return ModelSignature(
            inputs=Schema([column(k, v) for k, v in inputs.items()]),
            outputs=Schema([column(k, v) for k, v in outputs.items()]),
        )


class _SystemMetrics:
    """CPU, memory, disk, network and GPU use, measured by MLflow's monitors and sent like any other metric.

    MLflow's own thread gives up for good when the server is away once, and says nothing of runs under ten seconds.
    """

    def __init__(self, run_id: str, url: str, started: float) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor: Any = SystemMetricsMonitor(run_id, tracking_uri=url)  # type: ignore[no-untyped-call]
        self._started = started
        self._next = 0.0
        psutil.cpu_percent()  # the first answer is always 0

    def sample(self, mlflow: Any, *, is_last: bool) -> list[Any]:
        """Metrics if it is time, else none. The step is the second since the run began."""
        now = time.time()
        if now < self._next and not is_last:
            return []
        self._next = now + SYSTEM_METRICS_EVERY_S
        try:
            self._monitor.collect_metrics()
            values = self._monitor.aggregate_metrics()
            for monitor in self._monitor.monitors:
                monitor.clear_metrics()
        except Exception as e:  # a counter this machine doesn't have must not end the thread
            logger.debug("no system metrics: %s", e)
            self._next = math.inf
            return []
        step = max(0, int(now - self._started))
        metric = mlflow.entities.Metric
        return [metric(f"system/{k}", float(v), int(now * 1000), step) for k, v in values.items() if math.isfinite(v)]


def _origin() -> dict[str, str]:
    """Who made the run, as MLflow's pages show it."""
    tags = {"mlflow.source.name": "foreknow", "mlflow.source.type": "LOCAL"}
    with contextlib.suppress(OSError, KeyError, ImportError):  # a container may run under a number without a name
        tags["mlflow.user"] = getpass.getuser()
    return tags


def _unreachable(url: str) -> str | None:
    """Why a server accepts no connection; None if it does, or if `url` is no network address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return None
    try:
        address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        with socket.create_connection(address, timeout=3):
            return None
    except (OSError, ValueError) as e:
        return (e.strerror if isinstance(e, OSError) else None) or str(e) or type(e).__name__


def _shown(url: str) -> str:
    """An address without the password it may hold."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def _first_line(error: BaseException) -> str:
    text = str(getattr(error, "message", "")) or str(error) or type(error).__name__
    return text.splitlines()[0][:300]


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
