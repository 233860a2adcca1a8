"""What a query's task tables hold: seed times, rows, what was dropped and why, how labels are spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from foreknow.errors import Finding
from foreknow.source.snapshot import Snapshot
from foreknow.task.query.explain import explain
from foreknow.task.query.labels import Labels, SplitLabels, compute_labels
from foreknow.task.query.resolve import ResolvedQuery
from foreknow.task.split import moment_text
from foreknow.types import TaskType

__all__ = ["Preview", "preview"]

TOP_CLASSES = 5


@dataclass(frozen=True, kw_only=True)
class Preview:
    """A query's task tables, described.

    Attributes:
        explanation: What the query means, a line per fact.
        splits: Per split, plain values: seed times, rows, dropped rows by reason, spread of the labels.
        sql: Of each split's task table.
        tables: The task tables.
        findings: What a person should know.
    """

    explanation: tuple[str, ...]
    splits: tuple[Mapping[str, Any], ...]
    sql: Mapping[str, str]
    tables: Mapping[str, pa.Table]
    findings: tuple[Finding, ...]


def preview(resolved: ResolvedQuery, snapshot: Snapshot) -> Preview:
    """Compute and describe the task tables.

    Raises:
        TaskError: There are no rows, or all labels are equal.
    """
    labels = compute_labels(resolved, snapshot)
    return Preview(
        explanation=tuple(_explain(resolved, labels)),
        splits=tuple(_describe(resolved, s) for s in labels.splits.values()),
        sql={split: resolved.sql(split) for split in labels.splits},
        tables={name: s.rows for name, s in labels.splits.items()},
        findings=labels.findings,
    )


def _explain(resolved: ResolvedQuery, labels: Labels) -> list[str]:
    lines = explain(resolved.bound)
    if resolved.grid is not None:
        grid = resolved.grid
        lines.append(f"A seed time every {grid.every}; rows are complete up to {moment_text(grid.data_end)}.")
    elif resolved.bounds is not None:
        val, test = map(moment_text, resolved.bounds)
        lines.append(f"Split by the row's own time: validation from {val}, test from {test}.")
    else:
        lines.append("Split by the key: of ten rows, eight train and one each validates and tests.")
    if labels.seen_before is not None:
        lines.append(f"{labels.seen_before:.0%} of the label's items in training were there before.")
    return lines


def _describe(resolved: ResolvedQuery, split: SplitLabels) -> dict[str, Any]:
    times = split.seed_times
    row: dict[str, Any] = {
        "split": split.split,
        "seed times": len(times) if times is not None else None,
        "first": moment_text(times[0]) if times else None,
        "last": moment_text(times[-1]) if times else None,
        "pairs": split.pairs,
        "existing": split.existing,
        "eligible": split.kept,
        "rows": split.rows.num_rows,
        "dropped": split.dropped,
    }
    return row | _spread(resolved, split.rows.column(resolved.layout.label))


def _spread(resolved: ResolvedQuery, label: Any) -> dict[str, Any]:
    """How the labels are spread: positives, quantiles or the most frequent classes."""
    bound = resolved.bound
    if bound.type is TaskType.BINARY:
        positive = int(pc.sum(label.cast(pa.int64())).as_py() or 0)
        return {"positive": positive, "share": positive / len(label)}
    if bound.type is TaskType.REGRESSION:
        values = label.combine_chunks().flatten() if bound.num_outputs > 1 else label
        numbers = np.asarray(values.to_numpy(), np.float64)
        low, middle, high = np.quantile(numbers, [0.05, 0.5, 0.95])
        return {"5%": float(low), "median": float(middle), "95%": float(high)}
    if bound.type is TaskType.MULTICLASS:
        return {"classes": _top(label)}
    flat = label.combine_chunks().flatten()
    return {"items per row": len(flat) / len(label), "items": _top(flat)}


def _top(values: Any) -> dict[str, int]:
    """The most frequent values with their counts."""
    counts = sorted(((c["counts"].as_py(), str(c["values"].as_py())) for c in values.value_counts()), reverse=True)
    return {name: count for count, name in counts[:TOP_CLASSES]}
