"""Small words every room uses: semantic types, task types, and how a value looks when it is missing."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["DAY_S", "NEVER", "NO_ROW", "Stype", "TaskType"]

NO_ROW = -1
"""Row index of a link that leads nowhere (NULL or dangling key)."""

NEVER = (1 << 63) - 1
"""Time of a row that never becomes visible: its time is NULL in a table that has a time column. Unix seconds."""

DAY_S = 86_400
"""Seconds in a day."""


class Stype(StrEnum):
    """What a column means, whatever it is stored as (``dtype``)."""

    NUMERICAL = "numerical"
    CATEGORICAL = "categorical"
    MULTICATEGORICAL = "multicategorical"
    TIMESTAMP = "timestamp"
    TEXT = "text"
    EMBEDDING = "embedding"
    BOOLEAN = "boolean"
    KEY = "key"
    IGNORE = "ignore"

    @property
    def is_feature(self) -> bool:
        """Whether the model sees the column's values (keys only link rows)."""
        return self not in (Stype.KEY, Stype.IGNORE)


class TaskType(StrEnum):
    """What kind of value a task asks for."""

    BINARY = "binary_classification"
    MULTICLASS = "multiclass_classification"
    MULTILABEL = "multilabel_classification"
    REGRESSION = "regression"
    LINK = "link_prediction"
    REPEATED_LINK = "repeated_link_prediction"

    @property
    def is_classification(self) -> bool:
        """Whether predictions are classes with probabilities."""
        return self in (TaskType.BINARY, TaskType.MULTICLASS, TaskType.MULTILABEL)

    @property
    def is_link(self) -> bool:
        """Whether predictions are rows of another table."""
        return self in (TaskType.LINK, TaskType.REPEATED_LINK)
