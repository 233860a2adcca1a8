"""Lengths of time: exact seconds, or calendar months with the day clamped to the month's last.

``31 January + 1 month`` is 29 February 2024, and ``29 February + 1 month`` is 29 March. Months are added in one step,
never chained. Moments are Unix seconds UTC.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from dataclasses import dataclass
from functools import total_ordering

from foreknow.errors import did_you_mean, near_match
from foreknow.types import DAY_S

__all__ = ["UNITS", "Duration", "read_duration"]

UNITS: dict[str, tuple[int, int]] = {
    "second": (1, 0),
    "minute": (60, 0),
    "hour": (3600, 0),
    "day": (DAY_S, 0),
    "week": (7 * DAY_S, 0),
    "month": (0, 1),
}
"""Seconds and months of one of each unit."""

_MONTH_S = 2_629_746  # the mean month of the Gregorian calendar; orders lengths, places nothing
_LARGEST_S = 10_000 * 366 * DAY_S
_EPOCH = dt.datetime(1970, 1, 1)


@total_ordering
@dataclass(frozen=True)
class Duration:
    """So many seconds, or so many calendar months; negative for the past. ``unit`` is how it was written."""

    seconds: int = 0
    months: int = 0
    unit: str = "day"

    @classmethod
    def of(cls, number: int, unit: str) -> Duration:
        """So many of a unit (singular).

        Raises:
            OverflowError: It is longer than the calendar.
        """
        seconds, months = UNITS[unit]
        if abs(number) * max(seconds, months * _MONTH_S) > _LARGEST_S:
            raise OverflowError(f"{number} {unit}s are longer than the calendar")
        return cls(number * seconds, number * months, unit)

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.seconds + other.seconds, self.months + other.months, self.unit)

    def __sub__(self, other: Duration) -> Duration:
        return self + other * -1

    def __mul__(self, number: int) -> Duration:
        return Duration(self.seconds * number, self.months * number, self.unit)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and (self.seconds, self.months) == (other.seconds, other.months)

    def __hash__(self) -> int:
        return hash((self.seconds, self.months))

    def __lt__(self, other: Duration) -> bool:
        return self._length < other._length

    @property
    def _length(self) -> int:
        return self.seconds + self.months * _MONTH_S

    @property
    def longest_s(self) -> int:
        """Seconds it takes at most: months differ in length."""
        return self.seconds + self.months * 31 * DAY_S

    def after(self, moment: int) -> int:
        """The moment this long after another (before it, if negative).

        Raises:
            OverflowError: That is outside the years 1 to 9999.
        """
        if self.months:
            at = _EPOCH + dt.timedelta(seconds=moment)
            month = at.year * 12 + at.month - 1 + self.months
            year, month = month // 12, month % 12 + 1
            if not 1 <= year <= 9999:
                raise OverflowError("outside the calendar")
            day = min(at.day, calendar.monthrange(year, month)[1])
            moment = int((at.replace(year=year, month=month, day=day) - _EPOCH).total_seconds())
        return moment + self.seconds

    def sql(self) -> str:
        """As a DuckDB interval without sign, e.g. ``INTERVAL 30 DAY``."""
        if self.months:
            return f"INTERVAL {abs(self.months)} MONTH"
        size, _ = UNITS[self.unit]
        unit = self.unit if size and self.seconds % size == 0 else "second"
        return f"INTERVAL {abs(self.seconds) // (UNITS[unit][0])} {unit.upper()}"

    def __str__(self) -> str:
        size, months = UNITS[self.unit]
        if self.months and not months:
            return _plural(self.months, "month")
        if months:
            return _plural(self.months, "month") if self.months or not self.seconds else _plural(self.seconds, "second")
        number, rest = divmod(self.seconds, size)
        return _plural(number, self.unit) if not rest else _plural(self.seconds, "second")


def read_duration(text: str) -> Duration:
    """A length written as ``30 days`` or ``1 month``.

    Raises:
        ValueError: It is none; the message says what is wrong.
    """
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]+)\s*", text)
    if match is None:
        raise ValueError(f"'{text}' is no length of time; write e.g. 30 days")
    unit = read_unit(match.group(2))
    if unit is None:
        raise ValueError(f"unknown unit '{match.group(2)}'; {did_you_mean(match.group(2), PLURALS, 'units')}")
    try:
        return Duration.of(int(match.group(1)), unit)
    except (OverflowError, ValueError) as e:
        raise ValueError(f"'{text}' is longer than the calendar") from e


PLURALS = tuple(f"{u}s" for u in UNITS)


def read_unit(text: str) -> str | None:
    """The unit a word names, singular; None if it names none."""
    word = text.lower().removesuffix("s")
    return word if word in UNITS else None


def near_unit(text: str) -> str | None:
    """The unit most like a word, plural."""
    return near_match(text, PLURALS)


def _plural(number: int, unit: str) -> str:
    return f"{number} {unit}" if abs(number) == 1 else f"{number} {unit}s"
