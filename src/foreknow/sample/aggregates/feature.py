"""Features of aggregates: which number is computed for a seed, and how a person reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from foreknow.graph.store import GraphStore
from foreknow.sample.aggregates.anchor import Anchor, anchor_table
from foreknow.sample.aggregates.value import Value
from foreknow.types import DAY_S

__all__ = ["LAST_ROWS", "AggregatePlan", "Feature", "KeyPart", "Stat", "describe"]

LAST_ROWS = (5, 20)
"""Ranges over so many latest rows."""

StatKind = Literal[
    "rows", "mean", "sum", "std", "min", "max", "last", "ewm", "change", "since_last", "since_first", "overdue"
]
Family = Literal["clock", "attribute", "history", "label"]


@dataclass(frozen=True, kw_only=True)
class Stat:
    """A statistic over a range of rows.

    ``range``: 0 all rows, then one per window of the plan, then one per entry of `LAST_ROWS`. ``other``: the range a
    ``change`` compares with, or how many rows before the last one ``last`` looks. ``since_last`` and ``since_first``
    are days before the seed time; ``overdue`` is days since the last row over the mean gap.
    """

    kind: StatKind
    range: int = 0
    other: int = 0


@dataclass(frozen=True, kw_only=True)
class KeyPart:
    """A part of the key past labels are grouped by: an anchor's row, or the category in one of its columns."""

    anchor: Anchor = ()
    column: str = ""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One number per seed.

    ==========  ==================================================================================
    clock       ``column``: ``month``, ``weekday`` or ``hour`` of the seed time
    attribute   ``column`` of the anchor's row; the days since the row's own time if empty
    history     ``stat`` of ``value`` over the rows that hang from the anchor along ``chain``
    label       ``stat`` of past labels (``label``: which one) of seeds that share ``keys``
    ==========  ==================================================================================
    """

    family: Family
    anchor: Anchor = ()
    column: str = ""
    chain: tuple[int, ...] = ()
    value: Value | None = None
    stat: Stat | None = None
    keys: tuple[KeyPart, ...] = ()
    label: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Feature:
        """Rebuild from `to_dict`, or from its JSON."""
        return cls(
            family=value["family"],
            anchor=_anchor(value["anchor"]),
            column=value["column"],
            chain=tuple(value["chain"]),
            value=None if value["value"] is None else Value.from_dict(value["value"]),
            stat=None if value["stat"] is None else Stat(**value["stat"]),
            keys=tuple(KeyPart(anchor=_anchor(k["anchor"]), column=k["column"]) for k in value["keys"]),
            label=value["label"],
        )


@dataclass(frozen=True, kw_only=True)
class AggregatePlan:
    """What to compute for every seed of a task. Plain values: a bundle carries it as JSON.

    Attributes:
        entity_table: Whose rows the seeds are.
        windows_s: Lengths of the windows, seconds, ascending.
        horizon_s: How long after its seed time a label is known.
        features: The features, in the order of the columns.
    """

    entity_table: str
    windows_s: tuple[int, ...]
    horizon_s: int
    features: tuple[Feature, ...]

    def __len__(self) -> int:
        return len(self.features)

    def take(self, which: Sequence[int]) -> AggregatePlan:
        """Some of the features, in the order given."""
        return self.with_features([self.features[i] for i in which])

    def with_features(self, features: Sequence[Feature]) -> AggregatePlan:
        """The same plan with other features."""
        return AggregatePlan(
            entity_table=self.entity_table,
            windows_s=self.windows_s,
            horizon_s=self.horizon_s,
            features=tuple(features),
        )

    def names(self, store: GraphStore) -> list[str]:
        """The features in words, for people."""
        return [describe(f, self, store) for f in self.features]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_dict`."""
        return {
            "entity_table": self.entity_table,
            "windows_s": list(self.windows_s),
            "horizon_s": self.horizon_s,
            "features": [f.to_dict() for f in self.features],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> AggregatePlan:
        """Rebuild from `to_dict`, or from its JSON."""
        return cls(
            entity_table=value["entity_table"],
            windows_s=tuple(value["windows_s"]),
            horizon_s=value["horizon_s"],
            features=tuple(Feature.from_dict(f) for f in value["features"]),
        )


def describe(feature: Feature, plan: AggregatePlan, store: GraphStore) -> str:
    """A feature in words, such as ``mean of results.position over the last 5 rows``."""
    where = _anchor_words(feature.anchor, store)
    if feature.family == "clock":
        return f"{feature.column} of the seed time"
    if feature.family == "attribute":
        table = anchor_table(store, plan.entity_table, feature.anchor)
        column = f"{table}.{feature.column}" if feature.column else f"age in days of {table} row"
        return column + where
    assert feature.stat is not None
    if feature.family == "label":
        keys = " and ".join(_key_words(k, plan, store) for k in feature.keys)
        label = f"past labels {feature.label}" if feature.label else "past labels"
        return _stat_words(feature.stat, label, plan) + (f" of the same {keys}" if keys else " of all")
    assert feature.value is not None
    return _stat_words(feature.stat, _value_words(feature, store), plan) + where


def _anchor(steps: Sequence[Sequence[Any]]) -> Anchor:
    return tuple((kind, int(edge)) for kind, edge in steps)


def _key_name(e: int, store: GraphStore) -> str:
    return store.edge_types[e].name.removeprefix("f2p_")


def _anchor_words(anchor: Anchor, store: GraphStore) -> str:
    if not anchor:
        return ""
    words = []
    for kind, e in anchor:
        words.append(_key_name(e, store) if kind == "up" else f"last {_rows_words((e,), store)}")
    return " of its " + "'s ".join(words)


def _rows_words(chain: Sequence[int], store: GraphStore) -> str:
    """A chain's rows: their table, told apart if there are several ways to it."""
    edges = store.edge_types
    last = edges[chain[-1]]
    several = sum(e.source == last.source and e.target == last.target for e in edges) > 1
    words = f"{last.source} by {_key_name(chain[-1], store)}" if several else last.source
    through = " and ".join(edges[e].source for e in reversed(chain[:-1]))
    return f"{words} through {through}" if through else words


def _value_words(feature: Feature, store: GraphStore) -> str:
    value = feature.value
    assert value is not None
    rows = _rows_words(feature.chain, store)
    if value.ups:
        rows += " " + " ".join(_key_name(e, store) for e in value.ups)
    if value.kind == "rows":
        return rows
    if value.kind == "gap":
        return f"days between {rows}"
    if value.kind == "new":
        what = _key_name(value.edge, store) if value.edge >= 0 else value.column
        return f"new {what} in {rows}"
    if value.kind == "share":
        return f"{rows}.{value.column} = {value.category}"
    if value.kind == "instant":
        return f"days to {rows}.{value.column}"
    if value.kind == "relative":
        return f"{rows}.{value.column} against others of its {_key_name(value.edge, store)}"
    if value.kind == "siblings":
        return f"others of the {_key_name(value.edge, store)} of {rows}"
    return f"{rows}.{value.column}"


def _key_words(key: KeyPart, plan: AggregatePlan, store: GraphStore) -> str:
    if not key.anchor and not key.column:
        return plan.entity_table + " row"
    where = _anchor_words(key.anchor, store)
    return key.column + where if key.column else where.removeprefix(" of its ")


def _range_words(number: int, plan: AggregatePlan) -> str:
    if number == 0:
        return "over all the past"
    if number <= len(plan.windows_s):
        days = plan.windows_s[number - 1] / DAY_S
        return f"over the last {days:.3g} days" if days >= 1 else f"over the last {days * 24:.3g} hours"
    return f"over the last {LAST_ROWS[number - 1 - len(plan.windows_s)]} rows"


def _stat_words(stat: Stat, what: str, plan: AggregatePlan) -> str:
    over = _range_words(stat.range, plan)
    if stat.kind == "rows":
        return f"number of {what} {over}"
    if stat.kind == "last":
        return f"last {what}" if not stat.other else f"{what}, {stat.other} before the last"
    if stat.kind == "ewm":
        return f"recent mean of {what}"
    if stat.kind == "change":
        return f"mean of {what} {over} less that {_range_words(stat.other, plan)}"
    if stat.kind == "since_last":
        return f"days since the last {what}"
    if stat.kind == "since_first":
        return f"days since the first {what}"
    if stat.kind == "overdue":
        return f"days since the last {what} over their mean gap"
    names = {"mean": "mean", "sum": "sum", "std": "spread", "min": "least", "max": "most"}
    return f"{names[stat.kind]} of {what} {over}"
