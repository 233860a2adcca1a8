"""What texts look like: codes, padded numbers, dates in their many spellings. Regular expressions for DuckDB (RE2).

The source measures which share of a column's texts has which shape; inference reads the shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CODES", "DATES", "MISSING", "DateShape", "date_sql", "patterns"]

_CLOCK = r"([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?"
_OFFSET = r"( ?(Z|[+-]\d{2}(:?\d{2})?))?"


@dataclass(frozen=True, kw_only=True)
class DateShape:
    """One way to write a date. ``formats`` are DuckDB's strptime formats; none: a cast reads it, offset included."""

    name: str
    shown: str  # as a person would write it down
    pattern: str
    formats: tuple[str, ...] = ()


def _formats(day: str) -> tuple[str, ...]:
    return (day, f"{day} %H:%M", f"{day} %H:%M:%S", f"{day} %H:%M:%S.%g")


DATES = (
    DateShape(name="date-iso", shown="YYYY-MM-DD", pattern=r"\d{4}-\d{1,2}-\d{1,2}" + _CLOCK + _OFFSET),
    DateShape(
        name="date-slash-ymd",
        shown="YYYY/MM/DD",
        pattern=r"\d{4}/\d{1,2}/\d{1,2}" + _CLOCK,
        formats=_formats("%Y/%m/%d"),
    ),
    DateShape(
        name="date-dmy",
        shown="DD/MM/YYYY",
        pattern=r"(1[3-9]|2\d|3[01])/(0?[1-9]|1[0-2])/\d{4}" + _CLOCK,
        formats=_formats("%d/%m/%Y"),
    ),
    DateShape(
        name="date-mdy",
        shown="MM/DD/YYYY",
        pattern=r"(0?[1-9]|1[0-2])/(1[3-9]|2\d|3[01])/\d{4}" + _CLOCK,
        formats=_formats("%m/%d/%Y"),
    ),
    DateShape(
        name="date-dotted",
        shown="DD.MM.YYYY",
        pattern=r"\d{1,2}\.\d{1,2}\.\d{4}" + _CLOCK,
        formats=_formats("%d.%m.%Y"),
    ),
    DateShape(name="date-compact", shown="YYYYMMDD", pattern=r"(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])"),
    DateShape(
        name="date-named",
        shown="DD Mon YYYY",
        pattern=r"\d{1,2}[ -][A-Z][a-z]{2}[ -]\d{4}",
        formats=("%d %b %Y", "%d-%b-%Y"),
    ),
)
"""Spellings of dates that say of themselves what is day and what is month."""

_EITHER = "date-either"  # 03/04/2020: day or month first
CODES: Mapping[str, str] = {
    "digits": r"\d+",
    "padded": r"0\d+",
    "number": r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?",
    "hex": r"[0-9a-fA-F]{8,}",
    "uuid": r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "code": r"[A-Za-z0-9][A-Za-z0-9._:/#-]*",
    "offset": r".*\d{2}:\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)",
    _EITHER: r"(0?[1-9]|1[0-2])/(0?[1-9]|1[0-2])/\d{4}" + _CLOCK,
}
MISSING = r"(?i)(n/?a|null|none|nan|missing|unknown|undefined|\?+|-+|\.+|#n/a|)"
"""Texts that may stand for a missing value, or be data: ``NA`` is a league, Namibia and North America."""


def patterns() -> dict[str, str]:
    """Every shape by name; a text may have several."""
    return {**CODES, **{d.name: d.pattern for d in DATES}, "missing": MISSING}


def date_sql(column: str, shares: Mapping[str, float], *, month_first: bool = False) -> tuple[str, list[str]] | None:
    """SQL that reads a column of texts as times, and the spellings in it; None if most texts are no dates.

    Args:
        column: The column, quoted for SQL.
        shares: Share of texts of each shape.
        month_first: How to read 03/04/2020 where nothing in the column tells.
    """
    found = [d for d in DATES if shares.get(d.name, 0.0) > 0]
    either = shares.get(_EITHER, 0.0)
    if sum(shares.get(d.name, 0.0) for d in found) + either < 0.9:
        return None
    formats = [f for d in found for f in d.formats]
    names = [d.shown for d in found]
    if either and not {"date-dmy", "date-mdy"} & {d.name for d in found}:
        formats += _formats("%m/%d/%Y" if month_first else "%d/%m/%Y")
        names.append("MM/DD/YYYY" if month_first else "DD/MM/YYYY")
    parts = []
    if shares.get("date-iso"):
        zoned = "TIMESTAMPTZ" if shares.get("offset") else "TIMESTAMP"
        parts.append(f"TRY_CAST({column} AS {zoned})" + ("::TIMESTAMP" if zoned == "TIMESTAMPTZ" else ""))
    if shares.get("date-compact"):
        formats.append("%Y%m%d")
    if formats:
        listed = ", ".join(f"'{f}'" for f in formats)
        parts.append(f"try_strptime({column}, {'[' + listed + ']' if len(formats) > 1 else listed})")
    return (parts[0] if len(parts) == 1 else f"coalesce({', '.join(parts)})"), names
