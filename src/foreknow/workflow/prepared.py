"""A task made ready: tables staged, splits read and checked, the graph built."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from foreknow.database import BoundTask
from foreknow.errors import Finding, TaskError
from foreknow.graph.build import build_graph
from foreknow.graph.store import GraphStore
from foreknow.sample.loader import Seeds
from foreknow.source.snapshot import Snapshot
from foreknow.task.audit import Audit, audit_task, check_allowed
from foreknow.task.label import LabelEncoding, encode_labels, fit_labels
from foreknow.task.query.labels import compute_labels
from foreknow.task.table import NO_TIME, TaskTable, read_task_table
from foreknow.task.task import EntityTask
from foreknow.train.config import TrainConfig
from foreknow.train.loop import SplitData
from foreknow.types import TaskType
from foreknow.workflow.reporter import Reporter, Silent


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A task ready to train: graph, splits with targets, and what was found on the way."""

    snapshot: Snapshot
    store: GraphStore
    tables: Mapping[str, TaskTable]
    labels: LabelEncoding
    splits: Mapping[str, SplitData]
    fitted_until: int
    audit: Audit
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """The splits of a task as they were read, before any graph is built."""

    snapshot: Snapshot
    tables: Mapping[str, TaskTable]
    labels: LabelEncoding
    findings: list[Finding]


def prepare(
    bound: BoundTask,
    *,
    config: TrainConfig | None = None,
    allow: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Prepared:
    """Everything before training: stage, read splits, audit them, build the graph, encode the labels.

    Args:
        bound: The task.
        config: How it will be trained; defaults if not given.
        allow: Findings of the audit to let pass; see `audit_task`.
        reporter: Told what happens.

    Raises:
        TaskError: The task's tables can't be used, or leak; all findings at once.
        SchemaError: The schema doesn't fit the tables.
    """
    reporter, task, config = reporter or Silent(), bound.task, config or TrainConfig()
    check_allowed(allow)
    read = _read(bound, config, reporter)
    report = _audit(bound, read, allow, reporter)
    report.raise_errors()
    reporter.stage("building the graph")
    store = build_graph(
        read.snapshot,
        bound.schema,
        bound.database.workspace,
        key_features=config.shallow_embeddings,
        progress=reporter.stage,
    )
    findings = [*read.findings, *report.findings, *store.findings]
    splits = {}
    for name, table in read.tables.items():
        splits[name], found = _split_data(task, store, table, read.labels)
        findings += found
    until = int(read.tables["train"].seed_time.max())
    if task.context_until is not None:
        until = min(until, task.context_until)
    for f in findings:
        if f.severity != "info":
            reporter.finding(f)
    return Prepared(
        snapshot=read.snapshot,
        store=store,
        tables=read.tables,
        labels=read.labels,
        splits=splits,
        fitted_until=until,
        audit=report,
        findings=tuple(findings),
    )


def audit(bound: BoundTask, *, allow: Sequence[str] = (), reporter: Reporter | None = None) -> Audit:
    """Look for leaks, as is done before every training; errors are among the findings and not raised.

    Args:
        bound: The task.
        allow: Findings to let pass: ``NAME``, ``NAME:table`` or ``NAME:table.column``.
        reporter: Told what happens.

    Raises:
        TaskError: The task's tables can't be read.
        ConfigError: `allow` names what is no finding.
    """
    reporter = reporter or Silent()
    check_allowed(allow)
    return _audit(bound, _read(bound, TrainConfig(), reporter), allow, reporter)


def _audit(bound: BoundTask, read: _Read, allow: Sequence[str], reporter: Reporter) -> Audit:
    reporter.stage("looking for leaks")
    return audit_task(
        read.snapshot, bound.schema, bound.task, read.tables, read.labels, now=int(time.time()), allow=allow
    )


def _check_trainable(task: EntityTask) -> None:
    """Refuse what can be previewed but not learnt by this version."""
    what = None
    if task.type.is_link:
        what = f"{task.type} (RANK of a foreign key)"
    elif task.num_outputs > 1:
        what = f"regression with {task.num_outputs} numbers per label (FORECAST)"
    if what is not None:
        raise TaskError(
            f"task '{task.name}' is {what}, which is not yet trainable",
            hint="its task tables can be seen and saved: foreknow task, with --save",
        )


def _read(bound: BoundTask, config: TrainConfig, reporter: Reporter) -> _Read:
    task = bound.task
    _check_trainable(task)
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
    rows: Mapping[str, str | pa.Table] = task.tables
    if bound.resolved is not None:
        made = compute_labels(bound.resolved, snapshot)
        rows = {k: s.rows for k, s in made.splits.items()}
        findings += made.findings
    tables = {}
    for split, query in rows.items():
        is_test = split == "test"
        tables[split] = read_task_table(snapshot, task, split, query, need_label=not is_test, keep_unlabelled=is_test)
        findings += tables[split].findings
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
    return _Read(snapshot=snapshot, tables=tables, labels=labels, findings=findings)


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


def _day(seconds: int) -> str:
    return str(dt.datetime.fromtimestamp(seconds, dt.UTC).date())
