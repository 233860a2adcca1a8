"""Find sets of columns that tell the rows of a table apart, where no single column does.

Sets are tried from small to large among the columns that look like parts of a key; a few rows rule most of them
out, and only the others are counted exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

from foreknow.schema.evidence import Proposal, Ranking, Reason, ranked
from foreknow.schema.keys import SMALL_TABLE, is_row_number, is_year
from foreknow.schema.name import CALENDAR, CODE, LABEL, ORDINAL, QUANTITY, YEAR, stem, words
from foreknow.schema.profile import NEARLY_UNIQUE, ColumnProfile, TableProfile
from foreknow.schema.shape import DATES
from foreknow.schema.survey import Survey, such_as

__all__ = ["find_composite_keys"]

MAX_UNITS = 8  # columns (year, month and day counting as one) a composite key is sought among
MAX_PARTS = 5  # of them in one key
LEADING = 8  # columns from the left that may be part of a composite key by their place
LARGE_TABLE = 300_000  # rows from which only a few sets are counted exactly
MAX_SETS, MAX_SETS_LARGE = 60, 8
HEADS = (2_000, 50_000)  # first rows that rule sets out
NEARLY_KEY = 0.9  # share of rows a column tells apart from which it is no part of a key: it is nearly one itself
FEW_REPEATS = 0.9997  # share of rows a set must tell apart to be proposed though it is not unique


def find_composite_keys(s: Survey) -> None:
    """Rank sets of columns as keys of the tables that have none, once their links are known."""
    for t in s.profiles.values():
        if s.primary[t.name] or t.num_rows < 2:
            continue
        ranking = s.keys[t.name]
        proposals = ranked([*ranking.proposals, *_composites(s, t)])
        ranking = Ranking(subject="key", table=t.name, proposals=proposals[:5])
        s.keys[t.name] = ranking
        best = ranking.best
        if best is None or not isinstance(best.value, tuple):
            continue
        s.primary[t.name] = best.value
        unique = next(r for r in best.reasons if r.kind == "unique")
        if unique.weight < 2.0 and t.num_rows >= SMALL_TABLE and len(best.value) > 1:
            message = f"({', '.join(best.value)}) looks like the key of '{t.name}', but is {unique.text}"
            hint = "the first row of each value is used; mend the others if they matter"
            s.warn("duplicate-key", t, message, "+".join(best.value), hint=hint)


def _composites(s: Survey, t: TableProfile) -> list[Proposal]:
    """Sets without a time of day first: events of one moment are told apart by what they are about."""
    units = _units(s, t)
    plain = [u for u in units if t[u[0]].kind != "time"]
    found = _smallest(s, t, plain)
    if len(units) > len(plain) and not any(n == t.num_rows for _, n in found):
        found += _smallest(s, t, units)
    exact = [set(c) for c, n in found if n == t.num_rows]
    linked = {k.columns[0] for k in s.links[t.name] if len(k.columns) == 1}
    kept = [
        (columns, n)
        for columns, n in dict.fromkeys(found)
        # Rows that link two tables, a few times the same one twice, are told apart by both.
        if n == t.num_rows or not any(set(columns) < e and e - set(columns) <= linked for e in exact)
    ]
    nearly = [(set(columns), t.num_rows - n) for columns, n in kept if n < t.num_rows]
    proposals = []
    for columns, n in kept:
        p = _composite(s, t, columns, n)
        for fewer, repeated in nearly:
            if n == t.num_rows and fewer < set(columns):
                text = f"more columns than all but {repeated} row{'s' if repeated > 1 else ''} need"
                p = Proposal(value=columns, reasons=(*p.reasons, Reason(kind="unique", text=text, weight=-2.0)))
                break
        proposals.append(p)
    return proposals


def _smallest(s: Survey, t: TableProfile, units: list[tuple[str, ...]]) -> list[tuple[tuple[str, ...], int]]:
    """The smallest sets that are unique, with smaller ones that are but for a few rows; and rows they tell apart."""
    limit = MAX_SETS if t.num_rows <= LARGE_TABLE else MAX_SETS_LARGE
    nearly: list[tuple[tuple[str, ...], int]] = []
    for size in range(2, min(MAX_PARTS, len(units)) + 1):
        sets = [_columns(t, chosen) for chosen in combinations(units, size) if _can_be_unique(t, chosen)]
        for head in sorted({min(n, t.num_rows) for n in (*HEADS, t.num_rows)}):
            counts = s.measures.num_distinct(t.name, sets, head=head) if sets else []
            left = [(c, n) for c, n in zip(sets, counts, strict=True) if n >= NEARLY_UNIQUE * head][:limit]
            sets = [c for c, _ in left]
        unique = [(_with_year(t, c), n) for c, n in left if n == t.num_rows]
        nearly += [(_with_year(t, c), n) for c, n in left if FEW_REPEATS * t.num_rows <= n < t.num_rows]
        if unique:
            return [*nearly[:2], *unique[:5]]
    return nearly[:3]


def _with_year(t: TableProfile, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Add a year that is the same in all rows: other years may come."""
    if any(is_year(t[c]) or t[c].kind == "time" for c in columns):
        return columns
    constant = {c.name for c in t.columns if is_year(c) and c.num_distinct == 1 and not c.num_null}
    return tuple(c.name for c in t.columns if c.name in {*columns, *constant})


def _units(s: Survey, t: TableProfile) -> list[tuple[str, ...]]:
    """Columns a composite key may be made of, from the left; the pieces of a date are one."""
    linked = {k.columns[0] for k in s.links[t.name] if len(k.columns) == 1}
    pieces = _date_pieces(t)
    units: list[tuple[str, ...]] = []
    for i, c in enumerate(t.columns):
        if (
            c.num_null
            or c.num_distinct >= NEARLY_KEY * t.num_rows
            or (c.num_distinct < 2 and c.name not in pieces)
            or is_row_number(t, c)
        ):
            continue
        if c.name in pieces:
            if c.name == pieces[0]:
                units.append(pieces)
            continue
        if c.name in linked or _may_be_part(c, i) or "".join(words(c.name)) == s.entities[t.name].whole:
            units.append((c.name,))
    order = [c.name for c in t.columns]
    preferred = sorted(units, key=lambda u: (not (u[0] in linked or len(u) > 1), order.index(u[0])))[:MAX_UNITS]
    return [u for u in units if u in preferred]


def _date_pieces(t: TableProfile) -> tuple[str, ...]:
    """Columns year, month and day, or year and month, if the table has them, all without gaps."""
    by_words = {words(c.name): c.name for c in t.columns if c.kind == "integer" and not c.num_null}
    for year in (c for c in t.columns if c.kind == "integer" and not c.num_null and YEAR & set(words(c.name))):
        wanted = [tuple(unit if w in YEAR else w for w in words(year.name)) for unit in ("month", "day")]
        found = [by_words[w] for w in wanted if w in by_words]
        if found:
            return (year.name, *found)
    return ()


def _may_be_part(c: ColumnProfile, position: int) -> bool:
    parts = words(c.name)
    if c.kind == "time":
        return True
    if c.kind == "integer":
        if is_year(c) or (parts and parts[-1] in CODE) or ORDINAL & set(parts) or CALENDAR & set(parts):
            return True
        return position < 3 and not QUANTITY & set(parts)
    is_date = sum(c.looks(d.name) for d in DATES) > 0.5
    short = c.kind == "text" and not is_date and not c.mean_words > 1.6 and not c.mean_length > 40
    return short and (position < LEADING or bool(parts and parts[-1] in LABEL))


def _can_be_unique(t: TableProfile, chosen: Sequence[tuple[str, ...]]) -> bool:
    return math.prod(t[c].num_distinct for unit in chosen for c in unit) >= 0.95 * t.num_rows


def _columns(t: TableProfile, chosen: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    members = {c for unit in chosen for c in unit}
    return tuple(c.name for c in t.columns if c.name in members)


def _composite(s: Survey, t: TableProfile, columns: tuple[str, ...], num_distinct: int) -> Proposal:
    reasons = [Reason(kind="prior", text="few sets of columns are keys", weight=-2.5)]
    if num_distinct == t.num_rows:
        weight = 2.5 if t.num_rows >= SMALL_TABLE else 1.5
        text = f"unique together in all {t.num_rows:,} rows, and no fewer columns are"
    else:
        weight = 1.5
        examples = s.measures.repeated(t.name, columns)
        text = f"{num_distinct / t.num_rows:.2%} unique: {t.num_rows - num_distinct:,} repeated{such_as(examples)}"
    reasons.append(Reason(kind="unique", text=text, weight=weight))
    if t.num_rows >= SMALL_TABLE:
        reasons.append(_surprise(t, columns))
    if all(_is_key_like(s, t, t[c]) for c in columns):
        reasons.append(Reason(kind="name", text="ids, dates and ordinals", weight=1.5))
    else:
        reasons.append(Reason(kind="name", text="not all are named like parts of a key", weight=-0.7))
    if any(s.entities[t.name].fit(stem(c)) > 1 for c in columns):
        reasons.append(Reason(kind="name", text="names the table's rows", weight=0.8))
    order = [c.name for c in t.columns]
    places = sorted(order.index(c) for c in columns)
    if places[-1] < len(columns) + 2:
        reasons.append(Reason(kind="order", text="among the first columns", weight=1.0 if places[0] == 0 else 0.7))
    reasons.append(Reason(kind="order", text="the further left, the likelier", weight=-0.02 * sum(places)))
    if any(t[c].kind == "time" for c in columns):
        reasons.append(Reason(kind="shape", text="a time, which may repeat any day", weight=-2.0))
    linked = {k.columns[0] for k in s.links[t.name] if len(k.columns) == 1}
    if set(columns) <= linked and any(c.kind == "time" for c in t.columns):
        reasons.append(Reason(kind="values", text="the rows have times: the same may happen again", weight=-2.5))
    extra = max(len(columns) - 3 - (2 if _date_pieces(t) and set(_date_pieces(t)) <= set(columns) else 0), 0)
    if extra:
        reasons.append(Reason(kind="shape", text=f"{len(columns)} columns are many", weight=-0.5 * extra))
    return Proposal(value=columns, reasons=tuple(reasons))


def _surprise(t: TableProfile, columns: tuple[str, ...]) -> Reason:
    """How many rows would share their values if columns were independent: the more, the less unique by chance."""
    space = math.prod(float(max(t[c].num_distinct, 1)) for c in columns)
    expected = float(t.num_rows) ** 2 / 2 / space
    weight = max(min(math.log10(max(expected, 1e-9)) - 1.0, 1.5), -2.5)
    if expected >= 10:
        text = f"not by chance: {expected:,.0f} pairs of rows would share values drawn at random"
    else:
        text = "may be by chance: so many values rarely meet even if drawn at random"
    return Reason(kind="values", text=text, weight=weight)


def _is_key_like(s: Survey, t: TableProfile, c: ColumnProfile) -> bool:
    parts = set(words(c.name))
    linked = {name for k in s.links[t.name] for name in k.columns}
    named = (
        "".join(words(c.name)) == s.entities[t.name].whole
        or bool(stem(c.name))
        or is_year(c)
        or bool((CALENDAR | ORDINAL) & parts)
        or c.kind == "time"
    )
    return c.name in linked or named
