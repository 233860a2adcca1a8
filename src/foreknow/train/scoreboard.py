"""The scoreboard: models on the same rows of the same splits, with intervals, and what they come to in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from foreknow.task.label import LabelEncoding
from foreknow.task.metric import evaluate
from foreknow.train.bootstrap import Resampler
from foreknow.train.loop import SplitData
from foreknow.types import TaskType

__all__ = ["NETWORK", "WITH_VECTORS", "Row", "known_rows", "make_row", "score", "with_intervals"]

NETWORK = "graph network"
WITH_VECTORS = "aggregates + network (LightGBM)"
"""Trees that see the network's vectors: not a baseline to compare it with."""

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model on the scoreboard.

    Attributes:
        model: Its name.
        val: All metrics on validation.
        test: The same on test; empty without one.
        seconds: What training it took.
        val_interval: 95% interval of the task's metric over validation rows, if there is one.
        test_interval: The same for test.
        outputs: Predictions by split, to compare models row by row.
    """

    model: str
    val: Mapping[str, float]
    test: Mapping[str, float]
    seconds: float
    val_interval: Interval | None = None
    test_interval: Interval | None = None
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model,
            "val": dict(self.val),
            "test": dict(self.test),
            "val_interval": None if self.val_interval is None else list(self.val_interval),
            "test_interval": None if self.test_interval is None else list(self.test_interval),
            "seconds": round(self.seconds, 3),
        }


def known_rows(labels: LabelEncoding, target: np.ndarray) -> np.ndarray:
    """Which rows can be scored. A class unseen in training counts as an error, a missing label as nothing."""
    if labels.type is TaskType.MULTICLASS:
        return target >= -1
    known: np.ndarray = np.isfinite(target).reshape(len(target), -1).all(axis=1)
    return known


def score(labels: LabelEncoding, target: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """All metrics of the task's type over the rows whose label is known."""
    known = known_rows(labels, target)
    return evaluate(labels.type, target[known], output[known])


def make_row(
    name: str,
    labels: LabelEncoding,
    splits: Mapping[str, SplitData],
    outputs: Mapping[str, np.ndarray],
    seconds: float,
) -> Row:
    """A row from a model's predictions of validation and test."""
    outputs = {k: v for k, v in outputs.items() if k in ("validation", "test")}
    scores = {k: score(labels, splits[k].target, v) for k, v in outputs.items()}
    return Row(
        model=name,
        val=scores.get("validation", {}),
        test=scores.get("test", {}),
        seconds=seconds,
        outputs=outputs,
    )


def with_intervals(
    rows: Sequence[Row], labels: LabelEncoding, splits: Mapping[str, SplitData], metric: str, *, seed: int = 0
) -> tuple[list[Row], dict[str, Resampler]]:
    """Give every row its intervals.

    Args:
        rows: The rows, with predictions.
        labels: The task's labels.
        splits: The splits.
        metric: What the task goes by.
        seed: Of the resampling.

    Returns:
        The rows, and by split what compares two of them row by row.
    """
    resamplers = {}
    for split in ("validation", "test"):
        if split not in splits or not all(split in r.outputs for r in rows):
            continue
        known = known_rows(labels, splits[split].target)
        if known.any():
            outputs = [r.outputs[split][known] for r in rows]
            resamplers[split] = Resampler(labels.type, metric, splits[split].target[known], outputs, seed=seed)
    done = []
    for i, row in enumerate(rows):
        intervals = {s: r.interval(i) for s, r in resamplers.items()}
        done.append(replace(row, val_interval=intervals.get("validation"), test_interval=intervals.get("test")))
    return done, resamplers
