"""Baselines beside the network, so that its score can be judged: same rows, same splits, same metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from foreknow.graph.encode import TableFeatures
from foreknow.graph.store import GraphTable
from foreknow.sample.loader import Seeds
from foreknow.sample.temporal import known_until
from foreknow.task.label import LabelEncoding
from foreknow.task.metric import evaluate
from foreknow.task.metric import metric as find_metric
from foreknow.train.loop import SplitData
from foreknow.train.loss import ABSOLUTE_METRICS
from foreknow.types import TaskType

__all__ = ["Row", "entity_baseline", "majority_baseline", "score"]

ROUNDS, STOP_AFTER, MAX_ROWS = 400, 30, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model on the scoreboard: all metrics on validation and test, and the seconds it took to train."""

    model: str
    val: Mapping[str, float]
    test: Mapping[str, float]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"model": self.model, "val": dict(self.val), "test": dict(self.test), "seconds": round(self.seconds, 3)}


def score(labels: LabelEncoding, target: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """All metrics of the task's type over the rows whose label is known."""
    known = np.isfinite(target).reshape(len(target), -1).all(axis=1)
    if labels.type is TaskType.MULTICLASS:
        known = target >= -1  # a class unseen in training counts as an error, a missing label as nothing
    return evaluate(labels.type, target[known], output[known])


def majority_baseline(labels: LabelEncoding, splits: Mapping[str, SplitData], metric: str) -> Row:
    """Predict what is most common: class shares of the training rows, or their mean (median for absolute errors)."""
    is_absolute = find_metric(metric, labels.type).name in ABSOLUTE_METRICS

    def predict(n: int) -> np.ndarray:
        if labels.type is TaskType.REGRESSION:
            return np.full(n, labels.median if is_absolute else labels.mean)
        shares = np.array(labels.shares)
        return np.full(n, shares[1]) if labels.type is TaskType.BINARY else np.tile(shares, (n, 1))

    name = "majority" if labels.type.is_classification else ("median" if is_absolute else "mean")
    return _row(name, labels, splits, {k: predict(len(s)) for k, s in splits.items()}, 0.0)


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
    import lightgbm as lgb

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
        seeds = Seeds(row=train.seeds.row[keep], time=train.seeds.time[keep])
        train = SplitData(seeds=seeds, target=train.target[keep])
    data = {"train": matrix(train), **{k: matrix(s) for k, s in splits.items() if k != "train"}}
    categorical = list(range(features.encoding.dense_size, num_columns))
    params: dict[str, Any] = {
        "learning_rate": 0.05,
        "num_leaves": 31,
        "verbosity": -1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "max_cat_to_onehot": 8,
    }

    def boost(objective: str, target: np.ndarray, val_target: np.ndarray, **more: Any) -> lgb.Booster:
        train_set = lgb.Dataset(data["train"], target, categorical_feature=categorical, free_raw_data=False)
        val_set = lgb.Dataset(data["validation"], val_target, reference=train_set)
        return lgb.train(
            {**params, "objective": objective, **more},
            train_set,
            ROUNDS,
            valid_sets=[val_set],
            callbacks=[lgb.early_stopping(STOP_AFTER, verbose=False)],
        )

    y, v = train.target, splits["validation"].target
    outputs: dict[str, np.ndarray] = {}
    if labels.type is TaskType.MULTILABEL:
        y, v = np.asfortranarray(y), np.asfortranarray(v)  # LightGBM wants each label's column in one piece
        columns = [
            boost("binary", y[:, k], v[:, k]) if len(np.unique(y[:, k])) > 1 else None for k in range(y.shape[1])
        ]
        for name in splits:
            outputs[name] = np.stack(
                [b.predict(data[name]) if b else np.full(len(data[name]), y[0, k]) for k, b in enumerate(columns)],
                axis=1,
            )
    else:
        if labels.type is TaskType.BINARY:
            booster = boost("binary", y, v)
        elif labels.type is TaskType.MULTICLASS:
            booster = boost("multiclass", y, np.maximum(v, 0), num_class=len(labels.classes))
        else:
            is_absolute = find_metric(metric, labels.type).name in ABSOLUTE_METRICS
            booster = boost("l1" if is_absolute else "l2", y, v)
        for name in splits:
            outputs[name] = np.asarray(booster.predict(data[name]))
    return _row("entity columns (LightGBM)", labels, splits, outputs, time.monotonic() - started)


def _row(
    name: str,
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
    outputs: Mapping[str, np.ndarray],
    seconds: float,
) -> Row:
    scores = {k: score(labels, splits[k].target, outputs[k]) for k in ("validation", "test") if k in splits}
    return Row(model=name, val=scores.get("validation", {}), test=scores.get("test", {}), seconds=seconds)
