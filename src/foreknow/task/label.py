"""Labels as numbers, learnt from the training labels only: classes, scale, and how far predictions may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foreknow.errors import TaskError
from foreknow.types import TaskType

__all__ = ["LabelEncoding", "encode_labels", "fit_labels", "infer_task_type"]

MAX_CLASSES = 1_000


@dataclass(frozen=True, kw_only=True)
class LabelEncoding:
    """How labels become targets and outputs become predictions.

    ``classes`` are texts in the order of model outputs (for binary tasks the second one is positive); ``dtype`` is
    the label's DuckDB type. ``mean`` and ``std`` scale regression targets, ``low`` and ``high`` bound predictions;
    ``shares`` is how frequent each class is in training.
    """

    type: TaskType
    dtype: str
    classes: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    median: float = 0.0
    low: float = float("-inf")
    high: float = float("inf")

    @property
    def num_outputs(self) -> int:
        """Entries of a model output per seed."""
        return len(self.classes) if self.type in (TaskType.MULTICLASS, TaskType.MULTILABEL) else 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_dict`."""
        return {**asdict(self), "type": str(self.type)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> LabelEncoding:
        """Rebuild from `to_dict`."""
        return cls(
            **{
                **value,
                "type": TaskType(value["type"]),
                "classes": tuple(value["classes"]),
                "shares": tuple(value["shares"]),
            }
        )


def infer_task_type(labels: pa.Array, dtype: str) -> TaskType:
    """The task type that fits a label column; a person can say otherwise.

    Lists are multilabel, booleans and columns of two values binary, texts and integers of few values multiclass,
    other numbers regression.
    """
    if dtype.endswith("]"):
        return TaskType.MULTILABEL
    distinct = pc.count_distinct(labels, mode="only_valid").as_py()
    if dtype == "BOOLEAN" or distinct == 2:
        return TaskType.BINARY
    if dtype == "VARCHAR" or dtype.startswith("ENUM"):
        return TaskType.MULTICLASS
    is_whole = dtype.endswith("INT") or dtype.endswith("INTEGER")
    return TaskType.MULTICLASS if is_whole and distinct <= 20 else TaskType.REGRESSION


def fit_labels(
    type_: TaskType, labels: pa.Array, dtype: str, *, clamp_min: float = 0.0, clamp_max: float = 100.0
) -> LabelEncoding:
    """Learn classes or scale from training labels (NULLs already dropped).

    Args:
        type_: The task's type.
        labels: Training labels.
        dtype: Their DuckDB type.
        clamp_min: Percentile of training labels below which no regression prediction goes.
        clamp_max: Percentile above which none goes.

    Raises:
        TaskError: The labels don't fit the type, hold one class only, or too many.
    """
    if type_ is TaskType.REGRESSION:
        values = _numbers(labels, dtype)
        values = values[np.isfinite(values)]
        if not len(values):
            raise TaskError("no training label is a finite number")
        low, high = np.percentile(values, [clamp_min, clamp_max])
        std = float(values.std())
        if values.min() == values.max():  # rounding can leave a tiny deviation
            raise TaskError(
                f"all {len(values):,} training labels are {values[0]:g}: nothing to learn",
                hint="check the label column and its SQL",
            )
        return LabelEncoding(
            type=type_,
            dtype=dtype,
            mean=float(values.mean()),
            std=std,
            median=float(np.median(values)),
            low=float(low),
            high=float(high),
        )
    if type_ is not TaskType.MULTILABEL and dtype.endswith("]"):
        raise TaskError(
            f"a task of type {type_} needs one label per row, not {dtype}", hint=f"use type: {TaskType.MULTILABEL}"
        )
    if type_ is TaskType.MULTILABEL:
        if not dtype.endswith("]"):
            raise TaskError(
                f"a multilabel task needs list-valued labels, not {dtype}",
                hint="use list(...) in the task's SQL, or type: multiclass_classification",
            )
        flat, num_rows = labels.flatten(), len(labels)
    else:
        flat, num_rows = labels, len(labels)
    flat = _without_nan(flat).drop_null()
    counts = {v["values"].as_py(): v["counts"].as_py() for v in flat.value_counts()}
    found = sorted(counts)
    classes = tuple(_text(v) for v in found)
    if type_ is TaskType.BINARY and len(classes) > 2:
        shown = ", ".join(classes[:5])
        raise TaskError(
            f"a binary task has two classes, but the training labels hold {len(classes)}: {shown}, ...",
            hint="use type: multiclass_classification or regression",
        )
    if len(classes) < 2 and type_ is not TaskType.MULTILABEL:
        raise TaskError(
            f"all {num_rows:,} training labels are {classes[0] if classes else 'missing'}: nothing to learn",
            hint="check the label's definition, or widen the range of seed times",
        )
    if not classes:
        raise TaskError(f"all {num_rows:,} training labels are empty: nothing to learn")
    if len(classes) > MAX_CLASSES:
        raise TaskError(
            f"the training labels hold {len(classes):,} classes, at most {MAX_CLASSES:,} are supported",
            hint="group rare classes together in the task's SQL, or predict a number with type: regression",
        )
    shares = tuple(counts[v] / num_rows for v in found)
    return LabelEncoding(type=type_, dtype=dtype, classes=classes, shares=shares)


def encode_labels(encoding: LabelEncoding, labels: pa.Array) -> np.ndarray:
    """Labels as targets.

    Returns:
        Binary: ``(N,)`` float32 in {0, 1}. Multiclass: ``(N,)`` int64 class index, -1 for a class not seen in
        training. Multilabel: ``(N, K)`` float32. Regression: ``(N,)`` float64 as it is. NaN (or -2 for
        multiclass) where the label is missing.
    """
    n = len(labels)
    if encoding.type is TaskType.REGRESSION:
        values = _numbers(labels, encoding.dtype)
        return np.where(np.isfinite(values), values, np.nan)
    if encoding.type is TaskType.MULTILABEL:
        target = np.zeros((n, len(encoding.classes)), np.float32)
        valid = labels.is_valid().to_numpy(zero_copy_only=False)
        target[~valid] = np.nan
        length = pc.fill_null(pc.list_value_length(labels), 0).to_numpy(zero_copy_only=False)
        index = _index(labels.flatten(), encoding.classes)
        row = np.repeat(np.arange(n), length)
        target[row[index >= 0], index[index >= 0]] = 1
        return target
    index = _index(labels, encoding.classes)
    if encoding.type is TaskType.BINARY:
        return np.where(index < 0, np.nan, index).astype(np.float32)
    missing = labels.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    return np.where(missing, -2, index)


def _index(values: pa.Array, classes: tuple[str, ...]) -> np.ndarray:
    values = _without_nan(values)
    texts = pa.array([None if v is None else _text(v) for v in values.unique().to_pylist()], pa.string())
    encoded = values.dictionary_encode()
    position = pc.fill_null(pc.index_in(texts, value_set=pa.array(classes, pa.string())), -1).to_numpy()
    order = {v: i for i, v in enumerate(values.unique().to_pylist())}
    dictionary = np.array([position[order[v]] for v in encoded.dictionary.to_pylist()] or [-1], np.int64)
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.where(codes >= 0, dictionary[np.maximum(codes, 0)], -1)


def _without_nan(labels: pa.Array) -> pa.Array:
    """NaN, a float's way to be missing, as NULL."""
    return pc.if_else(pc.is_nan(labels), None, labels) if pa.types.is_floating(labels.type) else labels


def _text(value: Any) -> str:
    """A class as text: booleans as in SQL, whole floats and decimals as integers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return str(value)


def _numbers(labels: pa.Array, dtype: str) -> np.ndarray:
    t = pa.types
    kinds = (t.is_integer, t.is_floating, t.is_decimal, t.is_boolean, t.is_null)
    if not any(is_kind(labels.type) for is_kind in kinds):
        raise TaskError(
            f"a regression task needs numbers as labels, not {dtype}",
            hint="cast the label in the task's SQL, or use a classification type",
        )
    if t.is_boolean(labels.type):
        labels = labels.cast(pa.int8())
    return np.asarray(labels.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
