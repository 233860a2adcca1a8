"""Windows and whole numbers of a query."""

from __future__ import annotations

import re
from typing import Literal

from foreknow.task.query.bound import BoundWindow
from foreknow.task.query.duration import Duration, near_unit, read_unit
from foreknow.task.query.names import Marks
from foreknow.task.query.syntax import Bound, Name, Window

__all__ = ["bind_window", "read_unit_name", "whole_number"]


def bind_window(window: Window, clause: Literal["target", "WHERE", "ASSUMING"], marks: Marks) -> BoundWindow | None:
    """A window, if it lies where its clause allows; else None, with a mark."""
    unit = "day" if window.unit is None else read_unit_name(window.unit, marks)
    ends = _end(window, marks)
    if unit is None or ends is None:
        return None
    first, last = ends
    try:
        start = None if first is None else Duration.of(first, unit)
        end = Duration.of(last, unit)
    except OverflowError:
        marks.add("Q26", window.span, "the window is longer than the calendar", "write -INF to look back without limit")
        return None
    words = "days" if window.unit is None else marks.source(window.unit.span)
    if start is not None and not start < end:
        swapped = f": {last}, {first}, {words}" if last < (first or 0) else ""
        marks.add(
            "Q07",
            window.start.span,
            f"the window starts at {start} and ends at {end}",
            f"start must be less than end{swapped}",
        )
    elif clause == "WHERE":
        if last > 0:
            marks.add(
                "Q09",
                window.end.span,
                f"a WHERE window may not reach past the seed time (ends at +{end}): this would leak the future",
                f"use {'-INF' if first is None else first - last}, 0, or move it to ASSUMING",
            )
            return None
        return BoundWindow(start, end)
    elif start is None or first is None or first < 0:
        what = "a target" if clause == "target" else "an ASSUMING"
        marks.add(
            "Q08",
            window.start.span,
            f"{what} window cannot lie in the past (starts at {'-INF' if start is None else start})",
            "targets need start >= 0; put past conditions in WHERE"
            if clause == "target"
            else "ASSUMING needs start >= 0; put past conditions in WHERE",
        )
    else:
        return BoundWindow(start, end)
    return None


def read_unit_name(name: Name, marks: Marks) -> str | None:
    """A unit, singular; marked if there is none of the name."""
    unit = read_unit(name.text)
    if unit is None:
        match = near_unit(name.text)
        shown = f"did you mean {match}?" if match else "units: seconds, minutes, hours, days, weeks, months."
        marks.add("Q06", name.span, f"unknown unit '{name.text}'", f"{shown} For years write 12, months")
    return unit


def whole_number(bound: Bound, marks: Marks, *, what: str, least: int | None = None) -> int | None:
    """A whole number, at least `least`; marked if it is none."""
    if re.fullmatch(r"[+-]?\d{1,15}", bound.text) and (least is None or int(bound.text) >= least):
        return int(bound.text)
    kind = "a whole number" if least is None else f"a whole number of at least {least}"
    marks.add("Q26", bound.span, f"{what} takes {kind}, not {bound.text}", "write e.g. 7")
    return None


def _end(window: Window, marks: Marks) -> tuple[int | None, int] | None:
    """Start (None for -INF) and end as numbers; marked if they are none."""
    if window.end.is_infinite and not window.end.text.startswith("-"):
        marks.add(
            "Q11",
            window.end.span,
            "a window may not be open towards the future",
            "no seed time would ever have a complete label; choose an end",
        )
        return None
    if window.end.is_infinite or (window.start.is_infinite and not window.start.text.startswith("-")):
        bound = window.end if window.end.is_infinite else window.start
        message = f"the window starts at {window.start.text} and ends at {window.end.text}"
        marks.add("Q07", bound.span, message, "start must be less than end; only the start may be -INF")
        return None
    last = whole_number(window.end, marks, what="a window")
    first = None if window.start.is_infinite else whole_number(window.start, marks, what="a window")
    if last is None or (first is None and not window.start.is_infinite):
        return None
    return first, last
