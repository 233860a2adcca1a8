"""Splits by a grid of seed times, counted back from the split so that the last training window is used.

    train       val_time - H - embargo - i * every   >= start
    validation  val_time + i * every                  i < eval_times
    test        test_time + i * every                 i < eval_times

``H``, the horizon, is how far labels look ahead of a seed time. No label window crosses into the next split, and none
reaches past the end of the data. Times are Unix seconds UTC.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from foreknow.errors import Finding, TaskError
from foreknow.task.query.duration import Duration, read_duration
from foreknow.task.query.parse import read_moment

__all__ = ["Grid", "GridProblem", "SplitSettings", "make_grid", "moment_text"]

MAX_SEED_TIMES = 10_000  # of all splits together

_MOMENTS = ("start", "val_time", "test_time", "data_end", "as_of")
_DURATIONS = ("every", "embargo", "active_within", "horizon")


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """What a person says about splits; all of it has a default.

    Attributes:
        every: Step of the grid; the horizon if not given.
        start: Earliest training seed time; the earliest row of the target tables if not given.
        val_time: First validation seed time; the latest that fits before `test_time` if not given.
        test_time: First test seed time; the latest with complete windows if not given.
        eval_times: Seed times of validation and of test.
        embargo: Left free between the last label window of a split and the next split.
        data_end: Until when rows are complete; the last row of the target tables if not given.
        active_within: Keep only entities with a row in the target tables so long before the seed time.
        horizon: How far labels look ahead, where no query says it.
        as_of: When predictions are made if nothing else is said; `data_end` if not given.
    """

    every: Duration | None = None
    start: int | None = None
    val_time: int | None = None
    test_time: int | None = None
    eval_times: int = 1
    embargo: Duration | None = None
    data_end: int | None = None
    active_within: Duration | None = None
    horizon: Duration | None = None
    as_of: int | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> SplitSettings:
        """From plain values: ``every="30 days"``, ``val_time="2024-01-31"`` or a date, None for the default.

        Raises:
            TaskError: With everything that can't be read.
        """
        read: dict[str, Any] = {}
        problems = []
        for name, value in values.items():
            try:
                read[name] = _read(name, value)
            except ValueError as e:
                problems.append(f"{name}: {e}")
        if problems:
            raise TaskError("; ".join(problems))
        return cls(**read)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the inverse of `read`. What has its default is left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {k: str(v) if isinstance(v, Duration) else v for k, v in values.items()}


@dataclass(frozen=True, kw_only=True)
class GridProblem:
    """Why a grid can't be laid: ``T03`` splits overlap, ``T04`` incomplete windows, ``T07`` no or too many times."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Seed times per split, ascending, and what they came from."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    every: Duration
    horizon: Duration
    data_end: int
    findings: tuple[Finding, ...] = ()

    @property
    def splits(self) -> dict[str, tuple[int, ...]]:
        """Seed times by split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def moment_text(seconds: int) -> str:
    """A moment for messages: the date, and the time of day if it isn't midnight."""
    at = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
    return str(at.date()) if seconds % 86_400 == 0 else str(at)


def make_grid(
    horizons: Sequence[Duration], settings: SplitSettings, *, first: int, last: int
) -> Grid | list[GridProblem]:
    """Lay the grid.

    Args:
        horizons: Ends of the label windows; the latest counts, at each seed time (months differ in length).
        settings: What a person said.
        first: Earliest row of the target tables.
        last: Last complete row of the target tables.

    Returns:
        The grid, or all that is wrong with it.
    """
    try:
        return _Grid(tuple(horizons), settings, first, last).lay()
    except OverflowError:
        return [GridProblem(code="T07", message="the grid leaves the calendar", hint="check val_time and test_time")]


class _Grid:
    def __init__(self, horizons: tuple[Duration, ...], settings: SplitSettings, first: int, last: int) -> None:
        self.horizons, self.settings = horizons, settings
        self.start = first if settings.start is None else settings.start
        self.data_end = last if settings.data_end is None else settings.data_end
        self.embargo = settings.embargo or Duration()
        self.horizon = max(horizons, key=lambda h: h.after(self.data_end))
        self.every = settings.every or self.horizon
        self.steps = self.every * (settings.eval_times - 1)

    def lay(self) -> Grid | list[GridProblem]:
        settings = self.settings
        test_time = settings.test_time
        if test_time is None:
            test_time = (self.steps * -1).after(self._before(self.data_end))
        val_time = settings.val_time
        if val_time is None:
            val_time = (self.steps * -1).after(self._before((self.embargo * -1).after(test_time)))
        validation, test = self._eval_times(val_time), self._eval_times(test_time)
        problems = self._check(val_time, test_time, validation[-1], test[-1])
        train = self._train(val_time)
        if isinstance(train, GridProblem):
            problems.append(train)
        if problems:
            return problems
        assert isinstance(train, tuple)
        return Grid(
            train=train,
            validation=validation,
            test=test,
            every=self.every,
            horizon=self.horizon,
            data_end=self.data_end,
            findings=self._overlaps((*train, *validation, *test)),
        )

    def _reach(self, seed: int) -> int:
        """Until when the label at a seed time looks."""
        return max(h.after(seed) for h in self.horizons)

    def _before(self, moment: int) -> int:
        """The latest seed time whose labels look no further than a moment."""
        return min((h * -1).after(moment) for h in self.horizons)

    def _eval_times(self, first: int) -> tuple[int, ...]:
        return tuple((self.every * i).after(first) for i in range(self.settings.eval_times))

    def _train(self, val_time: int) -> tuple[int, ...] | GridProblem:
        last = self._before((self.embargo * -1).after(val_time))
        times: list[int] = []
        while (seed := (self.every * -len(times)).after(last)) >= self.start:
            times.append(seed)
            if len(times) > MAX_SEED_TIMES:
                return GridProblem(
                    code="T07",
                    message=f"the grid has more than {MAX_SEED_TIMES:,} training seed times, one every {self.every}",
                    hint="give a later start, or a longer every",
                )
        if times:
            return tuple(reversed(times))
        return GridProblem(
            code="T07",
            message=f"no training seed time: the last would be {moment_text(last)}, "
            f"before the start {moment_text(self.start)}",
            hint="give a later val_time, an earlier start, or a shorter window",
        )

    def _check(self, val_time: int, test_time: int, last_val: int, last_test: int) -> list[GridProblem]:
        problems = []
        val_end = self.embargo.after(self._reach(last_val))
        if val_end > test_time:
            is_plain = self.settings.eval_times == 1 and not self.settings.embargo and len(self.horizons) == 1
            least = f"val_time + {self.horizon}" if is_plain else moment_text(val_end)
            embargo = f" and {self.embargo} of embargo" if self.settings.embargo else ""
            problems.append(
                GridProblem(
                    code="T03",
                    message=f"val labels{embargo} reach {moment_text(val_end)}, "
                    f"past test_time {moment_text(test_time)}",
                    hint=f"test_time >= {least}, or shorten the window",
                )
            )
        test_end = self._reach(last_test)
        if test_end > self.data_end:
            latest = (self.steps * -1).after(self._before(self.data_end))
            problems.append(
                GridProblem(
                    code="T04",
                    message=f"test label needs rows up to {moment_text(test_end)}, "
                    f"data ends {moment_text(self.data_end)}",
                    hint=f"latest possible test_time is {moment_text(latest)}",
                )
            )
        return problems

    def _overlaps(self, seeds: tuple[int, ...]) -> tuple[Finding, ...]:
        if not any(self.every.after(seed) < self._reach(seed) for seed in seeds):
            return ()
        finding = Finding(
            name="overlapping-windows",
            severity="info",
            message=f"a seed time every {self.every} with labels over {self.horizon}: windows overlap inside a split, "
            "so its rows are not independent",
        )
        return (finding,)


def _read(name: str, value: Any) -> Any:
    if name not in {f.name for f in fields(SplitSettings)}:
        raise ValueError("no such setting")
    if value is None:
        return 1 if name == "eval_times" else None
    if name in _DURATIONS:
        length = value if isinstance(value, Duration) else read_duration(str(value))
        if name != "embargo" and not Duration() < length:
            raise ValueError(f"{value} is no length of time; write e.g. 30 days")
        return length
    if name in _MOMENTS:
        return _read_moment(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SEED_TIMES:
        raise ValueError(f"{value!r} is no whole number of at least 1")
    return value


def _read_moment(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if not -62_135_596_800 <= value <= 253_402_300_799:
            raise ValueError(f"{value} is outside the years 1 to 9999")
        return value
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)
    moment = value if isinstance(value, dt.datetime) else read_moment(str(value))
    if moment is None:
        raise ValueError(f"'{value}' is no time; write e.g. 2024-01-31")
    aware = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return int((aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(seconds=1))
