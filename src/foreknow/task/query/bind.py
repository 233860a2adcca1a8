"""From syntax tree to meaning: names, paths, windows, types. All that is wrong is collected and raised once."""

from __future__ import annotations

from typing import Literal

from foreknow.errors import Finding, QueryError
from foreknow.schema.table import Column, Schema, Table
from foreknow.task.query.bound import (
    BoundAggregation,
    BoundColumn,
    BoundCondition,
    BoundQuery,
    BoundTest,
    BoundWindow,
    Combined,
    Function,
    Kind,
    Negated,
    operands,
)
from foreknow.task.query.duration import Duration
from foreknow.task.query.names import Marks, Names, kind_of
from foreknow.task.query.outcome import Outcome, find_outcome
from foreknow.task.query.syntax import (
    Aggregation,
    Combination,
    Expression,
    Negation,
    Query,
    Span,
    Step,
    Test,
)
from foreknow.task.query.syntax import Column as WrittenColumn
from foreknow.task.query.values import Family, check_id, check_moment, check_values, family_of
from foreknow.task.query.windows import bind_window, read_unit_name, whole_number

__all__ = ["bind"]

Clause = Literal["target", "WHERE", "ASSUMING"]

_ACCEPTS: dict[Function, tuple[Kind, ...]] = {
    Function.SUM: (Kind.NUMERIC,),
    Function.AVG: (Kind.NUMERIC,),
    Function.MIN: (Kind.NUMERIC,),
    Function.MAX: (Kind.NUMERIC,),
    Function.FIRST: (Kind.NUMERIC, Kind.CATEGORICAL, Kind.BOOLEAN),
    Function.LAST: (Kind.NUMERIC, Kind.CATEGORICAL, Kind.BOOLEAN),
    Function.LIST_DISTINCT: (Kind.CATEGORICAL, Kind.KEY, Kind.BOOLEAN),
}


def bind(query: Query, schema: Schema) -> BoundQuery:
    """Look up everything a query names, and find out its type.

    Raises:
        QueryError: With everything that is wrong; Q03 to Q25 of the language's description, and Q26, Q27.
    """
    return _Binder(query, schema).bind()


class _Binder:
    def __init__(self, query: Query, schema: Schema) -> None:
        self.query, self.schema = query, schema
        self.marks = Marks(query.text)
        self.names = Names(schema, self.marks)
        self.entity = self._entity()

    def bind(self) -> BoundQuery:
        query = self.query
        target = self._expression(query.target, "target", None)
        is_static = self._is_static(query.target)
        where = None if query.where is None else self._filter(query.where, "WHERE", is_static)
        assuming = None if query.assuming is None else self._filter(query.assuming, "ASSUMING", is_static)
        every = None if query.every is None else self._every(query.every)
        self._ids()
        check_moment(query.as_of, self.marks)
        outcome = None
        if target is not None and self.entity is not None:
            outcome = find_outcome(query, self.entity, target, is_static, self.marks)
        if self.marks.found:
            raise QueryError.at(query.text, self.marks.found)
        assert target is not None
        assert self.entity is not None
        assert isinstance(outcome, Outcome)
        return BoundQuery(
            query=query,
            entity=self.entity,
            target=target,
            type=outcome.type,
            metric=outcome.metric,
            label_type=outcome.label_type,
            is_static=is_static,
            num_outputs=outcome.num_outputs,
            top=outcome.top,
            among=outcome.among,
            item=outcome.item,
            where=where,
            assuming=assuming,
            every=every,
            findings=() if is_static else _static_filters(where),
        )

    def _entity(self) -> Table | None:
        """The entity table, named by its primary key."""
        written = self.query.entity
        if not written.each and not written.ids:
            key = self.marks.source(written.column.span)
            hint = f"add `FOR EACH {key}`, or ids: FOR {key} IN (...)"
            self.marks.add("Q01", written.column.span, "expected FOR EACH, or ids after the key", hint)
        elif written.each and written.ids is not None:
            key = self.marks.source(written.column.span)
            self.marks.add("Q01", written.ids_span, "FOR EACH takes no ids", f"write FOR {key} without EACH")
        table = self.names.table(written.column.table)
        column = None if table is None else self.names.column(table, written.column.column)
        if table is None or column is None:
            return table
        if column.name not in table.primary_key:
            hint = (
                f"write FOR EACH {table.name}.{table.primary_key[0]}"
                if table.primary_key
                else f"name a primary key of '{table.name}' in the schema"
            )
            message = f"'{column.name}' is not the primary key of '{table.name}'"
            self.marks.add("Q13", written.column.column.span, message, hint)
        return table

    def _ids(self) -> None:
        written = self.query.entity
        if self.entity is None or not written.ids:
            return
        if len(self.entity.primary_key) > 1:
            hint = f"write FOR EACH {self.entity.name}.{self.entity.primary_key[0]}"
            message = f"the key of '{self.entity.name}' has several columns, so ids can't be listed"
            self.marks.add("Q13", written.ids_span, message, hint)
        elif self.entity.primary_key:
            column = self.entity[self.entity.primary_key[0]]
            for value in written.ids:
                check_id(column, value, self.marks)

    def _every(self, step: Step) -> Duration | None:
        number = whole_number(step.number, self.marks, what="EVERY", least=1)
        unit = read_unit_name(step.unit, self.marks)
        if number is None or unit is None:
            return None
        try:
            return Duration.of(number, unit)
        except OverflowError:
            self.marks.add("Q26", step.span, "EVERY is longer than the calendar", "choose a shorter step")
            return None

    def _is_static(self, target: Expression) -> bool:
        """Whether the target is made of columns; a mix is marked."""
        found = _written(target)
        columns = [o for o in found if isinstance(o, WrittenColumn)]
        if columns and len(columns) < len(found):
            for column in columns:
                self.marks.add(
                    "Q21",
                    column.span,
                    "a target mixes no columns with aggregations",
                    "move conditions on columns to WHERE",
                )
        return len(columns) == len(found)

    def _filter(
        self, condition: Expression, clause: Literal["WHERE", "ASSUMING"], static: bool
    ) -> BoundCondition | None:
        if static:
            for operand in _written(condition):
                if isinstance(operand, Aggregation) or clause == "ASSUMING":
                    self.marks.add(
                        "Q25",
                        operand.span,
                        "a static target takes static conditions only",
                        "filter on columns, or predict an aggregation",
                    )
            if clause == "ASSUMING":
                return None
        elif clause == "ASSUMING":
            for operand in _written(condition):
                if isinstance(operand, WrittenColumn):
                    self.marks.add(
                        "Q24",
                        operand.span,
                        "ASSUMING needs an aggregation after the seed time",
                        "move conditions on columns to WHERE",
                    )
        return self._expression(condition, clause, clause)

    def _expression(
        self, part: Expression, clause: Clause, needs_test: str | None, owner: Table | None = None
    ) -> BoundCondition | None:
        """Bind a condition.

        Args:
            part: The condition.
            clause: Where it stands.
            needs_test: What it is part of, if only a test will do.
            owner: For the WHERE inside an aggregation, the aggregated table.
        """
        if isinstance(part, Negation):
            inner = self._expression(part.part, clause, "NOT", owner)
            return None if inner is None else Negated(part=inner)
        if isinstance(part, Combination):
            bound = [self._expression(p, clause, part.operator, owner) for p in part.parts]
            parts = tuple(p for p in bound if p is not None)
            return Combined(operator=part.operator, parts=parts) if len(parts) == len(bound) else None
        return self._test(part, clause, needs_test, owner)

    def _test(self, test: Test, clause: Clause, needs_test: str | None, owner: Table | None) -> BoundTest | None:
        operand: BoundAggregation | BoundColumn | None
        if isinstance(test.operand, WrittenColumn):
            operand = self._column(test, test.operand, clause, owner)
        elif owner is not None:
            self.marks.add(
                "Q23",
                test.operand.span,
                "an aggregation cannot stand inside another",
                "move it to the outer WHERE",
            )
            return None
        else:
            operand = self._aggregation(test.operand, clause)
        if operand is None:
            return None
        family = family_of(operand)
        if test.operator == "bare":
            if needs_test is not None and family is not Family.BOOLEAN:
                self._no_test(operand, needs_test, family)
                return None
        elif not check_values(test, operand, family, self.marks):
            return None
        return BoundTest(
            operator=test.operator, operand=operand, values=test.values, negated=test.negated, span=test.span
        )

    def _no_test(self, operand: BoundAggregation | BoundColumn, place: str, family: Family) -> None:
        what = {Family.NUMBER: "a number", Family.LIST: "a list", Family.TIME: "a time"}.get(family, "a value")
        name = f"'{operand.column.name}'" if isinstance(operand, BoundColumn) else str(operand.function)
        side = " on each side" if place in ("AND", "OR") else ""
        hint = {Family.LIST: "add CONTAINS and a value", Family.NUMBER: "add a comparison, e.g. > 0"}
        message = f"{place} needs a test{side}; {name} gives {what}"
        self.marks.add("Q21", operand.span, message, hint.get(family, "add a comparison, e.g. = 'x'"))

    def _column(self, test: Test, written: WrittenColumn, clause: Clause, owner: Table | None) -> BoundColumn | None:
        of = owner if owner is not None else self.entity
        if of is None:
            return None
        source = self.marks.source(test.span)
        table, column = self.marks.source(written.table.span), self.marks.source(written.span)
        hint = f"EXISTS({table}.* WHERE {source}, -30, 0, days)"
        if owner is not None:
            hint = "aggregate it in the outer WHERE"
        elif clause == "target":
            hint = f"LAST({column}, 0, 30, days)"
        bound = self.names.parent_column(of, written, many_hint=hint)
        if bound is not None and clause == "target" and owner is None and bound.path:
            message = f"a static target is a column of '{of.name}', not of '{bound.table.name}'"
            self.marks.add("Q27", written.span, message, "derive the column in the source")
        return bound

    def _aggregation(self, written: Aggregation, clause: Clause) -> BoundAggregation | None:
        function = self._function(written)
        table = self.names.table(written.source.table)
        window = self._window(written, clause)
        if table is None:
            return None
        where = None
        if written.where is not None:
            where = self._expression(written.where, clause, "WHERE", table)
        column = self._argument(written, table, function)
        path = None if self.entity is None else self.names.path_to_entity(table, self.entity, written)
        if path is not None and table.time_column is None:
            self._no_time(table, written.source.table.span)
            path = None
        is_whole = column is not None or written.source.column is None
        if function is None or window is None or path is None or not is_whole:
            return None
        if written.where is not None and where is None:
            return None
        return BoundAggregation(
            function=function,
            table=table,
            column=column,
            kind=None if column is None else kind_of(table, column),
            path=path[0],
            alternatives=path[1],
            where=where,
            window=window,
            span=written.span,
        )

    def _function(self, written: Aggregation) -> Function | None:
        from foreknow.errors import near_match

        name = written.function.text.upper()
        if name in Function.__members__:
            return Function[name]
        match = near_match(name, Function)
        listed = "Functions: " + ", ".join(sorted(Function))
        hint = f"did you mean {match}? {listed}" if match else listed
        self.marks.add("Q05", written.function.span, f"unknown function '{written.function.text}'", hint)
        return None

    def _window(self, written: Aggregation, clause: Clause) -> BoundWindow | None:
        if written.window is None:
            hint = "add start, end and unit, e.g. " + ("-30, 0, days" if clause == "WHERE" else "0, 30, days")
            self.marks.add("Q10", written.span, f"{written.function.text.upper()} needs a window", hint)
            return None
        return bind_window(written.window, clause, self.marks)

    def _argument(self, written: Aggregation, table: Table, function: Function | None) -> Column | None:
        """The aggregated column, if there is one and the function takes it."""
        name = written.source.column
        column = None if name is None else self.names.column(table, name)
        if function is None or (name is not None and column is None):
            return column
        accepted = _ACCEPTS.get(function)
        if column is None:
            if accepted is not None or function is Function.COUNT_DISTINCT:
                what = f"a {accepted[0]} column" if accepted is not None else "a column"
                example = next((c.name for c in table.columns if accepted and kind_of(table, c) in accepted), "column")
                hint = f"name one: {function}({table.name}.{example}, ...)"
                self.marks.add("Q12", written.source.span, f"{function} needs {what}, not all of them", hint)
            return None
        kind = kind_of(table, column)
        if accepted is not None and kind not in accepted:
            others = [
                f for f in (Function.COUNT, Function.LAST, Function.LIST_DISTINCT) if kind in _ACCEPTS.get(f, Kind)
            ]
            hint = " or ".join(filter(None, [", ".join(others[:-1]), others[-1]]))
            verb = "accepts" if len(others) == 1 else "accept"
            needed = " or ".join(accepted) if len(accepted) < 3 else f"{', '.join(accepted[:-1])} or {accepted[-1]}"
            assert name is not None
            message = f"{function} needs a {needed} column; '{column.name}' is {_worded(kind)}"
            self.marks.add("Q12", name.span, message, f"{hint} {verb} it")
        return column

    def _no_time(self, table: Table, span: Span) -> None:
        parents = [self.schema[k.table] for k in table.foreign_keys if k.table in self.schema]
        timed = next((p for p in parents if p.time_column is not None), None)
        hint = f"give {table.name} a time column in the source and name it in the schema"
        if timed is not None:
            hint = f"its parent '{timed.name}' has '{timed.time_column}': {hint}"
        message = f"'{table.name}' has no time column, so rows cannot be placed in a window"
        self.marks.add("Q14", span, message, hint)


def _worded(kind: Kind) -> str:
    return {Kind.KEY: "a key", Kind.TIME: "a time", Kind.LIST: "a list"}.get(kind, str(kind))


def _written(part: Expression) -> list[Aggregation | WrittenColumn]:
    """The operands of a written condition, from left to right."""
    if isinstance(part, Test):
        return [part.operand]
    parts = part.parts if isinstance(part, Combination) else (part.part,)
    return [o for p in parts for o in _written(p)]


def _static_filters(where: BoundCondition | None) -> tuple[Finding, ...]:
    """A warning for each column that a filter reads as it is today."""
    found = {
        (o.table.name, o.column.name): Finding(
            name="static-filter",
            severity="warning",
            table=o.table.name,
            column=o.column.name,
            message="the filter reads it as stored today, not as of each seed time",
            hint="harmless if it never changes; else filter on rows with a time, in a window",
        )
        for o in operands(where)
        if isinstance(o, BoundColumn) and o.kind not in (Kind.KEY, Kind.TIME)
    }
    return tuple(found.values())
