"""Is the label among the features? Copies of it, and columns that determine it almost alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foreknow.errors import Finding
from foreknow.schema.table import Schema
from foreknow.task.audit.power import Floats, Mask
from foreknow.task.audit.rows import LabelledRows, Power
from foreknow.task.audit.signals import Signal, Signals
from foreknow.task.task import EntityTask, is_query

__all__ = ["find_copies", "find_copy", "find_label_table", "find_lone_predictors"]

MIN_COPY_ROWS = 30
MIN_COPY_CLASS = 8
MIN_ERRORS = 3.0  # standard errors by which a copy of the label predicts it
COPY_SHARE = 0.99  # of the rows of every class that a recoding must get right
MAX_CODES = 1_000  # values of a column or label that may be a recoding
RANK_CORRELATION = 0.9995
STRONG, PERFECT = 0.95, 0.995  # AUC or R2 of one column by itself


@dataclass(frozen=True, kw_only=True)
class Copy:
    """In what way a column is the label, on how many rows of which subset."""

    way: str
    num_rows: int
    subset: str
    agreement: float


def find_label_table(task: EntityTask, schema: Schema) -> list[Finding]:
    """Task tables that are part of the schema with their label as a feature, so that the model reads the answers."""
    findings = []
    for name in dict.fromkeys(q for q in task.tables.values() if not is_query(q) and q in schema):
        table = schema[name]
        is_hidden = table.time_column is not None and table.time_column != task.time
        if is_hidden or task.label not in {c.name for c in table.features} - set(task.entity_key):
            continue
        splits = [s for s, q in task.tables.items() if q == name]
        findings.append(
            Finding(
                name="label-in-schema",
                table=name,
                column=task.label,
                message=f"this is the {' and '.join(splits)} table of task '{task.name}', and it is a table of the "
                "schema with the label as a feature: the model would read the answers",
                hint=f"take '{name}' out of tables:, or set '{task.label}' to ignore there",
            )
        )
    return findings


def find_copies(rows: LabelledRows, signals: Signals, powers: Mapping[int, Power], task: EntityTask) -> list[Finding]:
    """Columns that are the label, a recoding of it, or a monotone function of it."""
    findings: list[Finding] = []
    for signal in (*signals.own, *signals.children):
        power = powers[id(signal)]  # a copy predicts, if there are rows enough to judge
        if math.isfinite(power.value) and power.errors < MIN_ERRORS:
            continue
        copy = find_copy(rows, signal)
        if copy is None or any((f.table, f.column) == (signal.table, signal.column) for f in findings):
            continue
        findings.append(
            Finding(
                name="label-copy",
                table=signal.table,
                column=signal.column,
                count=copy.num_rows,
                message=f"{_seen(signal)} is {copy.way} label '{task.label}' on {copy.agreement:.1%} of "
                f"{copy.num_rows:,} rows of {copy.subset}",
                hint=_mend(signal, "set it to ignore"),
                evidence={"rows": copy.num_rows, "agreement": round(copy.agreement, 6)},
            )
        )
    return findings


def find_copy(rows: LabelledRows, signal: Signal) -> Copy | None:
    """Whether a signal is the label on some subset of the rows."""
    for subset, mask in rows.subsets.items():
        at = mask if signal.where is None else mask & signal.where
        for way, agreement in _ways(rows, signal, at):
            if agreement >= COPY_SHARE:
                return Copy(way=way, num_rows=int(at.sum()), subset=subset, agreement=agreement)
    return None


def _ways(rows: LabelledRows, signal: Signal, at: Mask) -> list[tuple[str, float]]:
    present = _present(signal)
    both = at & present
    ways: list[tuple[str, float]] = []
    if rows.codes is not None:
        codes = signal.codes if signal.codes is not None else _number_codes(signal.numbers)
        ways.append(("present exactly with one value of the", _recoding(present[at].astype(np.int64), rows.codes[at])))
        if codes is not None:
            ways.append(("a one-to-one recoding of the", _recoding(codes[both], rows.codes[both])))
        if signal.numbers is not None and rows.targets.shape[1] == 1 and not rows.is_number:
            ways.append(("a number with a threshold that gives the", _threshold(signal.numbers[both], rows, both)))
    if rows.numbers is not None and signal.numbers is not None:
        x, y = signal.numbers[both], rows.numbers[both]
        ways.append(("equal to the", _equal(x, y)))
        ways.append(("a monotone function of the", _monotone(x, y)))
    return ways


def find_lone_predictors(
    rows: LabelledRows, signals: Signals, task: EntityTask
) -> tuple[list[Finding], dict[int, Power]]:
    """Columns that determine the label almost alone, and how well every signal (by `id`) predicts it by itself."""
    powers: dict[int, Power] = {}
    best: dict[tuple[str, str | None], tuple[Power, Signal]] = {}
    for signal in (*signals.own, *signals.children):
        powers[id(signal)] = power = rows.power(signal.bins, signal.where)
        place = (signal.table, signal.column)
        if power.value >= STRONG and (place not in best or power.value > best[place][0].value):
            best[place] = (power, signal)
    findings = []
    for (table, column), (power, signal) in best.items():
        is_perfect = power.value >= PERFECT
        findings.append(
            Finding(
                name="lone-predictor",
                severity="error" if is_perfect else "warning",
                table=table,
                column=column,
                count=power.num_rows,
                message=f"{_seen(signal)} by itself determines label '{task.label}' "
                f"{'practically perfectly' if is_perfect else 'almost'}: {power}, not counting rows it was fitted on",
                hint=_mend(signal, "if it is filled in when the outcome is known, set it to ignore")
                + "; if it really is known at the seed time, allow it",
                evidence={power.measure.lower(): round(power.value, 4), "rows": power.num_rows},
            )
        )
    return findings, powers


def _seen(signal: Signal) -> str:
    what = "the column" if signal.column is not None else "the existence of rows"
    return f"{what} ({signal.how})" if signal.how else what


def _mend(signal: Signal, what: str) -> str:
    if signal.column is None:
        return "give the table a time column that says when a row became known, or leave it out"
    return f"{what}, or give the table a time column that says when the value became known"


def _present(signal: Signal) -> Mask:
    if signal.numbers is not None:
        return np.isfinite(signal.numbers)
    assert signal.codes is not None
    return signal.codes >= 0


def _number_codes(numbers: Floats | None) -> NDArray[np.int64] | None:
    """Numbers of few values as codes."""
    assert numbers is not None
    known = np.isfinite(numbers)
    if len(np.unique(numbers[known][:10_000])) > MAX_CODES:
        return None
    distinct, index = np.unique(numbers[known], return_inverse=True)
    if len(distinct) > MAX_CODES:
        return None
    codes = np.full(len(numbers), -1, np.int64)
    codes[known] = index
    return codes


def _recoding(column: NDArray[np.int64], label: NDArray[np.int64]) -> float:
    """Agreement of the best one-to-one map of values to classes, in the class where it is least; 0 if there is none."""
    known = label >= 0
    column, label = column[known], label[known]
    if (
        len(label) < MIN_COPY_ROWS
        or len(np.unique(column[:MIN_COPY_ROWS])) > len(np.unique(label)) + MIN_COPY_ROWS // 3
    ):
        return 0.0
    classes, y, counts = np.unique(label, return_inverse=True, return_counts=True)
    values, x = np.unique(column, return_inverse=True)
    if len(label) < MIN_COPY_ROWS or len(classes) < 2 or np.sort(counts)[-2] < MIN_COPY_CLASS:
        return 0.0
    if len(values) > MAX_CODES or len(classes) > MAX_CODES:
        return 0.0
    table = np.zeros((len(values), len(classes)), np.int64)
    np.add.at(table, (x, y), 1)
    value = table.argmax(axis=0)  # of each class
    if len(set(value.tolist())) < len(classes) or (table[value].argmax(axis=1) != np.arange(len(classes))).any():
        return 0.0
    hit = table[value, np.arange(len(classes))]
    large = counts >= MIN_COPY_CLASS
    purity = hit / np.maximum(table[value].sum(axis=1), 1)
    return float(min((hit / counts)[large].min(), purity[large].min(), hit.sum() / counts.sum()))


def _threshold(numbers: Floats, rows: LabelledRows, at: Mask) -> float:
    """1 if a threshold on the number separates the classes of a binary label, else 0."""
    target = rows.targets[at, 0]
    known = np.isfinite(target)
    yes = target[known] > 0.5
    if min(int(yes.sum()), int((~yes).sum())) < MIN_COPY_CLASS or len(yes) < MIN_COPY_ROWS:
        return 0.0
    x, y = numbers[known][yes], numbers[known][~yes]
    return 1.0 if x.min() > y.max() or y.min() > x.max() else 0.0


def _equal(x: Floats, y: Floats) -> float:
    """Share of equal values among the rows that don't have the most frequent label."""
    if len(y) < MIN_COPY_ROWS:
        return 0.0
    values, counts = np.unique(y, return_counts=True)
    other = y != values[counts.argmax()] if counts.max() > 1 else np.ones(len(y), bool)
    if other.sum() < MIN_COPY_CLASS or len(values) < 3:
        return 0.0
    scale = float(np.abs(y).max())
    share = np.isclose(x, y, rtol=1e-6, atol=1e-9 * scale)
    return float(min(share[other].mean(), share.mean() + 0.005))


def _monotone(x: Floats, y: Floats) -> float:
    """The rank correlation's size, if it is practically 1 and the label has many values, else 0."""
    if len(y) < 2 * MIN_COPY_ROWS or min(len(np.unique(x)), len(np.unique(y))) < MIN_COPY_CLASS:
        return 0.0
    if abs(rank_correlation(x[:MAX_CODES], y[:MAX_CODES])) < RANK_CORRELATION - 0.01:
        return 0.0
    rho = abs(rank_correlation(x, y))
    return rho if rho >= RANK_CORRELATION else 0.0


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman's rank correlation; 0 if one of them doesn't vary."""
    a, b = _ranks(x), _ranks(y)
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread else 0.0


def _ranks(values: Sequence[float] | Floats) -> Floats:
    """Centred ranks; equal values share theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    centred: Floats = ranks - ranks.mean()
    return centred
