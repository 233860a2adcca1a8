"""Metrics of entity tasks: which fit a task, how they are computed, and which of two values is better.

    binary      roc_auc*      average_precision  accuracy     f1           precision        recall
    multiclass  macro_f1*     micro_f1           accuracy
    multilabel  auroc_macro*  auroc_micro        auprc_macro  auprc_micro  precision_macro  precision_micro
    regression  rmse*         mae                r2           mape         (* is the default)

A value that is not defined is NaN; nothing raises or warns for it:

- everything, if there are no rows;
- ``roc_auc``, ``auroc_*``: targets of one class only;
- ``average_precision``, ``auprc_*``, ``recall``: no positive target;
- ``precision``, ``precision_*``: nothing predicted positive; ``f1``: neither a positive nor a predicted one;
- ``r2``: targets that don't vary; ``mape``: all targets zero (rows with target zero are left out of it).

A macro average is over the labels for which the value is defined, and NaN if there are none.

Hard labels: a probability of at least `THRESHOLD` (0.5, included) is a yes; of several classes the most
probable one counts, the first among equals. A multiclass target of -1 is a class never seen in training: the
row is wrong whatever is predicted, and such rows together form one class, of F1 zero, in ``macro_f1``.

scikit-learn is imported when a metric is computed, not before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foreknow.errors import Finding, TaskError, did_you_mean, raise_findings
from foreknow.types import TaskType

__all__ = [
    "THRESHOLD",
    "UNSEEN_CLASS",
    "Metric",
    "best_f1_threshold",
    "check_outputs",
    "default_metric",
    "evaluate",
    "hard_labels",
    "is_better",
    "metric",
    "metrics_for",
]

THRESHOLD = 0.5
"""A probability at or above it is a yes."""

UNSEEN_CLASS = -1
"""Multiclass target of a row whose class training never saw."""

_ROUNDING = 1e-4
"""How far outside 0..1 a probability may lie: half-precision arithmetic rounds."""

Target = NDArray[np.int64] | NDArray[np.float64]
Values = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One way to measure predictions against targets.

    ``needs`` says what `compute` takes: ``"scores"`` are the outputs as the model gives them (probabilities,
    or predicted values of a regression), ``"labels"`` what `hard_labels` makes of them.
    """

    name: str
    task_types: frozenset[TaskType]
    higher_is_better: bool
    needs: Literal["scores", "labels"]
    function: Callable[[Any, Any], float] = field(repr=False, compare=False)

    def compute(self, target: Target, values: Values) -> float:
        """Measure `values` against `target`; NaN where that is not defined.

        The arguments are taken as they are; `evaluate` checks them first.

        Args:
            target: Shape ``(N,)``; multilabel ``(N, K)``.
            values: Scores or labels, as ``needs`` says.
        """
        if target.size == 0:
            return math.nan
        with np.errstate(all="ignore"):  # huge regression outputs overflow to inf, which is the right answer
            return float(self.function(target, values))


def metric(name: str, task_type: TaskType) -> Metric:
    """Look up a metric of a task type by its name or a common alias (``auroc``, ``ap``, ``f1_macro``, ...).

    Raises:
        TaskError: No metric has this name, or it doesn't fit the task type.

    Example:
        >>> metric("AUROC", TaskType.BINARY).name
        'roc_auc'
    """
    valid = metrics_for(task_type)
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    plain = _ALIASES.get(plain, plain)
    if plain in valid:
        return _METRICS[plain]
    hint = did_you_mean(name, valid, f"metrics of {task_type.value}")
    if plain in _METRICS:
        fitting = " and ".join(t.value for t in TaskType if t in _METRICS[plain].task_types)
        raise TaskError(f"metric '{name}' doesn't fit {task_type.value}, it measures {fitting}", hint=hint)
    raise TaskError(f"there is no metric '{name}' for {task_type.value}", hint=hint)


def default_metric(task_type: TaskType) -> str:
    """Name the metric a task is judged by unless it says otherwise."""
    return metrics_for(task_type)[0]


def metrics_for(task_type: TaskType) -> tuple[str, ...]:
    """Name all metrics of a task type, the default first.

    Example:
        >>> metrics_for(TaskType.REGRESSION)
        ('rmse', 'mae', 'r2', 'mape')
    """
    return tuple(m.name for m in _METRICS.values() if task_type in m.task_types)


def evaluate(
    task_type: TaskType,
    target: NDArray[Any],
    output: NDArray[Any],
    names: Iterable[str] | None = None,
) -> dict[str, float]:
    """Compute metrics of predictions, by name; NaN where a metric is not defined.

    Args:
        task_type: What the task asks for; fixes the shapes below.
        target: Binary: 0 or 1, shape ``(N,)``. Multiclass: class index, or -1 for a class never seen in
            training, shape ``(N,)``. Multilabel: 0 or 1, shape ``(N, K)``. Regression: shape ``(N,)``.
        output: Binary: probability of the positive class, shape ``(N,)``. Multiclass and multilabel:
            probabilities, shape ``(N, K)``. Regression: predicted values, shape ``(N,)``.
        names: Metrics to compute, aliases allowed; the keys of the result are the plain names. None = all.

    Raises:
        TaskError: A name is not a metric of the task type, or target and output are not as described.

    Example:
        >>> evaluate(TaskType.REGRESSION, np.array([1.0, 3.0]), np.array([2.0, 2.0]), ["rmse", "mape"])
        {'rmse': 1.0, 'mape': 0.6666666666666666}
    """
    if isinstance(names, str):  # a single name is an iterable of letters
        names = [names]
    metrics = [metric(name, task_type) for name in (metrics_for(task_type) if names is None else names)]
    target, output = check_outputs(task_type, target, output)
    labels = hard_labels(task_type, output) if any(m.needs == "labels" for m in metrics) else output
    return {m.name: m.compute(target, output if m.needs == "scores" else labels) for m in metrics}


def is_better(metric: Metric, a: float, b: float) -> bool:
    """Whether value `a` of a metric beats `b`. NaN never does; any number beats NaN; equals don't beat.

    Example:
        >>> is_better(metric("rmse", TaskType.REGRESSION), 1.0, math.nan)
        True
    """
    if math.isnan(a) or math.isnan(b):
        return not math.isnan(a)
    return a > b if metric.higher_is_better else a < b


def hard_labels(task_type: TaskType, output: NDArray[Any]) -> NDArray[np.int64]:
    """Turn probabilities into labels: yes from `THRESHOLD` on (included), or the most probable class.

    Args:
        task_type: A kind of classification.
        output: Shape ``(N,)`` for binary, ``(N, K)`` for multiclass and multilabel.

    Returns:
        0 or 1 in the shape of `output`; for multiclass the class index, the first among equals, ``(N,)``.
    """
    assert task_type.is_classification, "the outputs of a regression are no probabilities"
    if task_type is not TaskType.MULTICLASS:
        return np.asarray(output >= THRESHOLD, dtype=np.int64)
    return np.asarray(np.argmax(output, axis=1), dtype=np.int64)


def best_f1_threshold(target: NDArray[Any], output: NDArray[Any]) -> float:
    """Find the threshold with the best F1 on binary predictions; the highest among equals.

    Predictions at or above it are a yes. Choose it on validation rows: on the rows it was chosen on, its F1
    flatters.

    Returns:
        One of the values in `output`; NaN if no target is positive.

    Raises:
        TaskError: Target and output are not as `evaluate` describes them for binary tasks.

    Example:
        >>> best_f1_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.9]))
        0.3
    """
    target, output = check_outputs(TaskType.BINARY, target, output)
    if not target.any():
        return math.nan
    order = np.argsort(-output, kind="stable")
    ranked = output[order]
    last_of_ties = np.append(ranked[1:] != ranked[:-1], True)
    num_hits = np.cumsum(target[order])
    f1 = 2 * num_hits / (np.arange(1, len(ranked) + 1) + num_hits[-1])
    candidates = np.flatnonzero(last_of_ties)
    return float(ranked[candidates[np.argmax(f1[candidates])]])


def check_outputs(
    task_type: TaskType, target: NDArray[Any], output: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Check that targets and outputs are as `evaluate` describes them.

    Returns:
        The target, int64 for a classification and float64 for a regression, and the output as float64.

    Raises:
        TaskError: Shapes don't fit, a value is missing or infinite, a target is not a class, or an output is
            not a probability.
    """
    target, output = _as_numbers("target", target), _as_numbers("output", output)
    target_ndim = 2 if task_type is TaskType.MULTILABEL else 1
    output_ndim = 1 if task_type in (TaskType.BINARY, TaskType.REGRESSION) else 2
    same = target.shape == output.shape if target_ndim == output_ndim else target.shape == output.shape[:1]
    classless = task_type is TaskType.MULTICLASS and output.shape[1:] == (0,)
    if (target.ndim, output.ndim) != (target_ndim, output_ndim) or not same or classless:
        wanted = f"{('(N,)', '(N, K)')[target_ndim - 1]} and {('(N,)', '(N, K)')[output_ndim - 1]}"
        raise TaskError(
            f"target and output of shapes {target.shape} and {output.shape} don't fit {task_type.value}",
            hint=f"pass arrays of shapes {wanted}, one row per prediction.",
        )
    findings = [
        _finding("target", target, ~np.isfinite(target), "missing or infinite", "leave out unlabelled rows."),
        _finding("output", output, ~np.isfinite(output), "missing or infinite", "did the training diverge?"),
    ]
    if task_type.is_classification:
        improbable = (output < -_ROUNDING) | (output > 1 + _ROUNDING)
        findings.append(
            _finding("output", output, improbable & np.isfinite(output), "not in 0..1", "pass probabilities.")
        )
        if task_type is TaskType.MULTICLASS:
            last = output.shape[1] - 1
            strange = (target < UNSEEN_CLASS) | (target > last) | (target != np.floor(target))
            kind = f"not one of the classes 0..{last}"
            hint = "pass class indices, -1 for a class never seen in training."
        else:
            strange = (target != 0) & (target != 1)
            kind, hint = "not 0 or 1", "pass 1 for positives, 0 for the others."
        findings.append(_finding("target", target, strange & np.isfinite(target), kind, hint))
    raise_findings([f for f in findings if f is not None], TaskError, f"cannot evaluate {task_type.value}")
    return (target.astype(np.int64) if task_type.is_classification else target), output


def _as_numbers(what: str, array: NDArray[Any]) -> NDArray[np.float64]:
    try:
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TaskError(f"{what} is not an array of numbers: {error}") from error


def _finding(what: str, values: NDArray[np.float64], bad: NDArray[np.bool_], kind: str, hint: str) -> Finding | None:
    count = int(bad.sum())
    if count == 0:
        return None
    examples = ", ".join(f"{v:g}" for v in np.unique(values[bad])[:3])
    message = f"{what}: {count} of {values.size} values are {kind} (e.g. {examples})"
    return Finding(name=f"bad-{what}", message=message, count=count, hint=hint)


# Metrics of 0/1 targets. Undefined cases are answered here: scikit-learn warns, and some of its stand-ins
# (average precision 0.0 where there is no positive) read like results.


def _roc_auc(target: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    if target.min() == target.max():
        return math.nan
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target, score))


def _average_precision(target: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    if not target.any():
        return math.nan
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(target, score))


def _accuracy(target: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(target, label))


def _f1(target: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(target, label, zero_division=np.nan))


def _precision(target: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    from sklearn.metrics import precision_score

    return float(precision_score(target, label, zero_division=np.nan))


def _recall(target: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    from sklearn.metrics import recall_score

    return float(recall_score(target, label, zero_division=np.nan))


# Several classes: one F1 per class that occurs among targets or predictions, -1 being one of them.


def _macro_f1(target: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(target, label, average="macro", zero_division=np.nan))


def _micro_f1(target: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(target, label, average="micro", zero_division=np.nan))


# Several labels. Columns are taken one by one: scikit-learn reads a single column as a binary target and then
# averages over its two classes, and it has no "defined labels only" for the AUC.


def _macro(binary: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    def mean_over_labels(target: NDArray[np.int64], values: NDArray[Any]) -> float:
        each = np.array([binary(target[:, k], values[:, k]) for k in range(target.shape[1])])
        defined = each[~np.isnan(each)]
        return float(defined.mean()) if len(defined) else math.nan

    return mean_over_labels


def _micro(binary: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    return lambda target, values: binary(target.ravel(), values.ravel())


def _rmse(target: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(target, value))


def _mae(target: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(target, value))


def _r2(target: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    if target.min() == target.max():
        return math.nan
    from sklearn.metrics import r2_score

    return float(r2_score(target, value, force_finite=False))


def _mape(target: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    kept = target != 0
    if not kept.any():
        return math.nan
    from sklearn.metrics import mean_absolute_percentage_error

    return float(mean_absolute_percentage_error(target[kept], value[kept]))


def _metric(
    name: str,
    needs: Literal["scores", "labels"],
    function: Callable[[Any, Any], float],
    *task_types: TaskType,
    higher_is_better: bool = True,
) -> Metric:
    return Metric(
        name=name,
        task_types=frozenset(task_types),
        higher_is_better=higher_is_better,
        needs=needs,
        function=function,
    )


_METRICS = {
    m.name: m
    for m in (  # the first one of a task type is its default
        _metric("roc_auc", "scores", _roc_auc, TaskType.BINARY),
        _metric("average_precision", "scores", _average_precision, TaskType.BINARY),
        _metric("macro_f1", "labels", _macro_f1, TaskType.MULTICLASS),
        _metric("micro_f1", "labels", _micro_f1, TaskType.MULTICLASS),
        _metric("accuracy", "labels", _accuracy, TaskType.BINARY, TaskType.MULTICLASS),
        _metric("f1", "labels", _f1, TaskType.BINARY),
        _metric("precision", "labels", _precision, TaskType.BINARY),
        _metric("recall", "labels", _recall, TaskType.BINARY),
        _metric("auroc_macro", "scores", _macro(_roc_auc), TaskType.MULTILABEL),
        _metric("auroc_micro", "scores", _micro(_roc_auc), TaskType.MULTILABEL),
        _metric("auprc_macro", "scores", _macro(_average_precision), TaskType.MULTILABEL),
        _metric("auprc_micro", "scores", _micro(_average_precision), TaskType.MULTILABEL),
        _metric("precision_macro", "labels", _macro(_precision), TaskType.MULTILABEL),
        _metric("precision_micro", "labels", _micro(_precision), TaskType.MULTILABEL),
        _metric("rmse", "scores", _rmse, TaskType.REGRESSION, higher_is_better=False),
        _metric("mae", "scores", _mae, TaskType.REGRESSION, higher_is_better=False),
        _metric("r2", "scores", _r2, TaskType.REGRESSION),
        _metric("mape", "scores", _mape, TaskType.REGRESSION, higher_is_better=False),
    )
}

_ALIASES = {  # each means one metric only; "auc" or "f1" of several classes could mean two and are refused
    "auroc": "roc_auc",
    "rocauc": "roc_auc",
    "ap": "average_precision",
    "auprc": "average_precision",
    "pr_auc": "average_precision",
    "acc": "accuracy",
    "f1_score": "f1",
    "f1_macro": "macro_f1",
    "f1_micro": "micro_f1",
    "roc_auc_macro": "auroc_macro",
    "roc_auc_micro": "auroc_micro",
    "average_precision_macro": "auprc_macro",
    "average_precision_micro": "auprc_micro",
    "multilabel_auroc_macro": "auroc_macro",
    "multilabel_auroc_micro": "auroc_micro",
    "multilabel_auprc_macro": "auprc_macro",
    "multilabel_auprc_micro": "auprc_micro",
    "multilabel_precision_macro": "precision_macro",
    "multilabel_precision_micro": "precision_micro",
    "root_mean_squared_error": "rmse",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "r2_score": "r2",
}
