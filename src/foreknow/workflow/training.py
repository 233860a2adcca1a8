"""One training run: from a prepared task to a logged and registered model."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from foreknow.bundle import Bundle
from foreknow.database import BoundTask
from foreknow.errors import (
    ConfigError,
    Finding,
    ForeknowError,
    TrackingError,
)
from foreknow.graph.encode import Encoding, fit_encoding
from foreknow.nn.memory import keep_freed_memory
from foreknow.nn.model import ModelConfig, RelationalGNN, num_parameters
from foreknow.predict.forward import outputs_to_predictions, run_forward
from foreknow.project import project_text
from foreknow.sample.loader import Loader
from foreknow.task.metric import metric as find_metric
from foreknow.track.base import RunStatus
from foreknow.track.connect import connect
from foreknow.track.mlflow import MLflowTracker, check_reachable
from foreknow.track.registry import Registry, check_alias, check_model_name
from foreknow.track.server import MLflowServer, this_process
from foreknow.train.board import Board, build_board
from foreknow.train.config import TrainConfig
from foreknow.train.loop import EpochRecord, FitResult, SplitData, fit, resolve_device
from foreknow.train.memory import check_memory, estimate_memory
from foreknow.train.scoreboard import NETWORK, Row, make_row
from foreknow.types import TaskType
from foreknow.workflow.prepared import Prepared, prepare
from foreknow.workflow.reporter import Reporter, Silent
from foreknow.workflow.resume import check_resumable, check_same, find_resumable
from foreknow.workflow.run import Run, json_ready

logger = logging.getLogger(__name__)


MAX_WINDOWS = 6  # windows in which the seeds' children are counted


def train(
    bound: BoundTask,
    config: TrainConfig | None = None,
    *,
    tracking_uri: str | None = None,
    server: MLflowServer | None = None,
    register: str | None = None,
    alias: str | None = None,
    resume: str | None = None,
    allow: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    reporter: Reporter | None = None,
) -> Run:
    """Train a model for a task, watched in MLflow.

    Args:
        bound: The task.
        config: How to train; the defaults, or what a resumed run was started with, if not given.
        tracking_uri: Address of an MLflow server. If not given, `server` is used, or one is started for the
            workspace and stopped with the process.
        server: A started (perhaps not yet answering) server of the workspace.
        register: Name of a registered model to add the result to.
        alias: Alias to give the new version, such as ``champion``.
        resume: Run to go on with after it was interrupted: a run id, or ``latest``.
        allow: Findings of the leakage audit to let pass, by name; see ``docs/audit.md``.
        tags: Further MLflow tags, there from the moment the run is.
        reporter: Told what happens.

    Returns:
        The run, best epoch restored, model logged (and registered if asked).

    Raises:
        ResourceError: There is not enough memory for it.
        TrackingError: MLflow can't be reached before training, or the model can't be registered after it. What MLflow
            doesn't take in between is kept on disk and told as a finding.
        ForeknowError: Anything that a person can mend; the MLflow run, if there is one, is closed as FAILED.
    """
    reporter = reporter or Silent()
    _check_names(register, alias)
    clock = _Clock()
    workspace = bound.database.workspace
    run_id = None if resume is None else find_resumable(bound, resume)
    if run_id is not None:
        config = check_resumable(bound, run_id, config)
    config = config or TrainConfig()
    device = resolve_device(config.device)
    if tracking_uri is not None:
        check_reachable(tracking_uri)
    elif server is None:
        server = MLflowServer(workspace).start()
    keep_freed_memory()
    prepared = prepare(bound, config=config, allow=allow, reporter=reporter)
    clock.lap("prepare")
    if run_id is not None:
        check_same(workspace / "runs" / run_id, prepared)
    with _deterministic(config.seed):
        job = _Training(bound, config, prepared, device, reporter)
        check_memory(estimate_memory(job.network, job.loader, prepared.splits["train"].seeds, config), config, device)
        clock.lap("encode")
        if tracking_uri is None:
            reporter.stage("waiting for MLflow")
        else:
            server = None
        url = connect(workspace, tracking_uri, server=server)
        tracker = MLflowTracker(
            url,
            bound.experiment,
            tags={**job.tags(), **(tags or {})},
            description=job.description(),
            run_id=run_id,
            server=server,
        )
        with _closing(tracker):
            run = job.run(tracker, clock, resume=run_id is not None)
        return _settle(run, tracker, url, register=register, alias=alias, reporter=reporter)


def _settle(
    run: Run, tracker: MLflowTracker, url: str, *, register: str | None, alias: str | None, reporter: Reporter
) -> Run:
    """Say what MLflow missed, and register the model. The run is closed and all of it on disk by now."""
    if tracker.missed:
        run = replace(run, not_recorded=tracker.missed)
        run.save()
        reporter.finding(
            Finding(
                name="not-recorded",
                severity="warning",
                count=len(tracker.missed),
                message=f"MLflow could not be given: {', '.join(tracker.missed)}. All of it is kept in '{run.folder}'",
                hint="predictions work as they are; the next training, or 'foreknow mlflow', that finds the server "
                "again sends what is missing",
            )
        )
    if register is None:
        return run
    try:
        if run.model_uri is None:
            raise TrackingError("it could not be uploaded")
        version = Registry(url).register_run(register, run.run_id, alias=alias)
    except TrackingError as e:
        raise TrackingError(
            f"the training is finished and kept in '{run.folder}', but its model is not registered: {e}",
            hint=f"when MLflow is back: foreknow models register {register} --run {run.run_id}"
            + (f" --alias {alias}" if alias else ""),
        ) from e
    run = replace(run, model_version=version.version)
    run.save()
    return run


class _Training:
    """The parts of one training run, from encoding to the logged model."""

    def __init__(
        self, bound: BoundTask, config: TrainConfig, prepared: Prepared, device: torch.device, reporter: Reporter
    ) -> None:
        self.bound, self.task, self.config, self.prepared = bound, bound.task, config, prepared
        self.device, self.reporter = device, reporter
        reporter.stage("fitting encodings on the past")
        self.encoding: Encoding = fit_encoding(
            prepared.store, prepared.fitted_until, text_embedder=config.text_embedder
        )
        self.windows_days = self.encoding.time.scales_days[-MAX_WINDOWS:]
        self.loader = Loader.for_task(
            prepared.store,
            self.task,
            self.encoding,
            num_neighbors=config.num_neighbors,
            strategy=config.temporal_strategy,
            windows_days=self.windows_days,
            seed=config.seed,
            num_threads=config.loader_threads,
        )
        torch.manual_seed(config.seed)
        self.model_config = ModelConfig(**{f.name: getattr(config, f.name) for f in fields(ModelConfig)})
        self.network = RelationalGNN(
            self.loader.sampler.plan,
            self.encoding,
            num_windows=len(self.windows_days),
            num_outputs=prepared.labels.num_outputs,
            config=self.model_config,
        ).to(device)

    def tags(self) -> dict[str, str]:
        tags = {
            "foreknow.version": version("foreknow"),
            "foreknow.snapshot": self.prepared.store.fingerprint,
            "foreknow.task": self.task.name,
            "foreknow.dataset": self.bound.database.dataset,
            "foreknow.seed": str(self.config.seed),
            "foreknow.audit": self.prepared.audit.summary(),
        }
        commit = _git_commit(self.bound.database.project.base)
        return {**tags, "mlflow.source.git.commit": commit} if commit else tags

    def description(self) -> str:
        rows = ", ".join(f"{len(s):,} {k}" for k, s in self.prepared.splits.items())
        on = f"{self.task.type} on `{self.bound.database.dataset}`"
        return f"`{self.task.name}`: {on}, {rows} rows. Audit: {self.prepared.audit.summary()}."

    def run(
        self,
        tracker: MLflowTracker,
        clock: _Clock,
        *,
        resume: bool,
    ) -> Run:
        task, prepared, reporter = self.task, self.prepared, self.reporter
        folder = self.bound.database.workspace / "runs" / tracker.run_id
        folder.mkdir(parents=True, exist_ok=True)
        tracker.keep_unsent_in(folder / "unsent.json")
        temporary = folder / f".run.{os.getpid()}"
        temporary.write_text(json.dumps(self._record(), indent=1))
        os.replace(temporary, folder / "run.json")
        reporter.run_started(
            tracker.run_id, tracker.run_name, tracker.url, num_parameters(self.network), self.config.epochs
        )
        if not resume:
            self._log_inputs(tracker, folder)
        clock.lap("start run")
        result = fit(
            self.network,
            self.loader,
            prepared.splits["train"],
            prepared.splits["validation"],
            prepared.labels,
            config=self.config,
            metric=task.metric,
            observer=_Observer(tracker, reporter, task.metric),
            checkpoint=folder / "checkpoint",
            resume=resume,
            info={"run_id": tracker.run_id},
        )
        clock.lap("train")
        reporter.stage("evaluating")
        outputs = {k: self._outputs(k, result) for k in ("validation", "test") if k in prepared.splits}
        network = make_row(NETWORK, prepared.labels, prepared.splits, outputs, result.elapsed_s)
        metrics = {"val": network.val, "test": network.test} if network.test else {"val": network.val}
        clock.lap("evaluate")
        board = self._board(network, result)
        clock.lap("scoreboard")
        reporter.stage("drawing")
        self._log_results(tracker, folder, result, board, metrics, outputs)
        clock.lap("plots")
        reporter.stage("saving the model")
        bundle = self._bundle(tracker, result, metrics).save(folder / "bundle")
        test_metrics = [f"test_metric_{k}" for k in metrics.get("test", {})]
        model_uri = self._log_model(tracker, bundle, test_metrics, result.best_epoch)
        clock.lap("save")
        run = Run(
            run_id=tracker.run_id,
            run_name=tracker.run_name,
            url=tracker.url,
            experiment=self.bound.experiment,
            status="FINISHED",
            metric=self.task.metric,
            metrics=metrics,
            scoreboard=board.rows,
            verdict=board.verdict,
            history=result.history,
            best_epoch=result.best_epoch,
            stopped=result.stopped,
            seconds=clock.laps,
            folder=folder,
            model_uri=model_uri,
            _task=self.bound,
        )
        run.save()
        return run

    def _record(self) -> dict[str, Any]:
        """What a resumed run must agree with, and which process trains."""
        return {
            "process": this_process(),
            "experiment": self.bound.experiment,
            "snapshot": self.prepared.store.fingerprint,
            "config": asdict(self.config),
            "task": self.task.to_dict(),
        }

    def _log_inputs(self, tracker: MLflowTracker, folder: Path) -> None:
        database, task = self.bound.database, self.task
        tracker.log_params({**asdict(self.config), "task": {k: v for k, v in task.to_dict().items() if k != "tables"}})
        dataset = project_text(self.bound.schema, dataset=database.dataset, source=database.project.file.source)
        (folder / "dataset.yaml").write_text(dataset)
        settings = {"task": task.to_dict(), "train": _plain(asdict(self.config))}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        try:
            (folder / "schema.svg").write_text(self._diagram())
        except ForeknowError as e:  # a picture is not worth a training
            logger.warning("the schema is not drawn: %s", e)
        findings = [f.to_dict() for f in self.prepared.findings]
        (folder / "findings.json").write_text(json.dumps(findings, indent=1))
        (folder / "audit.json").write_text(json.dumps(json_ready(self.prepared.audit.to_dict()), indent=1))
        for name in ("dataset.yaml", "config.yaml", "schema.svg", "findings.json", "audit.json"):
            if (folder / name).exists():
                tracker.log_artifact(folder / name)
        train = self.prepared.tables["train"]
        sample = train.keys.slice(0, 1000)
        if train.labels is not None:
            sample = sample.append_column(task.label, train.labels.slice(0, 1000))
        tracker.log_dataset(
            sample.to_pandas(),
            name=f"{database.dataset}.{task.name}.train",
            source=database.source.uri,
            target=task.label,
            context="training",
        )

    def _diagram(self) -> str:
        from foreknow.schema.diagram import to_dot, to_svg

        counts = {n: t.num_rows for n, t in self.prepared.snapshot.tables.items()}
        return to_svg(to_dot(self.bound.schema, row_counts=counts)).decode()

    def _outputs(self, split: str, result: FitResult) -> np.ndarray:
        seeds = self.prepared.splits[split].seeds
        raw, _ = run_forward(
            self.network,
            self.loader,
            seeds,
            batch_size=self.config.eval_batch_size,
            device=self.device,
            progress=lambda done: self.reporter.on_evaluate(done, len(seeds)),
        )
        return outputs_to_predictions(raw, self.prepared.labels, result.objective.logit_shift)

    def _board(self, network: Row, result: FitResult) -> Board:
        """The network beside its baselines."""
        p = self.prepared

        def vectors(split: SplitData) -> np.ndarray:
            _, found = run_forward(
                self.network,
                self.loader,
                split.seeds,
                batch_size=self.config.eval_batch_size,
                device=self.device,
                embeddings=True,
            )
            assert found is not None
            return found

        return build_board(
            network,
            self.config.scoreboard,
            store=p.store,
            task=self.task,
            encoding=self.encoding,
            labels=p.labels,
            splits=p.splits,
            until=p.fitted_until,
            seed=self.config.seed,
            vectors=vectors,
            progress=self.reporter.stage,
        )

    def _log_results(
        self,
        tracker: MLflowTracker,
        folder: Path,
        result: FitResult,
        board: Board,
        metrics: Mapping[str, Mapping[str, float]],
        outputs: Mapping[str, np.ndarray],
    ) -> None:
        from foreknow.train import plots
        from foreknow.train.board_plot import scoreboard_figure

        labels = self.prepared.labels
        last = result.best_epoch
        name = find_metric(self.task.metric, labels.type).name
        tracker.log_metrics({f"test_metric_{k}": v for k, v in metrics.get("test", {}).items()}, step=last)
        for row in board.rows[:-1]:
            which = row.model.split(" (")[0].replace("'s", "").replace(" + ", "_").replace(" ", "_")
            for split, values in (("val", row.val), ("test", row.test)):
                if name in values:  # the metric alone: the run's page draws a chart for each; the rest is in the file
                    tracker.log_metrics({f"baseline_{which}_{split}_metric_{name}": values[name]}, step=last)
        written = {"metric": name, "models": [r.to_dict() for r in board.rows], "verdict": board.verdict}
        (folder / "scoreboard.json").write_text(json.dumps(json_ready(written), indent=1))
        tracker.log_artifact(folder / "scoreboard.json")
        tracker.set_tags({"foreknow.best_epoch": str(last), "foreknow.stopped": result.stopped})
        pictures = folder / "plots"
        pictures.mkdir(exist_ok=True)
        split = "test" if metrics.get("test") and np.isfinite(list(metrics["test"].values())).any() else "validation"
        figures = plots.evaluation_figures(
            labels.type,
            self.prepared.splits[split].target,
            outputs[split],
            split=split,
            classes=labels.classes or None,
            entity=self.task.entity_table,
        )
        figures["learning_curves"] = plots.learning_curves(
            [vars(r) for r in result.history],
            metric_name=self.task.metric,
            higher_is_better=find_metric(self.task.metric, labels.type).higher_is_better,
        )
        if len(board.rows) > 1:
            figures["scoreboard"] = scoreboard_figure(board.rows, name, board.verdict)
        for name, figure in figures.items():
            plots.save(figure, pictures / f"{name}.png")
        tracker.log_artifact(pictures, "plots")

    def _bundle(self, tracker: MLflowTracker, result: FitResult, metrics: Mapping[str, Mapping[str, float]]) -> Bundle:
        database = self.bound.database
        return Bundle(
            schema=self.bound.schema,
            task=self.task,
            labels=self.prepared.labels,
            encoding=self.encoding,
            model=self.model_config,
            num_neighbors=self.config.num_neighbors,
            temporal_strategy=self.config.temporal_strategy,
            windows_days=self.windows_days,
            seed=self.config.seed,
            logit_shift=tuple(result.objective.logit_shift.tolist()),
            shallow_embeddings=self.config.shallow_embeddings,
            weights=self.network.state_dict(),
            info={
                "foreknow_version": version("foreknow"),
                "created_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                "dataset": database.dataset,
                "source": str(Path(database.source.uri).resolve()),
                "run_id": tracker.run_id,
                "run_name": tracker.run_name,
                "experiment": self.bound.experiment,
                "snapshot": self.prepared.store.fingerprint,
                "fitted_until": self.prepared.fitted_until,
                "metrics": json_ready({k: dict(v) for k, v in metrics.items()}),
            },
        )

    def _log_model(self, tracker: MLflowTracker, bundle: Path, metrics: list[str], step: int) -> str | None:
        task, labels = self.task, self.prepared.labels
        entity = self.prepared.snapshot[task.entity_table].columns
        inputs = {c: _mlflow_type(entity[k]) for c, k in zip(task.entity_columns, task.entity_key, strict=True)}
        outputs = dict(inputs)
        if task.time is not None:
            inputs[task.time] = "datetime"
        if labels.type is TaskType.REGRESSION:
            outputs["predicted_value"] = "double"
        else:
            is_list = labels.type is TaskType.MULTILABEL
            outputs["predicted_labels"] = "array:string" if is_list else "string"
            outputs["probs"] = "double" if labels.type is TaskType.BINARY else "array:double"
        optional = [task.time] if task.time is not None else []
        code = Path(__file__).parents[1] / "pyfunc.py"
        return tracker.log_model(
            bundle, code, inputs=inputs, outputs=outputs, optional=optional, metrics=metrics, step=step
        )


class _Observer:
    """Passes progress to MLflow and to the reporter."""

    def __init__(self, tracker: MLflowTracker, reporter: Reporter, metric: str) -> None:
        self._tracker, self._reporter, self._metric = tracker, reporter, metric

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        self._reporter.on_step(epoch, step, num_steps, loss)

    def on_evaluate(self, done: int, total: int) -> None:
        self._reporter.on_evaluate(done, total)

    def on_epoch(self, record: EpochRecord) -> None:
        self._tracker.log_metrics(
            {
                "train_loss": record.train_loss,
                "val_loss": record.val_loss,
                f"train_metric_{self._metric}": record.train_metric,
                f"val_metric_{self._metric}": record.val_metric,
                "learning_rate": record.learning_rate,
            },
            step=record.epoch,
        )
        self._reporter.on_epoch(record)


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


@contextmanager
def _closing(tracker: MLflowTracker) -> Iterator[None]:
    """Close the run with the status that is true, whatever ends the block; SIGTERM ends it as Ctrl-C does."""
    status: RunStatus = "KILLED"
    is_main = threading.current_thread() is threading.main_thread()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt) if is_main else None
    try:
        yield
        status = "FINISHED"
    except Exception as e:
        status = "FAILED"
        tracker.note_failure(f"{type(e).__name__}: {e}")
        raise
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
        tracker.finish(status)


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Seed PyTorch, and leave its random state as it was afterwards."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


def _check_names(register: str | None, alias: str | None) -> None:
    """Refuse what the registry would refuse, before training rather than after."""
    if register is not None:
        check_model_name(register)
    if alias is not None:
        if register is None:
            raise ConfigError(f"the alias '{alias}' has no model to belong to", hint="name one with --register")
        check_alias(alias)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _mlflow_type(dtype: str) -> str:
    if dtype.endswith("INT") or dtype == "INTEGER":
        return "long"
    if dtype in ("FLOAT", "DOUBLE") or dtype.startswith("DECIMAL"):
        return "double"
    if dtype == "BOOLEAN":
        return "boolean"
    return "datetime" if dtype == "DATE" or dtype.startswith("TIMESTAMP") else "string"


def _git_commit(folder: Path) -> str | None:
    """Commit of the repository the project file is in, if it is in one."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
