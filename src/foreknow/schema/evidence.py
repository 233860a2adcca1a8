"""Proposals with their reasons, ranked: what inference believes of a schema, and why.

A reason carries a weight in log-odds (natural logarithm): positive for, negative against. A proposal's confidence is
the logistic function of their sum, and 1 if the database declares it. Weights are judgement, tuned on real
databases, not measured frequencies: a confidence orders proposals and says which to ask about; it is no probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from foreknow.schema.table import ForeignKey
from foreknow.types import Stype

__all__ = ["Proposal", "Ranking", "Reason", "ReasonKind", "Subject", "TimeColumn", "Value", "ranked"]

Subject = Literal["key", "link", "time", "type"]
ReasonKind = Literal["prior", "declared", "unique", "containment", "direction", "name", "shape", "order", "values"]

TAKEN = 0.5  # confidence from which a proposal is taken
SURE = 0.7  # ... and taken without a question
WORTH_ASKING = 0.35  # below, it is nobody's question
MARGIN = 0.75  # log-odds by which the best must lead


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One piece of evidence: what kind, what was found, and how much it weighs (log-odds; above 0 is for)."""

    kind: ReasonKind
    text: str
    weight: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"kind": self.kind, "text": self.text, "weight": round(self.weight, 2)}


@dataclass(frozen=True, kw_only=True)
class TimeColumn:
    """A time column, stored or (with ``sql``) derived from others; ``dtype`` is what the SQL gives."""

    column: str
    sql: str | None = None
    dtype: str = "TIMESTAMP"
    pieces: tuple[str, ...] = ()  # columns the SQL reads

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"column": self.column, "sql": self.sql, "dtype": self.dtype, "pieces": list(self.pieces)}


Value = tuple[str, ...] | ForeignKey | TimeColumn | Stype


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One possible answer: the columns of a key, a link, a time column, or a column's meaning."""

    value: Value
    reasons: tuple[Reason, ...]

    @property
    def log_odds(self) -> float:
        """Sum of the weights; infinite if declared."""
        if any(r.kind == "declared" for r in self.reasons):
            return math.inf
        return sum(r.weight for r in self.reasons)

    @property
    def confidence(self) -> float:
        """How sure, in [0, 1]; 1 only if declared."""
        odds = self.log_odds
        return 1.0 if odds == math.inf else min(1.0 / (1.0 + math.exp(-odds)), 0.999)

    @property
    def why(self) -> str:
        """The reasons in one line, the heaviest first."""
        told = [r for r in self.reasons if r.kind != "prior"]
        return "; ".join(r.text for r in sorted(told, key=lambda r: (r.kind != "declared", -abs(r.weight))))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        if isinstance(self.value, tuple):
            value: Any = list(self.value)
        elif isinstance(self.value, ForeignKey | TimeColumn):
            value = self.value.to_dict()
        else:
            value = str(self.value)
        return {
            "value": value,
            "confidence": round(self.confidence, 3),
            "reasons": [r.to_dict() for r in self.reasons],
        }


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """All proposals for one thing, the best first.

    ``columns`` are those a link or a type is about; keys and time columns are about the table. ``never_open`` marks
    what nobody needs to be asked about.
    """

    subject: Subject
    table: str
    proposals: tuple[Proposal, ...]
    columns: tuple[str, ...] = ()
    never_open: bool = False

    @property
    def best(self) -> Proposal | None:
        """The proposal to take, if one is more likely right than wrong."""
        first = self.proposals[0] if self.proposals else None
        return first if first is not None and (first.confidence >= TAKEN or self.subject == "type") else None

    @property
    def is_open(self) -> bool:
        """Whether a person should be asked: the best is not sure, or another is about as good."""
        if not self.proposals or self.never_open:
            return False
        first, *others = self.proposals
        if first.confidence == 1.0:
            return False
        close = any(o.confidence >= WORTH_ASKING and first.log_odds - o.log_odds < MARGIN for o in others)
        if self.subject == "type":
            return close
        if self.subject == "key":  # a table may have several keys: they don't contradict each other
            return TAKEN <= first.confidence < SURE
        return first.confidence >= WORTH_ASKING and (first.confidence < SURE or close)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "subject": self.subject,
            "table": self.table,
            "columns": list(self.columns),
            "is_open": self.is_open,
            "taken": 0 if self.best is not None else None,
            "proposals": [p.to_dict() for p in self.proposals],
        }


def ranked(proposals: Iterable[Proposal]) -> tuple[Proposal, ...]:
    """Proposals by confidence; of equals, the first given."""
    return tuple(sorted(proposals, key=lambda p: -p.log_odds))
