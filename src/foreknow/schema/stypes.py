"""Find what a column outside all keys means: number, category, text, moment, or nothing to learn from."""

from __future__ import annotations

from dataclasses import dataclass

from foreknow.schema.evidence import Proposal, Ranking, Reason, ReasonKind, ranked
from foreknow.schema.keys import is_row_number, is_year
from foreknow.schema.name import CALENDAR, IDENTIFIER, LABEL, QUANTITY, YEAR, Entity, sql_name, words
from foreknow.schema.profile import ColumnProfile, TableProfile
from foreknow.schema.shape import DATES
from foreknow.schema.storage import storage_kind
from foreknow.types import Stype

__all__ = ["Meaning", "rank_stypes"]

FEW_DISTINCT = 20  # whole numbers with so few values are codes
MANY_REPEATS = 10  # ... if each occurs so often
MANY_TEXTS = 50  # so many different long texts are prose, not labels
PEAKED = 1.5  # times its equal share the most common value of a count has at least
PROSE_WORDS = 4.0  # mean number of words above which text is prose
NEARLY_ALL = 0.95  # share of rows with another value from which whole numbers of one length are ids


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """The types of a column, ranked, and the name of a finding if it is ignored or odd."""

    ranking: Ranking
    note: str | None = None

    @property
    def stype(self) -> Stype:
        """The best."""
        best = self.ranking.proposals[0].value
        assert isinstance(best, Stype)
        return best

    @property
    def why(self) -> str:
        """The reasons of the best."""
        return self.ranking.proposals[0].why


@dataclass
class _Draft:
    """Types with their reasons, in the order they came up."""

    reasons: dict[Stype, list[Reason]]
    note: str | None = None

    def add(self, stype: Stype, kind: ReasonKind, text: str, weight: float) -> _Draft:
        self.reasons.setdefault(stype, []).append(Reason(kind=kind, text=text, weight=weight))
        return self


def _sure(stype: Stype, kind: ReasonKind, text: str, note: str | None = None, weight: float = 3.5) -> _Draft:
    draft = _Draft({}, note).add(stype, kind, text, weight)
    return draft


def rank_stypes(t: TableProfile, c: ColumnProfile, entity: Entity) -> Meaning:
    """Rank what a column means, as if it were in no key and no time column."""
    draft = _draft(t, c, entity)
    proposals = ranked(Proposal(value=v, reasons=tuple(r)) for v, r in draft.reasons.items())
    return Meaning(
        ranking=Ranking(subject="type", table=t.name, columns=(c.name,), proposals=proposals), note=draft.note
    )


def _draft(t: TableProfile, c: ColumnProfile, entity: Entity) -> _Draft:
    kind, count = c.kind, t.num_rows - c.num_null
    if t.num_rows and not count:
        return _sure(Stype.IGNORE, "values", "every row is NULL", "empty-column")
    if t.num_rows > 1 and not c.num_null and c.num_distinct <= 1:
        return _sure(Stype.IGNORE, "values", "every row has the same value", "constant-column")
    if kind == "other":
        return _sure(Stype.IGNORE, "shape", f"columns of type {c.dtype} aren't supported", "unsupported-type")
    if is_row_number(t, c):
        return _sure(Stype.IGNORE, "shape", "it numbers the rows", "row-number")
    if kind == "boolean":
        return _sure(Stype.BOOLEAN, "shape", "stored as true and false", weight=5.0)
    if kind == "time":
        return _sure(Stype.TIMESTAMP, "shape", f"stored as {c.dtype}", weight=5.0)
    if kind == "list":
        return _list(c)
    if kind == "text":
        return _text(c, count)
    if c.is_whole:
        return _whole(c, count, entity)
    return _sure(Stype.NUMERICAL, "shape", "fractional numbers", weight=4.0)


def _list(c: ColumnProfile) -> _Draft:
    element = storage_kind(c.dtype.rpartition("[")[0])
    if element != "float":
        text = f"lists of {'texts' if element == 'text' else 'whole numbers'}"
        return _sure(Stype.MULTICATEGORICAL, "shape", text)
    if c.minimum == c.maximum:
        return _sure(Stype.EMBEDDING, "shape", f"lists of {c.maximum} numbers")
    text = f"lists of {c.minimum} to {c.maximum} numbers: no fixed width"
    return _sure(Stype.IGNORE, "shape", text, "unsupported-type")


def _text(c: ColumnProfile, count: int) -> _Draft:
    repeats, many = count / max(c.num_distinct, 1), f"{c.num_distinct:,} different values"
    dated = [d for d in DATES if c.looks(d.name)]
    dates = sum(c.looks(d.name) for d in dated) + c.looks("date-either")
    if dates >= 0.9:
        return _dates(c, [d.shown for d in dated])
    if c.mean_words > PROSE_WORDS and (repeats < 2 or c.num_distinct > MANY_TEXTS):
        text = f"{c.mean_words:.0f} words on average, {c.num_distinct:,} different texts"
        return _sure(Stype.TEXT, "shape", text)
    numbers = c.looks("number")
    padded = c.looks("padded")
    named = set(words(c.name))
    if numbers == 1 and not padded and count and not LABEL & named and (QUANTITY & named or c.looks("digits") < 1):
        # Texts like '12.50': numbers that came quoted. Codes are told by zeros, length and name.
        draft = _sure(Stype.NUMERICAL, "shape", "texts that are all numbers", "numbers-as-text", 1.5)
        return draft.add(Stype.CATEGORICAL, "shape", f"stored as text, {many}", 0.0)
    if repeats >= 2 or not count:
        draft = _sure(Stype.CATEGORICAL, "values", f"{many}, each {repeats:.0f} times on average", weight=2.5)
        if padded:
            draft.add(Stype.CATEGORICAL, "shape", f"codes with leading zeros ({padded:.0%})", 1.5)
        if c.mean_words > 2 and c.num_distinct > MANY_TEXTS:
            draft.add(Stype.TEXT, "shape", f"{c.mean_words:.0f} words on average", 0.5)
        return draft
    coded = sum(any(ch.isdigit() for ch in s) for s in c.samples) * 2 > len(c.samples)
    shaped = c.looks("hex") >= 0.9 or c.looks("uuid") >= 0.9
    if c.mean_words < 1.5 and (coded or shaped or IDENTIFIER & set(words(c.name)[-1:])):
        text = "nearly every row has another code, and it is no key"
        draft = _sure(Stype.IGNORE, "values", text, "identifier", 2.0)
        if shaped:
            draft.add(Stype.IGNORE, "shape", "hexadecimal, as generated ids are", 1.5)
        return draft.add(Stype.TEXT, "shape", "stored as text", 0.0)
    draft = _sure(Stype.TEXT, "values", "nearly every row has another text", weight=1.8)
    return draft.add(Stype.IGNORE, "values", "nearly every row has another text", 0.0)


def _dates(c: ColumnProfile, shown: list[str]) -> _Draft:
    spellings = shown or ["DD/MM/YYYY or MM/DD/YYYY"]
    how = f"CAST({sql_name(c.name)} AS TIMESTAMP)" if shown == ["YYYY-MM-DD"] else "try_strptime"
    if len(spellings) > 1:
        text = f"dates stored as text in {len(spellings)} spellings ({', '.join(spellings)})"
        return _sure(Stype.IGNORE, "shape", f"{text}; a derived column makes them times: {how}", "mixed-dates")
    if not shown:
        text = f"dates stored as text, and nothing tells day from month ({spellings[0]})"
        return _sure(Stype.IGNORE, "shape", f"{text}; a derived column makes them times: {how}", "mixed-dates")
    return _sure(
        Stype.IGNORE,
        "shape",
        f"dates stored as text; a derived column makes them times: {how}",
        "dates-as-text",
    )


def _whole(c: ColumnProfile, count: int, entity: Entity) -> _Draft:
    """Whole numbers: codes and years are categories, counts and amounts are numbers."""
    parts, repeats = words(c.name), count / max(c.num_distinct, 1)
    if is_year(c):
        draft = _sure(Stype.CATEGORICAL, "shape", f"years, {c.minimum} to {c.maximum}: a moment, no amount", weight=1.5)
        return draft.add(Stype.NUMERICAL, "shape", "years have an order", 0.5)
    # Counts have a shape: nothing is most common, then 1, then 2, ...
    falling = c.num_distinct > len(c.samples) and c.samples == tuple(map(str, range(len(c.samples))))
    falling = falling and c.top_share * c.num_distinct > PEAKED
    counted = bool(QUANTITY & set(parts)) or (falling and not CALENDAR & set(parts))
    # The flight of table flights is a number of something: its values lie close together.
    numbered = "".join(parts) == entity.whole and float(c.maximum or 0) <= 20 * c.num_distinct and not counted
    if parts and (parts[-1] in LABEL or numbered):
        if repeats >= 2 or not count:
            draft = _sure(
                Stype.CATEGORICAL, "name", f"named like a code, {c.num_distinct:,} different values", weight=2.5
            )
            return draft.add(Stype.NUMERICAL, "shape", "whole numbers", 0.0)
        return _identifier("nearly every row has another code, and it is no key", 2.5)
    if not counted and _looks_like_id(c, count):
        return _identifier("whole numbers of one length, another in nearly every row: no amounts", 1.2)
    few = FEW_DISTINCT if c.kind == "integer" else 2  # floats: only a flag is surely whole
    text = f"whole numbers with {c.num_distinct} different values"
    calendar = bool(CALENDAR - YEAR & set(parts)) if parts else False
    if c.num_distinct <= few and repeats >= 2 and not counted:
        weight = 1.5 if repeats >= MANY_REPEATS or c.num_distinct <= 3 or calendar else -0.5
        draft = _Draft({}).add(Stype.CATEGORICAL, "values", text, weight)
        draft.add(Stype.NUMERICAL, "shape", "whole numbers", 0.5)
        if weight < 0:
            draft.add(Stype.NUMERICAL, "values", f"each value only {repeats:.0f} times on average", 0.5)
        return draft
    draft = _sure(Stype.NUMERICAL, "shape", "whole numbers", weight=1.5)
    if counted:
        draft.add(Stype.NUMERICAL, "name", "named or spread like a count or an amount", 1.5)
    return draft.add(Stype.CATEGORICAL, "values", text, -0.5 if c.num_distinct <= 3 * FEW_DISTINCT else -2.0)


def _identifier(text: str, weight: float) -> _Draft:
    draft = _sure(Stype.IGNORE, "values", text, "identifier", weight)
    return draft.add(Stype.NUMERICAL, "shape", "whole numbers", 0.0)


def _looks_like_id(c: ColumnProfile, count: int) -> bool:
    """Whole numbers of six and more digits, all of one length, nearly all different."""
    low, high = (c.minimum or "").removesuffix(".0"), (c.maximum or "").removesuffix(".0")
    if c.kind != "integer" or count < 50 or c.num_distinct < NEARLY_ALL * count:
        return False
    return low.isdigit() and len(low) == len(high) >= 6
