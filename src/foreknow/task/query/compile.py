"""From a bound query to DuckDB SQL over the tables of a snapshot.

The SQL is made to be read, and to be run as it is. Its shape::

    WITH seed_times AS (...),
    window_1 AS (...),            -- per entity and seed time, what one window holds; equal windows share it
    labelled AS (
      SELECT key, seed_time, label FROM seed_times JOIN entities LEFT JOIN window_1 ... WHERE ...
    )
    SELECT key, seed_time, label FROM labelled ORDER BY seed_time, key

A window joins the aggregated rows with the seed times alone, never with pairs of entity and seed time, so its work is
the number of rows times the windows each row is in. A filter that an empty window fails also drives the last join:
entities without a row are then never met.

Rows are placed by whole seconds, rounded down, just as the model's context is: no row is context and label at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from foreknow.schema.table import ForeignKey, Schema, Table
from foreknow.source.time import instant_sql
from foreknow.task.query.bound import (
    BoundAggregation,
    BoundColumn,
    BoundCondition,
    BoundQuery,
    BoundTest,
    BoundWindow,
    Combined,
    Function,
    Hop,
    Kind,
    Path,
    aggregations,
    operands,
)
from foreknow.task.query.duration import Duration
from foreknow.task.query.empty import is_true_when_empty
from foreknow.task.query.expressions import column_sql, condition_sql, filled_sql, name_sql, stamp_sql, value_sql
from foreknow.task.query.layout import layout_of, seed_times_sql
from foreknow.task.query.names import is_number
from foreknow.task.query.values import family_of
from foreknow.types import TaskType

__all__ = ["compile_labels", "compile_scoring"]


def compile_labels(bound: BoundQuery, schema: Schema, seeds: Sequence[int], *, with_dropped: bool = False) -> str:
    """SQL of the task table at some seed times.

    Args:
        bound: The query.
        schema: The tables.
        seeds: Seed times, Unix seconds, ascending; not used for static targets.
        with_dropped: Keep rows that pass WHERE but not ASSUMING, or have no label; column ``premise`` says whether
            ASSUMING is true. For counting.

    Returns:
        A SELECT of the columns of `layout_of`, ordered by seed time and key.
    """
    if bound.is_static:
        return _static_sql(bound, schema, is_scoring=False, with_dropped=with_dropped)
    return _Compiler(bound, schema).labels(seeds, with_dropped=with_dropped)


def compile_scoring(bound: BoundQuery, schema: Schema, at: int | None, *, ids: bool = False) -> str:
    """SQL of the rows to predict for at one time.

    Args:
        bound: The query. ASSUMING is not evaluated: it is the stated premise.
        schema: The tables.
        at: Seed time, Unix seconds; not needed for static targets, of which the rows without a value are scored.
        ids: Score the query's listed ids, in order of first mention, with ``in_population`` saying whether WHERE holds.
    """
    if bound.is_static and not ids:
        return _static_sql(bound, schema, is_scoring=True, with_dropped=False)
    return _Compiler(bound, schema).scoring(at, ids=ids)


@dataclass
class _Group:
    """Aggregations over the same rows: one CTE."""

    name: str
    members: list[BoundAggregation]


class _Compiler:
    """Names, joins and expressions of one query."""

    def __init__(self, bound: BoundQuery, schema: Schema) -> None:
        self.bound, self.schema = bound, schema
        self.layout = layout_of(bound)
        self.keys = [name_sql(k) for k in self.layout.keys]
        self.time = name_sql(self.layout.time or "seed_time")
        self.taken = {t.name.lower() for t in schema}
        self.seed_times = self._free("seed_times")
        self.labelled = self._free("labelled")
        self.groups: dict[tuple[object, ...], _Group] = {}
        for part in (bound.where, bound.target, bound.assuming):
            for aggregation in aggregations(part):
                self._group(aggregation)
        self.driver = self._find_driver()
        self.seed: str | None = "s" if self.driver is None else self.driver.name  # where seed times come from

    # --- the statements

    def labels(self, seeds: Sequence[int], *, with_dropped: bool) -> str:
        bound = self.bound
        columns = [f"{self._label()} AS {name_sql(self.layout.label)}"]
        conditions = [] if bound.where is None else [self._condition(bound.where)]
        if bound.assuming is not None:
            premise = self._condition(bound.assuming)
            if with_dropped:
                columns.append(f"coalesce({premise}, false) AS premise")
            else:
                conditions.append(premise)
        elif with_dropped:
            columns.append("true AS premise")
        ctes = [(self.seed_times, seed_times_sql(seeds, self.layout.time or "seed_time"))]
        ctes += self._window_ctes(self.groups.values())
        ctes.append((self.labelled, self._select(columns, conditions)))
        shown = [*self.keys, self.time, name_sql(self.layout.label), *(["premise"] if with_dropped else [])]
        order = ", ".join([self.time, *self.keys])
        keep = "" if with_dropped or not self._may_be_null() else f"\nWHERE {name_sql(self.layout.label)} IS NOT NULL"
        return _with(ctes, f"SELECT {', '.join(shown)}\nFROM {self.labelled}{keep}\nORDER BY {order}")

    def scoring(self, at: int | None, *, ids: bool) -> str:
        bound = self.bound
        if ids:
            self.seed = None if at is None else "s"
        groups = [self.groups[self._group_key(a)] for a in aggregations(bound.where)]
        unique = list({g.name: g for g in groups}.values())
        condition = None if bound.where is None else self._condition(bound.where)
        ctes = []
        if at is not None:
            ctes = [(self.seed_times, f"SELECT {stamp_sql(at)} AS {self.time}"), *self._window_ctes(unique)]
        if not ids:
            select = self._select([], [] if condition is None else [condition], groups=unique)
            order = ", ".join(self.keys)
            ctes.append((self.labelled, select))
            return _with(ctes, f"SELECT {', '.join([*self.keys, self.time])}\nFROM {self.labelled}\nORDER BY {order}")
        listed = self._free("listed")
        ctes.append((listed, self._listed_ids()))
        exists = f"e.{self.keys[0]} IS NOT NULL"
        if bound.entity.time_column is not None and at is not None:
            exists = f"{self._visible(bound.entity, 'e')}"
        population = exists if condition is None else f"{exists} AND ({condition})"
        own = [f"listed_id AS {self.keys[0]}"]
        if at is not None:
            own.append(f"s.{self.time}")
        elif self.layout.time is not None:
            own.append(f"{self._time('e', bound.entity)} AS {self.time}")
        lines = [
            f"SELECT {', '.join(own)}, coalesce({population}, false) AS in_population",
            f"FROM {listed}",
            *([f"CROSS JOIN {self.seed_times} s"] if at is not None else []),
            f"LEFT JOIN {name_sql(bound.entity.name)} e ON e.{self.keys[0]} = listed_id",
            *self._parents(bound.where, "e"),
            *(f"LEFT JOIN {g.name} ON {self._on(g.name, 's')}" for g in unique),
            "ORDER BY position",
        ]
        return _with(ctes, "\n".join(lines))

    def _listed_ids(self) -> str:
        key = self.bound.entity[self.layout.keys[0]]
        unique: dict[str, None] = {}
        for value in self.bound.query.entity.ids or ():
            operand = BoundColumn(table=self.bound.entity, column=key, kind=Kind.KEY, path=(), span=value.span)
            unique[value_sql(value, family_of(operand))] = None
        rows = ", ".join(f"({i}, CAST({text} AS {key.dtype}))" for i, text in enumerate(unique))
        return f"SELECT * FROM (VALUES {rows}) AS t(position, listed_id)"

    def _select(self, columns: list[str], conditions: list[str], groups: list[_Group] | None = None) -> str:
        """SELECT of pairs of entity and seed time with what is known of them."""
        joined = list(self.groups.values()) if groups is None else groups
        bound, driver = self.bound, self.driver
        source, alias = (self.seed_times, "s") if driver is None else (driver.name, driver.name)
        on = []
        if driver is not None:
            on = [f"e.{k} = {alias}.{k}" for k in self.keys]
        if bound.entity.time_column is not None:
            on.append(self._visible(bound.entity, "e", alias))
        entity = name_sql(bound.entity.name)
        parts = [*(f"e.{k}" for k in self.keys), f"{alias}.{self.time}", *columns]
        lines = [
            "SELECT " + ",\n  ".join([", ".join(parts[: len(self.keys) + 1]), *columns]),
            f"FROM {source}" + (" s" if driver is None else ""),
            f"JOIN {entity} e ON {' AND '.join(on)}" if on else f"CROSS JOIN {entity} e",
            *self._parents(bound.where, "e"),
            *(f"LEFT JOIN {g.name} ON {self._on(g.name, alias)}" for g in joined if g is not driver),
        ]
        if conditions:
            wrapped = [f"({c})" if len(conditions) > 1 else c for c in conditions]
            lines.append("WHERE " + "\n  AND ".join(wrapped))
        return "\n".join(lines)

    def _find_driver(self) -> _Group | None:
        """A window that every kept pair has a row in, if WHERE demands one."""
        where = self.bound.where
        parts = where.parts if isinstance(where, Combined) and where.operator == "AND" else (where,)
        for part in parts:
            found = aggregations(part)
            if part is None or not found or len(found) < len(operands(part)):
                continue
            groups = {self._group_key(a) for a in found}
            if len(groups) == 1 and is_true_when_empty(part) is not True:
                return self.groups[groups.pop()]
        return None

    # --- windows

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _group_key(self, a: BoundAggregation) -> tuple[object, ...]:
        is_list = self._is_item(a)
        return (a.table.name, a.path, a.window, is_list)

    def _is_item(self, a: BoundAggregation) -> bool:
        """Whether this is the list of items of a link task."""
        return self.bound.item is not None and a in aggregations(self.bound.target)

    def _group(self, a: BoundAggregation) -> None:
        key = self._group_key(a)
        if key not in self.groups:
            self.groups[key] = _Group(self._free(f"window_{len(self.groups) + 1}"), [])
        if a not in self.groups[key].members:
            self.groups[key].members.append(a)

    def _window_ctes(self, groups: Iterable[_Group]) -> list[tuple[str, str]]:
        ctes = []
        for group in groups:
            if self._is_item(group.members[0]):
                ctes += self._item_ctes(group)
            elif self.bound.num_outputs > 1 and group.members[0] in aggregations(self.bound.target):
                ctes.append((group.name, self._forecast(group)))
            else:
                ctes.append((group.name, self._window(group)))
        return ctes

    def _window(self, group: _Group) -> str:
        first = group.members[0]
        conditions = [None if a.where is None else self._inner(a) for a in group.members]
        is_shared = len(set(conditions)) == 1
        columns = []
        for i, (a, condition) in enumerate(zip(group.members, conditions, strict=True), start=1):
            columns.append(f"{self._aggregate(a, None if is_shared else condition)} AS value_{i}")
        lines = [
            *(f"-- {self._source_of(a)}" for a in group.members),
            f"SELECT {', '.join([*self._entity_keys(first), f's.{self.time}', *columns])}",
            f"FROM {self._rows(group)} r",
            f"JOIN {self.seed_times} s ON {self._within(first.window, first.table)}",
            *self._hops(first, is_past=self._is_past(first)),
            *self._inner_parents(group.members),
            *([f"WHERE {conditions[0]}"] if is_shared and conditions[0] is not None else []),
            "GROUP BY ALL",
        ]
        return "\n".join(lines)

    def _forecast(self, group: _Group) -> str:
        """The windows of a FORECAST, one after the other, as a list of numbers."""
        (a,) = group.members
        start, end = a.window.start, a.window.end
        assert start is not None
        width, n = end - start, self.bound.num_outputs
        time = self._time("r", a.table)
        if end.months:  # calendar months have no common length: each window is joined by itself
            seeds = f"(SELECT * FROM {self.seed_times}, range({n}) AS steps(step))"
            lower = f"s.{self.time} + to_months({start.months} + {width.months} * step)"
            upper = f"s.{self.time} + to_months({end.months} + {width.months} * step)"
            step, within = "s.step", f"{time} > {lower}\n    AND {time} <= {upper}"
        else:
            seeds, last = self.seed_times, end + width * (n - 1)
            since = f"date_diff('second', s.{self.time}, {time}::TIMESTAMP)"
            step = f"({since} - {start.seconds + 1}) // {width.seconds} AS step"
            within = self._within(BoundWindow(start, last), a.table)
        inner = [
            f"SELECT {', '.join([*self._entity_keys(a), f's.{self.time}', step])}, {self._aggregate(a, None)} AS value",
            f"FROM {self._rows(group)} r",
            f"JOIN {seeds} s ON {within}",
            *self._hops(a, is_past=False),
            *self._inner_parents([a]),
            *([f"WHERE {self._inner(a)}"] if a.where is not None else []),
            "GROUP BY ALL",
        ]
        keys = ", ".join([*self.keys, self.time])
        rows = "\n".join("  " + line for line in "\n".join(inner).split("\n"))
        return (
            f"-- {self._source_of(a)}, {n} windows one after the other\n"
            f"SELECT {keys}, map(list(step), list(value)) AS value_1\nFROM (\n{rows}\n)\nGROUP BY {keys}"
        )

    def _item_ctes(self, group: _Group) -> list[tuple[str, str]]:
        """The items of a link task: those that exist at the seed time, new or seen before as AMONG says."""
        (a,) = group.members
        bound = self.bound
        assert bound.item is not None
        assert a.column is not None
        item, items = f"r.{name_sql(a.column.name)}", self.schema[bound.item.table]
        (to,) = self.schema.key_of(bound.item)
        exists = [f"i.{name_sql(to)} = {item}"]
        if items.time_column is not None:
            exists.append(f"{self._visible(items, 'i')}")
        conditions = [] if a.where is None else [self._inner(a)]
        ctes, joins = [], [f"JOIN {name_sql(items.name)} i ON {' AND '.join(exists)}"]
        if bound.among != "ALL":
            seen = self._free("first_seen")
            ctes.append((seen, self._first_seen(a, item)))
            pairs = [f"f.{k} = {self._bare_key(e)}" for k, e in zip(self.keys, self._entity_keys(a), strict=True)]
            joins.append(f"LEFT JOIN {seen} f ON {' AND '.join([*pairs, f'f.item = {item}'])}")
            is_seen = f"coalesce(f.first_time <= s.{self.time}, false)"
            conditions.append(is_seen if bound.among == "PAST" else f"NOT {is_seen}")
        lines = [
            f"-- {self._source_of(a)}, items that exist at the seed time",
            f"SELECT {', '.join([*self._entity_keys(a), f's.{self.time}', f'{self._aggregate(a, None)} AS value_1'])}",
            f"FROM {self._rows(group)} r",
            f"JOIN {self.seed_times} s ON {self._within(a.window, a.table)}",
            *self._hops(a, is_past=False),
            *joins,
            *self._inner_parents([a]),
            *([f"WHERE {' AND '.join(f'({c})' for c in conditions)}"] if conditions else []),
            "GROUP BY ALL",
        ]
        return [*ctes, (group.name, "\n".join(lines))]

    def _first_seen(self, a: BoundAggregation, item: str) -> str:
        """When an entity first had a row with each item."""
        times = [self._time("r", a.table)]
        for i, hop in enumerate(a.path[:-1], start=1):
            via = self.schema[hop.key.table]
            if via.time_column is not None:
                times.append(self._time(f"h{i}", via))
        when = times[0] if len(times) == 1 else f"greatest({', '.join(times)})"
        assert a.table.time_column is not None
        finite = f"isfinite(r.{name_sql(a.table.time_column)})"
        if a.table[a.table.time_column].dtype == "VARCHAR":
            finite = f"isfinite({self._time('r', a.table)})"
        condition = finite if a.where is None else f"{finite} AND ({self._inner(a)})"
        lines = [
            f"SELECT {', '.join(self._entity_keys(a))}, {item} AS item, min({when}) AS first_time",
            f"FROM {name_sql(a.table.name)} r",
            *self._hops(a, is_past=False),
            *self._inner_parents([a]),
            f"WHERE {condition}",
            "GROUP BY ALL",
        ]
        return "\n".join(lines)

    def _rows(self, group: _Group) -> str:
        """The aggregated rows; numbered if their order in time needs it."""
        table = group.members[0].table
        ordered = any(a.function in (Function.FIRST, Function.LAST) for a in group.members)
        if not ordered or table.primary_key:
            return name_sql(table.name)
        return f"(SELECT *, row_number() OVER () AS row_number_ FROM {name_sql(table.name)})"

    def _within(self, window: BoundWindow, table: Table) -> str:
        time, seed = self._time("r", table), f"s.{self.time}"
        upper = f"{time} <= {_shift(seed, window.end)}"
        if window.start is None:
            return f"isfinite({time}) AND {upper}"
        return f"{time} > {_shift(seed, window.start)}\n    AND {upper}"

    def _is_past(self, a: BoundAggregation) -> bool:
        return not Duration() < a.window.end

    def _hops(self, a: BoundAggregation, *, is_past: bool) -> list[str]:
        """Joins with the tables between the aggregated one and the entity."""
        lines, at = [], "r"
        for i, hop in enumerate(self._joined(a), start=1):
            table = self.schema[hop.key.table]
            on = [self._along(hop.key, at, f"h{i}")]
            is_last = hop is a.path[-1]
            if is_past and table.time_column is not None and not is_last:
                on.append(self._visible(table, f"h{i}"))
            lines.append(f"JOIN {name_sql(table.name)} h{i} ON {' AND '.join(on)}")
            at = f"h{i}"
        return lines

    def _joined(self, a: BoundAggregation) -> tuple[Hop, ...]:
        """Hops that need a join: all but the last, whose key columns say who the entity is."""
        last = a.path[-1].key
        return a.path if self.schema.key_of(last) != self.layout.keys else a.path[:-1]

    def _entity_keys(self, a: BoundAggregation) -> list[str]:
        """The entity's key columns of an aggregated row, named as in the entity table."""
        joined = self._joined(a)
        at = f"h{len(joined)}" if joined else "r"
        if len(joined) == len(a.path):
            return [f"{at}.{k}" for k in self.keys]
        columns = [name_sql(c) for c in a.path[-1].key.columns]
        return [f"{at}.{c}" + ("" if c == k else f" AS {k}") for c, k in zip(columns, self.keys, strict=True)]

    def _bare_key(self, selected: str) -> str:
        return selected.split(" AS ")[0]

    def _along(self, key: ForeignKey, at: str, to: str) -> str:
        targets = self.schema.key_of(key)
        pairs = zip(key.columns, targets, strict=True)
        return " AND ".join(f"{to}.{name_sql(t)} = {at}.{name_sql(c)}" for c, t in pairs)

    # --- expressions

    def _aggregate(self, a: BoundAggregation, condition: str | None) -> str:
        if a.column is None:
            return "count(*)" + (f" FILTER (WHERE {condition})" if condition else "")
        assert a.kind is not None
        value = column_sql(f"r.{name_sql(a.column.name)}", a.column, a.kind)
        is_float = a.column.dtype in ("FLOAT", "DOUBLE") or not is_number(a.column.dtype)
        match a.function:
            case Function.COUNT | Function.EXISTS:
                call = f"count({value})"
            case Function.COUNT_DISTINCT:
                call = f"count(DISTINCT {value})"
            case Function.SUM:  # of floats the same whatever the order rows come in
                call = f"{'fsum' if is_float else 'sum'}({value})"
            case Function.AVG:
                call = f"{'favg' if is_float else 'avg'}({value})"
            case Function.MIN | Function.MAX:
                call = f"{a.function.lower()}({value})"
            case Function.FIRST | Function.LAST:
                call = f"{'arg_min' if a.function is Function.FIRST else 'arg_max'}({value}, {self._order(a.table)})"
            case Function.LIST_DISTINCT:
                call = f"list(DISTINCT {value} ORDER BY {value})"
        if a.function in (Function.FIRST, Function.LAST, Function.LIST_DISTINCT):
            condition = f"{value} IS NOT NULL" + (f" AND ({condition})" if condition else "")
        return call + (f" FILTER (WHERE {condition})" if condition else "")

    def _order(self, table: Table) -> str:
        assert table.time_column is not None
        time = column_sql(f"r.{name_sql(table.time_column)}", table[table.time_column], Kind.TIME)
        keys = [f"r.{name_sql(k)}" for k in table.primary_key] or ["r.row_number_"]
        return f"({', '.join([time, *keys])})"

    def _inner(self, a: BoundAggregation) -> str:
        assert a.where is not None
        is_past = self._is_past(a)

        def render(operand: BoundAggregation | BoundColumn) -> str:
            assert isinstance(operand, BoundColumn)
            return self._column("r", operand, "s" if is_past else None)

        return condition_sql(a.where, render)

    def _inner_parents(self, members: Sequence[BoundAggregation]) -> list[str]:
        lines = [line for a in members for line in self._parents(a.where, "r")]
        return list(dict.fromkeys(lines))

    def _parents(self, condition: BoundCondition | None, alias: str) -> list[str]:
        """Joins with the tables whose columns a condition uses, from the table of an alias forward."""
        lines = []
        for operand in operands(condition):
            at = alias
            path: Path = operand.path if isinstance(operand, BoundColumn) else ()
            for i, hop in enumerate(path):
                to = _parent_alias(alias, path[: i + 1])
                lines.append(f"LEFT JOIN {name_sql(hop.key.table)} {to} ON {self._along(hop.key, at, to)}")
                at = to
        return list(dict.fromkeys(lines))

    def _column(self, alias: str, operand: BoundColumn, seed: str | None) -> str:
        """A column of a table or of a parent; a parent later than the seed time reads as NULL."""
        at = _parent_alias(alias, operand.path) if operand.path else alias
        value = column_sql(f"{at}.{name_sql(operand.column.name)}", operand.column, operand.kind)
        timed = []
        for i, hop in enumerate(operand.path):
            table = self.schema[hop.key.table]
            if seed is not None and table.time_column is not None:
                timed.append(self._visible(table, _parent_alias(alias, operand.path[: i + 1]), seed))
        return f"CASE WHEN {' AND '.join(timed)} THEN {value} END" if timed else value

    def _condition(self, condition: BoundCondition) -> str:
        def render(operand: BoundAggregation | BoundColumn) -> str:
            return self._column("e", operand, self.seed) if isinstance(operand, BoundColumn) else self._value(operand)

        return condition_sql(condition, render)

    def _value(self, a: BoundAggregation) -> str:
        group = self.groups[self._group_key(a)]
        return f"{group.name}.value_{group.members.index(a) + 1}"

    def _label(self) -> str:
        target = self.bound.target
        bare = target.operand if isinstance(target, BoundTest) and target.operator == "bare" else None
        if not isinstance(bare, BoundAggregation) or bare.function is Function.EXISTS:
            return self._condition(target)
        value = self._value(bare)
        if self.bound.num_outputs > 1:
            steps = f"range({self.bound.num_outputs})"
            return f"list_transform({steps}, lambda step: coalesce(map_extract_value({value}, step), 0)::DOUBLE)"
        filled = filled_sql(bare, value)
        return f"{filled}::DOUBLE" if self.bound.type is TaskType.REGRESSION else filled

    def _may_be_null(self) -> bool:
        return any(
            a.function not in (Function.COUNT, Function.COUNT_DISTINCT, Function.SUM, Function.EXISTS)
            for a in aggregations(self.bound.target)
        )

    def _on(self, name: str, alias: str) -> str:
        return " AND ".join([*(f"{name}.{k} = e.{k}" for k in self.keys), f"{name}.{self.time} = {alias}.{self.time}"])

    def _time(self, alias: str, table: Table) -> str:
        assert table.time_column is not None
        return instant_sql(f"{alias}.{name_sql(table.time_column)}", table[table.time_column].dtype)

    def _visible(self, table: Table, alias: str, seed: str = "s") -> str:
        """That a row is there at the seed time."""
        return f"{self._time(alias, table)} <= {seed}.{self.time}"

    def _source_of(self, a: BoundAggregation) -> str:
        text = self.bound.query.text[a.span.start : a.span.end]
        return " ".join(text.split()) or f"active: EXISTS({a.table.name}.*, within {a.window.start})"


def _static_sql(bound: BoundQuery, schema: Schema, *, is_scoring: bool, with_dropped: bool) -> str:
    """Rows with a value, or (to be scored) without."""
    compiler = _Compiler(bound, schema)
    table, layout = bound.entity, compiler.layout
    keys = [f"e.{k}" for k in compiler.keys]
    time = [] if layout.time is None else [f"{compiler._time('e', table)} AS {compiler.time}"]

    def render(operand: BoundAggregation | BoundColumn) -> str:
        assert isinstance(operand, BoundColumn)
        at = _parent_alias("e", operand.path) if operand.path else "e"
        value = column_sql(f"{at}.{name_sql(operand.column.name)}", operand.column, operand.kind)
        if layout.time is None or not operand.path:
            return value
        timed = [
            f"{compiler._time(_parent_alias('e', operand.path[: i + 1]), schema[h.key.table])}"
            f" <= {compiler._time('e', table)}"
            for i, h in enumerate(operand.path)
            if schema[h.key.table].time_column is not None
        ]
        return f"CASE WHEN {' AND '.join(timed)} THEN {value} END" if timed else value

    label = condition_sql(bound.target, render)
    if bound.type is TaskType.REGRESSION:
        label = f"{label}::DOUBLE"
    conditions = [] if bound.where is None else [f"({condition_sql(bound.where, render)})"]
    if layout.time is not None:
        assert table.time_column is not None
        conditions.append(f"isfinite({compiler._time('e', table)})")
    if not with_dropped:
        conditions.append(f"({label}) IS {'' if is_scoring else 'NOT '}NULL")
    columns = [*keys, *time, *([] if is_scoring else [f"{label} AS {name_sql(layout.label)}"])]
    if with_dropped:
        columns.append("true AS premise")
    order = ", ".join([*([compiler.time] if time else []), *keys])
    lines = [
        f"SELECT {', '.join(columns)}",
        f"FROM {name_sql(table.name)} e",
        *compiler._parents(bound.where, "e"),
        *([f"WHERE {' AND '.join(conditions)}"] if conditions else []),
        f"ORDER BY {order}",
    ]
    return "\n".join(lines)


def _parent_alias(alias: str, path: Path) -> str:
    """One alias per path, so that two columns of one parent share a join."""
    text = "_".join([alias, *(c for hop in path for c in hop.key.columns)])
    return name_sql(f"{text}_row")


def _shift(moment: str, by: Duration) -> str:
    if not by.seconds and not by.months:
        return moment
    return f"{moment} {'-' if by < Duration() else '+'} {by.sql()}"


def _with(ctes: Sequence[tuple[str, str]], select: str) -> str:
    """A WITH statement, indented."""
    if not ctes:
        return select
    parts = [f"{name} AS (\n" + "\n".join("  " + line for line in sql.split("\n")) + "\n)" for name, sql in ctes]
    return "WITH " + ", ".join(parts) + "\n" + select
