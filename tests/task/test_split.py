"""The grid of seed times, its defaults and what it refuses."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreknow.errors import TaskError
from foreknow.task.query.duration import Duration, read_duration
from foreknow.task.split import Grid, SplitSettings, make_grid, moment_text

MONTH, DAYS_30 = Duration(0, 1), Duration.of(30, "day")


def at(text):
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp())


def lay(*horizons, first="2023-12-01", last="2024-04-02", **settings):
    return make_grid(list(horizons), SplitSettings.read(settings), first=at(first), last=at(last))


def days(times):
    return [moment_text(t) for t in times]


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2024-01-31", 1, "2024-02-29"),
        ("2024-02-29", 1, "2024-03-29"),
        ("2023-01-31", 1, "2023-02-28"),
        ("2024-03-31", -1, "2024-02-29"),
        ("2024-01-31 12:30:05", 13, "2025-02-28 12:30:05"),
        ("1969-12-31", 2, "1970-02-28"),
    ],
)
def test_months_are_calendar_months_clamped_to_the_last_day(start, months, end):
    assert Duration(0, months).after(at(start)) == at(end)


@pytest.mark.parametrize(
    ("text", "shown", "sql"),
    [
        ("30 days", "30 days", "INTERVAL 30 DAY"),
        ("1 week", "1 week", "INTERVAL 1 WEEK"),
        ("2Months", "2 months", "INTERVAL 2 MONTH"),
        ("90 second", "90 seconds", "INTERVAL 90 SECOND"),
    ],
)
def test_lengths_read_and_write(text, shown, sql):
    length = read_duration(text)
    assert (str(length), length.sql()) == (shown, sql)
    assert read_duration(str(length)) == length


@pytest.mark.parametrize("text", ["days", "3 dyas", "-3 days", "3.5 days", "9999999 months", ""])
def test_what_is_no_length_is_said(text):
    with pytest.raises(ValueError, match=r"length|unit|calendar"):
        read_duration(text)


def test_the_grid_is_counted_back_from_the_split_so_that_the_last_training_window_is_used():
    grid = lay(DAYS_30, start="2023-12-01", val_time="2024-01-31", test_time="2024-03-01")
    assert days(grid.train) == ["2023-12-02", "2024-01-01"]
    assert (days(grid.validation), days(grid.test)) == (["2024-01-31"], ["2024-03-01"])


def test_defaults_are_the_latest_complete_windows_and_the_earliest_row():
    grid = lay(DAYS_30, first="2023-12-03", last="2024-04-02")
    assert (days(grid.test), days(grid.validation)) == (["2024-03-03"], ["2024-02-02"])
    assert days(grid.train) == ["2023-12-04", "2024-01-03"]
    assert str(grid.every) == "30 days"


def test_an_embargo_lies_before_each_split():
    grid = lay(DAYS_30, embargo="5 days", start="2023-11-01", test_time="2024-03-01")
    assert days(grid.validation) == ["2024-01-26"]
    assert days(grid.train) == ["2023-11-22", "2023-12-22"]


def test_several_evaluation_times_step_forward_and_windows_may_overlap_inside_a_split():
    grid = lay(DAYS_30, every="10 days", eval_times=2, start="2023-12-01", val_time="2024-01-10")
    assert days(grid.validation) == ["2024-01-10", "2024-01-20"]
    assert days(grid.test) == ["2024-02-22", "2024-03-03"]
    assert [f.name for f in grid.findings] == ["overlapping-windows"]


def test_steps_of_months_are_taken_from_the_anchor():
    grid = lay(
        MONTH, start="2023-09-01", val_time="2024-02-29", test_time="2024-03-31", last="2024-04-30", first="2023-01-01"
    )
    assert days(grid.train) == ["2023-09-29", "2023-10-29", "2023-11-29", "2023-12-29", "2024-01-29"]
    grid = lay(
        MONTH, start="2023-09-01", val_time="2024-03-31", test_time="2024-04-30", last="2024-05-30", first="2023-01-01"
    )
    assert days(grid.train)[-3:] == ["2023-12-29", "2024-01-29", "2024-02-29"]


@pytest.mark.parametrize(
    ("horizons", "settings", "code", "message"),
    [
        ([Duration.of(60, "day")], {"val_time": "2024-01-31", "test_time": "2024-02-01"}, "T03",
         "val labels reach 2024-03-31"),
        ([DAYS_30], {"val_time": "2024-01-31", "test_time": "2024-03-01", "embargo": "1 day"}, "T03",
         "val labels and 1 day of embargo reach 2024-03-02"),
        ([DAYS_30], {"test_time": "2024-03-04"}, "T04", "test label needs rows up to 2024-04-03, data ends 2024-04-02"),
        ([DAYS_30], {"start": "2024-01-30"}, "T07", "no training seed time: the last would be 2024-01-03"),
        ([DAYS_30], {"every": "1 second"}, "T07", "the grid has more than 10,000 training seed times"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(horizons, settings, code, message):
    problems = lay(*horizons, **settings)
    assert isinstance(problems, list)
    assert [p.code for p in problems] == [code]
    assert problems[0].message.startswith(message)


def test_equality_of_a_windows_end_and_the_next_split_is_fine():
    assert isinstance(lay(DAYS_30, val_time="2024-01-31", test_time="2024-03-01"), Grid)
    assert isinstance(lay(DAYS_30, val_time="2024-01-31", test_time="2024-03-03"), Grid)


lengths = st.builds(Duration.of, st.integers(1, 40), st.sampled_from(["day", "week", "month", "hour"]))


@given(
    st.lists(lengths, min_size=1, max_size=2),
    lengths,
    st.integers(1, 4),
    st.one_of(st.none(), lengths),
    st.integers(at("2015-01-01"), at("2025-12-31")),
)
def test_no_label_window_crosses_into_the_next_split_or_past_the_data(horizons, every, eval_times, embargo, last):
    settings = SplitSettings(every=every, eval_times=eval_times, embargo=embargo)
    grid = make_grid(horizons, settings, first=last - 4 * 366 * 86_400, last=last)
    if isinstance(grid, list):
        assert {p.code for p in grid} == {"T07"}
        return
    gap = embargo or Duration()

    def reach(seed):
        return max(h.after(seed) for h in horizons)

    assert gap.after(max(map(reach, grid.train))) <= grid.validation[0]
    assert gap.after(max(map(reach, grid.validation))) <= grid.test[0]
    assert max(map(reach, grid.test)) <= last
    assert list(grid.train) == sorted(set(grid.train))


def test_settings_say_all_that_cannot_be_read():
    with pytest.raises(TaskError) as caught:
        SplitSettings.read({"every": "7 dyas", "val_time": "soon", "eval_times": 0, "vall": 3})
    for part in ("every: unknown unit 'dyas'", "val_time: 'soon' is no time", "eval_times: 0", "vall: no such setting"):
        assert part in str(caught.value)


def test_settings_survive_plain_values():
    settings = SplitSettings.read(
        {"every": "1 month", "val_time": dt.date(2024, 1, 31), "test_time": "2024-03-01 12:00", "eval_times": 3}
    )
    assert SplitSettings.read(settings.to_dict()) == settings
