"""Find when rows became known: a timestamp, or a time that has to be put together from pieces, numbers or texts.

The times of Foreknow say from when on a row may be seen. So a derived time is the *end* of the period it names: of a
day, the midnight after it; of a year, its 31 December. A timestamp that says something else (a birthday, an end,
the last change) is not proposed.
"""

from __future__ import annotations

import math
from dataclasses import replace

from foreknow.schema.evidence import Proposal, Ranking, Reason, TimeColumn, ranked
from foreknow.schema.keys import is_year
from foreknow.schema.name import CALENDAR, YEAR, is_later, sql_name, time_score, words
from foreknow.schema.profile import ColumnProfile, TableProfile
from foreknow.schema.shape import date_sql
from foreknow.schema.survey import Survey

__all__ = ["DERIVED", "find_times"]

DERIVED = "known_at"  # name of a derived time column
TIME_NULLS = 0.5  # share of rows that may lack a time, if the column is named like one
FEW_NULLS = 0.01  # the same, if it is not
IN_ORDER = 0.98  # share of rows in the order of a time from which rows were written as time went
HOUR_S = 3600
_OUTCOMES = frozenset(("arr", "arrival", "delay", "duration", "elapsed", "returned"))
_EPOCHS = ((1, "seconds", "to_timestamp({0})"), (1000, "milliseconds", "make_timestamp_ms({0})"))
_EPOCH_RANGE = (946_684_800, 2_208_988_800)  # 2000 to 2039, Unix seconds


def find_times(s: Survey) -> None:
    """Rank the time columns of every table."""
    for t in s.profiles.values():
        keys = {k[0] for k in (s.primary[t.name], *s.candidates[t.name]) if len(k) == 1}
        keys |= {k.columns[0] for k in s.links[t.name] if len(k.columns) == 1}
        stored = _stored(s, t, keys)
        derived = [] if _is_plain_entity(s, t) else [*_pieces(t), *_numbers(t, keys)]
        proposals = ranked(_checked(s, t, p) for p in [*stored, *_texts(t, keys), *derived])
        s.times[t.name] = Ranking(subject="time", table=t.name, proposals=proposals)
        _tell(s, t, proposals)


def _is_plain_entity(s: Survey, t: TableProfile) -> bool:
    """Whether a table has a key of one column and links nowhere: years in it are properties (a year built)."""
    return not s.links[t.name] and len(s.primary[t.name]) == 1


# Stored timestamps


def _stored(s: Survey, t: TableProfile, keys: set[str]) -> list[Proposal]:
    times = [c for c in t.columns if c.kind == "time" and c.name not in keys]
    if t.num_rows:  # if all rows have the same, it tells no rows apart
        times = [c for c in times if c.num_null < t.num_rows and (c.num_distinct > 1 or t.num_rows == 1)]
    fitting = [c for c in times if not is_later(c.name)]
    usable = [c for c in fitting if c.num_null <= t.num_rows * (TIME_NULLS if time_score(c.name) else FEW_NULLS)]
    for c in fitting if not usable else ():
        message = f"could be the time column, but {c.num_null:,} of {t.num_rows:,} rows have none"
        hint = f"set time: {c.name} if rows without a time may stay invisible"
        s.note("time-column-nulls", t, message, c.name, count=c.num_null, hint=hint)
    proposals = {c.name: _stamp(t, c, alone=len(usable) == 1) for c in times}
    for c in times:
        begun = [b for b in times if "first" in words(b.name) and _ends_what(b.name) == words(c.name)]
        if begun and not c.num_null:  # a row with the first and the last moment sums up what lies between
            reasons = [r for r in proposals[begun[0].name].reasons if r.kind != "name"]
            text = f"a row sums up what began at {begun[0].name}, and is complete only now"
            weight = max((r.weight for r in proposals[begun[0].name].reasons if r.kind == "name"), default=0.0)
            reasons.append(Reason(kind="name", text=text, weight=max(weight, 2.0) + 1.0))
            proposals[c.name] = Proposal(value=TimeColumn(column=c.name, dtype=c.dtype), reasons=tuple(reasons))
    return list(proposals.values())


def _ends_what(name: str) -> tuple[str, ...]:
    return tuple("last" if w == "first" else w for w in words(name))


def _stamp(t: TableProfile, c: ColumnProfile, *, alone: bool) -> Proposal:
    reasons = [Reason(kind="prior", text="many timestamps say something else", weight=-1.0)]
    reasons.append(Reason(kind="shape", text=f"stored as {c.dtype}", weight=1.2))
    if is_later(c.name):
        reasons.append(Reason(kind="name", text="named like something that is settled later or earlier", weight=-5.0))
    elif score := time_score(c.name):
        reasons.append(Reason(kind="name", text="named like the time a row became known", weight=1.0 + score))
    elif alone:
        reasons.append(Reason(kind="name", text="the only timestamp that can say when a row became known", weight=0.8))
    nulls = c.num_null / t.num_rows if t.num_rows else 0.0
    if nulls > FEW_NULLS:
        weight = -1.0 if nulls <= TIME_NULLS and time_score(c.name) else -4.0
        reasons.append(Reason(kind="values", text=f"{c.num_null:,} of {t.num_rows:,} rows have none", weight=weight))
    if c.rising >= IN_ORDER and c.num_distinct > 2:
        reasons.append(Reason(kind="order", text=f"{c.rising:.1%} of the rows are in its order", weight=1.0))
    return Proposal(value=TimeColumn(column=c.name, dtype=c.dtype), reasons=tuple(reasons))


# Times in pieces


def _pieces(t: TableProfile) -> list[Proposal]:
    """Year, month, day and hour in columns of their own, with the SQL that joins them."""
    for c in t.columns:
        if not is_year(c) or is_later(c.name) or c.num_null > FEW_NULLS * t.num_rows:
            continue
        found = {"year": c.name}
        for unit in ("month", "day", "hour", "minute"):
            wanted = tuple(unit if w in YEAR else w for w in words(c.name))
            column = next((p for p in t.columns if words(p.name) == wanted and p.is_whole), None)
            if column is None:
                break
            found[unit] = column.name
        return [_joined(t, found, depth) for depth in _depths(found)]
    return []


def _depths(found: dict[str, str]) -> list[int]:
    """How many of the pieces to use: a day and a time of day are both worth proposing."""
    return [n for n in (3, len(found)) if n <= len(found)] if len(found) > 3 else [len(found)]


def _joined(t: TableProfile, found: dict[str, str], depth: int) -> Proposal:
    names = list(found.values())[:depth]
    y, m, d, hour, minute = [*map(sql_name, names), *[""] * (5 - depth)]
    day = f"make_date({y}, {m}, {d})"
    sql, dtype, end, weight = {
        1: (f"make_date({y}, 12, 31)", "DATE", "the 31st of December of its year", 1.6),
        2: (f"make_date({y}, {m}, 1) + INTERVAL 1 MONTH", "TIMESTAMP", "the end of its month", 2.2),
        3: (f"{day} + INTERVAL 1 DAY", "TIMESTAMP", "the end of its day", 3.2),
        4: (f"{day} + to_hours({hour})", "TIMESTAMP", "its hour", 3.6),
        5: (f"{day} + to_hours({hour}) + to_minutes({minute})", "TIMESTAMP", "its minute", 3.6),
    }[depth]
    reasons = [
        Reason(kind="prior", text="dates in pieces may say something else", weight=-1.0),
        Reason(
            kind="name",
            text=f"{', '.join(names)} {'make' if depth > 1 else 'makes'} a time: a row is known at {end}",
            weight=weight,
        ),
    ]
    if depth == 1:
        reasons.append(Reason(kind="values", text="a year alone doesn't say when in it a row is known", weight=-0.3))
    for name in names[3:]:
        c = t[name]
        if c.num_null:
            text = f"{name} is missing in {c.num_null:,} of {t.num_rows:,} rows, which would never be seen"
            reasons.append(Reason(kind="values", text=text, weight=-2.0))
    if depth > 3 and any(_OUTCOMES & set(words(c.name)) for c in t.columns):
        text = "other columns seem to hold what happened after that moment"
        reasons.append(Reason(kind="values", text=text, weight=-1.0))
    value = TimeColumn(column=_free(t), sql=sql, dtype=dtype, pieces=tuple(names))
    return Proposal(value=value, reasons=tuple(reasons))


def _free(t: TableProfile) -> str:
    """A name for a derived column that no column has."""
    taken = {c.name.lower() for c in t.columns}
    return next(n for n in (DERIVED, *(f"{DERIVED}_{i}" for i in range(2, 1000))) if n not in taken)


def _checked(s: Survey, t: TableProfile, p: Proposal) -> Proposal:
    """The same proposal, with the rows whose pieces make no time counted, and without an error for them."""
    value = p.value
    if not isinstance(value, TimeColumn) or value.sql is None or not t.num_rows:
        return p
    missing = s.measures.num_missing(t.name, f"TRY({value.sql})")
    if missing <= max(t[c].num_null for c in value.pieces):
        return p
    share = missing / t.num_rows
    text = f"{missing:,} of {t.num_rows:,} rows make no time this way, and would never be seen"
    reason = Reason(kind="values", text=text, weight=-0.3 if share <= FEW_NULLS else -1.5 if share <= 0.1 else -5.0)
    return Proposal(value=replace(value, sql=f"TRY({value.sql})"), reasons=(*p.reasons, reason))


# Times as numbers and texts


def _numbers(t: TableProfile, keys: set[str]) -> list[Proposal]:
    """Whole numbers that are Unix times, or dates like 20140131."""
    found = []
    for c in t.columns:
        if c.kind != "integer" or c.name in keys or c.minimum is None or c.maximum is None or c.num_distinct < 2:
            continue
        if is_later(c.name) or not time_score(c.name):
            continue
        low, high, quoted = int(c.minimum), int(c.maximum), sql_name(c.name)
        sql = next(
            (f for per_s, _, f in _EPOCHS if _EPOCH_RANGE[0] * per_s <= low and high <= _EPOCH_RANGE[1] * per_s), None
        )
        shape = "Unix time"
        if sql is None and all(_is_compact_date(v) for v in (c.minimum, c.maximum, *c.samples)):
            sql, shape = "try_strptime({0}::VARCHAR, '%Y%m%d') + INTERVAL 1 DAY", "dates like 20140131"
        if sql is None:
            continue
        sql = sql.format(quoted)
        sql = f"({sql})::TIMESTAMP" if sql.startswith("to_timestamp") else sql
        found.append(_converted(t, c, sql, f"whole numbers that are {shape}"))
    return found


def _is_compact_date(value: str) -> bool:
    return (
        len(value) == 8 and "1800" <= value[:4] <= "2200" and "01" <= value[4:6] <= "12" and "01" <= value[6:] <= "31"
    )


def _texts(t: TableProfile, keys: set[str]) -> list[Proposal]:
    """Texts that are dates, in one spelling or several."""
    found = []
    for c in t.columns:
        if c.kind != "text" or c.name in keys or c.num_distinct < 2 or is_later(c.name):
            continue
        read = date_sql(sql_name(c.name), c.shapes)
        if read is not None:
            proposal = _converted(t, c, read[0], f"texts that are dates ({' and '.join(read[1])})")
            if c.looks("date-either") and not c.looks("date-dmy") and not c.looks("date-mdy"):
                other = date_sql(sql_name(c.name), c.shapes, month_first=True)
                doubt = Reason(kind="shape", text="nothing tells day from month", weight=-0.8)
                proposal = Proposal(value=proposal.value, reasons=(*proposal.reasons, doubt))
                if other is not None:
                    swapped = _converted(t, c, other[0], f"texts that are dates ({' and '.join(other[1])})")
                    found.append(Proposal(value=swapped.value, reasons=(*swapped.reasons, doubt)))
            found.append(proposal)
    return found[::-1]


def _converted(t: TableProfile, c: ColumnProfile, sql: str, shape: str) -> Proposal:
    score = time_score(c.name)
    reasons = [
        Reason(kind="prior", text="many dates say something else", weight=-1.0),
        Reason(kind="shape", text=shape, weight=0.8),
    ]
    if score:
        reasons.append(Reason(kind="name", text="named like the time a row became known", weight=1.0 + 0.9 * score))
    nulls = c.num_null / t.num_rows if t.num_rows else 0.0
    if nulls > FEW_NULLS:
        weight = -1.0 if nulls <= TIME_NULLS and score else -4.0
        reasons.append(Reason(kind="values", text=f"{c.num_null:,} of {t.num_rows:,} rows have none", weight=weight))
    if not math.isnan(c.rising) and c.rising >= IN_ORDER and c.num_distinct > 2:
        reasons.append(Reason(kind="order", text=f"{c.rising:.1%} of the rows are in its order", weight=0.5))
    return Proposal(value=TimeColumn(column=_free(t), sql=sql, pieces=(c.name,)), reasons=tuple(reasons))


# What to tell


def _tell(s: Survey, t: TableProfile, proposals: tuple[Proposal, ...]) -> None:
    for c in t.columns:
        if c.num_strange:
            message = (
                f"{c.num_strange:,} of {t.num_rows:,} times are before 1000 or after 2200 ({c.minimum} ... {c.maximum})"
            )
            hint = (
                "such dates often stand for 'unknown' or 'for ever'; make them NULL in the source or a derived column"
            )
            s.warn("strange-times", t, message, c.name, count=c.num_strange, hint=hint)
    best = s.times[t.name].best
    if best is None or not isinstance(best.value, TimeColumn):
        _tell_missing(s, t)
        return
    value = best.value
    if value.sql is not None:
        message = f"has no timestamp of its own; its time is made from {', '.join(value.pieces)}: {value.sql}"
        s.note("time-derived", t, message, value.column)
        s.because(t, value.column, f"time column: {best.why}")
        return
    s.because(t, value.column, f"time column: {best.why}")
    others = [c.name for c in t.columns if c.kind == "time" and c.name != value.column and c.num_null < t.num_rows]
    if others:
        message = f"taken as the time a row became known; other timestamps: {', '.join(others)}"
        s.note("time-column", t, message, value.column)
    c = t[value.column]
    if c.num_null:
        message = f"{c.num_null:,} of {t.num_rows:,} rows have no time and are never seen"
        s.warn("time-nulls", t, message, c.name, count=c.num_null)
    for p in proposals[1:]:
        if isinstance(p.value, TimeColumn) and p.value.sql is not None and len(p.value.pieces) >= 4:
            _tell_gap(s, t, c, p.value)


def _tell_gap(s: Survey, t: TableProfile, c: ColumnProfile, pieces: TimeColumn) -> None:
    """A stamp that is always some hours off the pieces beside it is in another time zone."""
    gap = s.measures.gap(t.name, c.name, str(pieces.sql))
    if gap is None or gap == (0, 0) or max(map(abs, gap)) > 15 * HOUR_S or gap[1] - gap[0] > 2 * HOUR_S:
        return
    low, high = (f"{g / HOUR_S:+g}" for g in gap)
    hours = f"{low} h" if low == high else f"{low} to {high} h"
    message = f"is {hours} from {', '.join(pieces.pieces)}: one of the two is in another time zone (UTC, perhaps)"
    hint = "times are compared across tables: use the same clock everywhere, local or UTC"
    s.warn("time-zones", t, message, c.name, hint=hint)


def _tell_missing(s: Survey, t: TableProfile) -> None:
    if s.links[t.name] and t.num_rows and not s.times[t.name].proposals:
        dated = any(CALENDAR & set(words(c.name)) for c in t.columns)
        hint = (
            "derive one from what says when a row became known"
            if dated
            else "add one, if its rows were not always known"
        )
        s.note("no-time-column", t, "has no time column: its rows are visible to every prediction", hint=hint)
