"""Looking up what a query names: tables, columns, paths. What isn't there becomes a mark, and None."""

from __future__ import annotations

from collections.abc import Iterable

from foreknow.errors import Mark, did_you_mean
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.source.time import is_instant
from foreknow.task.query.bound import BoundColumn, Hop, Kind, Path
from foreknow.task.query.paths import describe_path, paths_between, shortest
from foreknow.task.query.syntax import Aggregation, Name, Span
from foreknow.task.query.syntax import Column as WrittenColumn
from foreknow.types import Stype

__all__ = ["Marks", "Names", "is_number", "kind_of"]

_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UHUGEINT", "FLOAT", "DOUBLE", "REAL")
_KINDS = {
    Stype.NUMERICAL: Kind.NUMERIC,
    Stype.CATEGORICAL: Kind.CATEGORICAL,
    Stype.BOOLEAN: Kind.BOOLEAN,
    Stype.KEY: Kind.KEY,
    Stype.TIMESTAMP: Kind.TIME,
    Stype.TEXT: Kind.TEXT,
    Stype.MULTICATEGORICAL: Kind.LIST,
    Stype.EMBEDDING: Kind.LIST,
}


def is_number(dtype: str) -> bool:
    """Whether a DuckDB type holds numbers."""
    return dtype.removeprefix("U") in _NUMBERS or dtype.startswith("DECIMAL")


def kind_of(table: Table, column: Column) -> Kind:
    """What a column can be used for. What the model ignores goes by its storage."""
    if column.name == table.time_column:
        return Kind.TIME
    if any(column.name in k.columns for k in table.foreign_keys) or column.name in table.primary_key:
        return Kind.KEY
    if column.stype in _KINDS:
        return _KINDS[column.stype]
    if column.dtype.endswith("]"):
        return Kind.LIST
    if is_number(column.dtype):
        return Kind.NUMERIC
    if column.dtype == "BOOLEAN":
        return Kind.BOOLEAN
    return Kind.TIME if is_instant(column.dtype) and column.dtype != "VARCHAR" else Kind.CATEGORICAL


class Marks:
    """Findings about places in a query, collected."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[Mark] = []

    def add(self, code: str, span: Span, message: str, hint: str) -> None:
        """Note a finding."""
        self.found.append(Mark(code=code, message=message, hint=hint, start=span.start, end=span.end))

    def source(self, span: Span) -> str:
        """What stands at a place."""
        return self.text[span.start : span.end]


class Names:
    """The names of a schema, as a query sees them."""

    def __init__(self, schema: Schema, marks: Marks) -> None:
        self.schema, self.marks = schema, marks

    def table(self, name: Name) -> Table | None:
        """A table by name."""
        found = _lookup(name, self.schema.tables)
        if found is None:
            hint = did_you_mean(name.text, self.schema.tables, "tables")
            self.marks.add("Q03", name.span, f"unknown table '{name.text}'", hint)
            return None
        return self.schema[found]

    def column(self, table: Table, name: Name) -> Column | None:
        """A column of a table by name."""
        found = _lookup(name, table.column_names)
        if found is None:
            hint = did_you_mean(name.text, table.column_names, "columns")
            self.marks.add("Q04", name.span, f"table '{table.name}' has no column '{name.text}'", hint)
            return None
        return table[found]

    def parent_column(self, owner: Table, written: WrittenColumn, *, many_hint: str) -> BoundColumn | None:
        """A column of a table itself, or of one it points to by a unique path.

        Args:
            owner: The table of which each row has one value.
            written: The column.
            many_hint: What to write if the column's table points to `owner` instead.
        """
        table = self.table(written.table)
        if table is None:
            return None
        column = self.column(table, written.column)
        path: Path | None = () if table.name == owner.name else self._parent_path(owner, table, written, many_hint)
        if column is None or path is None:
            return None
        return BoundColumn(table=table, column=column, kind=kind_of(table, column), path=path, span=written.span)

    def _parent_path(self, owner: Table, table: Table, written: WrittenColumn, many_hint: str) -> Path | None:
        paths = paths_between(self.schema, owner.name, table.name)
        if not paths:
            if paths_between(self.schema, table.name, owner.name):
                message = f"{_one_of(owner.name)} has many rows in '{table.name}'"
                self.marks.add("Q19", written.span, message, many_hint)
            else:
                self._no_path(owner.name, table.name, written.table.span)
            return None
        best = shortest(paths)
        if len(best) > 1:
            self.marks.add(
                "Q16",
                written.span,
                f"{len(best)} paths lead from '{owner.name}' to '{table.name}': {_listed(best)}",
                "a condition needs a column with one value: derive it in the source",
            )
            return None
        return best[0]

    def path_to_entity(self, table: Table, entity: Table, written: Aggregation) -> tuple[Path, tuple[Path, ...]] | None:
        """How the rows of an aggregated table belong to entities: the path taken, and the others."""
        paths = paths_between(self.schema, table.name, entity.name)
        if written.via:
            path = self._via(table, entity, written)
            return None if path is None else (path, tuple(p for p in paths if p != path))
        if not paths:
            self._no_path(table.name, entity.name, written.source.table.span)
            return None
        best = shortest(paths)
        if len(best) > 1:
            self.marks.add(
                "Q16",
                written.source.table.span,
                f"{len(best)} paths lead from '{table.name}' to '{entity.name}': {_listed(best)}",
                f"choose: {self._with_via(written, best[0])}",
            )
            return None
        return best[0], tuple(p for p in paths if p != best[0])

    def _via(self, table: Table, entity: Table, written: Aggregation) -> Path | None:
        """The path that VIA names, key by key."""
        at, path = table, list[Hop]()
        for column in written.via:
            named = self.table(column.table)
            found = None if named is None else self.column(named, column.column)
            if named is None or found is None:
                return None
            if named.name != at.name:
                hint = f"the next key of the path is one of '{at.name}'"
                self.marks.add("Q15", column.span, f"VIA leads to '{at.name}', not to '{named.name}'", hint)
                return None
            keys = [k for k in at.foreign_keys if found.name in k.columns]
            keys = [k for k in keys if k.columns == (found.name,)] or keys
            if len(keys) != 1:
                self._no_key(at, found, column, keys)
                return None
            path.append(Hop(at.name, keys[0]))
            at = self.schema[keys[0].table]
        if at.name != entity.name:
            hint = f"add the keys from '{at.name}' on: VIA (..., {at.name}.<key>)"
            span = Span(written.via[0].span.start, written.via[-1].span.end)
            self.marks.add("Q15", span, f"VIA ends at '{at.name}', not at '{entity.name}'", hint)
            return None
        return tuple(path)

    def _no_key(self, table: Table, column: Column, written: WrittenColumn, keys: list[ForeignKey]) -> None:
        names = ", ".join(k.name for k in table.foreign_keys) or "none"
        what = "is in several foreign keys" if keys else "is no foreign key"
        message = f"column '{column.name}' of '{table.name}' {what}"
        self.marks.add("Q15", written.span, message, f"foreign keys of '{table.name}': {names}")

    def _no_path(self, start: str, end: str, span: Span) -> None:
        both = [
            t.name
            for t in self.schema
            if all(any(k.table == goal for k in t.foreign_keys) for goal in (start, end)) and t.name not in (start, end)
        ]
        hint = (
            f"{both[0]} points to both; aggregate {both[0]}"
            if both
            else f"at most 3 foreign keys are followed, forward; declare the link in the schema if '{start}' has one"
        )
        self.marks.add("Q15", span, f"no foreign key path leads from '{start}' to '{end}'", hint)

    def _with_via(self, written: Aggregation, path: Path) -> str:
        keys = [f"{h.table}.{h.key.columns[0]}" for h in path]
        via = f" VIA {keys[0]}" if len(keys) == 1 else f" VIA ({', '.join(keys)})"
        start, end = written.span
        middle = written.source.span.end
        return self.marks.text[start:middle] + via + self.marks.text[middle:end]


def _lookup(name: Name, names: Iterable[str]) -> str | None:
    """The name meant: exactly that, or (unquoted) the only one that differs by case alone."""
    known = list(names)
    if name.text in known:
        return name.text
    alike = [n for n in known if n.lower() == name.text.lower()]
    return alike[0] if len(alike) == 1 and not name.quoted else None


def _listed(paths: list[Path]) -> str:
    """Several paths to one table, each by its keys."""
    if all(len(p) == 1 for p in paths):
        return ", ".join(p[0].key.name for p in paths)
    return "; ".join(describe_path(p) for p in paths)


def _one_of(table: str) -> str:
    """One row of a table, in words: ``a customer``."""
    if not table.endswith("s") or table.endswith("ss") or not table.isidentifier():
        return f"a row of '{table}'"
    return ("an " if table[0].lower() in "aeiou" else "a ") + table[:-1]
