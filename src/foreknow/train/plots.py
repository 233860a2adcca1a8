"""Figures that show how well predictions fit: from arrays to matplotlib figures, nothing else.

`evaluation_figures` draws what fits a task, `learning_curves` the course of a training run, `save` writes PNG.
Each title states its fact with the number; the line below it says what the figure is made of.

Figures are built without pyplot and without touching matplotlib's settings, so threads can draw at the same
time and no display is needed. Text is set in DejaVu Sans, which matplotlib carries; a class name it has no
letters for is shown as ``class 3``. Curves of more than 2,000 points are thinned along their length.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from foreknow.errors import TaskError
from foreknow.task.metric import THRESHOLD, UNSEEN_CLASS, check_outputs, evaluate, hard_labels
from foreknow.types import TaskType

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

__all__ = [
    "calibration",
    "confusion_matrix",
    "evaluation_figures",
    "gain_chart",
    "learning_curves",
    "precision_recall_curve",
    "predicted_vs_true",
    "residuals",
    "roc_curve",
    "save",
]

_MAX_CURVES = 8
_MAX_CLASSES = 20
_MAX_POINTS = 2_000
_NUM_BINS = 10
_HEAVY_TAIL = 6.0  # a range this many times as wide as the middle 90% of the values gets a logarithmic scale
_DPI = 144

_FONT = "DejaVu Sans"
_INK, _GREY, _EDGE, _GRID = "#2b2f36", "#6f7681", "#b8bdc6", "#e6e8ec"
_BLUE, _ROSE = "#33638d", "#c4576b"
_HALO = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}
_COLORS = ("#332288", "#cc6677", "#44aa99", "#999933", "#88ccee", "#882255", "#117733", "#aa4499")
"""Paul Tol's "muted" hues, which stay apart for colour-blind readers."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def evaluation_figures(
    task_type: TaskType,
    target: NDArray[Any],
    output: NDArray[Any],
    *,
    split: str,
    classes: Sequence[str] | None = None,
    metric_name: str | None = None,
    entity: str = "rows",
) -> dict[str, Figure]:
    """Draw the figures that fit a task, by file stem.

    Rows whose target or output is missing are left out, and the figures say how many. A figure that makes no
    sense for the rest (one class only, fewer than two rows) is left out.

    Args:
        task_type: What the task asks for.
        target: As `foreknow.task.metric.evaluate` takes it.
        output: As `foreknow.task.metric.evaluate` takes it.
        split: Name of the split, for the titles.
        classes: Names of the classes or labels, in index order. None = their indices, for binary "no", "yes".
        metric_name: Metric to state below the titles.
        entity: What a row is, in the plural ("customers").

    Returns:
        Binary: ``roc_curve``, ``precision_recall_curve``, ``calibration``, ``confusion_matrix`` and
        ``gain_chart``; multiclass the same without the last, multilabel without the last two. Regression:
        ``predicted_vs_true`` and ``residuals``.

    Raises:
        TaskError: Shapes or values are not as described, or the metric doesn't fit the task.
    """
    target, output = np.asarray(target), np.asarray(output)
    num_missing = 0
    if target.ndim and target.shape[:1] == output.shape[:1] and {target.dtype.kind, output.dtype.kind} <= set("fiub"):
        known = _known_rows(target) & _known_rows(output)
        num_missing = len(known) - int(known.sum())
        target, output = target[known], output[known]
    target, output = check_outputs(task_type, target, output)
    if classes is not None and task_type.is_classification:
        _names(classes, 2 if output.ndim == 1 else output.shape[1])
    notes = [f"{len(target):,} {entity}"]
    if num_missing:
        notes.append(f"{num_missing:,} without a value left out")
    if task_type is TaskType.BINARY and len(target):
        notes.append(f"{_percent(target.mean())} positive")
    if metric_name is not None:
        name, value = next(iter(evaluate(task_type, target, output, [metric_name]).items()))
        notes += [f"{name}\N{NO-BREAK SPACE}{_result(value)}"] if math.isfinite(value) else []
    note = ", ".join(notes)
    if len(target) < 2:
        return {}
    if task_type is TaskType.REGRESSION:
        if max(np.abs(target).max(), np.abs(output).max()) > 1e300:  # differences would overflow
            return {}
        return {
            "predicted_vs_true": predicted_vs_true(target, output, split=split, note=note),
            "residuals": residuals(target, output, split=split, note=note),
        }
    return dict(_classification_figures(task_type, target, output, split, classes, note, entity))


def _classification_figures(
    task_type: TaskType,
    target: Ints,
    output: Floats,
    split: str,
    classes: Sequence[str] | None,
    note: str,
    entity: str,
) -> Iterator[tuple[str, Figure]]:
    if _drawable(target, output):
        yield "roc_curve", roc_curve(target, output, split=split, classes=classes, note=note)
        figure = precision_recall_curve(target, output, split=split, classes=classes, note=note)
        yield "precision_recall_curve", figure
    labels = hard_labels(task_type, output)
    if task_type is TaskType.MULTICLASS:
        right, confidence = (target == labels).astype(np.int64), output.max(axis=1)
        what = "probability of the predicted class"
        yield "calibration", calibration(right, confidence, split=split, what=what, note=note)
    elif output.size:
        what = "predicted probability" + (", all labels together" if output.ndim == 2 else "")
        yield "calibration", calibration(target.ravel(), output.ravel(), split=split, what=what, note=note)
    if task_type is TaskType.BINARY:
        names = ("no", "yes") if classes is None else classes
        note = f"{note}; a probability of {THRESHOLD} or more counts as yes"
        yield "confusion_matrix", confusion_matrix(target, labels, split=split, classes=names, note=note)
        if _drawable(target, output):
            yield "gain_chart", gain_chart(target, output, split=split, entity=entity)
    elif task_type is TaskType.MULTICLASS:
        names = _names(None, output.shape[1]) if classes is None else classes
        yield "confusion_matrix", confusion_matrix(target, labels, split=split, classes=names, note=note)


def roc_curve(
    target: Ints, output: Floats, *, split: str, classes: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """Draw the ROC curve, or one per class against the rest for the 8 most frequent classes.

    Args:
        target: 0 or 1, shape ``(N,)``; class index, shape ``(N,)``; or 0/1 of several labels, ``(N, K)``.
        output: Probabilities, shape ``(N,)``; of several classes or labels, shape ``(N, K)``.
        split: Name of the split, for the title.
        classes: Names in index order.
        note: A line below the title.

    Raises:
        TaskError: No class has both positive and negative rows.
    """
    from sklearn.metrics import auc
    from sklearn.metrics import roc_curve as points

    curves = []
    for name, positive, score in _one_versus_rest(target, output, classes):
        false_rate, true_rate, _ = points(positive, score)
        curves.append(_Curve(name, float(auc(false_rate, true_rate)), false_rate, true_rate))
    single = output.ndim == 1
    title = _curves_title("ROC curve" if single else "ROC curves", "area", split, curves, output)
    figure, (axes,) = _figure((_curves_width(curves), 6.1), title, note)
    _dress(
        axes,
        "false alarms: share of the negatives above the threshold",
        "hits: share of the positives above it",
    )
    axes.plot([0, 1], [0, 1], label="chance", **_reference())
    _name_diagonal(axes, 0.8, "chance")
    if single:
        axes.fill_between(*_thin(curves[0].x, curves[0].y), color=_BLUE, alpha=0.08, linewidth=0)
    _draw_curves(axes, curves, "default")
    return figure


def precision_recall_curve(
    target: Ints, output: Floats, *, split: str, classes: Sequence[str] | None = None, note: str = ""
) -> Figure:
    """Draw precision against recall with the base rate, or one curve per class against the rest.

    Args:
        target: 0 or 1, shape ``(N,)``; class index, shape ``(N,)``; or 0/1 of several labels, ``(N, K)``.
        output: Probabilities, shape ``(N,)``; of several classes or labels, shape ``(N, K)``.
        split: Name of the split, for the title.
        classes: Names in index order.
        note: A line below the title.

    Raises:
        TaskError: No class has both positive and negative rows.
    """
    from sklearn.metrics import average_precision_score
    from sklearn.metrics import precision_recall_curve as points

    curves, base_rate = [], math.nan
    for name, positive, score in _one_versus_rest(target, output, classes):
        precision, recall, _ = points(positive, score)
        value = float(average_precision_score(positive, score))
        # From the first hit on: what scikit-learn puts before it is a convention, not an observation.
        first = len(recall) - np.flatnonzero(recall > 0)[-1] - 1
        recall, precision = np.append(0.0, recall[::-1][first:]), precision[::-1][first:]
        curves.append(_Curve(name, value, recall, np.append(precision[0], precision)))
        base_rate = float(positive.mean())
    title = _curves_title("Precision and recall", "average precision", split, curves, output)
    single = output.ndim == 1
    figure, (axes,) = _figure((_curves_width(curves), 6.1), title, note)
    _dress(axes, "recall: share of the positives found", "precision: share of the found that are positive")
    _draw_curves(axes, curves, "steps-pre")
    if single:
        axes.axhline(base_rate, label="base rate", **_reference())
        x, y = curves[0].x, curves[0].y
        top = max(1.3 * float(y[x >= 0.05].max()), 1.6 * base_rate)
        if top < 0.6:  # rare positives: the rest of the axis would be empty but for the first few rows
            axes.set(ylim=(0, top), aspect="auto")
        up = 0.012 * axes.get_ylim()[1] * (-1 if base_rate > 0.9 else 1)
        place: dict[str, Any] = {"color": _GREY, "va": "top" if base_rate > 0.9 else "bottom"}
        _write(axes, 0.012, base_rate + up, f"base rate {_percent(base_rate)}", **place)
    return figure


def calibration(
    target: Ints, output: Floats, *, split: str, what: str = "predicted probability", note: str = ""
) -> Figure:
    """Draw observed shares against predicted probabilities, with the histogram of these below.

    Rows are binned by the quantiles of the output, so that bins hold about equally many; equal outputs stay
    together. Bars are 95% Wilson intervals. The expected calibration error is the mean, over rows, of the
    distance between the bin's mean output and its share of positives.

    Args:
        target: 0 or 1, shape ``(N,)``, at least one row.
        output: Probability of 1, shape ``(N,)``.
        split: Name of the split, for the title.
        what: Name of the horizontal axis.
        note: A line below the title.
    """
    output = np.clip(output, 0, 1)  # arithmetic may have rounded beyond
    mean, share, count = _calibration_bins(target, output)
    error = float(np.sum(count * np.abs(mean - share)) / count.sum())
    low, high = _wilson(share, count)
    title = f"Calibration, {split}: expected calibration error {error:.3f}"
    figure, (axes, below) = _figure((6.4, 6.4), title, note, rows=2, height_ratios=(3.4, 1), sharex=True)
    limit = 1.12 * max(float(mean.max()), float(high.max()))
    limit = limit if limit < 0.6 else 1.0

    _dress(axes, "", "observed share")
    axes.plot([0, 1], [0, 1], label="perfect", **_reference())
    stops = np.array([0.0, *mean[mean < limit], limit])
    widest = int(np.argmax(np.diff(stops)))
    _name_diagonal(axes, float(stops[widest : widest + 2].mean()), "perfect")
    axes.vlines(mean, low, high, color=_BLUE, alpha=0.4, linewidth=2.2)
    axes.plot(mean, share, color=_BLUE, linewidth=2, label="bins", marker="o", markersize=7, markeredgecolor="white")
    axes.lines[-1].set_clip_on(False)  # markers at 0% and 100% are whole
    axes.set(xlim=(0, limit), ylim=(0, limit))
    _percent_axis(axes, "y")

    _dress(below, what, "rows")
    shown = output[output <= limit]
    below.hist(shown, bins=np.linspace(0, limit, 41).tolist(), color=_BLUE, alpha=0.8)
    _percent_axis(below, "x")
    _whole_axis(below, "y")
    _say_beyond(below, len(output) - len(shown))
    return figure


def confusion_matrix(target: Ints, labels: Ints, *, split: str, classes: Sequence[str], note: str = "") -> Figure:
    """Draw how often each true class was predicted as each class: counts, and shares of the true class.

    Of more than 20 classes the 20 most frequent are shown, the rest together as "other". Targets of -1 (a
    class never seen in training) have a row of their own.

    Args:
        target: Index of the true class, or -1, shape ``(N,)``, at least one row.
        labels: Index of the predicted class, shape ``(N,)``.
        split: Name of the split, for the title.
        classes: Names in index order.
        note: A line below the title.
    """
    counts, rows, columns = _confusion(target, labels, classes)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    title = f"Confusion matrix, {split}: {_percent(np.mean(target == labels))} of the rows are right"
    cell, size = (1.45, 11) if len(columns) <= 4 else (0.85, 9) if len(columns) <= 8 else (0.62, 7)
    wrapped = [textwrap.fill(name, int(12 * cell)) for name in columns]
    slanted = len(columns) > 8 and max(len(name) for name in columns) > 12 * cell
    margin = 0.08 * max(len(name) for name in rows)
    width = max(6.4, cell * len(columns) + margin + 0.9)
    height = max(3.4, cell * len(rows) + 0.8 + 0.6 * margin * slanted)
    figure, (axes,) = _figure((width, height), title, note)
    _dress(axes, "predicted", "true")
    axes.imshow(shares, cmap=_blues(), vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        text = f"{count:,}\n{_percent(shares[i, j], digits=0)}" if count else "0"
        color = "white" if shares[i, j] > 0.5 else _INK if count else _GREY
        _write(axes, j, i, text, color=color, fontsize=size, ha="center", va="center", linespacing=1.3)
    if slanted:
        turn: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(columns)), columns, parse_math=False, **turn)
    else:
        axes.set_xticks(range(len(columns)), wrapped, parse_math=False)
    axes.set_yticks(range(len(rows)), rows, parse_math=False)
    axes.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axes.grid(False)
    axes.grid(True, which="minor", color="white", linewidth=2)
    axes.spines[:].set_visible(False)
    return figure


def gain_chart(target: Ints, output: Floats, *, split: str, entity: str = "rows") -> Figure:
    """Draw which share of the positives the highest predictions hold, and the lift of each tenth.

    Rows with equal predictions count as shuffled: between them the curve is straight.

    Args:
        target: 0 or 1, shape ``(N,)``.
        output: Predictions, shape ``(N,)``.
        split: Name of the split, for the title.
        entity: What a row is, in the plural.

    Raises:
        TaskError: The target doesn't have both classes.
    """
    base_rate = float(np.mean(target)) if len(target) else 0.0
    if not 0 < base_rate < 1:
        raise TaskError("a gain chart needs positive and negative rows")
    entity = _legible(entity)
    depth, found = _gains(target, output)
    top = float(np.interp(0.1, depth, found))
    title = f"Gains, {split}: the top 10% of {entity} hold {_percent(top)} of the positives"
    note = f"{len(target):,} {entity}, {_percent(base_rate)} positive; the highest predictions come first"
    figure, (axes, right) = _figure((10.4, 5.0), title, note, columns=2)

    _dress(axes, f"share of {entity} taken", "share of the positives found")
    axes.plot([0, 1], [0, 1], label="random order", **_reference())
    axes.plot([0, base_rate, 1], [0, 1, 1], label="perfect order", **_reference(linestyle=":"))
    axes.plot(*_thin(depth, found), color=_BLUE, linewidth=2.4, label="model")
    _dot(axes, 0.1, top)
    _write(axes, 0.13, top, f"{_percent(top)} in the top 10%", color=_ROSE, va="center", fontweight="bold", bbox=_HALO)
    _name_diagonal(axes, 0.84, "random order")
    _write(axes, base_rate + 0.015, 0.985, "perfect order", color=_GREY, va="top")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    _percent_axis(axes, "x")
    _percent_axis(axes, "y")

    tenths = np.arange(1, 11)
    lift = 10 * np.diff(np.interp(np.linspace(0, 1, 11), depth, found))
    _dress(right, f"tenths of {entity}", "lift: positives relative to the average")
    right.bar(tenths, lift, color=_BLUE, alpha=0.85, width=0.78)
    right.axhline(1, **_reference())
    top_lift = 1.1 * max(1.0, float(lift.max()))
    for x, y in zip(tenths.tolist(), lift.tolist(), strict=True):
        _write(right, x, y + 0.012 * top_lift, f"{y:.1f}", ha="center", va="bottom", fontsize=9, bbox=_HALO)
    right.set_xticks(tenths)
    right.set_ylim(0, top_lift)
    _number_axis(right, "y")
    right.grid(False, axis="x")
    return figure


def predicted_vs_true(target: Floats, output: Floats, *, split: str, note: str = "") -> Figure:
    """Draw predicted against true values with the diagonal: points, or their density if there are many.

    Heavy-tailed values are drawn on a logarithmic scale that is linear around zero.

    Args:
        target: Shape ``(N,)``, at least one row.
        output: Shape ``(N,)``.
        split: Name of the split, for the title.
        note: A line below the title.
    """
    values = evaluate(TaskType.REGRESSION, target, output, ["r2", "mae"])
    known = math.isfinite(values["r2"])
    fact = f"R² {_result(values['r2'])}" if known else f"mean absolute error {_number(values['mae'])}"
    figure, (axes,) = _figure((6.6, 6.1), f"Predicted and true values, {split}: {fact}", note)
    _dress(axes, "true value", "predicted value")
    both = np.concatenate([target, output])
    low, high = _scale(axes, "x", both)
    _scale(axes, "y", both)
    _cloud(figure, axes, target, output)
    axes.plot([low, high], [low, high], label="perfect", **_reference(color=_ROSE, zorder=3))
    return figure


def residuals(target: Floats, output: Floats, *, split: str, note: str = "") -> Figure:
    """Draw what the prediction leaves of the truth: against the prediction, and as a histogram.

    A residual is true minus predicted, above zero where the prediction was too low. The range drawn covers
    the middle 98% of the residuals with room to spare; the figure says how many rows lie beyond.

    Args:
        target: Shape ``(N,)``, at least one row.
        output: Shape ``(N,)``.
        split: Name of the split, for the title.
        note: A line below the title.
    """
    left_over = target - output
    half = float(np.median(np.abs(left_over)))
    title = f"Residuals, {split}: half of the predictions are within {_number(half)} of the truth"
    figure, (axes, right) = _figure((9.6, 5.0), title, note, columns=2, width_ratios=(3, 1), sharey=True)
    reach = 1.5 * float(np.abs(np.quantile(left_over, [0.01, 0.99])).max())
    reach = min(reach, 1.05 * float(np.abs(left_over).max())) or 1.0

    _dress(axes, "predicted value", "true − predicted")
    _scale(axes, "x", output)
    axes.set_ylim(-reach, reach)
    _number_axis(axes, "y")
    _cloud(figure, axes, output, left_over)
    axes.axhline(0, **_reference(color=_ROSE, zorder=3))

    _dress(right, "rows", "")
    shown = left_over[np.abs(left_over) <= reach]
    right.hist(shown, bins=np.linspace(-reach, reach, 62).tolist(), orientation="horizontal", color=_BLUE, alpha=0.8)
    right.axhline(0, **_reference(color=_ROSE, zorder=3))
    _whole_axis(right, "x", 3)
    _say_beyond(right, len(left_over) - len(shown))
    return figure


def learning_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    metric_name: str = "metric",
    higher_is_better: bool = True,
) -> Figure:
    """Draw the course of a training run: losses, the metric, and the learning rate if it changes.

    The best epoch is the one with the best validation metric; without any, the one with the lowest validation
    loss; the first among equals.

    Args:
        history: One entry per epoch: ``epoch``, ``train_loss``, ``val_loss``, ``train_metric``,
            ``val_metric``, ``learning_rate``. A value may be absent, None or NaN; without ``epoch``, entries
            count from 1.
        metric_name: Name of the metric.
        higher_is_better: Whether a higher metric is better.
    """
    epochs = np.array([float(entry.get("epoch", i)) for i, entry in enumerate(history, start=1)])
    series = {
        key: np.array([_finite(entry.get(key)) for entry in history], dtype=np.float64)
        for key in ("train_loss", "val_loss", "train_metric", "val_metric", "learning_rate")
    }
    best, fact = _best_epoch(series, metric_name, higher_is_better)
    title = "Learning curves: no epoch is finished"
    if best is not None:
        title = f"Learning curves: best {fact} in epoch {epochs[best]:g} of {epochs[-1]:g}"
    elif history:
        title = f"Learning curves: {_count(len(history), 'epoch')}, nothing validated"
    rates = series["learning_rate"]
    with_rate = len(np.unique(rates[np.isfinite(rates)])) > 1
    figure, panels = _figure(
        (12.4 if with_rate else 10.4, 4.6),
        title,
        columns=3 if with_rate else 2,
        width_ratios=(3, 3, 2)[: 2 + with_rate],
    )
    style: dict[str, Any] = {"marker": "o" if len(epochs) <= 30 else "", "markersize": 4}
    for axes, name, key in zip(panels, ("loss", _legible(metric_name)), ("loss", "metric"), strict=False):
        _dress(axes, "epoch", name)
        train, validation = series[f"train_{key}"], series[f"val_{key}"]
        axes.plot(epochs, train, color=_GREY, linewidth=1.8, label="train", **style)
        axes.plot(epochs, validation, color=_BLUE, linewidth=2.4, label="validation", **style)
        if best is not None:
            axes.axvline(epochs[best], label="best epoch", **_reference(color=_ROSE))
            _dot(axes, epochs[best], validation[best])
        _label_ends(axes, epochs, {"train": (train, _GREY), "validation": (validation, _BLUE)})
    if with_rate:
        _dress(panels[2], "epoch", "learning rate")
        panels[2].plot(epochs, rates, color=_GREY, linewidth=1.8, label="learning rate", **style)
        _number_axis(panels[2], "y")
    for axes in panels:
        _whole_axis(axes, "x")
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG and free its memory; the figure is empty afterwards."""
    figure.savefig(path, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    figure.clear()


# What the figures are made from.


@dataclass(frozen=True)
class _Curve:
    name: str
    value: float
    x: Floats
    y: Floats


def _one_versus_rest(target: Ints, output: Floats, classes: Sequence[str] | None) -> Iterator[tuple[str, Ints, Floats]]:
    """Yield name, 0/1 target and score of a binary task, or of its 8 most frequent classes against the rest."""
    drawable = _drawable(target, output)
    if not drawable:
        raise TaskError("a curve needs a class with positive and negative rows")
    if output.ndim == 1:
        yield "", target, output
        return
    names = _names(classes, output.shape[1])
    for k in drawable[:_MAX_CURVES]:
        positive = target == k if target.ndim == 1 else target[:, k]
        yield names[k], np.asarray(positive, dtype=np.int64), output[:, k]


def _drawable(target: Ints, output: Floats) -> list[int]:
    """List the classes with positive and negative rows, the most frequent first; of a binary task ``[0]``."""
    if output.ndim == 1 or target.ndim == 2:
        positives = np.atleast_1d(target.sum(axis=0))
    else:
        positives = np.bincount(target[target >= 0], minlength=output.shape[1])
    return [int(k) for k in np.argsort(-positives, kind="stable") if 0 < positives[k] < len(target)]


def _calibration_bins(target: Ints, output: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean output, share of positives and number of rows of each quantile bin that holds rows."""
    edges = np.unique(np.quantile(output, np.arange(1, _NUM_BINS) / _NUM_BINS))
    in_bin = np.searchsorted(edges, output, side="right")
    count = np.bincount(in_bin).astype(np.float64)
    held = count > 0
    total, positive = np.bincount(in_bin, output), np.bincount(in_bin, target)
    return total[held] / count[held], positive[held] / count[held], count[held]


def _wilson(share: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Bound shares by their 95% Wilson intervals (Wilson 1927), which stay within 0..1."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = np.sqrt(z2 * share * (1 - share) / count + z2**2 / (4 * count**2)) / (1 + z2 / count)
    return middle - reach, middle + reach


def _confusion(target: Ints, labels: Ints, classes: Sequence[str]) -> tuple[Ints, list[str], list[str]]:
    """Count target and label pairs; return the counts with the names of their rows and columns."""
    columns = _names(classes, len(classes))
    slot = np.arange(len(classes) + 1)  # the last entry is what index -1 reads
    if len(classes) > _MAX_CLASSES:
        frequency = np.bincount(target[target >= 0], minlength=len(classes))
        kept = np.argsort(-frequency, kind="stable")[:_MAX_CLASSES]
        slot = np.full(len(classes) + 1, _MAX_CLASSES)
        slot[kept] = np.arange(_MAX_CLASSES)
        columns = [*(columns[k] for k in kept), f"other ({len(classes) - _MAX_CLASSES})"]
    slot[UNSEEN_CLASS] = len(columns)
    rows = [*columns, "not in training"] if (target == UNSEEN_CLASS).any() else columns
    flat = np.bincount(slot[target] * len(columns) + slot[labels], minlength=len(rows) * len(columns))
    return flat.reshape(len(rows), len(columns)), rows, columns


def _gains(target: Ints, output: Floats) -> tuple[Floats, Floats]:
    """Shares of rows taken and positives found after each group of equal outputs, from the highest."""
    order = np.argsort(-output, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(output[order]) != 0, True)) + 1
    found = np.cumsum(target[order])[ends - 1]
    return np.append(0.0, ends / len(target)), np.append(0.0, found / found[-1])


def _thin(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Keep about 2,000 points of a curve within 0..1, evenly along its length, the ends included."""
    if len(x) <= _MAX_POINTS:
        return x, y
    length = np.append(0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y))))
    kept = np.searchsorted(length, np.linspace(0, length[-1], _MAX_POINTS))
    kept = np.unique(np.append(kept, [0, len(x) - 1]))
    return x[kept], y[kept]


def _best_epoch(series: Mapping[str, Floats], metric_name: str, higher_is_better: bool) -> tuple[int | None, str]:
    for key, name, sign in (
        ("val_metric", metric_name, 1 if higher_is_better else -1),
        ("val_loss", "loss", -1),
    ):
        if np.isfinite(series[key]).any():
            best = int(np.nanargmax(sign * series[key]))
            return best, f"validation {_legible(name)} {_result(series[key][best])}"
    return None, ""


def _known_rows(values: NDArray[Any]) -> NDArray[np.bool_]:
    finite = np.isfinite(values)
    return finite if finite.ndim == 1 else np.asarray(finite.all(axis=tuple(range(1, finite.ndim))))


def _finite(value: Any) -> float:
    return float(value) if value is not None and math.isfinite(value) else math.nan


# Words and numbers.


def _names(classes: Sequence[str] | None, num_classes: int) -> list[str]:
    """Shorten class names for a figure; a name the font can't write becomes ``class 3``."""
    if classes is None:
        return [f"class {k}" for k in range(num_classes)]
    if len(classes) != num_classes:
        raise TaskError(f"there are {len(classes)} class names for {num_classes} classes")
    names = [" ".join(str(name).split()) or "(empty)" for name in classes]
    names = [name if _writable(name) else f"class {k}" for k, name in enumerate(names)]
    short = [_shorten(name) for name in names]
    return [f"{k}: {s}" if len(s) < len(names[k]) and short.count(s) > 1 else s for k, s in enumerate(short)]


def _shorten(name: str) -> str:
    """Cut a long name in the middle, between words if it has some there."""
    if len(name) <= 34:
        return name
    head, tail = name[:22], name[-12:]
    if " " in head and " " in tail:
        return f"{head.rsplit(maxsplit=1)[0]} … {tail.split(' ', 1)[1]}"
    return f"{head}…{tail[3:]}"


def _legible(text: str) -> str:
    return "".join(letter if _writable(letter) else "?" for letter in text)


def _writable(text: str) -> bool:
    return all(ord(letter) in _letters() for letter in text)


@lru_cache
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_FONT)).get_charmap())


def _curves_title(kind: str, fact: str, split: str, curves: Sequence[_Curve], output: Floats) -> str:
    if output.ndim == 1:
        return f"{kind}, {split}: {fact} {curves[0].value:.3f}"
    values = [curve.value for curve in curves]
    span = f"{min(values):.3f} to {max(values):.3f}" if len(curves) > 1 else f"{values[0]:.3f}"
    num_classes = output.shape[1]
    over = f"{num_classes} classes" if len(curves) == num_classes else f"{len(curves)} of {num_classes} classes"
    return f"{kind}, {split}: {fact} {span}, {over}"


def _curves_width(curves: Sequence[_Curve]) -> float:
    """Width of a figure of square axes with room for the legend."""
    longest = max(len(curve.name) for curve in curves)
    return 6.6 + (1.1 + 0.085 * longest if longest else 0.0)


def _percent(share: float, digits: int | None = None) -> str:
    """Write a share as percent; digits grow towards 0 and 1, and only 1 itself is 100%."""
    percent = 100 * float(share)
    if digits is None:
        digits = 0 if 10 <= percent <= 90 or percent in (0, 100) else 1
    if 0 < percent < 0.1:
        return "<0.1%" if digits else "<1%"
    if 0 < percent < 0.5 and not digits:
        return "<1%"
    if 100 - 0.5 * 10**-digits <= percent < 100:
        return f">{100 - 10**-digits:g}%"
    return f"{percent:.{digits}f}%"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("s" if number != 1 else "")


def _result(value: float) -> str:
    """Write the value of a metric or loss."""
    return f"{value:.3f}".replace("-", "−") if 0.001 <= abs(value) < 10 or value == 0 else _number(value)


def _number(value: float) -> str:
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
    return text.replace("-", "−")


# Looks. Everything is set on the artists: matplotlib's settings are global, and threads and users share them.


def _figure(
    size: tuple[float, float],
    title: str,
    note: str = "",
    *,
    rows: int = 1,
    columns: int = 1,
    height_ratios: Sequence[float] | None = None,
    width_ratios: Sequence[float] | None = None,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Start a figure of panels below a title and a note; `size` (width, height) of the panels, in inches."""
    from matplotlib.figure import Figure

    width = size[0]
    lines = textwrap.wrap(_legible(title), int(9.5 * (width - 0.3)))
    notes = textwrap.wrap(_legible(note), int(14 * (width - 0.3)))
    below_title = 0.14 + 0.25 * len(lines)
    band = below_title + 0.19 * len(notes) + 0.1
    height = size[1] + band
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - band / height), w_pad=0.1, h_pad=0.08, wspace=0.05)
    place: dict[str, Any] = {"x": 0.14 / width, "ha": "left", "va": "top"}
    text: dict[str, Any] = {"fontfamily": _FONT, "parse_math": False, **place}
    head = figure.suptitle("\n".join(lines), y=1 - 0.14 / height, fontsize=13, fontweight="bold", color=_INK, **text)
    head.set_in_layout(False)
    if notes:
        body = figure.text(y=1 - below_title / height, s="\n".join(notes), fontsize=9.5, color=_GREY, **text)
        body.set_in_layout(False)
    panels = figure.subplots(
        rows,
        columns,
        squeeze=False,
        sharex=sharex,
        sharey=sharey,
        height_ratios=height_ratios,
        width_ratios=width_ratios,
    )
    return figure, list(panels.flat)


def _dress(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_facecolor("white")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_EDGE)
    axes.grid(True, color=_GRID, linewidth=0.8, linestyle="-")
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=9.5, labelcolor=_INK, labelfontfamily=_FONT, pad=5)
    for label, text in ((axes.xaxis.label, x_label), (axes.yaxis.label, y_label)):
        label.set(text=_legible(text), fontsize=10.5, color=_INK, fontfamily=_FONT, parse_math=False)


def _reference(**changes: Any) -> dict[str, Any]:
    """Look of a line that the data are compared with."""
    return {"color": _GREY, "linewidth": 1.3, "linestyle": (0, (4, 3)), "zorder": 1.5, **changes}


def _name_diagonal(axes: Axes, at: float, name: str) -> None:
    """Write below the diagonal, along it whatever the shape of the axes."""
    from matplotlib.transforms import ScaledTranslation

    away = ScaledTranslation(3 / 72, -3 / 72, axes.figure.dpi_scale_trans)
    turn: dict[str, Any] = {"rotation": 45, "rotation_mode": "anchor", "transform_rotates_text": True}
    _write(axes, at, at, name, color=_GREY, ha="center", va="top", transform=axes.transData + away, **turn)


def _write(axes: Axes, x: float, y: float, s: str, **style: Any) -> None:
    look: dict[str, Any] = {"fontsize": 10, "fontfamily": _FONT, "parse_math": False, "color": _INK}
    axes.text(x, y, s, **look | style)


def _dot(axes: Axes, x: float, y: float) -> None:
    if math.isfinite(y):
        axes.plot([x], [y], color=_ROSE, marker="o", markersize=9, markeredgecolor="white", linestyle="", zorder=4)


def _say_beyond(axes: Axes, num_rows: int) -> None:
    if num_rows:
        place: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 9}
        _write(axes, 0.99, 0.97, f"{_count(num_rows, 'row')} beyond", color=_GREY, **place)


def _draw_curves(axes: Axes, curves: Sequence[_Curve], drawstyle: Literal["default", "steps-pre"]) -> None:
    """Draw curves into the unit square; named ones get a legend with their values, the highest first."""
    for i in sorted(range(len(curves)), key=lambda i: -curves[i].value):
        curve = curves[i]
        style: dict[str, Any] = {"color": _BLUE, "label": "model"}
        if curve.name:  # the value comes first: matplotlib hides labels that begin with an underscore
            style = {"color": _COLORS[i], "linestyle": ("-", (0, (5, 1.5)))[i % 2]}
            style["label"] = f"{curve.value:.3f}  {curve.name}"
        axes.plot(*_thin(curve.x, curve.y), drawstyle=drawstyle, linewidth=2.2, solid_capstyle="round", **style)
    if curves[0].name:
        lines = [line for line in axes.lines if str(line.get_label())[:1].isdigit()]
        font = {"family": _FONT, "size": 10}
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False}
        legend = axes.legend(handles=lines, prop=font, labelcolor=_INK, handlelength=2.4, labelspacing=0.8, **place)
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", anchor="W")


def _label_ends(axes: Axes, epochs: Floats, lines: Mapping[str, tuple[Floats, str]]) -> None:
    """Name each line beside its last point, the names apart from each other."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ends = []
    for name, (values, color) in lines.items():
        known = np.flatnonzero(np.isfinite(values))
        if len(known):
            ends.append((float(values[known[-1]]), float(epochs[known[-1]]), name, color))
    ends.sort()
    gap = 0.06 * (high - low)
    push = max(0.0, gap - (ends[-1][0] - ends[0][0])) / 2 if len(ends) == 2 else 0.0
    for i, (y, x, name, color) in enumerate(ends):
        place: dict[str, Any] = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(name, (x, y + (2 * i - 1) * push), color=color, fontsize=10, fontfamily=_FONT, **place)


def _scale(axes: Axes, which: Literal["x", "y"], values: Floats) -> tuple[float, float]:
    """Set scale and limits of an axis for values, logarithmic if they are heavy-tailed; return the limits."""
    from matplotlib.ticker import SymmetricalLogLocator

    axis = _axis(axes, which)
    set_scale, set_limits = (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    low, q05, q95, high = (float(q) for q in np.quantile(values, [0, 0.05, 0.95, 1]))
    if high - low > _HEAVY_TAIL * (q95 - q05):
        smallest = float(np.quantile(np.abs(values[values != 0]), 0.1))
        linthresh = 10.0 ** math.floor(math.log10(smallest))
        set_scale("symlog", linthresh=linthresh, linscale=0.5)
        locator = SymmetricalLogLocator(base=10, linthresh=linthresh)
        locator.set_params(numticks=7)
        axis.set_major_locator(locator)
    else:
        set_scale("linear")
    transform = axis.get_transform()
    start, end = transform.transform(np.array([low, high]))
    pad = 0.03 * (end - start) or 0.5 * max(1.0, abs(start))
    low, high = (float(v) for v in transform.inverted().transform(np.array([start - pad, end + pad])))
    set_limits(low, high)
    _number_axis(axes, which)
    return low, high


def _cloud(figure: Figure, axes: Axes, x: Floats, y: Floats) -> None:
    """Draw points, or the density of many, into the scales and limits the axes have."""
    if len(x) <= _MAX_POINTS:
        axes.scatter(x, y, s=20, color=_BLUE, alpha=0.35, linewidths=0)
        return
    from matplotlib.colors import LogNorm

    edges = []
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        transform = axis.get_transform()
        start, end = transform.transform(np.array(limits))
        edges.append(transform.inverted().transform(np.linspace(start, end, 81)))
    counts, _, _ = np.histogram2d(x, y, bins=edges)
    most = max(2, int(counts.max()))
    norm = LogNorm(vmin=1, vmax=most)
    mesh = axes.pcolormesh(*edges, np.ma.masked_equal(counts.T, 0), cmap=_blues("#c9dbe9"), norm=norm)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.45, aspect=16, pad=0.02, anchor=(0, 1))
    bar.ax.spines["outline"].set_visible(False)
    bar.ax.tick_params(which="both", length=0, labelsize=9, labelcolor=_GREY, labelfontfamily=_FONT)
    ticks = [10**k for k in range(len(str(most)))]
    ticks += [most] if most >= 3 * ticks[-1] or len(ticks) == 1 else []
    bar.set_ticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    bar.minorticks_off()
    bar.ax.set_xlabel("rows", fontsize=9.5, color=_GREY, fontfamily=_FONT, labelpad=7)


def _blues(first: str = "#f3f6f9") -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("foreknow", [first, "#9dbcd6", _BLUE, "#173650"])


def _axis(axes: Axes, which: Literal["x", "y"]) -> Axis:
    return axes.xaxis if which == "x" else axes.yaxis


def _percent_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    _axis(axes, which).set_major_formatter(lambda value, _: f"{100 * value:.6g}%")


def _number_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    _axis(axes, which).set_major_formatter(lambda value, _: f"{value:,.10g}".replace("-", "−"))


def _whole_axis(axes: Axes, which: Literal["x", "y"], num_ticks: int = 5) -> None:
    from matplotlib.ticker import MaxNLocator

    _axis(axes, which).set_major_locator(MaxNLocator(nbins=num_ticks, integer=True, min_n_ticks=1))
    _axis(axes, which).set_major_formatter(lambda value, _: f"{value:,.0f}")
