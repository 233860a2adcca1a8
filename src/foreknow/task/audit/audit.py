"""The leakage audit: whether anything the model sees tells what it could not have known at the seed time.

It runs before every training. It reads the snapshot only, each table a few times at most, and looks at a sample of
labelled rows drawn with a seed: the same data and task give the same findings. Labels are looked at to say what is
wrong, and for nothing else: no figure of an audit goes into a model.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foreknow.errors import Finding, TaskError, raise_findings
from foreknow.schema.table import Schema
from foreknow.source.snapshot import Snapshot
from foreknow.task.audit.change import find_certainty, find_hidden_instants, find_hindsight
from foreknow.task.audit.label import find_copies, find_label_table, find_lone_predictors
from foreknow.task.audit.later import find_late_rows, find_later_aggregates
from foreknow.task.audit.names import FINDINGS, apply_allowed, check_allowed
from foreknow.task.audit.rows import Power, sample_rows
from foreknow.task.audit.signals import gather_signals
from foreknow.task.audit.splits import find_conflicts
from foreknow.task.audit.times import (
    find_early_entities,
    find_future_rows,
    find_outside_seeds,
    find_untimed,
    measure_spans,
)
from foreknow.task.label import LabelEncoding
from foreknow.task.table import TaskTable, check_splits
from foreknow.task.task import EntityTask

__all__ = ["Audit", "audit_task"]

logger = logging.getLogger(__name__)

OF_ONE_COLUMN = ("label-in-schema", "label-copy", "later-aggregate", "lone-predictor", "instant-after-seed")
"""Of these and ``changed-after-seed``, only the first is told of a column: the others follow from it."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What an audit found. ``allowed``: findings set aside, as they were; in ``findings`` they are of severity info.

    ``num_rows``: labelled rows looked at. ``seconds``: how long it took.
    """

    task: str
    findings: tuple[Finding, ...]
    allowed: tuple[Finding, ...] = ()
    num_rows: int = 0
    seconds: float = 0.0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stops a training."""
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What a person should look at."""
        return tuple(f for f in self.findings if f.severity == "warning")

    def summary(self) -> str:
        """How many findings of each kind, in a few words.

        Example:
            >>> Audit(task="Churn", findings=()).summary()
            'no leak found'
        """
        counts = {"error": len(self.errors), "warning": len(self.warnings), "allowed": len(self.allowed)}
        parts = [f"{n} {w}{'s' if n != 1 and w != 'allowed' else ''}" for w, n in counts.items() if n]
        return ", ".join(parts) or "no leak found"

    def raise_errors(self) -> None:
        """Raise what stops a training.

        Raises:
            TaskError: With all findings; the message says how to allow them.
        """
        names = " ".join(dict.fromkeys(f"--allow {f.name}" for f in self.errors))
        raise_findings(
            self.findings,
            TaskError,
            f"the audit of task '{self.task}' (to let its errors pass: {names})",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as in ``audit.json``."""
        return {
            "task": self.task,
            "summary": self.summary(),
            "findings": [f.to_dict() for f in self.findings],
            "allowed": [f.to_dict() for f in self.allowed],
            "rows": self.num_rows,
            "seconds": round(self.seconds, 3),
        }


def audit_task(
    snapshot: Snapshot,
    schema: Schema,
    task: EntityTask,
    tables: Mapping[str, TaskTable],
    labels: LabelEncoding,
    *,
    now: int,
    allow: Sequence[str] = (),
    seed: int = 0,
) -> Audit:
    """Look for leaks.

    Args:
        snapshot: Holds the schema's tables.
        schema: What the tables mean.
        task: The task; what it allows is allowed too.
        tables: Its splits as they were read.
        labels: Learnt from the training labels.
        now: The present, Unix seconds: what is dated later is in the future.
        allow: Findings to let pass: ``NAME``, ``NAME:table`` or ``NAME:table.column``.
        seed: Of the sampling.

    Returns:
        All findings, errors included; `Audit.raise_errors` raises those.

    Raises:
        ConfigError: `allow` names what is no finding.
    """
    allowed = check_allowed((*task.allow, *allow))
    started = time.monotonic()
    rng = np.random.default_rng(seed)
    rows = sample_rows(tables, labels, rng)
    findings = [*find_label_table(task, schema), *check_splits(task, tables), *find_conflicts(task, tables)]
    with snapshot.connect() as connection:
        spans = measure_spans(connection, snapshot, schema)
        findings += find_future_rows(connection, snapshot, schema, spans, now)
        findings += find_outside_seeds(task, schema, tables, spans, labels, now)
        findings += find_early_entities(connection, snapshot, task, schema[task.entity_table], tables)
        findings += find_untimed(schema, snapshot)
        if len(rows):
            signals = gather_signals(connection, snapshot, schema, task, rows, rng)
            lone, powers = find_lone_predictors(rows, signals, task)
            findings += [*lone, *find_copies(rows, signals, powers, task)]
            if rows.has_time:
                findings += find_later_aggregates(connection, snapshot, schema, rows, rng)
                findings += find_late_rows(connection, snapshot, schema, task, rows)
                findings += find_hidden_instants(rows, signals, task)
                findings += find_certainty(rows, signals, powers, schema)
                best: dict[tuple[str, str | None], Power] = {}
                for signal in (*signals.own, *signals.children):
                    place, power = (signal.table, signal.column), powers[id(signal)]
                    if place not in best or power.errors > best[place].errors:
                        best[place] = power
                findings += find_hindsight(connection, snapshot, schema, task, rows, best, spans, rng)
    seconds = time.monotonic() - started
    logger.debug("audit of task '%s': %d rows in %.2f s", task.name, len(rows), seconds)
    out, set_aside = apply_allowed(_ordered(findings), allowed)
    return Audit(task=task.name, findings=tuple(out), allowed=tuple(set_aside), num_rows=len(rows), seconds=seconds)


def _ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The gravest first; of a column only what explains the rest."""
    rank = {name: i for i, name in enumerate(FINDINGS)}
    order = {"error": 0, "warning": 1, "info": 2}
    ranks = {name: i for i, name in enumerate((*OF_ONE_COLUMN, "changed-after-seed"))}
    kept: list[Finding] = []
    best: dict[tuple[str | None, str | None], Finding] = {}
    for f in sorted(findings, key=lambda f: (order[f.severity], ranks.get(f.name, 0))):
        if f.name not in ranks:
            kept.append(f)
        elif (f.table, f.column) not in best:
            best[f.table, f.column] = f
            kept.append(f)
    return sorted(kept, key=lambda f: (order[f.severity], rank[f.name], f.table or "", f.column or ""))
