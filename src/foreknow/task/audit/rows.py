"""The labelled rows an audit looks at: a sample of each split, with their labels as targets and as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foreknow.task.audit.power import Bins, Floats, Mask, folds, power
from foreknow.task.label import LabelEncoding, encode_labels
from foreknow.task.table import NO_TIME, TaskTable
from foreknow.types import TaskType

__all__ = ["LabelledRows", "Power", "sample_rows"]

MAX_ROWS = 5_000
"""Rows of a split that are looked at."""

MAX_RARE = 1_000
"""Rows of the rarer of two classes that are looked at in any case."""

MAX_TARGETS = 8
"""Classes or labels that are looked at, the most frequent ones."""

MAX_DISCRETE = 20
"""A regression label of no more values is also looked at as a class."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """How well something predicts the label on the rows of ``subset``; ``errors``: standard errors from nothing."""

    value: float = math.nan
    errors: float = 0.0
    subset: str = ""
    num_rows: int = 0
    is_number: bool = False

    @property
    def measure(self) -> str:
        """What ``value`` is, for messages."""
        return "R2" if self.is_number else "AUC"

    def __str__(self) -> str:
        return f"{self.measure} {self.value:.3f} on {self.num_rows:,} rows of {self.subset}"


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledRows:
    """Sampled rows of all splits. ``N`` rows, ``K`` targets.

    ``entity_row`` and ``seed_time`` as in `TaskTable`. ``targets``: ``(N, K)``, 0 and 1, or ranks in 0..1 of a number;
    NaN where unknown. ``weights``: ``(K,)``, summing to 1. ``codes``: the label as a class, -1 where unknown, None
    for numbers of many values. ``numbers``: the label of a regression. ``subsets``: masks ``(N,)`` by name.
    """

    entity_row: NDArray[np.int32]
    seed_time: NDArray[np.int64]
    targets: Floats
    weights: Floats
    codes: NDArray[np.int64] | None
    numbers: Floats | None
    subsets: Mapping[str, Mask]
    fold: Mask

    def __len__(self) -> int:
        return len(self.entity_row)

    @property
    def is_number(self) -> bool:
        """Whether the label is a number."""
        return self.numbers is not None

    @property
    def has_time(self) -> bool:
        """Whether predictions are made at a time."""
        return bool(len(self) and self.seed_time[0] < NO_TIME)

    def power(self, bins: Bins, where: Mask | None = None) -> Power:
        """How well bins of the rows (`bin_numbers`, `bin_codes`) predict the label, on the subset where it is most.

        Rows outside `where` are left out.
        """
        best = Power(is_number=self.is_number)
        for name, mask in self.subsets.items():
            total = errors = weight = 0.0
            for k, share in enumerate(self.weights):
                at = mask & np.isfinite(self.targets[:, k]) & (True if where is None else where)
                if not at.any():
                    continue
                value, score = power(bins[at], self.targets[at, k], self.fold[at], is_number=self.is_number)
                if math.isfinite(value):
                    total, weight = total + share * value, weight + share
                    errors = max(errors, score)
            if weight and not total / weight <= best.value:
                best = Power(
                    value=total / weight,
                    errors=errors,
                    subset=name,
                    num_rows=int(mask.sum()),
                    is_number=self.is_number,
                )
        return best


def sample_rows(tables: Mapping[str, TaskTable], labels: LabelEncoding, rng: np.random.Generator) -> LabelledRows:
    """Draw labelled rows of every split.

    The last seed time of the training rows is a subset of its own: what is filled in later tells most about it.
    """
    salt = np.uint64(rng.integers(1 << 62))
    rows, times, targets, parts = [], [], [], []
    for split, table in tables.items():
        if table.labels is None:
            continue
        target = encode_labels(labels, table.labels)
        known = np.flatnonzero(_is_known(labels, target))
        if not len(known):
            continue
        last = known[table.seed_time[known] == table.seed_time[known].max()]
        groups = {split: known}
        if split == "train" and len(last) < len(known):
            groups["train at its last seed time"] = last
        for name, group in groups.items():
            at = _draw(group, target, labels, table, salt)
            rows.append(table.entity_row[at])
            times.append(table.seed_time[at])
            targets.append(target[at])
            parts.append((name, len(at)))
    if not parts:
        return _no_rows()
    entity_row, target = np.concatenate(rows), np.concatenate(targets)
    part = np.repeat(np.arange(len(parts)), [n for _, n in parts])
    is_number = labels.type is TaskType.REGRESSION
    matrix, weights = _matrix(labels, target)
    return LabelledRows(
        entity_row=entity_row,
        seed_time=np.concatenate(times),
        targets=matrix,
        weights=weights,
        codes=_codes(labels, target),
        numbers=target.astype(np.float64) if is_number else None,
        subsets={name: part == i for i, (name, _) in enumerate(parts)},
        fold=folds(entity_row, rng),
    )


def _no_rows() -> LabelledRows:
    return LabelledRows(
        entity_row=np.empty(0, np.int32),
        seed_time=np.empty(0, np.int64),
        targets=np.empty((0, 1)),
        weights=np.ones(1),
        codes=None,
        numbers=None,
        subsets={},
        fold=np.empty(0, bool),
    )


def _is_known(labels: LabelEncoding, target: NDArray[Any]) -> Mask:
    if labels.type is TaskType.MULTICLASS:
        return np.asarray(target >= 0)
    return np.asarray(np.isfinite(target.reshape(len(target), -1)).all(axis=1))


def _draw(
    group: NDArray[np.int64], target: NDArray[Any], labels: LabelEncoding, table: TaskTable, salt: np.uint64
) -> NDArray[np.int64]:
    """At most `MAX_ROWS` of the rows; the rarer of two classes is kept as far as `MAX_RARE`.

    Which rows is decided by a hash of entity and time: the order in which a query returns its rows is no matter.
    """
    mixed = _hash(table.entity_row[group].astype(np.uint64) + _hash(table.seed_time[group].astype(np.uint64) + salt))
    order = group[np.lexsort((target[group] if target.ndim == 1 else mixed, mixed))]
    chosen = order[:MAX_ROWS]
    if labels.type is TaskType.BINARY and len(group) > MAX_ROWS:
        yes = target[order] > 0.5
        rare = order[yes if 2 * yes.sum() < len(order) else ~yes]
        chosen = np.union1d(chosen, rare[:MAX_RARE])
    return chosen[np.lexsort((table.seed_time[chosen], table.entity_row[chosen]))]


def _hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Well mixed bits of whole numbers (the last steps of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _matrix(labels: LabelEncoding, target: NDArray[Any]) -> tuple[Floats, Floats]:
    if labels.type is TaskType.REGRESSION:
        _, place, counts = np.unique(target, return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - (counts - 1) / 2  # equal labels share their mean rank
        return (middle[place] / len(target))[:, None], np.ones(1)
    if labels.type is TaskType.BINARY:
        return target.astype(np.float64)[:, None], np.ones(1)
    if labels.type is TaskType.MULTICLASS:
        shares = np.bincount(target.astype(np.int64), minlength=len(labels.classes)) / len(target)
        matrix = target[:, None] == np.arange(len(labels.classes))[None, :]
    else:
        matrix, shares = target.astype(np.float64), target.astype(np.float64).mean(axis=0)
    top = np.argsort(-shares, kind="stable")[:MAX_TARGETS]
    weights = shares[top] / (shares[top].sum() or 1.0)
    return matrix[:, top].astype(np.float64), weights


def _codes(labels: LabelEncoding, target: NDArray[Any]) -> NDArray[np.int64] | None:
    if labels.type is TaskType.REGRESSION:
        distinct, codes = np.unique(target, return_inverse=True)
        return codes.astype(np.int64) if len(distinct) <= MAX_DISCRETE else None
    if labels.type is TaskType.MULTILABEL:
        return np.unique(target, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    classes: NDArray[np.int64] = target.astype(np.int64)
    return classes
