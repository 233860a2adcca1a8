"""Propose what the tables of a database mean: types, keys, links and time columns, each ranked, with its evidence.

Pure reasoning over statistics (`schema/profile.py`). Constraints the database declares win; the rest follows from
values, shapes and names. Only what is plausible is measured further. What can't be settled becomes a question,
what a person should look at a finding; nothing is an exception.

Steps: keys of one column (`keys.py`), links (`links.py`), keys of several columns and links to them, time columns
(`times.py`), types (`stypes.py`).

Not decided here: whether a table is better seen as edges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foreknow.errors import Finding
from foreknow.schema.composite import find_composite_keys
from foreknow.schema.evidence import Ranking, TimeColumn
from foreknow.schema.keys import FIRST_YEAR, LAST_YEAR, find_keys, is_year, reinforce_keys
from foreknow.schema.leftout import left_out
from foreknow.schema.links import find_composite_links, find_links
from foreknow.schema.profile import Containment, Measures, TableProfile
from foreknow.schema.question import Question, ask
from foreknow.schema.stypes import Meaning, rank_stypes
from foreknow.schema.survey import Survey
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.schema.times import find_times
from foreknow.types import Stype

__all__ = ["Inference", "propose"]

SEEN_AS_WARNING = ("dates-as-text", "mixed-dates")


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A schema with what led to it.

    ``schema`` takes the best proposals, ``settled`` only those nobody needs to be asked about. ``rankings`` hold all
    proposals with their reasons: per table its key, links, time column and the type of every column. ``notes`` are
    for a person to read. ``containments`` belong to the links of ``schema``, in its order. ``left_out`` says why a
    table is not part of the schema, ``reasons`` why a column of a table (or several, joined by ``+``) is what it is.
    """

    schema: Schema
    settled: Schema
    rankings: tuple[Ranking, ...] = ()
    questions: tuple[Question, ...] = ()
    notes: tuple[Finding, ...] = ()
    containments: tuple[Containment, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def of(self, table: str, column: str | None = None) -> tuple[Ranking, ...]:
        """The rankings about a table, or about one of its columns."""
        about = [r for r in self.rankings if r.table == table]
        if column is None:
            return tuple(about)
        return tuple(r for r in about if column in r.columns or _mentions(r, column))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: all evidence and the open questions."""
        return {
            "rankings": [r.to_dict() for r in self.rankings],
            "questions": [q.to_dict() for q in self.questions],
        }


def _mentions(ranking: Ranking, column: str) -> bool:
    for p in ranking.proposals:
        if isinstance(p.value, TimeColumn) and column in (p.value.column, *p.value.pieces):
            return True
        if isinstance(p.value, tuple) and column in p.value:
            return True
    return False


def propose(profiles: Mapping[str, TableProfile], measures: Measures) -> Inference:
    """Propose a schema for measured tables.

    Args:
        profiles: The tables, by name.
        measures: Asked for every declared link and every plausible one, and for plausible composite keys.

    Returns:
        The proposals. It never fails: a table of which little is known still gets types for its columns.
    """
    left = left_out(profiles)
    s = Survey(profiles={n: p for n, p in profiles.items() if n not in left}, measures=measures)
    find_keys(s)
    find_links(s)
    find_composite_keys(s)
    find_composite_links(s)
    reinforce_keys(s)
    find_times(s)
    meanings = {(t.name, c.name): rank_stypes(t, c, s.entities[t.name]) for t in s.profiles.values() for c in t.columns}
    schema = _assemble(s, meanings, lambda r: r.best is not None)
    settled = _assemble(s, meanings, lambda r: r.best is not None and not r.is_open)
    rankings = tuple(_rankings(s, schema, meanings))
    _tell_types(s, schema, meanings)
    return Inference(
        schema=schema,
        settled=settled,
        rankings=rankings,
        questions=ask(rankings),
        notes=tuple(s.notes),
        containments=tuple(s.containments[t.name, k] for t in schema for k in t.foreign_keys),
        left_out=left,
        reasons={where: "; ".join(texts) for where, texts in s.reasons.items()},
    )


def _assemble(s: Survey, meanings: Mapping[tuple[str, str], Meaning], take: Callable[[Ranking], bool]) -> Schema:
    """The schema of the proposals to take."""
    keys = {n: s.primary[n] if take(s.keys[n]) else () for n in s.profiles}
    linked: dict[str, list[ForeignKey]] = {n: [] for n in s.profiles}
    for r in s.link_rankings:
        best = r.best
        if best is not None and isinstance(best.value, ForeignKey) and take(r):
            target = best.value
            if target.to in s.candidates[target.table] or (not target.to and keys[target.table]):
                linked[r.table].append(target)
    return Schema({n: _table(s, t, keys[n], linked[n], meanings, take) for n, t in s.profiles.items()})


def _table(
    s: Survey,
    t: TableProfile,
    primary: tuple[str, ...],
    links: list[ForeignKey],
    meanings: Mapping[tuple[str, str], Meaning],
    take: Callable[[Ranking], bool],
) -> Table:
    best = s.times[t.name].best
    likely = best.value if best is not None and isinstance(best.value, TimeColumn) else None
    time = likely if take(s.times[t.name]) else None
    keys = [primary, *s.candidates[t.name]]
    single = {k[0] for k in keys if len(k) == 1} | {c for k in links for c in k.columns}
    composite = {c for k in keys if len(k) > 1 for c in k}
    columns = []
    for c in t.columns:
        meaning = meanings[t.name, c.name]
        stype = meaning.stype
        if time is not None and c.name == time.column:
            stype = Stype.TIMESTAMP  # even as part of a key: without it, rows would be seen too early
        elif c.name in single or (c.name in composite and meaning.note == "identifier"):
            stype = Stype.KEY
        elif likely is not None and c.name in likely.pieces and is_year(c):
            stype = Stype.IGNORE  # the time column says it, or would; and years to come have not been seen
        columns.append(Column(name=c.name, stype=stype, dtype=c.dtype))
    if time is not None and time.sql is not None:
        columns.append(Column(name=time.column, stype=Stype.TIMESTAMP, dtype=time.dtype, sql=time.sql))
    return Table(
        name=t.name,
        columns=tuple(columns),
        primary_key=primary,
        candidate_keys=tuple(s.candidates[t.name]),
        foreign_keys=tuple(links),
        time_column=time.column if time is not None else None,
    )


def _rankings(s: Survey, schema: Schema, meanings: Mapping[tuple[str, str], Meaning]) -> list[Ranking]:
    """All rankings, table by table; types of columns that are keys, links or times are nobody's question."""
    found = []
    for t in s.profiles.values():
        found += [s.keys[t.name], *(r for r in s.link_rankings if r.table == t.name), s.times[t.name]]
        for c in t.columns:
            ranking = meanings[t.name, c.name].ranking
            if schema[t.name][c.name].stype is not meanings[t.name, c.name].stype:
                ranking = Ranking(
                    subject="type", table=t.name, columns=(c.name,), proposals=ranking.proposals, never_open=True
                )
            found.append(ranking)
    return found


def _tell_types(s: Survey, schema: Schema, meanings: Mapping[tuple[str, str], Meaning]) -> None:
    """Reasons of the types, and what is odd about the values."""
    for t in s.profiles.values():
        table = schema[t.name]
        pieces = _pieces(s, t)
        for c in t.columns:
            meaning, stype = meanings[t.name, c.name], table[c.name].stype
            if c.name in pieces and stype is Stype.IGNORE:
                s.because(t, c.name, f"part of the time column {table.time_column}")
            elif stype is meaning.stype and not (stype is Stype.TIMESTAMP and c.name == table.time_column):
                s.because(t, c.name, meaning.why)
            if meaning.note and stype is not Stype.KEY:
                used = c.name in pieces
                message = meaning.why if used or meaning.note == "numbers-as-text" else f"ignored: {meaning.why}"
                warn = meaning.note in SEEN_AS_WARNING and (not used or meaning.note == "mixed-dates")
                s.note(meaning.note, t, message, c.name, severity="warning" if warn else "info")
            _tell_values(s, t, c.name)
        links = table.foreign_keys
        in_links = {n for k in links for n in k.columns}
        in_keys = {n for k in table.keys for n in k} | in_links
        if (
            len(links) == 2
            and set(table.primary_key) <= in_links
            and {c.name for c in table.columns} <= in_keys | {table.time_column}
        ):
            s.note("edge-possible", t, "holds two links and nothing else; kind: edge would make its rows edges")
        for name in (n for c in t.columns if (n := c.name)):
            if (t.name, name) not in s.reasons:
                s.because(t, name, "part of a key" if name in in_keys else meanings[t.name, name].why)
    _tell_zones(s, schema)


def _pieces(s: Survey, t: TableProfile) -> tuple[str, ...]:
    best = s.times[t.name].best
    return best.value.pieces if best is not None and isinstance(best.value, TimeColumn) else ()


def _tell_values(s: Survey, t: TableProfile, column: str) -> None:
    c = t[column]
    if is_year(c) and (float(c.minimum or 0) < FIRST_YEAR or float(c.maximum or 0) > LAST_YEAR):
        message = f"holds years, and others ({c.minimum} ... {c.maximum}) that may stand for 'unknown'"
        s.note("strange-years", t, message, column, hint="make them NULL in the source if they are no years")
    share = c.looks("missing")
    if share and c.num_distinct > 1:
        shown = next(
            (v for v in c.samples if v.strip().lower() in ("na", "n/a", "null", "none", "-", "?", "unknown", "")), None
        )
        example = f" (e.g. {shown!r})" if shown is not None else ""
        message = f"{share:.1%} of its values may stand for 'missing'{example}; they are kept as values"
        s.note("maybe-missing", t, message, column, hint="make them NULL in the source if they are no data")


def _tell_zones(s: Survey, schema: Schema) -> None:
    """Times with a zone are converted to UTC, times without are taken as they are: side by side they may not fit."""
    zoned: list[str] = []
    plain: list[str] = []
    for t in schema:
        c = next((c for c in t.columns if c.name == t.time_column), None)
        if c is not None and c.dtype != "DATE":
            is_zoned = c.dtype.endswith("TIME ZONE") or "TIMESTAMPTZ" in (c.sql or "")
            (zoned if is_zoned else plain).append(f"{t.name}.{c.name}")
    if zoned and plain:
        table = s.profiles[zoned[0].rpartition(".")[0]]
        message = f"{', '.join(zoned)} have a time zone, {', '.join(plain)} have none and are taken as UTC"
        s.warn("time-zones", table, message, hint="convert the others in the source or in derived columns")
