"""Statistics of tables, as plain values: what schema inference reasons from.

They are measured by ``source/profile.py``, in DuckDB, and hold no rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from foreknow.schema.table import ForeignKey

__all__ = ["ColumnProfile", "Containment", "Declared", "TableProfile"]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Constraints the database itself declares for a table."""

    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """What one column holds.

    ``num_distinct`` is exact where that decides (keys), approximate elsewhere; ``mean_length`` counts characters
    of text (or elements of lists), NaN where it makes no sense; ``samples`` are a few of the most common values
    as text; ``mean_words`` is the mean number of blank-separated words of text.
    """

    name: str
    dtype: str  # DuckDB type name, e.g. BIGINT, VARCHAR, TIMESTAMP, FLOAT[64], VARCHAR[]
    num_null: int
    num_distinct: int
    is_unique: bool  # no value occurs twice (NULLs aside)
    minimum: str | None
    maximum: str | None
    mean_length: float = float("nan")
    mean_words: float = float("nan")
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableProfile:
    """What one table holds."""

    name: str
    num_rows: int
    columns: tuple[ColumnProfile, ...]
    declared: Declared = field(default_factory=Declared)

    def __getitem__(self, column: str) -> ColumnProfile:
        return next(c for c in self.columns if c.name == column)


@dataclass(frozen=True, kw_only=True)
class Containment:
    """How far the values of some columns are found in a key of another table.

    ``num_values`` counts rows with a non-NULL key, ``num_missing`` those without a match, ``examples`` a few of
    their values as text.
    """

    table: str
    columns: tuple[str, ...]
    to_table: str
    to: tuple[str, ...]
    num_values: int
    num_missing: int
    examples: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of non-NULL values with a match; 0 if there are none."""
        return 1.0 - self.num_missing / self.num_values if self.num_values else 0.0
