"""One question, two answers: the same entity at the same seed time with different labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from foreknow.errors import Finding
from foreknow.task.table import TaskTable
from foreknow.task.task import EntityTask

__all__ = ["find_conflicts"]


def find_conflicts(task: EntityTask, tables: Mapping[str, TaskTable]) -> list[Finding]:
    """Entities that a split labels differently at one seed time."""
    findings = []
    for name, table in tables.items():
        if table.labels is None:
            continue
        order = np.lexsort((table.seed_time, table.entity_row))
        row, time = table.entity_row[order], table.seed_time[order]
        repeats = np.flatnonzero((row[1:] == row[:-1]) & (time[1:] == time[:-1]))
        if not len(repeats):
            continue
        first = table.labels.take(order[repeats]).to_pylist()
        second = table.labels.take(order[repeats + 1]).to_pylist()
        differ = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if None not in (a, b) and a != b]
        if differ:
            count = len({(int(row[repeats[i]]), int(time[repeats[i]])) for i in differ})
            i = differ[0]
            findings.append(
                Finding(
                    name="conflicting-labels",
                    severity="warning",
                    count=count,
                    message=f"task '{task.name}', {name}: {count:,} (entity, seed time) pairs have different labels in "
                    f"'{task.label}' (e.g. {first[i]} and {second[i]})",
                    hint="one question needs one answer: group by entity and seed time in the task's SQL",
                )
            )
    return findings
