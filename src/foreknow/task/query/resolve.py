"""A query and its settings made definite on the data at hand: seed times per split, and SQL for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from foreknow.errors import Finding, Mark, TaskError
from foreknow.schema.table import Schema
from foreknow.source.snapshot import Snapshot
from foreknow.source.sql import fetch_one, quote
from foreknow.source.time import seconds_sql
from foreknow.task.query.bind import bind
from foreknow.task.query.bound import BoundQuery
from foreknow.task.query.compile import compile_labels, compile_scoring
from foreknow.task.query.expressions import name_sql, stamp_sql
from foreknow.task.query.layout import Layout, layout_of, with_activity
from foreknow.task.query.parse import parse
from foreknow.task.query.values import moment_of
from foreknow.task.split import Grid, SplitSettings, make_grid, moment_text

__all__ = ["ResolvedQuery", "as_of_time", "bind_text", "resolve", "time_range"]

SPLITS = ("train", "validation", "test")
_TENTHS = {"train": "< 8", "validation": "= 8", "test": "= 9"}
_POLYNOMIAL = 0xEDB88320


@dataclass(frozen=True, kw_only=True)
class ResolvedQuery:
    """A bound query with its splits.

    ``grid`` is None for static targets. ``bounds`` are the split times of a static target whose entity has a time.
    ``settings`` holds what the query itself says too.
    """

    bound: BoundQuery
    schema: Schema
    settings: SplitSettings
    grid: Grid | None
    bounds: tuple[int, int] | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def layout(self) -> Layout:
        """Names of the task tables' columns."""
        return layout_of(self.bound)

    def sql(self, split: str, *, with_dropped: bool = False) -> str:
        """SQL of the task table of a split."""
        if self.grid is not None:
            return compile_labels(self.bound, self.schema, self.grid.splits[split], with_dropped=with_dropped)
        return self._static_sql(split, with_dropped=with_dropped)

    def _static_sql(self, split: str, *, with_dropped: bool) -> str:
        base = compile_labels(self.bound, self.schema, (), with_dropped=with_dropped)
        layout = self.layout
        if self.bounds is None:
            keys = [f"CAST({name_sql(k)} AS VARCHAR)" for k in layout.keys]
            condition = f"{crc32_sql(f'concat_ws({chr(39)},{chr(39)}, {chr(44).join(keys)})')} % 10 {_TENTHS[split]}"
        else:
            assert layout.time is not None
            val, test = map(stamp_sql, self.bounds)
            time = name_sql(layout.time)
            condition = {
                "train": f"{time} < {val}",
                "validation": f"{time} >= {val} AND {time} < {test}",
                "test": f"{time} >= {test}",
            }[split]
        inner = "\n".join("  " + line for line in base.split("\n"))
        order = ", ".join(name_sql(c) for c in (layout.time, *layout.keys) if c is not None)
        return f"SELECT *\nFROM (\n{inner}\n)\nWHERE {condition}\nORDER BY {order}"

    def scoring_sql(self, at: int | None) -> str:
        """SQL of the rows to predict for: the listed ids if the query has some, else every eligible entity."""
        return compile_scoring(self.bound, self.schema, at, ids=self.bound.query.entity.ids is not None)


def bind_text(text: str, schema: Schema) -> BoundQuery:
    """Parse and bind.

    Raises:
        QueryError: It is not understood, or doesn't fit the schema.
    """
    return bind(parse(text), schema)


def resolve(bound: BoundQuery, schema: Schema, snapshot: Snapshot, settings: SplitSettings) -> ResolvedQuery:
    """Lay the splits of a query over the data.

    Args:
        bound: The query.
        schema: The tables.
        snapshot: The data; of each target table only the range of times is read.
        settings: Arguments beside the query.

    Raises:
        TaskError: T02: query and arguments contradict each other. T03, T04, T07: the splits don't fit the data.
    """
    settings = merge_settings(bound, settings)
    text, findings = bound.query.text, bound.findings
    if bound.is_static:
        bounds = None
        if bound.entity.time_column is not None:
            bounds = _static_bounds(bound, schema, snapshot, settings)
        return ResolvedQuery(bound=bound, schema=schema, settings=settings, grid=None, bounds=bounds, findings=findings)
    ranges = {t: time_range(snapshot, schema, t) for t in bound.label_tables}
    empty = [t for t, span in ranges.items() if span is None]
    if empty:
        raise _error(bound, "T07", f"'{empty[0]}' has no row with a time", "there is nothing to learn from")
    known = {t: span for t, span in ranges.items() if span is not None}
    grid = make_grid(
        bound.horizons,
        settings,
        first=min(known[t][0] for t in bound.target_tables),
        last=min(span[1] for span in known.values()),
    )
    if isinstance(grid, list):
        start, end = _target_span(bound)
        raise TaskError.at(
            text, [Mark(code=p.code, message=p.message, hint=p.hint, start=start, end=end) for p in grid]
        )
    if settings.active_within is not None:
        bound = with_activity(bound, settings.active_within)
    return ResolvedQuery(bound=bound, schema=schema, settings=settings, grid=grid, findings=(*findings, *grid.findings))


def merge_settings(bound: BoundQuery, settings: SplitSettings) -> SplitSettings:
    """Settings with what the query says itself.

    Raises:
        TaskError: T02: both say it, and differently.
    """
    query, marks = bound.query, []
    if bound.every is not None:
        assert query.every is not None
        if settings.every is not None and settings.every != bound.every:
            message = f"EVERY is {bound.every} but the argument every is {settings.every}"
            marks.append(Mark(code="T02", message=message, hint="give only one", **_place(query.every.span)))
        settings = replace(settings, every=bound.every)
    as_of = as_of_time(bound)
    if as_of is not None:
        assert query.as_of is not None
        if settings.as_of is not None and settings.as_of != as_of:
            message = f"AS OF is {moment_text(as_of)} but the argument as_of is {moment_text(settings.as_of)}"
            marks.append(Mark(code="T02", message=message, hint="give only one", **_place(query.as_of.span)))
        settings = replace(settings, as_of=as_of)
    if marks:
        raise TaskError.at(query.text, marks)
    return settings


def as_of_time(bound: BoundQuery) -> int | None:
    """The time of AS OF, if the query has one. Unix seconds."""
    moment = None if bound.query.as_of is None else moment_of(bound.query.as_of)
    return None if moment is None or moment.time is None else int(moment.time.timestamp())


def time_range(snapshot: Snapshot, schema: Schema, table: str) -> tuple[int, int] | None:
    """First and last time of a table's rows, Unix seconds; None if no row has one."""
    column = schema[table].time_column
    assert column is not None
    with snapshot.connect() as connection:
        seconds = seconds_sql(quote(column), snapshot[table].columns[column])
        low, high = fetch_one(connection, f"SELECT min({seconds}), max({seconds}) FROM {snapshot[table].relation}")
    return None if low is None else (int(low), int(high))


def crc32_sql(text: str) -> str:
    """SQL of ``zlib.crc32`` of a text in UTF-8: stable across processes, versions and machines."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    digits = f"hex(encode({text}))"
    codes = f"list_transform(range(length({digits}) // 2), lambda i: ('0x' || substr({digits}, 2 * i + 1, 2))::BIGINT)"
    step = f"xor(crc >> 8, {table}[xor(crc, code) & 255 + 1])".replace("& 255 + 1", "& 255) + 1").replace(
        "[xor(crc, code)", "[(xor(crc, code)"
    )
    start = f"list_prepend({0xFFFFFFFF}::BIGINT, {codes})"
    return f"xor(list_reduce({start}, lambda crc, code: {step}), {0xFFFFFFFF}::BIGINT)"


def _static_bounds(bound: BoundQuery, schema: Schema, snapshot: Snapshot, settings: SplitSettings) -> tuple[int, int]:
    """Split times of a static target; by default such that 80 % of the labelled rows train and 10 % each test."""
    val, test = settings.val_time, settings.test_time
    if val is None or test is None:
        labelled = compile_labels(bound, schema, ())
        time = name_sql(layout_of(bound).time or "")
        with snapshot.connect() as connection:
            found = fetch_one(connection, f"SELECT quantile_disc(epoch({time})::BIGINT, [0.8, 0.9]) FROM ({labelled})")
        if found[0] is None:
            raise _error(bound, "T05", "no row has a value and a time", "there is nothing to learn from")
        val = int(found[0][0]) if val is None else val
        test = max(int(found[0][1]), val + 1) if test is None else test
    if val >= test:
        message = f"val_time {moment_text(val)} is not before test_time {moment_text(test)}"
        raise _error(bound, "T03", message, "choose a later test_time")
    return val, test


def _target_span(bound: BoundQuery) -> tuple[int, int]:
    return bound.query.target.span


def _place(span: tuple[int, int]) -> Mapping[str, int]:
    return {"start": span[0], "end": span[1]}


def _error(bound: BoundQuery, code: str, message: str, hint: str) -> TaskError:
    start, end = _target_span(bound)
    return TaskError.at(bound.query.text, [Mark(code=code, message=message, hint=hint, start=start, end=end)])
