"""An inference under way: what was measured, and what has been settled so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from foreknow.errors import Finding
from foreknow.schema.evidence import Ranking
from foreknow.schema.name import Entity, entity_of
from foreknow.schema.profile import ColumnProfile, Containment, Measures, TableProfile
from foreknow.schema.table import ForeignKey

__all__ = ["Survey", "flaws", "such_as"]


@dataclass(kw_only=True)
class Survey:
    """Tables, measures, and per table the keys, links and times found; each step fills in its own."""

    profiles: Mapping[str, TableProfile]
    measures: Measures
    entities: dict[str, Entity] = field(init=False)
    primary: dict[str, tuple[str, ...]] = field(default_factory=dict)
    candidates: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    links: dict[str, list[ForeignKey]] = field(default_factory=dict)
    containments: dict[tuple[str, ForeignKey], Containment] = field(default_factory=dict)
    keys: dict[str, Ranking] = field(default_factory=dict)
    link_rankings: list[Ranking] = field(default_factory=list)
    times: dict[str, Ranking] = field(default_factory=dict)
    notes: list[Finding] = field(default_factory=list)
    reasons: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entities = {t: entity_of(t) for t in self.profiles}
        self.links = {t: [] for t in self.profiles}

    def note(
        self,
        name: str,
        t: TableProfile,
        message: str,
        column: str | None = None,
        *,
        severity: Literal["warning", "info"] = "info",
        **more: Any,
    ) -> None:
        """Remember what a person may want to know."""
        self.notes.append(Finding(name=name, message=message, table=t.name, column=column, severity=severity, **more))

    def warn(self, name: str, t: TableProfile, message: str, column: str | None = None, **more: Any) -> None:
        """Remember what a person should look at."""
        self.note(name, t, message, column, severity="warning", **more)

    def because(self, t: TableProfile, name: str, text: str) -> None:
        """Add to the reasons of a column, or of columns joined by ``+``."""
        self.reasons.setdefault((t.name, name), []).append(text)


def flaws(t: TableProfile, c: ColumnProfile) -> str:
    """Word what keeps a column from being a key."""
    found, repeated = [], t.num_rows - c.num_null - c.num_distinct
    if repeated == 1:
        found.append(f"1 value occurs twice (e.g. {c.samples[0]})" if c.samples else "1 value occurs twice")
    elif repeated:
        found.append(f"{repeated:,} rows repeat a value of an earlier row{such_as(c.samples[:repeated])}")
    if c.num_null:
        found.append(f"{c.num_null:,} row{'s have' if c.num_null > 1 else ' has'} none")
    return " and ".join(found)


def such_as(values: tuple[str, ...]) -> str:
    """A few examples in brackets, or nothing."""
    return f" (e.g. {', '.join(values[:3])})" if values else ""
