"""From text to syntax tree. What can't be read ends in a `QueryError` that says where and what to write."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn, cast

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args
from lark.tree import Meta

from foreknow.errors import Mark, QueryError
from foreknow.task.query.syntax import (
    Aggregation,
    Bound,
    Column,
    Combination,
    Entity,
    Expression,
    Forecast,
    Moment,
    Name,
    Negation,
    Operand,
    Output,
    Query,
    Source,
    Span,
    Step,
    Test,
    Value,
    Window,
)

__all__ = ["parse", "read_moment"]

MAX_LENGTH = 20_000  # characters
MAX_DEPTH = 50  # brackets and NOTs in each other

_NOWHERE = Span(0, 0)
_BARE_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")


def parse(text: str) -> Query:
    """Read a predictive query.

    Args:
        text: The query; comments and line breaks are fine.

    Raises:
        QueryError: It is no query. Q01: FOR EACH is missing. Q02: text in double quotes. Q00: anything else.
    """
    if len(text) > MAX_LENGTH:
        _fail(text, "Q00", f"the query has {len(text):,} characters, at most {MAX_LENGTH:,} are read", "shorten it", 0)
    _check_depth(text)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as e:
        _explain(text, e)
    (query,) = _Builder(text).transform(tree).children
    return cast(Query, query)


def read_moment(text: str) -> dt.datetime | None:
    """A moment written as ``2024-01-01``, with time of day and offset if need be; UTC. None if it is none."""
    if not _BARE_MOMENT.fullmatch(text.strip()):
        return None
    try:
        moment = dt.datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


@cache
def _parser() -> Lark:
    grammar = files("foreknow.task.query").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", propagate_positions=True)


def _check_depth(text: str) -> None:
    """Refuse what would nest too deeply to be walked through."""
    depth, nots = 0, 0
    for token in re.finditer(r"'[^']*'|\"[^\"]*\"|--[^\n]*|[()]|\w+|[^\s\w]", text):
        part = token.group()
        depth += (part == "(") - (part == ")")
        nots = nots + 1 if part.upper() == "NOT" else (nots if part == "(" else 0)
        if depth + nots > MAX_DEPTH:
            _fail(text, "Q00", f"more than {MAX_DEPTH} brackets or NOTs stand in each other", "simplify", token.start())


def _fail(text: str, code: str, message: str, hint: str, start: int, end: int | None = None) -> NoReturn:
    end = start + 1 if end is None else end
    raise QueryError.at(text, [Mark(code=code, message=message, hint=hint, start=start, end=end)])


def _explain(text: str, error: UnexpectedInput) -> NoReturn:
    """Say what was expected where the parser stopped."""
    if isinstance(error, UnexpectedCharacters):
        start = error.pos_in_stream or 0
        part = text[start : start + 1]
        if part in "'\"":
            _fail(text, "Q00", "a quote is opened but not closed", f"close it with {part}", start, len(text))
        _fail(text, "Q00", f"{part!r} has no meaning here", _expected(set(error.allowed or ())), start)
    assert isinstance(error, UnexpectedToken)
    token, accepts = error.token, set(error.accepts or error.expected)
    at_end = token.type == "$END"
    start = len(text.rstrip().rstrip(";").rstrip()) if at_end else cast(int, token.start_pos)
    end = start + 1 if at_end else cast(int, token.end_pos)
    if token.type == "QUOTED" and "STRING" in accepts:
        plain = str(token)[1:-1].replace('""', '"').replace("'", "''")
        hint = f"write '{plain}'; double quotes name a table or column"
        _fail(text, "Q02", "a text value needs single quotes", hint, start, end)
    shown = "the end" if at_end else (str(token).upper() if _is_word(token) else f"'{token}'")
    if "_FOR" in accepts and not any(t == "_FOR" for t in _words_after(text, start)):
        _fail(text, "Q01", f"expected FOR EACH before {shown}", "add `FOR EACH <table>.<primary key>`", start, end)
    _fail(text, "Q00", f"{shown} can't stand here", _expected(accepts), start, end)


def _is_word(token: Token) -> bool:
    """Whether a token is a word of the language."""
    return token.type.lstrip("_") == str(token).upper()


def _words_after(text: str, start: int) -> list[str]:
    """Which FORs follow a place, as terminals."""
    return ["_FOR" for _ in re.finditer(r"\bFOR\b", text[start:], re.IGNORECASE)]


_SHOWN = {
    "NAME": "a name",
    "QUOTED": "",
    "FUNC": "a function",
    "NUMBER": "a number",
    "STRING": "a text in single quotes",
    "MOMENT": "a date",
    "_DATE": "",
    "_TIMESTAMP": "",
    "TRUE": "",
    "FALSE": "",
    "NULL": "NULL",
    "INF": "-INF",
    "CMP": "a comparison",
    "EQ": "=",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": "a comma",
    "DOT": "a dot",
    "STAR": "*",
    "SEMICOLON": "",
    "$END": "the end",
}


def _expected(terminals: set[str]) -> str:
    words = sorted({_SHOWN.get(t, t.lstrip("_")) for t in terminals} - {""})
    if not words:
        return "a query reads: PREDICT ... FOR EACH <table>.<primary key>"
    return f"expected {words[0]}" if len(words) == 1 else f"expected one of: {', '.join(words)}"


def _span(node: Meta | Token) -> Span:
    return Span(cast(int, node.start_pos), cast(int, node.end_pos))


@v_args(inline=True, meta=True)
class _Builder(Transformer[Token, Any]):
    """Turns lark's tree into ours, from the leaves up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def query(self, _: Meta, target: Expression, *parts: Any) -> Query:
        found: dict[str, Any] = {
            "forecast": None,
            "output": None,
            "where": None,
            "where_at": _NOWHERE,
            "assuming": None,
            "assuming_at": _NOWHERE,
            "every": None,
            "as_of": None,
        }
        for part in parts:
            found |= part
        return Query(text=self._text, target=target, **found)

    def forecast(self, meta: Meta, number: Token) -> dict[str, Any]:
        return {"forecast": Forecast(number=_bound(number), span=_span(meta))}

    def classify(self, meta: Meta) -> dict[str, Any]:
        return {"output": Output(kind="CLASSIFY", top=None, among="ALL", span=_span(meta))}

    def rank(self, meta: Meta, top: Token, among: Token | None = None) -> dict[str, Any]:
        which: Any = "ALL" if among is None else str(among).upper()
        return {"output": Output(kind="RANK", top=_bound(top), among=which, span=_span(meta))}

    def entity(self, meta: Meta, *parts: Any) -> dict[str, Any]:
        each = any(isinstance(p, Token) and p.type == "EACH" for p in parts)
        column = next(p for p in parts if isinstance(p, Column))
        rest = parts[parts.index(column) + 1 :]
        ids: tuple[Value, ...] | None = None
        ids_span = column.span
        if rest:
            last = rest[-1]
            ids, ids_span = last if isinstance(last, tuple) else ((last,), last.span)
        return {"entity": Entity(each=each, column=column, ids=ids, ids_span=ids_span, span=_span(meta))}

    def where(self, _: Meta, word: Token, condition: Expression) -> dict[str, Any]:
        return {"where": condition, "where_at": _span(word)}

    def assuming(self, _: Meta, word: Token, condition: Expression) -> dict[str, Any]:
        return {"assuming": condition, "assuming_at": _span(word)}

    def every(self, _: Meta, number: Token, unit: Token) -> dict[str, Any]:
        span = Span(_span(number).start, _span(unit).end)
        return {"every": Step(number=_bound(number), unit=_name(unit), span=span)}

    def as_of(self, _: Meta, value: Token | Value) -> dict[str, Any]:
        return {"as_of": self._text_value(value) if isinstance(value, Token) else value}

    def expr(self, meta: Meta, *parts: Expression) -> Expression:
        return Combination(operator="OR", parts=parts, span=_span(meta))

    def conj(self, meta: Meta, *parts: Expression) -> Expression:
        return Combination(operator="AND", parts=parts, span=_span(meta))

    def negation(self, meta: Meta, _: Token, part: Expression) -> Expression:
        return Negation(part=part, span=_span(meta))

    def group(self, _: Meta, inner: Expression) -> Expression:
        return inner

    def bare(self, meta: Meta, operand: Operand) -> Test:
        return Test(operator="bare", operand=operand, values=(), negated=False, span=_span(meta))

    def compare(self, meta: Meta, operand: Operand, sign: Token, value: Value) -> Test:
        operator: Any = "!=" if sign == "<>" else str(sign)
        return Test(operator=operator, operand=operand, values=(value,), negated=False, span=_span(meta))

    def is_null(self, meta: Meta, operand: Operand, *nots: Token) -> Test:
        return Test(operator="is null", operand=operand, values=(), negated=bool(nots), span=_span(meta))

    def is_in(self, meta: Meta, operand: Operand, *parts: Any) -> Test:
        values, _ = parts[-1]
        return Test(operator="in", operand=operand, values=values, negated=len(parts) > 1, span=_span(meta))

    def between(self, meta: Meta, operand: Operand, *parts: Any) -> Test:
        return Test(operator="between", operand=operand, values=parts[-2:], negated=len(parts) > 2, span=_span(meta))

    def like(self, meta: Meta, operand: Operand, *parts: Any) -> Test:
        return Test(operator="like", operand=operand, values=parts[-1:], negated=len(parts) > 1, span=_span(meta))

    def affix(self, meta: Meta, operand: Operand, *parts: Any) -> Test:
        operator: Any = "starts with" if parts[-2].type == "STARTS" else "ends with"
        return Test(operator=operator, operand=operand, values=parts[-1:], negated=len(parts) > 2, span=_span(meta))

    def contains(self, meta: Meta, operand: Operand, *parts: Any) -> Test:
        return Test(operator="contains", operand=operand, values=parts[-1:], negated=len(parts) > 1, span=_span(meta))

    def aggregation(self, meta: Meta, function: Token, source: Source, *parts: Any) -> Aggregation:
        via: tuple[Column, ...] = next((p for p in parts if isinstance(p, tuple)), ())
        where = next((p["where"] for p in parts if isinstance(p, dict)), None)
        window = next((p for p in parts if isinstance(p, Window)), None)
        return Aggregation(
            function=_name(function), source=source, via=via, where=where, window=window, span=_span(meta)
        )

    def source(self, meta: Meta, first: Name | Column, *_: Token) -> Source:
        if isinstance(first, Column):
            return Source(table=first.table, column=first.column, span=_span(meta))
        return Source(table=first, column=None, span=_span(meta))

    def via(self, _: Meta, *columns: Column) -> tuple[Column, ...]:
        return columns

    def window(self, meta: Meta, start: Bound, end: Bound, unit: Token | None = None) -> Window:
        return Window(start=start, end=end, unit=None if unit is None else _name(unit), span=_span(meta))

    def bound(self, _: Meta, token: Token) -> Bound:
        return _bound(token)

    def column(self, meta: Meta, table: Name, column: Name) -> Column:
        return Column(table=table, column=column, span=_span(meta))

    def name(self, _: Meta, token: Token) -> Name:
        return _name(token)

    def list(self, meta: Meta, *values: Value) -> tuple[tuple[Value, ...], Span]:
        return values, _span(meta)

    def string(self, _: Meta, token: Token) -> Value:
        return self._text_value(token)

    def plain(self, _: Meta, token: Token) -> Value:
        if token.type == "STRING":
            return self._text_value(token)
        if token.type == "NUMBER":
            return Value(kind="number", value=str(token), span=_span(token))
        if token.type == "NULL":
            return Value(kind="null", value=None, span=_span(token))
        return Value(kind="boolean", value=token.type == "TRUE", span=_span(token))

    def moment(self, meta: Meta, token: Token) -> Value:
        text = _unquote(token) if token.type == "STRING" else str(token)
        return Value(kind="moment", value=Moment(time=read_moment(text), text=text), span=_span(meta))

    def _text_value(self, token: Token) -> Value:
        return Value(kind="text", value=_unquote(token), span=_span(token))


def _bound(token: Token) -> Bound:
    return Bound(text=str(token), span=_span(token))


def _name(token: Token) -> Name:
    is_quoted = token.type == "QUOTED"
    return Name(text=_unquote(token) if is_quoted else str(token), quoted=is_quoted, span=_span(token))


def _unquote(token: Sequence[str]) -> str:
    text = str(token)
    return text[1:-1].replace(text[0] * 2, text[0])
