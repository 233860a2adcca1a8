"""What inference can't settle: questions to a person, with the answers as they are written in ``foreknow.yaml``.

The same question about several tables (does ``yearID`` say when a row was known?) is asked once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from foreknow.errors import Finding
from foreknow.schema.evidence import Proposal, Ranking, Subject, TimeColumn, Value
from foreknow.schema.table import ForeignKey
from foreknow.types import Stype

__all__ = ["Answer", "Comments", "Question", "answer_lines", "ask"]

MAX_ANSWERS = 4
MAX_TABLES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Comments:
    """Lines to stand as comments in a table of ``foreknow.yaml``: at its top level, among its links and columns."""

    table: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __add__(self, other: Comments) -> Comments:
        """Those of two questions."""
        return Comments(
            table=self.table + other.table, links=self.links + other.links, columns=self.columns + other.columns
        )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One possible answer: lines under the table in ``foreknow.yaml``, how sure it is, and why."""

    value: Value
    lines: tuple[str, ...]
    confidence: float
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"yaml": list(self.lines), "confidence": round(self.confidence, 3), "why": self.why}


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something to be decided for one table or several. ``taken`` is the answer taken if nobody decides."""

    subject: Subject
    tables: tuple[str, ...]
    columns: tuple[str, ...]
    text: str
    answers: tuple[Answer, ...]
    taken: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "subject": self.subject,
            "tables": list(self.tables),
            "columns": list(self.columns),
            "text": self.text,
            "answers": [a.to_dict() for a in self.answers],
            "taken": self.taken,
        }

    def comments(self) -> Comments:
        """The question and its answers as comments of a table in ``foreknow.yaml``; without ``# `` they are answers."""
        head = f"QUESTION ({self.subject}): {self.text}"
        head += " Uncomment one answer:" if len(self.answers) > 1 else " If so, uncomment:"
        table: list[str] = []
        links: list[str] = []
        columns: list[str] = []
        {"link": links, "type": columns}.get(self.subject, table).append(head)
        for a in self.answers:
            said = f"    # {a.confidence:.2f}: {a.why}"
            if isinstance(a.value, ForeignKey):
                links.append(f"- {_link(a.value)}{said}")
            elif isinstance(a.value, TimeColumn):
                table.append(f"time: {_flow(a.value.column)}{said}")
                if a.value.sql is not None:
                    columns.append(f"{_derived(a.value)}    # goes with time: {_flow(a.value.column)}")
            elif isinstance(a.value, Stype):
                columns.append(f"{_flow(self.columns[0])}: {a.value}{said}")
            else:
                table.append(a.lines[0] + said)
        return Comments(table=tuple(table), links=tuple(links), columns=tuple(columns))

    def to_finding(self) -> Finding:
        """A warning: what was taken, though it isn't sure."""
        best = self.answers[0]
        if self.taken is None:
            taken = "left open"
        else:
            taken = f"taken: {'; '.join(best.lines)} (confidence {best.confidence:.2f})"
        where = f" Also in {', '.join(self.tables[1:])}." if len(self.tables) > 1 else ""
        return Finding(
            name=f"ambiguous-{self.subject}",
            severity="warning",
            table=self.tables[0],
            column="+".join(self.columns) or None,
            count=len(self.tables),
            message=f"{self.text} {taken}.{where}",
            hint="say in foreknow.yaml: " + " | or: ".join("; ".join(a.lines) for a in self.answers),
        )


def ask(rankings: Iterable[Ranking]) -> tuple[Question, ...]:
    """Questions for what is open, the same ones about several tables joined."""
    groups: dict[tuple[Any, ...], list[Ranking]] = {}
    for r in rankings:
        if r.is_open:
            shown = [tuple(answer_lines(r, p)) for p in _shown(r)]
            groups.setdefault((r.subject, r.columns, *shown), []).append(r)
    order = ("time", "key", "link", "type")  # what hurts most if wrong comes first
    return tuple(sorted(map(_question, groups.values()), key=lambda q: order.index(q.subject)))


def answer_lines(ranking: Ranking, proposal: Proposal) -> list[str]:
    """A proposal as lines of a table in ``foreknow.yaml``."""
    value = proposal.value
    if isinstance(value, TimeColumn):
        lines = [f"time: {_flow(value.column)}"]
        if value.sql is not None:
            lines.append(f"columns: {{{_derived(value)}}}")
        return lines
    if isinstance(value, ForeignKey):
        if len(value.columns) == 1 and not value.to:
            return [f"links: {{{_flow(value.columns[0])}: {_flow(value.table)}}}"]
        return [f"links: [{_link(value)}]"]
    if isinstance(value, Stype):
        return [f"columns: {{{_flow(ranking.columns[0])}: {value}}}"]
    return [f"key: {_flow(value[0]) if len(value) == 1 else _listed(value)}"]


def _shown(ranking: Ranking) -> tuple[Proposal, ...]:
    floor = min(0.2, ranking.proposals[0].confidence)
    return tuple(p for p in ranking.proposals if p.confidence >= floor)[:MAX_ANSWERS]


def _question(group: list[Ranking]) -> Question:
    first = group[0]
    answers = tuple(
        Answer(
            value=p.value,
            lines=tuple(answer_lines(first, p)),
            confidence=min(_same(r, i).confidence for r in group),
            why=p.why if len(group) == 1 else _common(group, i),
        )
        for i, p in enumerate(_shown(first))
    )
    return Question(
        subject=first.subject,
        tables=tuple(r.table for r in group),
        columns=first.columns,
        text=_text(first),
        answers=answers,
        taken=0 if all(r.best is not None for r in group) else None,
    )


def _same(ranking: Ranking, i: int) -> Proposal:
    return _shown(ranking)[i]


def _common(group: list[Ranking], i: int) -> str:
    """The reasons that hold for all tables of a group."""
    told = [{r.text for r in _same(ranking, i).reasons} for ranking in group]
    kept = [r for r in _same(group[0], i).reasons if r.kind != "prior" and all(r.text in texts for texts in told)]
    return "; ".join(r.text for r in sorted(kept, key=lambda r: -abs(r.weight)))


def _text(ranking: Ranking) -> str:
    columns = ", ".join(ranking.columns)
    value = ranking.proposals[0].value
    if ranking.subject == "time":
        made = isinstance(value, TimeColumn) and value.sql is not None
        return "When does a row become known?" + (" There is no timestamp that says so." if made else "")
    if ranking.subject == "key":
        return "What identifies a row?"
    if ranking.subject == "link":
        target = value.table if isinstance(value, ForeignKey) else "?"
        several = len(ranking.proposals) > 1
        return f"Which table does {columns} point to?" if several else f"Does ({columns}) point to rows of {target}?"
    return f"What does {columns} mean?"


def _link(key: ForeignKey) -> str:
    to = f", to: {_listed(key.to)}" if key.to else ""
    return f"{{columns: {_listed(key.columns)}, table: {_flow(key.table)}{to}}}"


def _derived(time: TimeColumn) -> str:
    return f"{_flow(time.column)}: {{type: timestamp, sql: {json.dumps(time.sql, ensure_ascii=False)}}}"


def _listed(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_flow, names)) + "]"


def _flow(name: str) -> str:
    """A name as it may stand anywhere in YAML."""
    plain = name and name.replace("_", "a").replace(".", "a").isalnum() and not name[0].isdigit() and name.isascii()
    reserved = name.lower() in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
    return name if plain and not reserved and name[0] != "." else json.dumps(name, ensure_ascii=False)
