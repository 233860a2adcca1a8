"""Find the column that tells the rows of a table apart; sets of columns are sought in `composite.py`."""

from __future__ import annotations

import re

from foreknow.schema.evidence import Proposal, Ranking, Reason, ranked
from foreknow.schema.name import (
    CALENDAR,
    CODE,
    IDENTITY,
    QUANTITY,
    YEAR,
    stem,
    words,
)
from foreknow.schema.profile import ColumnProfile, TableProfile
from foreknow.schema.survey import Survey, flaws

__all__ = ["FIRST_YEAR", "LAST_YEAR", "MAX_KEY_LENGTH", "find_keys", "is_row_number", "is_year", "reinforce_keys"]

MAX_KEY_LENGTH = 128  # mean number of characters of a text that may be a key
SMALL_TABLE = 50  # rows below which being unique says little
FIRST_YEAR, LAST_YEAR = 1800, 2200
_ROW_NUMBER = re.compile(r"^(unnamed: ?0|index|level_0|__index_level_0__|column0+|rownames|rownum|row_number|)$")


def find_keys(s: Survey) -> None:
    """Rank the single-column keys of every table, and take what is declared."""
    for t in s.profiles.values():
        _find_key(s, t)


def _find_key(s: Survey, t: TableProfile) -> None:
    declared = t.declared.primary_key if t.has(t.declared.primary_key) else ()
    unique = [u for u in dict.fromkeys(t.declared.unique) if u != declared and t.has(u)]
    for columns in unique:
        s.because(t, "+".join(columns), "declared unique")
    scores = {c.name: _key_score(s, t, i, c) for i, c in enumerate(t.columns)}
    proposals = [_single(t, c, scores[c.name]) for c in t.columns if _is_plausible(t, c, scores[c.name])]
    if declared:
        reason = Reason(kind="declared", text="declared as the primary key", weight=0.0)
        measured = [r for p in proposals if p.value == declared for r in p.reasons if r.kind != "prior"]
        proposals = [p for p in proposals if p.value != declared]
        proposals.append(Proposal(value=declared, reasons=(reason, *measured)))
    ranking = Ranking(subject="key", table=t.name, proposals=ranked(p for p in proposals if p.log_odds > -4))
    best = ranking.best
    primary = best.value if best is not None and isinstance(best.value, tuple) else ()
    s.keys[t.name], s.primary[t.name] = ranking, primary
    for c in t.columns:
        score = scores[c.name]
        if score >= 2 and t.identifies(c) and (c.name,) not in (primary, *unique):
            unique.append((c.name,))
            s.because(t, c.name, "candidate key: unique, and named like a key")
    s.candidates[t.name] = unique
    if not declared:
        _tell_flaws(s, t, primary, scores)


def _tell_flaws(s: Survey, t: TableProfile, primary: tuple[str, ...], scores: dict[str, int]) -> None:
    """Report values that occur twice in the key, or in what is named like it."""
    for c in t.columns:
        repeated = t.num_rows - c.num_distinct
        if (c.name,) == primary and not t.identifies(c):
            message = f"'{c.name}' looks like the key of '{t.name}', but {flaws(t, c)}"
            hint = "the first row of each value is used; mend the others if they matter"
            s.warn("duplicate-key", t, message, c.name, count=repeated, hint=hint)
        elif not t.nearly_identifies(c) and scores[c.name] >= 4 and c.num_distinct >= 0.9 * t.num_rows:
            message = f"'{c.name}' is named like the key of '{t.name}', but {flaws(t, c)}"
            hint = f"mend the rows, or set key: {c.name} to use the first row of each value"
            s.warn("key-not-unique", t, message, c.name, count=repeated, hint=hint)


def _is_plausible(t: TableProfile, c: ColumnProfile, score: int) -> bool:
    return bool(score) and (t.nearly_identifies(c) or (score >= 4 and c.num_distinct >= 0.9 * t.num_rows > 0))


def _single(t: TableProfile, c: ColumnProfile, score: int) -> Proposal:
    share = c.num_distinct / t.num_rows
    reasons = [Reason(kind="prior", text="few columns are keys", weight=-2.5)]
    if t.identifies(c):
        weight = 2.5 if t.num_rows >= SMALL_TABLE else 1.5
        reasons.append(Reason(kind="unique", text=f"unique in all {t.num_rows:,} rows", weight=weight))
    else:
        weight = 1.5 if t.nearly_identifies(c) else -2.0
        reasons.append(Reason(kind="unique", text=f"{share:.2%} unique: {flaws(t, c)}", weight=weight))
    named = {
        5: "named like the key of this table",
        4: "named like the table's rows",
        3: "the first column, and named like a code",
        2: "named like a code",
        1: "the first column",
    }
    reasons.append(Reason(kind="name", text=named[score], weight=0.5 * score))
    if shape := _key_shape(t, c):
        reasons.append(Reason(kind="shape", text=shape, weight=1.0))
    return Proposal(value=(c.name,), reasons=tuple(reasons))


def _key_shape(t: TableProfile, c: ColumnProfile) -> str | None:
    """What makes the values of a column look like those of a key."""
    if c.kind == "integer":
        first, last = int(float(c.minimum or 0)), int(float(c.maximum or 0))
        if first >= 0 and last - first + 1 == t.num_rows:
            return f"numbered from {first} to {last} without a gap"
        return None
    if c.dtype == "UUID" or c.looks("uuid") == 1 or (c.looks("hex") == 1 and c.mean_length >= 16):
        return "hexadecimal, as generated ids are"
    ends = {len(x) for x in (c.minimum or "", c.maximum or "", *c.samples)}
    if c.looks("code") == 1 and len(ends) == 1 and c.mean_length == next(iter(ends)):
        return f"codes of {next(iter(ends))} characters each"
    if c.looks("code") == 1 and c.mean_length <= 16 and any(ch.isdigit() for ch in (c.maximum or "")):
        return "short codes with digits"
    return None


def _key_score(s: Survey, t: TableProfile, position: int, c: ColumnProfile) -> int:
    """How much a column is named like the key of its table: 0 not at all, 5 exactly."""
    parts = words(c.name)
    if not t.num_rows or c.kind not in ("integer", "text") or is_year(c) or is_row_number(t, c):
        return 0
    if c.kind == "text" and (c.mean_words > 2 or c.mean_length > MAX_KEY_LENGTH):
        return 0
    if len(parts) == 1 and parts[0] in IDENTITY:
        return 5
    fit = s.entities[t.name].fit(stem(c.name))
    if _is_owned_elsewhere(s, t, c, fit):
        return 0
    if fit:
        return 5 if fit > 1 else 4
    if "".join(parts) == s.entities[t.name].whole:
        return 4
    if parts and parts[-1] in CODE:
        return 2 if position else 3
    measures = (CALENDAR | QUANTITY) & set(parts)
    return int(position == 0 and not measures and not c.mean_words > 1.5)


def _is_owned_elsewhere(s: Survey, t: TableProfile, c: ColumnProfile, fit: int) -> bool:
    """Whether a column names rows of another table, which has a key of that name or a plain ``id``."""
    named, parts = stem(c.name), words(c.name)
    for name, other in s.profiles.items():
        if name != t.name and s.entities[name].fit(named) > max(fit, 1):
            for o in other.columns:
                own = words(o.name)
                if (own == parts or (own[-1:] == own and IDENTITY & set(own))) and other.nearly_identifies(o):
                    return True
    return False


def reinforce_keys(s: Survey) -> None:
    """Count links that point to a key as evidence for it: keys are what others name."""
    for name, ranking in s.keys.items():
        primary = s.primary[name]
        sources = [
            f"{t}.{k.name}" for t, found in s.links.items() for k in found if k.table == name and k.to in ((), primary)
        ]
        if sources and ranking.proposals and ranking.proposals[0].value == primary:
            first, *others = ranking.proposals
            shown = ", ".join(sources[:3]) + (f" and {len(sources) - 3} more" if len(sources) > 3 else "")
            reason = Reason(kind="containment", text=f"referred to by {shown}", weight=2.0)
            better = Proposal(value=first.value, reasons=(*first.reasons, reason))
            s.keys[name] = Ranking(subject="key", table=name, proposals=(better, *others))
    for name, ranking in s.keys.items():
        if ranking.best is not None and s.primary[name] and len(s.primary[name]) == 1:
            s.because(s.profiles[name], s.primary[name][0], f"primary key: {ranking.best.why}")
        elif ranking.best is not None and s.primary[name]:
            s.because(s.profiles[name], "+".join(s.primary[name]), f"primary key: {ranking.best.why}")


def is_year(c: ColumnProfile) -> bool:
    """Whether a column holds years: named so, and of their size, but for a few odd ones (0 for unknown, say)."""
    if not c.is_whole or not YEAR & set(words(c.name)) or c.minimum is None or c.maximum is None:
        return False
    usual = [v for v in c.samples if FIRST_YEAR <= float(v) <= LAST_YEAR]
    low, high = float(c.minimum), float(c.maximum)
    return (low >= FIRST_YEAR and high <= LAST_YEAR) or (len(usual) == len(c.samples) > 2 and low >= 0 and high <= 9999)


def is_row_number(t: TableProfile, c: ColumnProfile) -> bool:
    """Whether a column is a row index some tool wrote beside the data."""
    if c.kind != "integer" or not _ROW_NUMBER.match(c.name.lower()) or not t.identifies(c):
        return False
    first, last = int(c.minimum or 0), int(c.maximum or 0)
    return first in (0, 1) and last - first + 1 == t.num_rows
