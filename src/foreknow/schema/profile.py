"""Statistics of tables, as plain values: what schema inference reasons from.

They are measured by ``source/profile.py``, in DuckDB, and hold no rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from foreknow.schema.storage import Kind, comparable, storage_kind
from foreknow.schema.table import ForeignKey

__all__ = ["ColumnProfile", "Containment", "Declared", "Measures", "TableProfile"]

NEARLY_UNIQUE = 0.999  # share of rows a key must identify to be proposed, with a warning below 1


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
    as text; ``mean_words`` is the mean number of blank-separated words of text. ``shapes`` are shares of texts that
    look alike (`schema/shape.py`), from a sample; ``num_strange`` counts times before the year 1000 or after 2200.
    ``rising`` is the share of rows, in the order of the source, that are not less than the one before, NaN if not
    measured.
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
    top_share: float = float("nan")  # of the values that count, how many are the most common one
    shapes: Mapping[str, float] = field(default_factory=dict)
    num_strange: int = 0
    rising: float = float("nan")

    @property
    def kind(self) -> Kind:
        """What can be done with the values."""
        return storage_kind(self.dtype)

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers, stored as integers or not."""
        if self.kind != "float":
            return self.kind == "integer"
        values = [v for v in (self.minimum, self.maximum, *self.samples) if v is not None]
        return bool(values) and all(float(v).is_integer() for v in values)

    def fits(self, key: ColumnProfile) -> bool:
        """Whether values can equal those of a key. Whole numbers with NULLs are stored as floats by some tools."""
        return comparable(self.dtype, key.dtype) and (key.kind != "integer" or self.is_whole)

    def looks(self, shape: str) -> float:
        """Share of the sampled texts of a shape; 0 for other kinds."""
        return self.shapes.get(shape, 0.0)


@dataclass(frozen=True, kw_only=True)
class TableProfile:
    """What one table holds."""

    name: str
    num_rows: int
    columns: tuple[ColumnProfile, ...]
    declared: Declared = field(default_factory=Declared)

    def __getitem__(self, column: str) -> ColumnProfile:
        return next(c for c in self.columns if c.name == column)

    def has(self, columns: Sequence[str]) -> bool:
        """Whether all of these are columns of the table."""
        return {c.name for c in self.columns}.issuperset(columns)

    def identifies(self, c: ColumnProfile) -> bool:
        """Whether a column tells all rows apart."""
        return c.is_unique and not c.num_null

    def nearly_identifies(self, c: ColumnProfile) -> bool:
        """The same, up to a few rows."""
        return c.num_distinct >= NEARLY_UNIQUE * self.num_rows > 0


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


class Measures(Protocol):
    """What inference asks of the tables beyond their profiles, only where names and statistics make it plausible."""

    def containment(self, table: str, columns: tuple[str, ...], to_table: str, to: tuple[str, ...]) -> Containment:
        """How far values of some columns are found in columns of another table."""
        ...

    def num_distinct(self, table: str, sets: Sequence[tuple[str, ...]], *, head: int | None = None) -> list[int]:
        """For each set of columns, how many rows differ in it (exactly); among the first `head` rows if given."""
        ...

    def repeated(self, table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        """A few values of some columns that occur more than once, as text."""
        ...

    def num_missing(self, table: str, sql: str) -> int:
        """How many rows an SQL expression gives nothing for."""
        ...

    def gap(self, table: str, column: str, sql: str) -> tuple[int, int] | None:
        """How many seconds a time column is ahead of another time: 5% and 95% quantile; None without any."""
        ...
