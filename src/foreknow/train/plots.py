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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foreknow.errors import TaskError
from foreknow.task.metric import THRESHOLD, UNSEEN_CLASS, check_outputs, evaluate, hard_labels
from foreknow.train.look import (
    BLUE,
    DPI,
    GREY,
    HALO,
    INK,
    ROSE,
    Curve,
    Floats,
    blues,
    class_names,
    curves_title,
    curves_width,
    draw_cloud,
    draw_curves,
    draw_dot,
    dress,
    format_count,
    format_number,
    format_percent,
    format_result,
    label_ends,
    legible,
    name_diagonal,
    new_figure,
    number_axis,
    percent_axis,
    reference_style,
    say_beyond,
    scale_axis,
    thin,
    whole_axis,
    write_text,
)
from foreknow.types import TaskType

if TYPE_CHECKING:
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
_NUM_BINS = 10

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
        class_names(classes, 2 if output.ndim == 1 else output.shape[1])
    notes = [f"{len(target):,} {entity}"]
    if num_missing:
        notes.append(f"{num_missing:,} without a value left out")
    if task_type is TaskType.BINARY and len(target):
        notes.append(f"{format_percent(target.mean())} positive")
    if metric_name is not None:
        name, value = next(iter(evaluate(task_type, target, output, [metric_name]).items()))
        notes += [f"{name}\N{NO-BREAK SPACE}{format_result(value)}"] if math.isfinite(value) else []
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
        names = class_names(None, output.shape[1]) if classes is None else classes
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
        curves.append(Curve(name, float(auc(false_rate, true_rate)), false_rate, true_rate))
    single = output.ndim == 1
    title = curves_title("ROC curve" if single else "ROC curves", "area", split, curves, output)
    figure, (axes,) = new_figure((curves_width(curves), 6.1), title, note)
    dress(
        axes,
        "false alarms: share of the negatives above the threshold",
        "hits: share of the positives above it",
    )
    axes.plot([0, 1], [0, 1], label="chance", **reference_style())
    name_diagonal(axes, 0.8, "chance")
    if single:
        axes.fill_between(*thin(curves[0].x, curves[0].y), color=BLUE, alpha=0.08, linewidth=0)
    draw_curves(axes, curves, "default")
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
        curves.append(Curve(name, value, recall, np.append(precision[0], precision)))
        base_rate = float(positive.mean())
    title = curves_title("Precision and recall", "average precision", split, curves, output)
    single = output.ndim == 1
    figure, (axes,) = new_figure((curves_width(curves), 6.1), title, note)
    dress(axes, "recall: share of the positives found", "precision: share of the found that are positive")
    draw_curves(axes, curves, "steps-pre")
    if single:
        axes.axhline(base_rate, label="base rate", **reference_style())
        x, y = curves[0].x, curves[0].y
        top = max(1.3 * float(y[x >= 0.05].max()), 1.6 * base_rate)
        if top < 0.6:  # rare positives: the rest of the axis would be empty but for the first few rows
            axes.set(ylim=(0, top), aspect="auto")
        up = 0.012 * axes.get_ylim()[1] * (-1 if base_rate > 0.9 else 1)
        place: dict[str, Any] = {"color": GREY, "va": "top" if base_rate > 0.9 else "bottom"}
        write_text(axes, 0.012, base_rate + up, f"base rate {format_percent(base_rate)}", **place)
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
    figure, (axes, below) = new_figure((6.4, 6.4), title, note, rows=2, height_ratios=(3.4, 1), sharex=True)
    limit = 1.12 * max(float(mean.max()), float(high.max()))
    limit = limit if limit < 0.6 else 1.0

    dress(axes, "", "observed share")
    axes.plot([0, 1], [0, 1], label="perfect", **reference_style())
    stops = np.array([0.0, *mean[mean < limit], limit])
    widest = int(np.argmax(np.diff(stops)))
    name_diagonal(axes, float(stops[widest : widest + 2].mean()), "perfect")
    axes.vlines(mean, low, high, color=BLUE, alpha=0.4, linewidth=2.2)
    axes.plot(mean, share, color=BLUE, linewidth=2, label="bins", marker="o", markersize=7, markeredgecolor="white")
    axes.lines[-1].set_clip_on(False)  # markers at 0% and 100% are whole
    axes.set(xlim=(0, limit), ylim=(0, limit))
    percent_axis(axes, "y")

    dress(below, what, "rows")
    shown = output[output <= limit]
    below.hist(shown, bins=np.linspace(0, limit, 41).tolist(), color=BLUE, alpha=0.8)
    percent_axis(below, "x")
    whole_axis(below, "y")
    say_beyond(below, len(output) - len(shown))
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
    title = f"Confusion matrix, {split}: {format_percent(np.mean(target == labels))} of the rows are right"
    cell, size = (1.45, 11) if len(columns) <= 4 else (0.85, 9) if len(columns) <= 8 else (0.62, 7)
    wrapped = [textwrap.fill(name, int(12 * cell)) for name in columns]
    slanted = len(columns) > 8 and max(len(name) for name in columns) > 12 * cell
    margin = 0.08 * max(len(name) for name in rows)
    width = max(6.4, cell * len(columns) + margin + 0.9)
    height = max(3.4, cell * len(rows) + 0.8 + 0.6 * margin * slanted)
    figure, (axes,) = new_figure((width, height), title, note)
    dress(axes, "predicted", "true")
    axes.imshow(shares, cmap=blues(), vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        text = f"{count:,}\n{format_percent(shares[i, j], digits=0)}" if count else "0"
        color = "white" if shares[i, j] > 0.5 else INK if count else GREY
        write_text(axes, j, i, text, color=color, fontsize=size, ha="center", va="center", linespacing=1.3)
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
    entity = legible(entity)
    depth, found = _gains(target, output)
    top = float(np.interp(0.1, depth, found))
    title = f"Gains, {split}: the top 10% of {entity} hold {format_percent(top)} of the positives"
    note = f"{len(target):,} {entity}, {format_percent(base_rate)} positive; the highest predictions come first"
    figure, (axes, right) = new_figure((10.4, 5.0), title, note, columns=2)

    dress(axes, f"share of {entity} taken", "share of the positives found")
    axes.plot([0, 1], [0, 1], label="random order", **reference_style())
    axes.plot([0, base_rate, 1], [0, 1, 1], label="perfect order", **reference_style(linestyle=":"))
    axes.plot(*thin(depth, found), color=BLUE, linewidth=2.4, label="model")
    draw_dot(axes, 0.1, top)
    write_text(
        axes, 0.13, top, f"{format_percent(top)} in the top 10%", color=ROSE, va="center", fontweight="bold", bbox=HALO
    )
    name_diagonal(axes, 0.84, "random order")
    write_text(axes, base_rate + 0.015, 0.985, "perfect order", color=GREY, va="top")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    percent_axis(axes, "x")
    percent_axis(axes, "y")

    tenths = np.arange(1, 11)
    lift = 10 * np.diff(np.interp(np.linspace(0, 1, 11), depth, found))
    dress(right, f"tenths of {entity}", "lift: positives relative to the average")
    right.bar(tenths, lift, color=BLUE, alpha=0.85, width=0.78)
    right.axhline(1, **reference_style())
    top_lift = 1.1 * max(1.0, float(lift.max()))
    for x, y in zip(tenths.tolist(), lift.tolist(), strict=True):
        write_text(right, x, y + 0.012 * top_lift, f"{y:.1f}", ha="center", va="bottom", fontsize=9, bbox=HALO)
    right.set_xticks(tenths)
    right.set_ylim(0, top_lift)
    number_axis(right, "y")
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
    fact = f"R² {format_result(values['r2'])}" if known else f"mean absolute error {format_number(values['mae'])}"
    figure, (axes,) = new_figure((6.6, 6.1), f"Predicted and true values, {split}: {fact}", note)
    dress(axes, "true value", "predicted value")
    both = np.concatenate([target, output])
    low, high = scale_axis(axes, "x", both)
    scale_axis(axes, "y", both)
    draw_cloud(figure, axes, target, output)
    axes.plot([low, high], [low, high], label="perfect", **reference_style(color=ROSE, zorder=3))
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
    title = f"Residuals, {split}: half of the predictions are within {format_number(half)} of the truth"
    figure, (axes, right) = new_figure((9.6, 5.0), title, note, columns=2, width_ratios=(3, 1), sharey=True)
    reach = 1.5 * float(np.abs(np.quantile(left_over, [0.01, 0.99])).max())
    reach = min(reach, 1.05 * float(np.abs(left_over).max())) or 1.0

    dress(axes, "predicted value", "true − predicted")
    scale_axis(axes, "x", output)
    axes.set_ylim(-reach, reach)
    number_axis(axes, "y")
    draw_cloud(figure, axes, output, left_over)
    axes.axhline(0, **reference_style(color=ROSE, zorder=3))

    dress(right, "rows", "")
    shown = left_over[np.abs(left_over) <= reach]
    right.hist(shown, bins=np.linspace(-reach, reach, 62).tolist(), orientation="horizontal", color=BLUE, alpha=0.8)
    right.axhline(0, **reference_style(color=ROSE, zorder=3))
    whole_axis(right, "x", 3)
    say_beyond(right, len(left_over) - len(shown))
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
        title = f"Learning curves: {format_count(len(history), 'epoch')}, nothing validated"
    rates = series["learning_rate"]
    with_rate = len(np.unique(rates[np.isfinite(rates)])) > 1
    figure, panels = new_figure(
        (12.4 if with_rate else 10.4, 4.6),
        title,
        columns=3 if with_rate else 2,
        width_ratios=(3, 3, 2)[: 2 + with_rate],
    )
    style: dict[str, Any] = {"marker": "o" if len(epochs) <= 30 else "", "markersize": 4}
    for axes, name, key in zip(panels, ("loss", legible(metric_name)), ("loss", "metric"), strict=False):
        dress(axes, "epoch", name)
        train, validation = series[f"train_{key}"], series[f"val_{key}"]
        axes.plot(epochs, train, color=GREY, linewidth=1.8, label="train", **style)
        axes.plot(epochs, validation, color=BLUE, linewidth=2.4, label="validation", **style)
        if best is not None:
            axes.axvline(epochs[best], label="best epoch", **reference_style(color=ROSE))
            draw_dot(axes, epochs[best], validation[best])
        label_ends(axes, epochs, {"train": (train, GREY), "validation": (validation, BLUE)})
    if with_rate:
        dress(panels[2], "epoch", "learning rate")
        panels[2].plot(epochs, rates, color=GREY, linewidth=1.8, label="learning rate", **style)
        number_axis(panels[2], "y")
    for axes in panels:
        whole_axis(axes, "x")
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG and free its memory; the figure is empty afterwards."""
    figure.savefig(path, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    figure.clear()


# What the figures are made from.


def _one_versus_rest(target: Ints, output: Floats, classes: Sequence[str] | None) -> Iterator[tuple[str, Ints, Floats]]:
    """Yield name, 0/1 target and score of a binary task, or of its 8 most frequent classes against the rest."""
    drawable = _drawable(target, output)
    if not drawable:
        raise TaskError("a curve needs a class with positive and negative rows")
    if output.ndim == 1:
        yield "", target, output
        return
    names = class_names(classes, output.shape[1])
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
    columns = class_names(classes, len(classes))
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


def _best_epoch(series: Mapping[str, Floats], metric_name: str, higher_is_better: bool) -> tuple[int | None, str]:
    for key, name, sign in (
        ("val_metric", metric_name, 1 if higher_is_better else -1),
        ("val_loss", "loss", -1),
    ):
        if np.isfinite(series[key]).any():
            best = int(np.nanargmax(sign * series[key]))
            return best, f"validation {legible(name)} {format_result(series[key][best])}"
    return None, ""


def _known_rows(values: NDArray[Any]) -> NDArray[np.bool_]:
    finite = np.isfinite(values)
    return finite if finite.ndim == 1 else np.asarray(finite.all(axis=tuple(range(1, finite.ndim))))


def _finite(value: Any) -> float:
    return float(value) if value is not None and math.isfinite(value) else math.nan
