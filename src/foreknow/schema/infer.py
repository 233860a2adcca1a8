"""Propose what the tables of a database mean: types, keys, links and time columns.

Pure reasoning over statistics (`schema/profile.py`). Constraints the database declares win; the rest follows from
names, types and values, and every decision leaves its reason. Only plausible links are measured. What a person
should look at comes back as findings, never as an exception.

Not decided here: composite keys that aren't declared, and whether a table is better seen as edges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from foreknow.errors import Finding
from foreknow.schema.profile import ColumnProfile, Containment, TableProfile
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.types import Stype

__all__ = ["MAX_KEY_LENGTH", "Measure", "Proposal", "propose", "storage_kind"]

Measure = Callable[[str, tuple[str, ...], str, tuple[str, ...]], Containment]
"""Measures how far columns of a table are found in columns of another."""

Kind = Literal["integer", "float", "text", "time", "boolean", "list", "other"]

MAX_KEY_LENGTH = 128  # mean number of characters of a text that may be a key
NEARLY_UNIQUE = 0.999  # share of rows a key must identify to be proposed, with a warning below 1
NAMED_SHARE = 0.5  # containment that confirms a link suggested by names
UNNAMED_SHARE = 0.99  # containment that suggests a link by itself
UNNAMED_DISTINCT = 20  # so many different values are not all in a key by chance
FEW_DISTINCT = 20  # whole numbers with so few values are codes
MANY_TEXTS = 50  # so many different long texts are prose, not labels
PROSE_WORDS = 4.0  # mean number of words above which text is prose
TIME_NULLS = 0.5  # share of rows that may lack a time, if the column is named like one
FEW_NULLS = 0.01  # the same, if it is not
MISMATCH_HINT = "give both one type in the source, or link through a derived column"


def _bag(words: str) -> frozenset[str]:
    return frozenset(words.split())


_IDENTITY = _bag("id uuid guid pk key sk")
_CODE = _IDENTITY | _bag("code no nr number num ref")
_LABEL = _CODE | _bag("type channel category class group kind status zip postcode flag name")
_IDENTIFIER = _CODE | _bag("hash token url uri email mail phone ip isbn ean sku iban serial")
_QUANTITY = _bag(
    "age num number count cnt n qty quantity amount total sum avg mean max min price cost fee salary wage income "
    "balance payment sale sales size length width height weight distance duration seconds minutes minute hours "
    "hour days rank rating score points votes percent pct ratio speed temp"
)
_YEAR = _bag("year yr season")
_CALENDAR = _YEAR | _bag("quarter month week day hour minute second date time")
_ROLE = _bag("origin dest destination from to src source target departure arrival home away host")
_RECURSION = _bag(
    "parent referred referrer reports manager supervisor boss mother father predecessor previous successor "
    "original reply replies replaced replaces invited inviter mentor"
)
_TABLE_PREFIX = _bag("dim fact tbl stg raw vw")
_IRREGULAR = {"people": "person", "children": "child", "men": "man", "women": "woman", "indices": "index"}
# Words of timestamps that say something else than when a row became known: beginnings, and whole words.
_LATER = ("birth", "death", "expir", "updat", "modif", "delet", "planned", "schedul", "expect", "estimat")
_LATER_WORDS = _bag(
    "born dob died dod end ends ended enddate until thru to due deadline changed next last final latest"
)
_BEGUN = _bag("created creation inserted registered registration joined occurred recorded")
_KNOWN = _BEGUN | _bag("t_dat timestamp ts event_time event_date event_timestamp datetime date time")
_TIMELY = _bag("at date time datetime timestamp ts dat on dt")

_SPLIT = re.compile(r"^(?P<stem>.+)_(?P<split>train|val|valid|validation|test)$", re.IGNORECASE)
_OUR_COLUMNS = {"run_id", "model_version", "predicted_at"}
_WORD = re.compile(r"ID(?=[a-z])|[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_ISO_DATE = re.compile(r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d.*)?$")
_ROW_NUMBER = re.compile(r"^(unnamed: ?0|index|level_0|__index_level_0__|column0+|rownames|rownum|row_number|)$")


def storage_kind(dtype: str) -> Kind:
    """Sort a DuckDB type by what can be done with it.

    Example:
        >>> storage_kind("DECIMAL(10,0)"), storage_kind("FLOAT[64]"), storage_kind("STRUCT(a INTEGER)")
        ('integer', 'list', 'other')
    """
    base = dtype.partition("(")[0].upper()
    if dtype.endswith("]"):
        return "list" if storage_kind(dtype.rpartition("[")[0]) in ("integer", "float", "text") else "other"
    if base == "DECIMAL":
        return "integer" if dtype.endswith(",0)") else "float"
    if base.removeprefix("U") in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"):
        return "integer"
    if base in ("FLOAT", "DOUBLE"):
        return "float"
    if base in ("VARCHAR", "UUID", "ENUM"):
        return "text"
    if base.startswith("TIMESTAMP") or base == "DATE":
        return "time"
    return "boolean" if base == "BOOLEAN" else "other"


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A schema with what led to it.

    ``notes`` are for a person to read. ``containments`` belong to the proposed links, in the order of the schema.
    ``left_out`` says why a table is not part of the schema, ``reasons`` why a column of a table (or the columns of
    a composite key, joined by ``+``) is what it is.
    """

    schema: Schema
    notes: tuple[Finding, ...] = ()
    containments: tuple[Containment, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)


def propose(profiles: Mapping[str, TableProfile], measure: Measure) -> Proposal:
    """Propose a schema for measured tables.

    Args:
        profiles: The tables, by name.
        measure: Called once for every declared link and every plausible one.

    Returns:
        The proposal. It never fails: a table of which little is known still gets types for its columns.
    """
    left_out = _left_out(profiles)
    return _Inference({n: p for n, p in profiles.items() if n not in left_out}, measure).run(left_out)


class _Inference:
    """One inference under way: keys of all tables first, then links, then time columns and types."""

    def __init__(self, profiles: Mapping[str, TableProfile], measure: Measure) -> None:
        self.profiles = profiles
        self.measure = measure
        self.entities = {t: _entity(t) for t in profiles}
        self.primary: dict[str, tuple[str, ...]] = {}
        self.candidates: dict[str, list[tuple[str, ...]]] = {}
        self.links: dict[str, list[ForeignKey]] = {t: [] for t in profiles}
        self.containments: list[Containment] = []
        self.notes: list[Finding] = []
        self.reasons: dict[tuple[str, str], list[str]] = {}

    def run(self, left_out: Mapping[str, str]) -> Proposal:
        for t in self.profiles.values():
            self._find_keys(t)
        for t in self.profiles.values():
            self._find_links(t)
        tables = {name: self._table(t) for name, t in self.profiles.items()}
        return Proposal(
            schema=Schema(tables),
            notes=tuple(self.notes),
            containments=tuple(self.containments),
            left_out=left_out,
            reasons={where: "; ".join(texts) for where, texts in self.reasons.items()},
        )

    def _note(self, name: str, t: TableProfile, message: str, column: str | None = None, **more: Any) -> None:
        severity = more.pop("severity", "info")
        self.notes.append(Finding(name=name, message=message, table=t.name, column=column, severity=severity, **more))

    def _warn(self, name: str, t: TableProfile, message: str, column: str | None = None, **more: Any) -> None:
        self._note(name, t, message, column, severity="warning", **more)

    def _because(self, t: TableProfile, name: str, text: str) -> None:
        self.reasons.setdefault((t.name, name), []).append(text)

    # Keys

    def _find_keys(self, t: TableProfile) -> None:
        known = {c.name for c in t.columns}
        primary = t.declared.primary_key if known.issuperset(t.declared.primary_key) else ()
        unique = [u for u in dict.fromkeys(t.declared.unique) if u != primary and known.issuperset(u)]
        if primary:
            self._because(t, "+".join(primary), "declared as the primary key")
        for columns in unique:
            self._because(t, "+".join(columns), "declared unique")
        scores = [(self._key_score(t, i, c), c) for i, c in enumerate(t.columns)]
        primary = primary or self._likely_key(t, scores)
        for score, c in scores:
            if score >= 2 and _identifies(t, c) and (c.name,) not in (primary, *unique):
                unique.append((c.name,))
                self._because(t, c.name, "candidate key: unique, and named like a key")
        self.primary[t.name], self.candidates[t.name] = primary, unique

    def _likely_key(self, t: TableProfile, scores: list[tuple[int, ColumnProfile]]) -> tuple[str, ...]:
        """The best undeclared key: named like one, and unique or nearly so."""
        likely: list[tuple[int, float, ColumnProfile]] = []
        for score, c in scores:
            share = c.num_distinct / max(t.num_rows, 1)
            if score and _nearly_identifies(t, c):
                likely.append((score, share, c))
            elif score >= 4 and share >= 0.9:
                message = f"'{c.name}' is named like the key of '{t.name}', but {_flaws(t, c)}"
                hint = f"mend the rows, or set key: {c.name} to use the first row of each value"
                self._warn("key-not-unique", t, message, c.name, count=t.num_rows - c.num_distinct, hint=hint)
        if not likely:
            return ()
        score, share, c = max(likely, key=lambda found: found[:2])  # of equals the first column
        named = "named like a key" if score > 1 else "the first column"
        if _identifies(t, c):
            self._because(t, c.name, f"primary key: unique, and {named}")
        else:
            self._because(t, c.name, f"primary key: {share:.2%} unique, and {named}")
            message = f"'{c.name}' looks like the key of '{t.name}', but {_flaws(t, c)}"
            hint = "the first row of each value is used; mend the others if they matter"
            self._warn("duplicate-key", t, message, c.name, count=t.num_rows - c.num_distinct, hint=hint)
        return (c.name,)

    def _key_score(self, t: TableProfile, position: int, c: ColumnProfile) -> int:
        """How much a column is named like the key of its table: 0 not at all, 5 exactly."""
        words, kind = _words(c.name), storage_kind(c.dtype)
        if not t.num_rows or kind not in ("integer", "text") or _is_year(c) or _is_row_number(t, c):
            return 0
        if kind == "text" and (c.mean_words > 2 or c.mean_length > MAX_KEY_LENGTH):
            return 0
        if len(words) == 1 and words[0] in _IDENTITY:
            return 5
        fit = self.entities[t.name].fit(_stem(c.name))
        if self._is_owned_elsewhere(t, c, fit):
            return 0
        if fit:
            return 5 if fit > 1 else 4
        if "".join(words) == self.entities[t.name].whole:
            return 4
        if words and words[-1] in _CODE:
            return 2 if position else 3
        measures = (_CALENDAR | _QUANTITY) & set(words)
        return int(position == 0 and not measures and not c.mean_words > 1.5)

    def _is_owned_elsewhere(self, t: TableProfile, c: ColumnProfile, fit: int) -> bool:
        """Whether a column names rows of another table, which has a key of that name or a plain ``id``."""
        stem, words = _stem(c.name), _words(c.name)
        for name, other in self.profiles.items():
            if name != t.name and self.entities[name].fit(stem) > max(fit, 1):
                for o in other.columns:
                    own = _words(o.name)
                    if (own == words or (own[-1:] == own and _IDENTITY & set(own))) and _nearly_identifies(other, o):
                        return True
        return False

    # Links

    def _find_links(self, t: TableProfile) -> None:
        linked = {k.columns[0] for k in t.declared.foreign_keys if len(k.columns) == 1}
        for key in t.declared.foreign_keys:
            self._declared_link(t, key)
        for c in t.columns:
            is_empty = c.num_null == t.num_rows > 0
            if c.name not in linked and not is_empty and not _is_row_number(t, c):
                self._find_link(t, c)

    def _declared_link(self, t: TableProfile, key: ForeignKey) -> None:
        target = self.profiles.get(key.table)
        to = key.to or self.primary.get(key.table, ())
        if target is None or len(to) != len(key.columns) or not (_has(t, key.columns) and _has(target, to)):
            why = f"there is no table '{key.table}'" if target is None else "not all of its columns are here"
            self._warn("unusable-link", t, f"the declared link to '{key.table}' is left out: {why}", key.name)
            return
        if not all(_comparable(t[a].dtype, target[b].dtype) for a, b in zip(key.columns, to, strict=True)):
            message = f"declared as a link to '{key.table}', whose key has another type; left out"
            self._warn("link-type-mismatch", t, message, key.name, hint=MISMATCH_HINT)
            return
        if to != self.primary[key.table] and to not in self.candidates[key.table]:
            self.candidates[key.table].append(to)
        self._accept(t, self.measure(t.name, key.columns, key.table, to), "declared")

    def _find_link(self, t: TableProfile, c: ColumnProfile) -> None:
        """Link a column to the table its name or its values point to, if any."""
        found: list[tuple[int, Containment]] = []
        for target in self.profiles.values():
            to = self.primary[target.name]
            if len(to) != 1 or (target is t and to[0] == c.name):
                continue
            k = target[to[0]]
            grade = self._link_grade(t, c, target, k)
            named = f"'{c.name}' is named like the key of '{target.name}', but"
            if not _compatible(c, k):
                if grade >= 4:
                    message = f"{named} holds {c.dtype} where '{k.name}' holds {k.dtype}"
                    self._warn("link-type-mismatch", t, message, c.name, hint=MISMATCH_HINT)
                continue
            if not grade:
                continue
            measured = self.measure(t.name, (c.name,), target.name, to)
            if measured.share >= (NAMED_SHARE if grade >= 3 else UNNAMED_SHARE) or (grade >= 4 and not t.num_rows):
                found.append((grade, measured))
            elif grade >= 4:
                message = f"{named} {1 - measured.share:.1%} of its values aren't there{_such_as(measured.examples)}"
                self._warn("weak-link", t, f"{message}; not linked", c.name, count=measured.num_missing)
        if not found:
            return
        found.sort(key=lambda f: (f[0], f[1].share), reverse=True)
        grade, best = found[0]
        self._accept(t, best, "the names match" if grade >= 2 else "the values match")
        if len(found) > 1:
            others = ", ".join(f"{f.to_table}.{f.to[0]} ({f.share:.0%})" for _, f in found[1:])
            self._note("other-links", t, f"linked to '{best.to_table}'; also possible: {others}", c.name)

    def _link_grade(self, t: TableProfile, c: ColumnProfile, target: TableProfile, k: ColumnProfile) -> int:
        """How much a column points to a table: 0 not, 1 by its values, 2 weakly and 3-5 clearly by its name."""
        words, key_words, entity = _words(c.name), _words(k.name), self.entities[target.name]
        stem, is_text = _stem(c.name), storage_kind(c.dtype) == "text"
        fit, own_fit = entity.fit(stem), self.entities[t.name].fit(stem)
        is_specific = not _LABEL.issuperset(key_words)
        counts = bool((_QUANTITY - _CODE | _CALENDAR) & set(words)) or words[:1] in (("num",), ("number",))
        if target is t:  # a parent, a referrer: never just another name of the row itself
            coded = is_text or words[-1:] in ((), *((w,) for w in _CODE | {"by", "to", "of"})) or len(words) == 1
            if coded and not counts and _RECURSION & set(words):
                return 3
            return 3 if 1 < len(key_words) < len(words) and _ends(words, key_words) and not counts else 0
        if (c.name,) == self.primary[t.name]:  # rows that extend rows of the table that owns the name
            extends = words == key_words and is_specific and fit == own_fit and target.num_rows > t.num_rows
            return 4 if (fit >= 2 and fit > own_fit) or extends else 0
        if is_specific and words == key_words:
            return 5 if fit else 4
        if fit == 3:
            return 4
        if not counts:
            if is_specific and len("".join(key_words)) >= 4 and (_ends(words, key_words) or _begins(words, key_words)):
                return 3
            if fit:
                return 3
            if entity.ends(words[:-1] if stem else words):
                return 3 if stem or is_text else 2
        if not is_text or storage_kind(k.dtype) != "text" or c.mean_words > 1.5:
            return 0
        return int(_values_alike(c, k) and (c.num_distinct >= UNNAMED_DISTINCT or bool(_ROLE & set(words))))

    def _accept(self, t: TableProfile, found: Containment, why: str) -> None:
        to = () if found.to == self.primary[found.to_table] else found.to
        key = ForeignKey(columns=found.columns, table=found.to_table, to=to)
        self.links[t.name].append(key)
        self.containments.append(found)
        goal = f"{found.to_table}.{'+'.join(found.to)}"
        self._because(t, key.name, f"link: {why}, {found.share:.2%} of {found.num_values:,} values are in {goal}")
        if found.num_missing:
            message = (
                f"{found.num_missing:,} of {found.num_values:,} values ({1 - found.share:.2%}) have no row in "
                f"'{found.to_table}'{_such_as(found.examples)}"
            )
            hint = "these links are treated as absent; load the missing rows if they exist"
            self._warn("dangling-links", t, message, key.name, count=found.num_missing, hint=hint)

    # Time columns and types

    def _table(self, t: TableProfile) -> Table:
        links, primary = self.links[t.name], self.primary[t.name]
        keys = [primary, *self.candidates[t.name], *(k.columns for k in links)]
        in_keys = {c for k in keys for c in k}
        time = self._time_column(t, {k[0] for k in keys if len(k) == 1})
        columns = []
        for c in t.columns:
            if c.name == time:  # even as part of a composite key: without it, rows would be seen too early
                stype = Stype.TIMESTAMP
            elif c.name in in_keys:
                stype = Stype.KEY
            else:
                stype, reason, note = self._stype(t, c)
                self._because(t, c.name, reason)
                if note:
                    severity = "warning" if note == "dates-as-text" else "info"  # it may be the time column
                    self._note(note, t, f"ignored: {reason}", c.name, severity=severity)
            columns.append(Column(name=c.name, stype=stype, dtype=c.dtype))
        if len(links) == 2 and not primary and {c.name for c in columns} <= in_keys | {time}:
            self._note("edge-possible", t, "holds two links and nothing else; kind: edge would make its rows edges")
        if time is None and (links or len(primary) != 1):
            self._suggest_time(t)
        return Table(
            name=t.name,
            columns=tuple(columns),
            primary_key=primary,
            candidate_keys=tuple(self.candidates[t.name]),
            foreign_keys=tuple(links),
            time_column=time,
        )

    def _time_column(self, t: TableProfile, keys: set[str]) -> str | None:
        """The timestamp that says when a row became known; None rather than a birthday or an end.

        It may be part of a composite key, not a key by itself. If all rows have the same, it tells no rows apart.
        """
        times = [c for c in t.columns if storage_kind(c.dtype) == "time" and c.name not in keys]
        if t.num_rows:
            times = [c for c in times if c.num_null < t.num_rows and (c.num_distinct > 1 or t.num_rows == 1)]
        fitting = [c for c in times if not _is_later(c.name)]
        usable = [c for c in fitting if c.num_null <= t.num_rows * (TIME_NULLS if _time_score(c) else FEW_NULLS)]
        for c in fitting if not usable else ():
            message = f"could be the time column, but {c.num_null:,} of {t.num_rows:,} rows have none"
            hint = f"set time: {c.name} if rows without a time may stay invisible"
            self._note("time-column-nulls", t, message, c.name, count=c.num_null, hint=hint)
        if not usable:
            return None
        best = max(usable, key=lambda c: (c.num_null <= FEW_NULLS * t.num_rows, _time_score(c)))
        reason = "time column: named like the time a row became known"
        if not _time_score(best):
            reason = "time column: the only timestamp that can say when a row became known"
        # A row with the first and the last moment of something sums it up, and is complete only at the last.
        end = tuple("last" if w == "first" else w for w in _words(best.name))
        for c in times:
            if "first" in _words(best.name) and _words(c.name) == end and not c.num_null:
                best, reason = c, f"time column: a row sums up what began at {best.name}, and is complete only now"
        self._because(t, best.name, reason)
        others = [c.name for c in times if c is not best]
        if others:
            message = f"taken as the time a row became known; other timestamps: {', '.join(others)}"
            self._note("time-column", t, message, best.name)
        if best.num_null:
            message = f"{best.num_null:,} of {t.num_rows:,} rows have no time and are never seen"
            self._warn("time-nulls", t, message, best.name, count=best.num_null)
        return best.name

    def _suggest_time(self, t: TableProfile) -> None:
        """Point out a time that comes in pieces (year, month, day), with the SQL that joins them."""
        for c in t.columns:
            if not _is_year(c) or _is_later(c.name):
                continue
            pieces = [c.name]
            for unit in ("month", "day"):
                wanted = tuple(unit if w in _YEAR else w for w in _words(c.name))
                pieces += [p.name for p in t.columns if _words(p.name) == wanted]
            quoted = [_sql_name(p) for p in pieces]
            dates = {
                1: f"make_date({quoted[0]}, 12, 31)",
                2: f"last_day(make_date({', '.join(quoted)}, 1))",
                3: f"make_date({', '.join(quoted)})",
            }
            if len(pieces) in dates:
                message = f"has no time column; its time seems to be in {', '.join(pieces)}"
                hint = f"columns: {{known_at: {{sql: '{dates[len(pieces)]}'}}}}, time: known_at"
                self._note("time-in-parts", t, message, c.name, hint=hint)
                return

    def _stype(self, t: TableProfile, c: ColumnProfile) -> tuple[Stype, str, str | None]:
        """What a column outside all keys means, why, and the name of a note if it is ignored."""
        kind, count = storage_kind(c.dtype), t.num_rows - c.num_null
        if t.num_rows and not count:
            return Stype.IGNORE, "every row is NULL", "empty-column"
        if t.num_rows > 1 and not c.num_null and c.num_distinct <= 1:
            return Stype.IGNORE, "every row has the same value", "constant-column"
        if kind == "other":
            return Stype.IGNORE, f"columns of type {c.dtype} aren't supported", "unsupported-type"
        if _is_row_number(t, c):
            return Stype.IGNORE, "it numbers the rows", "row-number"
        if kind == "boolean":
            return Stype.BOOLEAN, "stored as true and false", None
        if kind == "time":
            return Stype.TIMESTAMP, f"stored as {c.dtype}", None
        if kind == "list":
            return _list_stype(c)
        if kind == "text":
            return _text_stype(c, count)
        if _is_whole(c):
            return _whole_stype(c, count, self.entities[t.name])
        return Stype.NUMERICAL, "fractional numbers", None


class _Entity(NamedTuple):
    """What one row of a table is called: ``orderitem`` and, by its last word alone, ``item``."""

    whole: str
    last: str

    def fit(self, stem: str) -> int:
        """How well a column's stem names it: 3 wholly, 2 by the last word, 1 by its beginning, 0 not."""
        if stem in (self.whole, self.last):
            return 3 if stem == self.whole else 2
        return int(len(stem) >= 4 and self.last.startswith(stem))

    def ends(self, words: tuple[str, ...]) -> bool:
        """Whether the last words of a name are the entity, as in ``billing_address``."""
        return any("".join(words[i:]) == self.whole for i in range(len(words)))


def _entity(table: str) -> _Entity:
    words = list(_words(table.rpartition(".")[2]))
    while len(words) > 1 and words[0] in _TABLE_PREFIX:
        del words[0]
    last = _singular(words[-1]) if words else "?"  # a table without a letter is nobody's entity
    return _Entity("".join(words[:-1]) + last, last)


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4 and word != "series":
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is", "series")) else word


def _words(name: str) -> tuple[str, ...]:
    """Split a name: ``teamIDwinner`` is team, id, winner; ``park.key`` is park, key."""
    return tuple(w.lower() for w in _WORD.findall(name))


def _stem(column: str) -> str:
    """What a column named like a code identifies: ``customer`` for ``customer_id`` and ``customerid``, else empty."""
    words = _words(column)
    if len(words) > 1 and words[-1] in _CODE:
        return "".join(words[:-1])
    return words[0][:-2] if len(words) == 1 and words[0].endswith("id") else ""


def _ends(words: tuple[str, ...], tail: tuple[str, ...]) -> bool:
    return bool(tail) and words[-len(tail) :] == tail


def _begins(words: tuple[str, ...], head: tuple[str, ...]) -> bool:
    return len(head) > 1 and words[: len(head)] == head


def _has(t: TableProfile, columns: tuple[str, ...]) -> bool:
    return {c.name for c in t.columns}.issuperset(columns)


def _identifies(t: TableProfile, c: ColumnProfile) -> bool:
    return c.is_unique and not c.num_null


def _nearly_identifies(t: TableProfile, c: ColumnProfile) -> bool:
    return c.num_distinct >= NEARLY_UNIQUE * t.num_rows > 0


def _compatible(a: ColumnProfile, key: ColumnProfile) -> bool:
    """Whether values can be equal. Whole numbers with NULLs are stored as floats by some tools."""
    return _comparable(a.dtype, key.dtype) and (storage_kind(key.dtype) != "integer" or _is_whole(a))


def _comparable(dtype: str, key_dtype: str) -> bool:
    """Whether types compare without guessing: numbers do, texts do, a text and a number don't."""
    kinds = {storage_kind(dtype), storage_kind(key_dtype)}
    if kinds == {"text"}:
        return (dtype == "UUID") == (key_dtype == "UUID")
    return dtype == key_dtype or kinds <= {"integer", "float"}


def _values_alike(a: ColumnProfile, key: ColumnProfile) -> bool:
    """Whether texts could be values of a key, by length and range and number; cheaper than measuring."""
    length = a.mean_length / max(key.mean_length, 1.0)
    inside = (key.minimum or "") <= (a.minimum or "") and (a.maximum or "") <= (key.maximum or "")
    return inside and 0.5 <= length <= 2 and 1 < a.num_distinct <= 1.15 * key.num_distinct  # an estimate


def _is_whole(c: ColumnProfile) -> bool:
    if storage_kind(c.dtype) != "float":
        return storage_kind(c.dtype) == "integer"
    values = [v for v in (c.minimum, c.maximum, *c.samples) if v is not None]
    return bool(values) and all(float(v).is_integer() for v in values)


def _is_year(c: ColumnProfile) -> bool:
    if not _is_whole(c) or not _YEAR & set(_words(c.name)) or c.minimum is None or c.maximum is None:
        return False
    return float(c.minimum) >= 1800 and float(c.maximum) <= 2200


def _is_row_number(t: TableProfile, c: ColumnProfile) -> bool:
    """Whether a column is a row index some tool wrote beside the data."""
    if storage_kind(c.dtype) != "integer" or not _ROW_NUMBER.match(c.name.lower()) or not _identifies(t, c):
        return False
    first, last = int(c.minimum or 0), int(c.maximum or 0)
    return first in (0, 1) and last - first + 1 == t.num_rows


def _is_later(name: str) -> bool:
    """Whether a timestamp's name says something else than when its row became known."""
    return any(w.startswith(_LATER) or w in _LATER_WORDS for w in _words(name))


def _time_score(c: ColumnProfile) -> int:
    """How much a timestamp is named like the time at which rows become known."""
    words = _words(c.name)
    if c.name.lower() in _KNOWN or _BEGUN & set(words):
        return 2
    return int(words[-1:] != () and (words[-1] in _TIMELY or words[-1].endswith(("date", "time", "timestamp"))))


def _list_stype(c: ColumnProfile) -> tuple[Stype, str, str | None]:
    element = storage_kind(c.dtype.rpartition("[")[0])
    if element != "float":
        return Stype.MULTICATEGORICAL, f"lists of {'texts' if element == 'text' else 'whole numbers'}", None
    if c.minimum == c.maximum:
        return Stype.EMBEDDING, f"lists of {c.maximum} numbers", None
    return Stype.IGNORE, f"lists of {c.minimum} to {c.maximum} numbers: no fixed width", "unsupported-type"


def _text_stype(c: ColumnProfile, count: int) -> tuple[Stype, str, str | None]:
    repeats = count / max(c.num_distinct, 1)
    if c.samples and all(_ISO_DATE.match(s) for s in c.samples):
        reason = f"dates stored as text; a derived column makes them times: CAST({_sql_name(c.name)} AS TIMESTAMP)"
        return Stype.IGNORE, reason, "dates-as-text"
    if c.mean_words > PROSE_WORDS and (repeats < 2 or c.num_distinct > MANY_TEXTS):
        return Stype.TEXT, f"{c.mean_words:.0f} words on average, {c.num_distinct:,} different texts", None
    if repeats >= 2 or not count:
        return Stype.CATEGORICAL, f"{c.num_distinct:,} different values, each {repeats:.0f} times on average", None
    coded = sum(any(ch.isdigit() for ch in s) for s in c.samples) * 2 > len(c.samples)
    if c.mean_words < 1.5 and (coded or _IDENTIFIER & set(_words(c.name)[-1:])):
        return Stype.IGNORE, "nearly every row has another code, and it is no key", "identifier"
    return Stype.TEXT, "nearly every row has another text", None


def _whole_stype(c: ColumnProfile, count: int, entity: _Entity) -> tuple[Stype, str, str | None]:
    """Whole numbers: codes are categories, counts and amounts are numbers."""
    words, repeats = _words(c.name), count / max(c.num_distinct, 1)
    if _is_year(c):
        return Stype.NUMERICAL, "years", None
    # Counts have a shape: nothing is most common, then 1, then 2, ...
    falling = c.num_distinct > len(c.samples) and c.samples == tuple(map(str, range(len(c.samples))))
    counted = bool(_QUANTITY & set(words)) or (falling and not _CALENDAR & set(words))
    # The flight of table flights is a number of something: its values lie close together.
    numbered = "".join(words) == entity.whole and float(c.maximum or 0) <= 20 * c.num_distinct and not counted
    if words and (words[-1] in _LABEL or numbered):
        if repeats >= 2 or not count:
            return Stype.CATEGORICAL, f"named like a code, {c.num_distinct:,} different values", None
        return Stype.IGNORE, "nearly every row has another code, and it is no key", "identifier"
    few = FEW_DISTINCT if storage_kind(c.dtype) == "integer" else 2  # floats: only a flag is surely whole
    if c.num_distinct <= few and repeats >= 2 and not counted:
        return Stype.CATEGORICAL, f"whole numbers with {c.num_distinct} different values", None
    return Stype.NUMERICAL, "whole numbers", None


def _flaws(t: TableProfile, c: ColumnProfile) -> str:
    """Word what keeps a column from being a key."""
    flaws, repeated = [], t.num_rows - c.num_null - c.num_distinct
    if repeated == 1:
        flaws.append(f"1 value occurs twice (e.g. {c.samples[0]})" if c.samples else "1 value occurs twice")
    elif repeated:
        flaws.append(f"{repeated:,} rows repeat a value of an earlier row{_such_as(c.samples[:repeated])}")
    if c.num_null:
        flaws.append(f"{c.num_null:,} row{'s have' if c.num_null > 1 else ' has'} none")
    return " and ".join(flaws)


def _sql_name(column: str) -> str:
    """A column as a person would write it in SQL."""
    return column if re.fullmatch(r"[A-Za-z_]\w*", column) else '"' + column.replace('"', '""') + '"'


def _such_as(values: tuple[str, ...]) -> str:
    return f" (e.g. {', '.join(values[:3])})" if values else ""


def _left_out(profiles: Mapping[str, TableProfile]) -> dict[str, str]:
    """Tables that hold tasks or predictions, with what tells so."""
    left_out: dict[str, str] = {}
    splits = {n: m for n in profiles if (m := _SPLIT.match(n))}
    for name, t in profiles.items():
        columns = {c.name.lower() for c in t.columns}
        if columns >= _OUR_COLUMNS or name.rpartition(".")[2].upper().startswith("PREDICTIONS_"):
            left_out[name] = "it holds predictions"
        elif "tasks" in name.lower().split(".")[:-1]:
            left_out[name] = "it is in the schema of tasks"
        elif m := splits.get(name):
            # "blood_test" alone is a fact; "churn_test" beside "churn_train" is a split.
            stem, split = m["stem"].lower(), m["split"].lower()
            if split != "test" or any(o["stem"].lower() == stem for n, o in splits.items() if n != name):
                left_out[name] = f"it is named like the {split} table of task '{m['stem']}'"
    return left_out
