"""An entity task: one value to predict per (entity row, seed time)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foreknow.errors import Finding, TaskError, did_you_mean, raise_findings
from foreknow.schema.table import Schema
from foreknow.task.metric import metric as find_metric
from foreknow.types import Stype, TaskType

__all__ = ["SPLITS", "EntityTask", "check_task"]

SPLITS = ("train", "validation", "test")

_SQL = re.compile(r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(?:SELECT|WITH|FROM|VALUES)[\s(*\"'].*\S", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class EntityTask:
    """What to predict.

    Attributes:
        name: Task name; the last part of the MLflow experiment.
        type: Kind of value.
        entity_table: Table whose rows are predicted for.
        entity_columns: Columns of the task tables that hold the entity's key.
        entity_key: The key columns of the entity table they name, in the same order.
        label: Label column of the task tables.
        time: Seed-time column of the task tables; None if the task has no time.
        metric: What model selection goes by.
        tables: For each split, a table of the source or a SELECT over the snapshot.
        inclusive: Whether rows stamped exactly at the seed time are context.
        context_until: Freezes the context: no row after this time (Unix seconds) is seen, whatever the seed time.
        known: Columns of an entity's own row that are known although the row's time is after the seed time, such
            as the schedule of a flight that has not left. Everything else of such a row is hidden.
        horizon_s: How long after its seed time a label is known at the latest, seconds; None if nobody said.
        allow: Findings of the leakage audit to let pass: ``NAME``, ``NAME:table`` or ``NAME:table.column``.
        query: The predictive query the task was made from, if it was.
        settings: Split settings of that query, as plain values.
        hidden: Columns of the entity table the target is made of, and what they mean: they are no features.
        num_outputs: Numbers per label.
        top: Of a multilabel task, how many labels are predicted; those of at least one half if None.
    """

    name: str
    type: TaskType
    entity_table: str
    entity_columns: tuple[str, ...]
    entity_key: tuple[str, ...]
    label: str
    time: str | None
    metric: str
    tables: Mapping[str, str] = field(default_factory=dict)
    inclusive: bool = True
    context_until: int | None = None
    known: tuple[str, ...] = ()
    horizon_s: int | None = None
    allow: tuple[str, ...] = ()
    query: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)
    num_outputs: int = 1
    top: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_dict`."""
        return {
            "name": self.name,
            "type": str(self.type),
            "entity_table": self.entity_table,
            "entity_columns": list(self.entity_columns),
            "entity_key": list(self.entity_key),
            "label": self.label,
            "time": self.time,
            "metric": self.metric,
            "tables": dict(self.tables),
            "inclusive": self.inclusive,
            "context_until": self.context_until,
            "known": list(self.known),
            "horizon_s": self.horizon_s,
            "allow": list(self.allow),
            "query": self.query,
            "settings": dict(self.settings),
            "hidden": dict(self.hidden),
            "num_outputs": self.num_outputs,
            "top": self.top,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> EntityTask:
        """Rebuild from `to_dict`."""
        tuples = {k: tuple(value.get(k, ())) for k in ("entity_columns", "entity_key", "known", "allow")}
        return cls(**{**value, **tuples, "type": TaskType(value["type"])})


def is_query(text: str) -> bool:
    """Whether a split is given as SQL rather than as the name of a table.

    Example:
        >>> is_query("-- churn\\nSELECT 1"), is_query("churn_train"), is_query("selected rows")
        (True, False, False)
    """
    return _SQL.match(text) is not None


def hide_target(task: EntityTask, schema: Schema) -> Schema:
    """The schema without the columns a static target is made of: a model must not see what it is to predict."""
    for column in task.hidden:
        schema = schema.with_stype(task.entity_table, column, Stype.IGNORE)
    return schema


def show_target(task: EntityTask, schema: Schema) -> Schema:
    """The inverse of `hide_target`."""
    for column, stype in task.hidden.items():
        schema = schema.with_stype(task.entity_table, column, Stype(stype))
    return schema


def check_task(task: EntityTask, schema: Schema) -> None:
    """Check a task against the schema, before any row is read.

    Raises:
        TaskError: With all findings at once.
    """
    findings: list[Finding] = []

    def error(name: str, message: str, hint: str | None = None) -> None:
        findings.append(Finding(name=name, message=message, hint=hint))

    if task.entity_table not in schema:
        error(
            "unknown-table",
            f"the entity table '{task.entity_table}' is not in the schema",
            did_you_mean(task.entity_table, schema.tables, "tables"),
        )
    else:
        table = schema[task.entity_table]
        for column in (*task.entity_key, *task.known):
            if column not in table:
                error(
                    "unknown-column",
                    f"table '{table.name}' has no column '{column}'",
                    did_you_mean(column, table.column_names, "columns"),
                )
        if tuple(task.entity_key) not in table.keys and not any(set(k) == set(task.entity_key) for k in table.keys):
            keys = "; ".join("(" + ", ".join(k) + ")" for k in table.keys) or "none"
            error(
                "not-a-key",
                f"({', '.join(task.entity_key)}) is not a key of '{table.name}'",
                f"its keys are: {keys}. Add it under key: or keys: of the table if it names one row",
            )
    for split in task.tables:
        if split not in SPLITS:
            error("unknown-split", f"there is no split '{split}'", did_you_mean(split, SPLITS, "splits"))
    if not task.type.is_link:
        try:
            find_metric(task.metric, task.type)
        except TaskError as e:
            error("metric", str(e))
    raise_findings(findings, TaskError, f"task '{task.name}'")
