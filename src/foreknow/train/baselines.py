"""Baselines that need no network: what is most common, what the entity did before, trees on its own columns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from foreknow.graph.encode import Encoding, TableFeatures
from foreknow.graph.store import GraphStore, GraphTable
from foreknow.sample.aggregates.aggregator import Aggregator
from foreknow.sample.aggregates.feature import AggregatePlan, Feature, KeyPart, Stat
from foreknow.sample.temporal import known_until
from foreknow.task.label import LabelEncoding
from foreknow.task.metric import metric as find_metric
from foreknow.task.task import EntityTask
from foreknow.train.boosting import BoostingConfig, fit_trees
from foreknow.train.loop import SplitData
from foreknow.train.loss import ABSOLUTE_METRICS
from foreknow.train.scoreboard import WITH_VECTORS, Row, make_row
from foreknow.train.tabular import AggregateData, fit_tabular, horizon_of, label_history, visibility
from foreknow.types import TaskType

__all__ = ["aggregate_baseline", "embedding_baseline", "entity_baseline", "history_baselines", "majority_baseline"]

MAX_ROWS = 1_000_000
MAX_HISTORY_CLASSES = 50


def majority_baseline(labels: LabelEncoding, splits: Mapping[str, SplitData], metric: str) -> Row:
    """Predict what is most common: class shares of the training rows, or their mean (median for absolute errors)."""
    is_absolute = find_metric(metric, labels.type).name in ABSOLUTE_METRICS

    def predict(n: int) -> np.ndarray:
        if labels.type is TaskType.REGRESSION:
            return np.full(n, labels.median if is_absolute else labels.mean)
        shares = np.array(labels.shares)
        return np.full(n, shares[1]) if labels.type is TaskType.BINARY else np.tile(shares, (n, 1))

    name = "majority" if labels.type.is_classification else ("median" if is_absolute else "mean")
    return make_row(name, labels, splits, {k: predict(len(s)) for k, s in splits.items()}, 0.0)


def entity_baseline(
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
    features: TableFeatures,
    table: GraphTable,
    *,
    metric: str,
    known: tuple[str, ...],
    inclusive: bool,
    seed: int,
    context_until: int | None = None,
) -> Row | None:
    """LightGBM on the entity's own columns: what a flat table without history gives.

    Columns of rows later than their seed time (or `context_until`) are hidden, as they are from the network.
    Multicategorical columns are left out. None if no column remains.
    """
    started = time.monotonic()
    num_columns = features.encoding.dense_size + len(features.encoding.categories)
    if not num_columns:
        return None

    def matrix(split: SplitData) -> np.ndarray:
        seeds = split.seeds
        seen_at = known_until(seeds.time, inclusive=inclusive, context_until=context_until)
        rows = features.gather(seeds.row, seen_at if features.encoding.mask_future_instants else seeds.time)
        if table.time is not None:
            rows = features.hide(rows, table.time[seeds.row] > seen_at, known)
        return np.concatenate([rows.dense, rows.category.astype(np.float32)], axis=1)

    train = splits["train"]
    if len(train) > MAX_ROWS:
        keep = np.linspace(0, len(train) - 1, MAX_ROWS).astype(np.int64)
        train = SplitData(seeds=train.seeds.take(keep), target=train.target[keep])
    data = {"train": matrix(train), **{k: matrix(s) for k, s in splits.items() if k != "train"}}
    trees = fit_trees(
        labels,
        metric,
        (data["train"], train.target),
        (data["validation"], splits["validation"].target),
        categorical=list(range(features.encoding.dense_size, num_columns)),
        config=BoostingConfig(seed=seed),
    )
    outputs = {k: trees.predict(data[k]) for k in splits if k != "train"}
    return make_row("entity columns (LightGBM)", labels, splits, outputs, time.monotonic() - started)


def history_baselines(
    store: GraphStore,
    task: EntityTask,
    encoding: Encoding,
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
) -> list[Row]:
    """Predict what the entity's own labels were: their mean, and the last one. What is known of them by then.

    An entity without a past gets what is most common. None at all if no validation or test entity has a past, or the
    classes are too many to follow.

    Args:
        store: The graph.
        task: The task.
        encoding: Fitted on the past.
        labels: The task's labels.
        splits: The splits.
    """
    started = time.monotonic()
    if len(labels.classes) > MAX_HISTORY_CLASSES:
        return []
    horizon_s = horizon_of(task, splits)
    history = label_history(labels, splits, most=MAX_HISTORY_CLASSES)
    common = majority_baseline(labels, splits, task.metric).outputs
    num_labels = history.values.shape[1]
    rows = []
    for name, stat in (("entity's mean", Stat(kind="mean")), ("entity's last value", Stat(kind="last"))):
        features = [Feature(family="label", keys=(KeyPart(),), label=k, stat=stat) for k in range(num_labels)]
        plan = AggregatePlan(
            entity_table=task.entity_table, windows_s=(), horizon_s=horizon_s, features=tuple(features)
        )
        aggregator = Aggregator(store, plan, encoding, see=visibility(store, task), labels=history)
        outputs = {}
        for split in (k for k in ("validation", "test") if k in splits):
            found = aggregator.compute(splits[split].seeds).astype(np.float64)
            found = found if labels.type in (TaskType.MULTICLASS, TaskType.MULTILABEL) else found[:, 0]
            outputs[split] = np.where(np.isnan(found), common[split], found)
        if any((outputs[s] != common[s]).any() for s in outputs):
            rows.append(make_row(name, labels, splits, outputs, time.monotonic() - started))
    return rows


def aggregate_baseline(
    data: AggregateData,
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
    metric: str,
    *,
    seconds: float,
    seed: int = 0,
) -> Row | None:
    """LightGBM on a task's aggregates; None if none of them says anything about the training rows.

    Args:
        data: From `fit_aggregates`.
        labels: The task's labels.
        splits: The splits.
        metric: What the task goes by.
        seconds: What choosing and computing the aggregates took; counted in.
        seed: Of the trees.
    """
    if not len(data.plan):
        return None
    started = time.monotonic()
    trees = fit_tabular(data, labels, splits, metric, seed=seed)
    outputs = {k: trees.predict(data.x[k]) for k in splits if k != "train"}
    return make_row("aggregates (LightGBM)", labels, splits, outputs, seconds + time.monotonic() - started)


def embedding_baseline(
    data: AggregateData,
    vectors: Mapping[str, np.ndarray],
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
    metric: str,
    *,
    seconds: float,
    seed: int = 0,
) -> Row:
    """LightGBM on a task's aggregates and the network's vectors of the seeds: what the network sees beyond them.

    Args:
        data: From `fit_aggregates`.
        vectors: The network's vectors of the seeds of each split. ``(N, C)``.
        labels: The task's labels.
        splits: The splits.
        metric: What the task goes by.
        seconds: What making the vectors took; counted in.
        seed: Of the trees.
    """
    started = time.monotonic()
    both = {k: np.concatenate([data.x[k], vectors[k]], axis=1) for k in splits}
    trees = fit_tabular(replace(data, x=both), labels, splits, metric, seed=seed)
    outputs = {k: trees.predict(both[k]) for k in splits if k != "train"}
    return make_row(WITH_VECTORS, labels, splits, outputs, seconds + time.monotonic() - started)
