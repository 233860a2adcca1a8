"""Prediction tables: what is written, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from foreknow.errors import PredictionError
from foreknow.task.label import LabelEncoding
from foreknow.types import TaskType

__all__ = ["LINEAGE", "Lineage", "embeddings_table", "predictions_table"]

LINEAGE = ("model_version", "run_id", "predicted_at")
"""Last columns of every table; by these a table of predictions is told from others."""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where predictions come from; the last columns of every table."""

    model_version: str
    run_id: str
    predicted_at: datetime

    def columns(self, num_rows: int) -> dict[str, pa.Array]:
        """The lineage, repeated for every row."""
        at = pa.scalar(self.predicted_at, pa.timestamp("us", "UTC"))
        return {
            "model_version": pa.array([self.model_version] * num_rows, pa.string()),
            "run_id": pa.array([self.run_id] * num_rows, pa.string()),
            "predicted_at": pa.repeat(at, num_rows),
        }


def predictions_table(
    keys: pa.Table, output: np.ndarray, labels: LabelEncoding, lineage: Lineage, *, top: int | None = None
) -> pa.Table:
    """Keys and seed time, then the prediction, then the lineage.

    Args:
        keys: Entity columns and the seed-time column, as they were given.
        output: As ``predict.forward.outputs_to_predictions`` returns it.
        labels: Label encoding.
        lineage: Model, run and time.
        top: Of a multilabel task, how many labels to give, the most probable first; all of at least one half if None.

    Returns:
        Classification: ``predicted_labels`` in the label's own type (a list for multilabel) and ``probs``: the
        probability of the second class for binary tasks, else one per class. Regression: ``predicted_value``.

    Raises:
        PredictionError: An entity column is called like one of these.
    """
    columns = _given(keys, ("predicted_labels", "probs", "predicted_value"))
    if labels.type is TaskType.REGRESSION:
        columns["predicted_value"] = pa.array(output.astype(np.float64))
    elif labels.type is TaskType.BINARY:
        columns["predicted_labels"] = _classes(labels).take(pa.array((output >= 0.5).astype(np.int64)))
        columns["probs"] = pa.array(output.astype(np.float64))
    else:
        if labels.type is TaskType.MULTICLASS:
            columns["predicted_labels"] = _classes(labels).take(pa.array(output.argmax(axis=1)))
        else:
            if top is None:
                row, column = np.nonzero(output >= 0.5)
                offsets = np.searchsorted(row, np.arange(len(output) + 1))
            else:
                best = np.argsort(-output, axis=1, kind="stable")[:, :top]
                column, offsets = best.ravel(), np.arange(len(output) + 1) * best.shape[1]
            columns["predicted_labels"] = pa.LargeListArray.from_arrays(
                pa.array(offsets), _classes(labels).take(pa.array(column))
            )
        columns["probs"] = _lists(output)
    return pa.table({**columns, **lineage.columns(keys.num_rows)})


def embeddings_table(keys: pa.Table, vectors: np.ndarray, lineage: Lineage) -> pa.Table:
    """Keys and seed time, ``embedding`` (a list of floats), then the lineage."""
    columns = _given(keys, ("embedding",))
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pa.table({**columns, **lineage.columns(keys.num_rows)})


def _given(keys: pa.Table, added: tuple[str, ...]) -> dict[str, Any]:
    """Keys and seed time by name."""
    taken = {*added, *LINEAGE}
    clash = [name for name in keys.column_names if name.lower() in taken]
    if clash:
        raise PredictionError(
            f"the task's column {', '.join(map(repr, clash))} is called like a column of predictions",
            hint="rename it in the task's tables, and under entity: or time:",
        )
    return {name: keys.column(name) for name in keys.column_names}


def _lists(matrix: np.ndarray) -> pa.Array:
    offsets = np.arange(len(matrix) + 1, dtype=np.int64) * matrix.shape[1]
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(matrix, np.float64).ravel()))


def _classes(labels: LabelEncoding) -> pa.Array:
    """Classes in the type of the label column."""
    dtype = labels.dtype.removesuffix("[]")
    texts = pa.array(labels.classes, pa.string())
    if dtype == "BOOLEAN":
        return pa.array([c == "true" for c in labels.classes], pa.bool_())
    if dtype.endswith(("INT", "INTEGER")):
        return texts.cast(pa.int64())
    if dtype in ("FLOAT", "DOUBLE") or dtype.startswith("DECIMAL"):
        return texts.cast(pa.float64())
    return texts
