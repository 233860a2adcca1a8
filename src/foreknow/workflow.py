"""The whole story in one file: prepare a task, train, evaluate, predict.

Notebook, command line and engine call these functions; none of them prints. Long work tells a `Reporter` what it
does.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import yaml

from foreknow.bundle import Bundle
from foreknow.database import BoundTask, Database
from foreknow.errors import (
    ConfigError,
    Finding,
    ForeknowError,
    PredictionError,
    TaskError,
    TrackingError,
    TrainingError,
    raise_findings,
)
from foreknow.graph.build import build_graph
from foreknow.graph.encode import Encoding, fit_encoding
from foreknow.graph.store import GraphStore
from foreknow.nn.memory import keep_freed_memory
from foreknow.nn.model import ModelConfig, RelationalGNN, num_parameters
from foreknow.predict.forward import outputs_to_predictions, run_forward
from foreknow.predict.predictor import Predictor
from foreknow.predict.sink import open_sink
from foreknow.predict.table import Lineage, embeddings_table, predictions_table
from foreknow.project import make_config, project_text
from foreknow.sample.loader import Loader, Seeds
from foreknow.source.snapshot import Snapshot, resign
from foreknow.task.label import LabelEncoding, encode_labels, fit_labels
from foreknow.task.metric import metric as find_metric
from foreknow.task.table import NO_TIME, TaskTable, check_splits, read_task_table
from foreknow.task.task import EntityTask, is_query
from foreknow.track.base import RunStatus
from foreknow.track.connect import connect
from foreknow.track.mlflow import MLflowTracker, check_reachable
from foreknow.track.registry import Registry, check_alias, check_model_name
from foreknow.track.server import MLflowServer, this_process
from foreknow.train.config import TrainConfig
from foreknow.train.loop import EpochRecord, FitResult, SplitData, fit, resolve_device
from foreknow.train.scoreboard import Row, entity_baseline, majority_baseline, score
from foreknow.types import TaskType

__all__ = [
    "Prediction",
    "Prepared",
    "Reporter",
    "Run",
    "Silent",
    "describe_splits",
    "evaluate",
    "find_resumable",
    "load_bundle",
    "predict",
    "prepare",
    "train",
]

logger = logging.getLogger(__name__)

MAX_WINDOWS = 6  # windows in which the seeds' children are counted


class Reporter(Protocol):
    """Told what long work does. A terminal shows it, a notebook draws it, tests collect it."""

    def stage(self, text: str) -> None:
        """Something begins."""
        ...

    def finding(self, finding: Finding) -> None:
        """A person should know this."""
        ...

    def run_started(self, run_name: str, url: str | None, num_parameters: int) -> None:
        """The MLflow run exists; its page can be opened."""
        ...

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """A training step is done."""
        ...

    def on_evaluate(self, done: int, total: int) -> None:
        """Some rows are scored."""
        ...

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch is done."""
        ...


class Silent:
    """A reporter that only logs."""

    def stage(self, text: str) -> None:
        """Log."""
        logger.info(text)

    def finding(self, finding: Finding) -> None:
        """Log."""
        logger.warning(str(finding))

    def run_started(self, run_name: str, url: str | None, num_parameters: int) -> None:
        """Log."""
        logger.info("run %s, %s", run_name, url)

    def on_step(self, epoch: int, step: int, num_steps: int, loss: float) -> None:
        """Nothing."""

    def on_evaluate(self, done: int, total: int) -> None:
        """Nothing."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Log."""
        logger.info("%s", record)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A task ready to train: graph, splits with targets, and what was found on the way."""

    snapshot: Snapshot
    store: GraphStore
    tables: Mapping[str, TaskTable]
    labels: LabelEncoding
    splits: Mapping[str, SplitData]
    fitted_until: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished training run. ``not_recorded``: what MLflow could not be given; all of it is in ``folder``."""

    run_id: str
    run_name: str
    url: str | None
    experiment: str
    status: str
    metrics: Mapping[str, Mapping[str, float]]
    scoreboard: tuple[Row, ...]
    history: tuple[EpochRecord, ...]
    best_epoch: int
    stopped: str
    seconds: Mapping[str, float]
    folder: Path
    model_uri: str | None = None
    model_version: str | None = None
    not_recorded: tuple[str, ...] = ()
    _task: BoundTask | None = field(default=None, repr=False)

    def predict(self, into: str, **options: Any) -> Prediction:
        """Predict with this run's model into a table of the database; see `predict`."""
        assert self._task is not None
        return predict(self._task.database, run_id=self.run_id, into=into, **options)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as ``foreknow train --json`` prints them."""
        value: dict[str, Any] = _json_ready(
            {
                "run_id": self.run_id,
                "run_name": self.run_name,
                "url": self.url,
                "experiment": self.experiment,
                "status": self.status,
                "metrics": {k: dict(v) for k, v in self.metrics.items()},
                "scoreboard": [r.to_dict() for r in self.scoreboard],
                "best_epoch": self.best_epoch,
                "epochs": len(self.history),
                "stopped": self.stopped,
                "seconds": {k: round(v, 3) for k, v in self.seconds.items()},
                "model_uri": self.model_uri,
                "model_version": self.model_version,
                "not_recorded": list(self.not_recorded),
                "folder": str(self.folder),
            }
        )
        return value

    def save(self) -> None:
        """Write ``result.json`` into the run's folder: its presence says that the run is finished."""
        temporary = self.folder / f".result.{os.getpid()}"
        temporary.write_text(json.dumps(self.to_dict(), indent=1))
        os.replace(temporary, self.folder / "result.json")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Written predictions. ``tables`` says where each went; ``head`` holds the first rows as plain values."""

    tables: Mapping[str, str]
    num_rows: int
    columns: tuple[str, ...]
    head: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, float]
    findings: tuple[Finding, ...]


def prepare(bound: BoundTask, *, config: TrainConfig | None = None, reporter: Reporter | None = None) -> Prepared:
    """Everything before training: stage, read splits, check them, build the graph, learn the labels.

    Raises:
        TaskError: The task's tables can't be used; all findings at once.
        SchemaError: The schema doesn't fit the tables.
    """
    reporter, task, config = reporter or Silent(), bound.task, config or TrainConfig()
    findings: list[Finding] = bound.database.check()
    missing = [s for s in ("train", "validation") if s not in task.tables]
    if missing:
        raise TaskError(
            f"task '{task.name}' has no {' and no '.join(missing)} table",
            hint="give tables: {train: ..., validation: ..., test: ...}; test may be left out",
        )
    reporter.stage("reading tables")
    snapshot = bound.snapshot()
    reporter.stage("reading the task")
    tables = {}
    for split, query in task.tables.items():
        is_test = split == "test"
        tables[split] = read_task_table(snapshot, task, split, query, need_label=not is_test, keep_unlabelled=is_test)
        findings += tables[split].findings
    findings += check_splits(task, tables)
    raise_findings(findings, TaskError, "the splits can't be used")
    reporter.stage("building the graph")
    store = build_graph(
        snapshot,
        bound.database.schema,
        bound.database.workspace,
        key_features=config.shallow_embeddings,
        progress=reporter.stage,
    )
    findings += store.findings
    train_table = tables["train"]
    assert train_table.labels is not None
    assert train_table.label_dtype is not None
    try:
        labels = fit_labels(
            task.type,
            train_table.labels,
            train_table.label_dtype,
            clamp_min=config.clamp_min,
            clamp_max=config.clamp_max,
        )
    except TaskError as e:
        raise TaskError(f"task '{task.name}', column '{task.label}': {e}") from e
    splits = {}
    for name, table in tables.items():
        splits[name], found = _split_data(task, store, table, labels)
        findings += found
    until = int(train_table.seed_time.max())
    if task.context_until is not None:
        until = min(until, task.context_until)
    findings += _check_seeds(task, store, splits)
    raise_findings(findings, TaskError, "the task can't be used")
    for f in findings:
        if f.severity != "info":
            reporter.finding(f)
    return Prepared(
        snapshot=snapshot,
        store=store,
        tables=tables,
        labels=labels,
        splits=splits,
        fitted_until=until,
        findings=tuple(findings),
    )


def describe_splits(prepared: Prepared) -> list[dict[str, Any]]:
    """A row per split: how many rows and seed times, from when to when, and how the labels are spread."""
    rows = []
    for name, split in prepared.splits.items():
        time, labels = split.seeds.time, prepared.labels
        has_time = int(time.max()) < NO_TIME
        row: dict[str, Any] = {
            "split": name,
            "rows": len(split),
            "seed times": len(np.unique(time)) if has_time else 0,
            "first": _day(int(time.min())) if has_time else None,
            "last": _day(int(time.max())) if has_time else None,
        }
        target = split.target
        if labels.type is TaskType.REGRESSION:
            known = target[np.isfinite(target)]
            quantiles = np.quantile(known, [0.05, 0.5, 0.95]) if len(known) else [np.nan] * 3
            row |= {"labelled": len(known), "5%": quantiles[0], "median": quantiles[1], "95%": quantiles[2]}
        elif labels.type is TaskType.BINARY:
            known = target[np.isfinite(target)]
            row |= {"labelled": len(known), f"share {labels.classes[1]}": float(known.mean()) if len(known) else None}
        elif labels.type is TaskType.MULTICLASS:
            counts = np.bincount(target[target >= 0], minlength=len(labels.classes))
            top = sorted(zip(counts.tolist(), labels.classes, strict=True), reverse=True)[:5]
            row |= {"labelled": int((target >= -1).sum()), "classes": ", ".join(f"{c} {n:,}" for n, c in top)}
        else:
            known = target[np.isfinite(target).all(axis=1)]
            row |= {"labelled": len(known), "labels per row": float(known.sum(axis=1).mean()) if len(known) else None}
        rows.append(row)
    return rows


def _split_data(
    task: EntityTask, store: GraphStore, table: TaskTable, labels: LabelEncoding
) -> tuple[SplitData, list[Finding]]:
    """Rows and targets of a split; rows whose class was never seen in training are counted."""
    row = store[task.entity_table].to_row(table.entity_row).astype(np.int32)
    findings: list[Finding] = []
    if table.labels is None:
        shape = (len(table), len(labels.classes)) if labels.type is TaskType.MULTILABEL else (len(table),)
        return SplitData(seeds=Seeds(row=row, time=table.seed_time), target=np.full(shape, np.nan)), findings
    target = encode_labels(labels, table.labels)
    if labels.type is TaskType.MULTICLASS:
        unseen = int((target == -1).sum())
        consequence = "they count as errors"
    elif labels.type is TaskType.BINARY:
        unseen = int((np.isnan(target) & table.labels.is_valid().to_numpy(zero_copy_only=False)).sum())
        consequence = "they are not scored"
    else:
        unseen, consequence = 0, ""
    if unseen:
        findings.append(
            Finding(
                name="unseen-class",
                severity="warning",
                count=unseen,
                message=f"task '{task.name}', {table.split}: {unseen:,} of {len(table):,} rows have a class that "
                f"does not occur in training; {consequence}",
            )
        )
    if table.split in ("train", "validation") and labels.type in (TaskType.BINARY, TaskType.REGRESSION):
        keep = np.flatnonzero(np.isfinite(target))
        row, seed_time, target = row[keep], table.seed_time[keep], target[keep]
    else:
        seed_time = table.seed_time
    return SplitData(seeds=Seeds(row=row, time=seed_time), target=target), findings


def _check_seeds(task: EntityTask, store: GraphStore, splits: Mapping[str, SplitData]) -> list[Finding]:
    """Seeds before any data, and entities whose own row is later than the seed time."""
    findings = []
    entity, span = store[task.entity_table], store.time_range
    for name, split in splits.items():
        time = split.seeds.time
        if span is not None and task.time is not None:
            early = int((time < span[0]).sum())
            if early:
                findings.append(
                    Finding(
                        name="seeds-before-data",
                        severity="error" if early == len(time) else "warning",
                        count=early,
                        message=f"task '{task.name}', {name}: {early:,} of {len(time):,} seed times lie before the "
                        f"first row of any table ({_day(span[0])})",
                        hint="start later, or check the unit of the time column",
                    )
                )
        if entity.time is None:
            continue
        later = split.seeds.row >= entity.cut(time, inclusive=task.inclusive)
        count = int(later.sum())
        if count and not task.known:
            everything = count == len(later)
            findings.append(
                Finding(
                    name="entity-after-seed",
                    severity="error" if everything else "warning",
                    table=task.entity_table,
                    count=count,
                    message=f"task '{task.name}', {name}: {count:,} of {len(later):,} rows are predicted at a time "
                    "before the entity's own time; nothing of such a row is known then, so all of it is hidden",
                    hint="list columns that are known ahead under known: [...], or predict at a later time",
                )
            )
    if span is not None and task.time is None:
        findings.append(
            Finding(
                name="no-seed-time",
                severity="warning",
                message=f"task '{task.name}' has no time column although tables have one: every row of every table "
                "is visible to every prediction",
                hint="give the task tables a time column and name it under time:",
            )
        )
    return findings


def train(
    bound: BoundTask,
    config: TrainConfig | None = None,
    *,
    tracking_uri: str | None = None,
    server: MLflowServer | None = None,
    register: str | None = None,
    alias: str | None = None,
    resume: str | None = None,
    baselines: bool = True,
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
        baselines: Whether to train baselines beside the model.
        reporter: Told what happens.

    Returns:
        The run, best epoch restored, model logged (and registered if asked).

    Raises:
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
        config = _check_resumable(bound, run_id, config)
    config = config or TrainConfig()
    device = resolve_device(config.device)
    if tracking_uri is not None:
        check_reachable(tracking_uri)
    elif server is None:
        server = MLflowServer(workspace).start()
    keep_freed_memory()
    prepared = prepare(bound, config=config, reporter=reporter)
    clock.lap("prepare")
    if run_id is not None:
        _check_same(workspace / "runs" / run_id, prepared)
    with _deterministic(config.seed):
        job = _Training(bound, config, prepared, device, reporter)
        clock.lap("encode")
        if tracking_uri is None:
            reporter.stage("waiting for MLflow")
        else:
            server = None
        url = connect(workspace, tracking_uri, server=server)
        tracker = MLflowTracker(
            url, bound.experiment, tags=job.tags(), description=job.description(), run_id=run_id, server=server
        )
        with _closing(tracker):
            run = job.run(tracker, clock, resume=run_id is not None, baselines=baselines)
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
        }
        commit = _git_commit(self.bound.database.project.base)
        return {**tags, "mlflow.source.git.commit": commit} if commit else tags

    def description(self) -> str:
        rows = ", ".join(f"{len(s):,} {k}" for k, s in self.prepared.splits.items())
        return f"`{self.task.name}`: {self.task.type} on `{self.bound.database.dataset}`, {rows} rows."

    def run(
        self,
        tracker: MLflowTracker,
        clock: _Clock,
        *,
        resume: bool,
        baselines: bool,
    ) -> Run:
        task, prepared, reporter = self.task, self.prepared, self.reporter
        folder = self.bound.database.workspace / "runs" / tracker.run_id
        folder.mkdir(parents=True, exist_ok=True)
        tracker.keep_unsent_in(folder / "unsent.json")
        (folder / "run.json").write_text(json.dumps(self._record(), indent=1))
        reporter.run_started(tracker.run_name, tracker.url, num_parameters(self.network))
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
        metrics = {
            {"validation": "val"}.get(k, k): score(prepared.labels, prepared.splits[k].target, o)
            for k, o in outputs.items()
        }
        clock.lap("evaluate")
        rows = [Row(model="graph network", val=metrics["val"], test=metrics.get("test", {}), seconds=result.elapsed_s)]
        if baselines:
            reporter.stage("training baselines")
            rows = [*self._baselines(), *rows]
        clock.lap("baselines")
        reporter.stage("drawing")
        self._log_results(tracker, folder, result, rows, metrics, outputs)
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
            metrics=metrics,
            scoreboard=tuple(rows),
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
        dataset = project_text(database.schema, dataset=database.dataset, source=database.project.file.source)
        (folder / "dataset.yaml").write_text(dataset)
        settings = {"task": task.to_dict(), "train": _plain(asdict(self.config))}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        try:
            (folder / "schema.svg").write_text(self._diagram())
        except ForeknowError as e:  # a picture is not worth a training
            logger.warning("the schema is not drawn: %s", e)
        findings = [f.to_dict() for f in self.prepared.findings]
        (folder / "findings.json").write_text(json.dumps(findings, indent=1))
        for name in ("dataset.yaml", "config.yaml", "schema.svg", "findings.json"):
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
        return to_svg(to_dot(self.bound.database.schema, row_counts=counts)).decode()

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

    def _baselines(self) -> list[Row]:
        task, p = self.task, self.prepared
        rows = [majority_baseline(p.labels, p.splits, task.metric)]
        entity = entity_baseline(
            p.labels,
            p.splits,
            self.loader.features[task.entity_table],
            p.store[task.entity_table],
            metric=task.metric,
            known=task.known,
            inclusive=task.inclusive,
            seed=self.config.seed,
        )
        return [*rows, entity] if entity is not None else rows

    def _log_results(
        self,
        tracker: MLflowTracker,
        folder: Path,
        result: FitResult,
        rows: list[Row],
        metrics: Mapping[str, Mapping[str, float]],
        outputs: Mapping[str, np.ndarray],
    ) -> None:
        from foreknow.train import plots

        labels = self.prepared.labels
        last = result.best_epoch
        name = find_metric(self.task.metric, labels.type).name
        tracker.log_metrics({f"test_metric_{k}": v for k, v in metrics.get("test", {}).items()}, step=last)
        for row in rows[:-1]:
            which = row.model.split(" (")[0].replace(" ", "_")
            for split, values in (("val", row.val), ("test", row.test)):
                if name in values:  # the metric alone: the run's page draws a chart for each; the rest is in the file
                    tracker.log_metrics({f"baseline_{which}_{split}_metric_{name}": values[name]}, step=last)
        board = _json_ready({"metric": self.task.metric, "models": [r.to_dict() for r in rows]})
        (folder / "scoreboard.json").write_text(json.dumps(board, indent=1))
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
        for name, figure in figures.items():
            plots.save(figure, pictures / f"{name}.png")
        tracker.log_artifact(pictures, "plots")

    def _bundle(self, tracker: MLflowTracker, result: FitResult, metrics: Mapping[str, Mapping[str, float]]) -> Bundle:
        database = self.bound.database
        return Bundle(
            schema=database.schema,
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
                "metrics": _json_ready({k: dict(v) for k, v in metrics.items()}),
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
        code = Path(__file__).with_name("pyfunc.py")
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


def load_bundle(
    database: Database, *, run_id: str | None = None, model: str | None = None, tracking_uri: str | None = None
) -> tuple[Bundle, str]:
    """Load a trained model.

    Args:
        database: Whose workspace holds the runs.
        run_id: The run that trained it.
        model: Or a registered version: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        tracking_uri: Address of the MLflow server; the workspace's own is started if one is needed and not given.

    Returns:
        The bundle, and how the model is called in prediction tables.

    Raises:
        PredictionError: Neither or both were given.
        TrackingError: It isn't there.
    """
    if (run_id is None) == (model is None):
        raise PredictionError(
            "exactly one of a run and a model is needed", hint="give --run RUN_ID or --model NAME@ALIAS"
        )
    name = ""
    runs = database.workspace / "runs"
    if model is not None:
        tracking_uri = connect(database.workspace, tracking_uri)
        found = Registry(tracking_uri).resolve(model)
        name = f"{found.name}/{found.version}"
        if found.run_id is None:
            raise PredictionError(
                f"model version '{name}' doesn't say which run it is from", hint="register it with foreknow"
            )
        run_id = found.run_id
    assert run_id is not None
    local = runs / run_id / "bundle"
    if not (local / "bundle.json").exists():
        local = database.workspace / "downloads" / run_id
    if not (local / "bundle.json").exists():
        url = connect(database.workspace, tracking_uri)
        local.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=database.workspace) as folder:
            shutil.move(Registry(url).download_bundle(run_id=run_id, into=Path(folder)), local)
    bundle = Bundle.load(local)
    return bundle, name or str(bundle.info.get("run_name", run_id))


def predict(
    database: Database,
    *,
    run_id: str | None = None,
    model: str | None = None,
    into: str,
    table: str | None = None,
    at: str | dt.datetime | dt.date | int | None = None,
    to: Path | None = None,
    embeddings: bool = False,
    overwrite: bool = False,
    batch_size: int = 512,
    device: str = "cpu",
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> Prediction:
    """Predict into a table.

    Args:
        database: What to score; rows since training are seen.
        run_id: The run whose model scores.
        model: Or a registered version.
        into: Name of the table to write.
        table: A task table or SQL to predict for; the task's test table if neither this nor `at` is given.
        at: Predict for all entities at this time instead.
        to: Where to write instead of into the database: a DuckDB file, or a folder for Parquet.
        embeddings: Write the entities' vectors too, as ``PREDICTIONS_EMBEDDINGS_<COLUMN>_<ALIAS>``.
        overwrite: Replace tables that exist.
        batch_size: Entities scored at once.
        device: Where the network runs.
        tracking_uri: Address of the MLflow server.
        reporter: Told what happens.

    Raises:
        SinkError: A table exists already; nothing was done.
        PredictionError: The model doesn't fit the database, or the request makes no sense.
    """
    reporter = reporter or Silent()
    if table is not None and at is not None:
        raise PredictionError("a table and a time were both given", hint="give one of --table and --at")
    seed_time = None if at is None else _seconds(at)
    sink = open_sink(to or _default_destination(database))
    sink.check([into], overwrite=overwrite)
    bundle, label = load_bundle(database, run_id=run_id, model=model, tracking_uri=tracking_uri)
    names = [into]
    if embeddings:
        alias = into.removeprefix("PREDICTIONS_")
        names.append(f"PREDICTIONS_EMBEDDINGS_{'_'.join(bundle.task.entity_columns).upper()}_{alias}")
    sink.check(names, overwrite=overwrite)
    query = table if table is not None else bundle.task.tables.get("test")
    if query is None and at is None:
        raise PredictionError(
            f"task '{bundle.task.name}' has no test table", hint="say what to predict for: --table NAME, or --at TIME"
        )
    extra = (query,) if at is None and query is not None and not is_query(query) else ()
    reporter.stage("reading tables")
    predictor = Predictor(
        bundle, database.source, database.workspace, extra_tables=extra, device=device, progress=reporter.stage
    )
    if at is not None:
        rows = predictor.all_entities(None if bundle.task.time is None else seed_time)
    else:
        assert query is not None
        rows = read_task_table(
            predictor.snapshot, bundle.task, "prediction", query, need_label=False, keep_unlabelled=True
        )
    reporter.stage(f"predicting {len(rows):,} rows")
    result = predictor.predict(
        rows,
        embeddings=embeddings,
        batch_size=batch_size,
        progress=lambda done: reporter.on_evaluate(done, len(rows)),
    )
    lineage = Lineage(
        model_version=label, run_id=str(bundle.info.get("run_id", "")), predicted_at=dt.datetime.now(dt.UTC)
    )
    written = {into: predictions_table(result.keys, result.output, bundle.labels, lineage)}
    if result.vectors is not None:
        written[names[1]] = embeddings_table(result.keys, result.vectors, lineage)
    before = {t: database.source.signature(t) for t in predictor.snapshot.tables}
    where = sink.write(written, overwrite=overwrite)
    resign(database.source, database.workspace, before)
    metrics: dict[str, float] = {}
    if rows.labels is not None and rows.labels.null_count < len(rows.labels):
        metrics = score(bundle.labels, encode_labels(bundle.labels, rows.labels), result.output)
    findings = [f for f in (*predictor.findings, *rows.findings, *predictor.store.findings) if f.severity != "info"]
    for f in findings:
        reporter.finding(f)
    return Prediction(
        tables=where,
        num_rows=len(rows),
        columns=tuple(written[into].column_names),
        head=tuple(written[into].slice(0, 5).to_pylist()),
        metrics=metrics,
        findings=tuple(findings),
    )


def evaluate(
    database: Database,
    *,
    run_id: str | None = None,
    model: str | None = None,
    split: str = "test",
    table: str | None = None,
    tracking_uri: str | None = None,
    reporter: Reporter | None = None,
) -> dict[str, float]:
    """Score a trained model on a labelled split as the database is now, without writing anything.

    Raises:
        TaskError: The split has no labels.
    """
    reporter = reporter or Silent()
    bundle, _ = load_bundle(database, run_id=run_id, model=model, tracking_uri=tracking_uri)
    query = table or bundle.task.tables.get(split)
    if query is None:
        raise TaskError(f"task '{bundle.task.name}' has no {split} table", hint="name one with --table")
    extra = () if is_query(query) else (query,)
    predictor = Predictor(bundle, database.source, database.workspace, extra_tables=extra, progress=reporter.stage)
    rows = read_task_table(predictor.snapshot, bundle.task, split, query, need_label=True)
    assert rows.labels is not None
    result = predictor.predict(rows, progress=lambda done: reporter.on_evaluate(done, len(rows)))
    return score(bundle.labels, encode_labels(bundle.labels, rows.labels), result.output)


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


def find_resumable(bound: BoundTask, which: str) -> str:
    """The run to go on with.

    Args:
        bound: The task.
        which: A run id, or ``latest``.

    Raises:
        TrainingError: There is no interrupted run with a checkpoint.
    """
    runs = bound.database.workspace / "runs"
    if which != "latest":
        if not (runs / which / "checkpoint" / "state.json").exists():
            raise TrainingError(
                f"run '{which}' has no checkpoint in '{runs}'", hint="use --resume latest, or start anew"
            )
        return which
    interrupted = [
        record
        for record in runs.glob("*/run.json")
        if json.loads(record.read_text())["experiment"] == bound.experiment
        and (record.parent / "checkpoint" / "state.json").exists()
        and not (record.parent / "result.json").exists()
    ]
    if not interrupted:
        raise TrainingError(
            f"no interrupted run of {bound.experiment} with a checkpoint", hint="start one without --resume"
        )
    return max(interrupted, key=lambda r: r.stat().st_mtime).parent.name


def _check_resumable(bound: BoundTask, run_id: str, config: TrainConfig | None) -> TrainConfig:
    """A run goes on only with the task and the parameters it began with; returns those.

    Raises:
        TrainingError: Something changed in between, or the run is finished.
    """
    folder = bound.database.workspace / "runs" / run_id
    if (folder / "result.json").exists():
        raise TrainingError(f"run '{run_id}' is finished", hint="start a new run, with more epochs if need be")
    record = json.loads((folder / "run.json").read_text())
    began = make_config(record["config"], where=f"run '{run_id}'")
    given = asdict(config) if config is not None else {}
    changed = [f"{k}: {v!r}, now {given[k]!r}" for k, v in asdict(began).items() if given and given[k] != v]
    now = json.loads(json.dumps(bound.task.to_dict()))
    changed += [f"task.{k}" for k in now if now[k] != record["task"].get(k)]
    if changed:
        raise TrainingError(
            f"run '{run_id}' began with other settings ({'; '.join(changed)})",
            hint="a resumed run keeps its settings: leave them out, or start a new run",
        )
    return began


def _check_same(folder: Path, prepared: Prepared) -> None:
    """A run goes on only on the rows it began with.

    Raises:
        TrainingError: The data changed in between.
    """
    record = json.loads((folder / "run.json").read_text())
    if record["snapshot"] != prepared.store.fingerprint:
        raise TrainingError(
            f"the tables changed since run '{folder.name}' began", hint="start a new run instead of resuming this one"
        )


def _check_names(register: str | None, alias: str | None) -> None:
    """Refuse what the registry would refuse, before training rather than after."""
    if register is not None:
        check_model_name(register)
    if alias is not None:
        if register is None:
            raise ConfigError(f"the alias '{alias}' has no model to belong to", hint="name one with --register")
        check_alias(alias)


def _default_destination(database: Database) -> Path:
    """Predictions go into the DuckDB file they are about; for a folder of files, into ``_predictions`` below it."""
    path = Path(database.source.uri)
    if path.is_dir():
        return path / "_predictions"
    if path.name.lower().endswith((".csv", ".tsv", ".gz", ".zst", ".parquet")):
        return path.parent / "_predictions"
    return path


def _seconds(at: str | dt.datetime | dt.date | int) -> int:
    """Unix seconds of a moment; without a zone it is UTC."""
    if isinstance(at, int):
        return at
    if isinstance(at, str):
        try:
            at = dt.datetime.fromisoformat(at)
        except ValueError as e:
            raise PredictionError(f"'{at}' is no time", hint="write 2020-09-22 or 2020-09-22T12:00") from e
    if not isinstance(at, dt.datetime):
        at = dt.datetime(at.year, at.month, at.day)
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return int(at.timestamp())


def _day(seconds: int) -> str:
    return str(dt.datetime.fromtimestamp(seconds, dt.UTC).date())


def _json_ready(value: Any) -> Any:
    """Replace numbers JSON doesn't know (NaN) by null."""
    if isinstance(value, dict):
        return {k: _json_ready(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


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
