"""What a model reads: fitted on the past, blind to the future."""

import json

import numpy as np
import pytest

from foreknow.graph import encode
from foreknow.graph.encode import CLIP, Encoding, TableFeatures, fit_encoding
from foreknow.testing.toy import SEED_TIMES
from foreknow.types import DAY_S, NEVER

NOW = 1_600_000_000


@pytest.fixture
def fit(build):
    """Fit on all rows of one table given as SELECT, and bind."""

    def run(select, meanings, *, time=None, until=NOW, key_features=(), **options):
        timed = f"time: {time}, " if time else ""
        store = build(
            f"CREATE TABLE t AS {select}", f"t: {{{timed}columns: {{{meanings}}}}}", key_features=key_features
        )
        return bind(store, fit_encoding(store, until, **options))

    return run


def bind(store, encoding, table="t"):
    return Bound(store, encoding, table)


class Bound:
    """An encoding bound to a table, with its columns by name."""

    def __init__(self, store, encoding, table):
        self.store, self.encoding, self.name = store, encoding, table
        self.table = encoding.tables[table]
        self.features = TableFeatures(self.table, store[table], encoding.arrays)

    def rows(self, ids=None, seed_time=NOW):
        ids = np.arange(self.store[self.name].num_rows) if ids is None else np.array(ids)
        return self.features.gather(ids.astype(np.int32), np.full(len(ids), seed_time))

    def dense(self, column, rows=None, **options):
        rows, at = self.rows(**options) if rows is None else rows, 0
        for name, size in self.table.dense_columns:
            if name == column:
                return rows.dense[:, at : at + size]
            at += size
        raise KeyError(column)

    def category(self, column, rows=None):
        """Indices of one column, without the offset."""
        rows = self.rows() if rows is None else rows
        j = list(self.table.categories).index(column)
        return (rows.category[:, j] - sum(self.table.category_sizes[:j])).tolist()

    def lists(self, column, rows=None):
        rows = self.rows() if rows is None else rows
        codes, offsets = rows.lists[list(self.table.lists).index(column)]
        return [part.tolist() for part in np.split(codes, offsets[1:])]


# --- numbers ------------------------------------------------------------------------------------------------


def test_numbers_are_standardised_by_the_past_of_the_toy(toy_store):
    """Up to 2024-01-31, transactions 1, 5 and 2 count: prices 80, 20, 20."""
    t = bind(toy_store, fit_encoding(toy_store, SEED_TIMES[0]), "transactions")
    (price,) = t.table.numbers
    assert (price.name, price.mean, price.has_missing) == ("price", 40.0, False)
    assert price.std == pytest.approx(np.sqrt(800))
    np.testing.assert_allclose(t.dense("price")[:3, 0], np.array([40, -20, -20]) / np.sqrt(800), rtol=1e-6)


def test_a_row_stamped_exactly_at_the_cut_off_is_past(toy_store):
    """Transaction 2, price 20, happens at the first seed time itself."""
    at, before = (
        fit_encoding(toy_store, t).tables["transactions"].numbers[0] for t in (SEED_TIMES[0], SEED_TIMES[0] - 1)
    )
    assert (at.mean, before.mean) == (40.0, 50.0)


def test_missing_numbers_are_zero_and_flagged(fit):
    t = fit(
        "SELECT unnest([1, NULL, 3, 'nan'::DOUBLE, 'inf'::DOUBLE]) AS a, unnest([1, 2, 3, 4, 5]) AS b",
        "a: numerical, b: numerical",
    )
    assert t.table.dense_columns == [("a", 2), ("b", 1)]
    np.testing.assert_allclose(t.dense("a"), [[-1, 0], [0, 1], [1, 0], [0, 1], [0, 1]], atol=1e-6)


def test_constant_columns_stay_finite(fit):
    t = fit(
        "SELECT 0.1 AS a, NULL::DOUBLE AS b, 0 AS c, 1e30 AS d FROM range(50)",
        "a: numerical, b: numerical, c: numerical, d: numerical",
    )
    assert np.isfinite(t.rows().dense).all()
    assert np.abs(t.dense("a")).max() < 1e-3
    np.testing.assert_array_equal(t.dense("b"), [[0, 1]] * 50)
    np.testing.assert_array_equal(t.dense("c"), [[0]] * 50)


def test_extreme_numbers_are_clipped(fit):
    t = fit("SELECT unnest([1000000000, -1000000000] || range(1000)) AS a", "a: numerical")
    dense = t.dense("a")
    assert np.abs(dense).max() == CLIP
    assert np.isfinite(dense).all()


def test_long_tails_get_a_logarithm_too(fit):
    t = fit("SELECT exp(i / 10.0) AS a, i AS b FROM range(200) AS r(i)", "a: numerical, b: numerical")
    assert t.table.dense_columns == [("a", 2), ("b", 1)]
    log = t.dense("a")[:, 1]
    assert np.all(np.diff(log) > 0)
    assert abs(log.mean()) < 1e-3
    assert log.std() == pytest.approx(1, abs=1e-3)


def test_logarithms_are_signed(fit):
    t = fit(
        "SELECT exp(i / 10.0) AS a FROM range(200) AS r(i) UNION ALL SELECT -i FROM range(100) AS r(i)",
        "a: numerical",
    )
    (a,) = t.table.numbers
    assert a.log_unit > 0
    log = t.dense("a")[:, 1]
    assert np.all(np.diff(log[:200]) > 0)
    assert log[0] > log[200] > log[201] > log[299]


def test_statistics_come_from_an_even_sample_of_the_past(fit, monkeypatch):
    monkeypatch.setattr(encode, "MAX_STATISTICS_ROWS", 50)
    t = fit("SELECT i AS a, to_timestamp(i) AS day FROM range(1000) AS r(i)", "a: numerical", time="day", until=99)
    assert t.table.numbers[0].mean == 49.0  # of 0, 2, ..., 98


# --- instants -----------------------------------------------------------------------------------------------

INSTANTS = f"SELECT unnest([to_timestamp({NOW}), to_timestamp({NOW - 10 * DAY_S}), to_timestamp({NOW + 1}), NULL]) AS i"


def test_instants_are_seen_from_the_seed_time(fit):
    t = fit(INSTANTS, "i: timestamp")
    assert t.features.needs_seed_time
    np.testing.assert_allclose(t.dense("i"), [[0, 0], [np.log(11) / 4, 0], [0, 1], [0, 1]], rtol=1e-6)


def test_in_a_table_without_time_an_instant_is_hidden_until_it_has_come(fit):
    t = fit(INSTANTS, "i: timestamp")
    flags = [t.dense("i", seed_time=NOW + s)[2, 1] for s in (0, 1, 2)]
    assert flags == [1, 0, 0]


def test_in_a_table_with_time_an_instant_may_lie_ahead(fit):
    """A row that is visible was written by then; it may well name a date to come."""
    t = fit(f"{INSTANTS}, to_timestamp({NOW - 1}) AS day", "i: timestamp", time="day")
    np.testing.assert_allclose(t.dense("i")[2], [-np.log1p(1 / DAY_S) / 4, 0], rtol=1e-5)


def test_without_instants_the_seed_time_does_not_matter(fit):
    t = fit("SELECT 1 AS a", "a: numerical")
    assert not t.features.needs_seed_time
    np.testing.assert_array_equal(t.rows(seed_time=0).dense, t.rows(seed_time=NOW).dense)


# --- categories ---------------------------------------------------------------------------------------------

COLOURS = "SELECT if(k < 60, 'red', 'blue') AS c FROM range(100) AS r(k)"


def test_categories_are_known_unknown_or_missing(fit):
    """Rows of 'green' come after the cut-off."""
    t = fit(
        f"SELECT c, to_timestamp(0) AS day FROM ({COLOURS}) "
        "UNION ALL SELECT unnest(['green', NULL, 'red']), to_timestamp(100)",
        "c: categorical",
        time="day",
        until=99,
    )
    assert t.table.categories["c"] == ("red", "blue")
    assert t.table.category_sizes == [4]
    assert t.category("c") == [2] * 60 + [3] * 40 + [1, 0, 2]


def test_rare_categories_share_the_index_of_unknown_ones(fit):
    t = fit(COLOURS, "c: categorical", max_categories=1)
    assert t.table.categories["c"] == ("red",)
    assert set(t.category("c")) == {1, 2}


def test_indices_of_columns_do_not_overlap(fit):
    t = fit(f"SELECT c, c = 'red' AS b, NULL AS n FROM ({COLOURS})", "c: categorical, b: boolean, n: categorical")
    assert t.table.category_sizes == [4, 4, 2]
    low = t.rows().category.min(axis=0)
    high = t.rows().category.max(axis=0)
    assert (low.tolist(), high.tolist()) == ([2, 6, 8], [3, 7, 8])


def test_lists_hold_any_number_of_categories(fit):
    many = "UNION ALL SELECT ['x', 'y'] FROM range(60) UNION ALL SELECT ['y'] FROM range(10)"
    t = fit(f"SELECT unnest([['y', 'x'], [], NULL, [NULL, 'y']]) AS l {many}", "l: multicategorical")
    assert t.table.lists["l"] == ("y", "x")
    assert t.table.list_sizes == [4]
    assert t.lists("l")[:5] == [[2, 3], [], [], [0, 2], [3, 2]]
    assert t.lists("l", t.rows([4, 1, 0])) == [[3, 2], [], [2, 3]]
    assert t.lists("l", t.rows([1, 2])) == [[], []]


def test_keys_can_be_categories_too(build):
    store = build(
        "CREATE TABLE t AS SELECT i AS id FROM range(3) AS r(i), range(50)", "t: {key: id}", key_features=["t"]
    )
    assert fit_encoding(store, NOW).tables["t"].category_sizes == [5]


# --- texts and vectors --------------------------------------------------------------------------------------


def test_texts_are_vectors_and_a_flag(fit):
    t = fit("SELECT unnest(['red shoes', NULL, 'blue hat', 'red shoes', '']) AS x", "x: text")
    dense = t.dense("x")
    np.testing.assert_array_equal(dense[0], dense[3])
    assert dense[:, -1].tolist() == [0, 1, 0, 0, 0]
    assert not dense[1, :-1].any()
    assert np.abs(dense[0] - dense[2]).max() > 0.1
    assert set(t.encoding.arrays) == {"t.x.weight", "t.x.components"}


def test_vectors_are_scaled_as_one_and_missing_if_any_entry_is(fit):
    t = fit("SELECT unnest([[1, 3], NULL, [3, 5], [7, NULL]]::DOUBLE[][]) AS e", "e: embedding")
    (e,) = t.table.vectors
    assert (e.size, e.mean, e.std) == (2, 3.0, pytest.approx(np.sqrt(2)))
    half = np.sqrt(2)
    np.testing.assert_allclose(t.dense("e"), [[-half, 0, 0], [0, 0, 1], [0, half, 0], [0, 0, 1]], rtol=1e-6)


@pytest.mark.parametrize("values", ["[NULL]::DOUBLE[][]", "[[2, 2]]::DOUBLE[][]", "[[1e30, -1e30]]::DOUBLE[][]"])
def test_vectors_that_say_little_stay_finite(fit, values):
    assert np.isfinite(fit(f"SELECT unnest({values}) AS e", "e: embedding").rows().dense).all()


# --- hiding -------------------------------------------------------------------------------------------------

RICH = (
    "a: numerical, b: numerical, c: categorical, x: text, e: embedding, l: multicategorical, i: timestamp, f: boolean"
)
RICH_ROWS = f"""
    SELECT 2 * k + 1 AS a, if(k % 2 = 0, NULL, k) AS b, 'c' || (k % 3) AS c, 'word' || (k % 5) || ' text' AS x,
           [k, 1]::DOUBLE[] AS e, ['l' || (k % 2), 'l'] AS l, to_timestamp({NOW} - k * 86400) AS i, k % 2 = 0 AS f
    FROM range(120) AS r(k)
"""


def test_hidden_rows_show_nothing_but_what_is_known(fit):
    t = fit(RICH_ROWS, RICH)
    rows = t.rows([3, 4, 5])
    hidden = np.array([True, False, True])
    shown = t.features.hide(rows, hidden, ["a", "l"])
    np.testing.assert_array_equal(shown.dense[1], rows.dense[1])
    np.testing.assert_array_equal(shown.category[1], rows.category[1])
    np.testing.assert_array_equal(t.dense("a", shown), t.dense("a", rows))
    assert t.lists("l", shown) == t.lists("l", rows)
    for column in ("b", "x", "e", "i"):
        values = t.dense(column, shown)[hidden]
        np.testing.assert_array_equal(values[:, :-1], 0)
        np.testing.assert_array_equal(values[:, -1], 1)
    for column in ("c", "f"):
        assert np.array(t.category(column, shown))[hidden].tolist() == [0, 0]
    np.testing.assert_array_equal(
        shown.dense[0, t.dense("a", rows).shape[1] :], shown.dense[2, t.dense("a", rows).shape[1] :]
    )


def test_everything_can_be_hidden(fit):
    t = fit(RICH_ROWS, RICH)
    rows = t.rows([3, 4])
    shown = t.features.hide(rows, np.array([True, True]), [])
    np.testing.assert_array_equal(shown.dense[0], shown.dense[1])
    np.testing.assert_array_equal(t.dense("a", shown), [[0], [0]])
    assert t.lists("l", shown) == [[], []]
    assert [t.category(c, shown) for c in ("c", "f")] == [[0, 0], [0, 0]]


def test_lists_of_other_rows_stay_where_one_is_hidden(fit):
    t = fit(RICH_ROWS, RICH)
    rows = t.rows([0, 1, 2])
    first, _, last = t.lists("l", rows)
    assert t.lists("l", t.features.hide(rows, np.array([False, True, False]), [])) == [first, [], last]
    assert t.lists("l", t.features.hide(rows, np.array([True, False, True]), [])) == [[], t.lists("l", rows)[1], []]


def test_what_was_gathered_is_not_changed_by_hiding(fit):
    t = fit(RICH_ROWS, RICH)
    rows, again = t.rows([0, 1]), t.rows([0, 1])
    t.features.hide(rows, np.array([True, False]), [])
    np.testing.assert_array_equal(rows.dense, again.dense)
    np.testing.assert_array_equal(rows.category, again.category)
    assert t.features.hide(rows, np.array([False, False]), []) is rows


# --- saving, and newer stores -------------------------------------------------------------------------------


def same_bits(a, b):
    np.testing.assert_array_equal(a.dense, b.dense)
    np.testing.assert_array_equal(a.category, b.category)
    for (codes, offsets), (more_codes, more_offsets) in zip(a.lists, b.lists, strict=True):
        np.testing.assert_array_equal(codes, more_codes)
        np.testing.assert_array_equal(offsets, more_offsets)


def test_an_encoding_survives_json(fit):
    t = fit(RICH_ROWS, RICH)
    restored = Encoding.from_dict(json.loads(json.dumps(t.encoding.to_dict())), t.encoding.arrays)
    assert restored == t.encoding
    assert restored.to_dict() == t.encoding.to_dict()
    same_bits(bind(t.store, restored).rows(), t.rows())


def test_rows_of_a_newer_store_are_encoded_as_before(fit, build):
    """New values, other codes, another order of columns: the old encoding still means the same."""
    t = fit(RICH_ROWS, RICH)
    newer = build(
        f"CREATE TABLE t AS SELECT f, l, i, e, x, c, b, a FROM ({RICH_ROWS}) UNION ALL SELECT true, ['a new one'], "
        f"to_timestamp({NOW}), [0, 0], 'a new text', 'a new c', 5, 7",
        f"t: {{columns: {{{RICH}}}}}",
    )
    new = bind(newer, t.encoding)
    same_bits(new.rows(np.arange(120)), t.rows())
    assert new.category("c", new.rows([120])) == [1]
    assert new.lists("l", new.rows([120])) == [[1]]


# --- the future test ----------------------------------------------------------------------------------------

CUT = NOW - 10 * DAY_S
PAST = f"SELECT *, to_timestamp({CUT} - (k // 2) * 86400) AS day FROM (SELECT *, (a - 1) // 2 AS k FROM ({RICH_ROWS}))"


def future(rows, after_s=1):
    """So many rows after the cut-off that differ in everything, the first of them `after_s` seconds after it."""
    return f"""
        SELECT 1e6 * k AS a, -1e9 * k AS b, 'new' || k AS c, 'unheard of ' || k AS x, [1e6 * k, -1e6] AS e,
               ['new' || k, 'l'] AS l, to_timestamp({NOW} + k) AS i, NULL AS f, -1 AS k,
               to_timestamp({CUT + after_s} + k) AS day
        FROM range({rows}) AS r(k)"""


def with_future(build, rows, **options):
    # First in the file, so that row numbers and dictionaries differ as well.
    select = f"{future(rows, **options)} UNION ALL {PAST}" if rows else PAST
    store = build(f"CREATE TABLE t AS {select}", f"t: {{time: day, columns: {{{RICH}}}}}")
    return bind(store, fit_encoding(store, CUT))


@pytest.mark.parametrize("rows", [0, 1, 40, 400])
def test_the_future_changes_no_bit(build, rows):
    """Rows after the cut-off are changed, added and deleted: the past looks the same."""
    reference, t = with_future(build, 7), with_future(build, rows)
    assert t.encoding.to_dict() == reference.encoding.to_dict()
    assert t.encoding.arrays.keys() == reference.encoding.arrays.keys()
    for name, array in reference.encoding.arrays.items():
        np.testing.assert_array_equal(t.encoding.arrays[name], array, err_msg=name)
    past = np.arange(120)
    same_bits(t.rows(past, CUT), reference.rows(past, CUT))


def test_a_row_exactly_at_the_cut_off_is_no_future(build):
    """The other side of the boundary: the same rows one second earlier do change the encoding."""
    reference = with_future(build, 0).encoding.to_dict()
    assert with_future(build, 1, after_s=1).encoding.to_dict() == reference
    assert with_future(build, 1, after_s=0).encoding.to_dict() != reference


def test_rows_without_time_teach_nothing(build):
    reference = with_future(build, 0).encoding.to_dict()
    select = f"{PAST} UNION ALL SELECT * REPLACE (NULL AS day) FROM ({future(5)})"
    store = build(f"CREATE TABLE t AS {select}", f"t: {{time: day, columns: {{{RICH}}}}}")
    assert fit_encoding(store, CUT).to_dict() == reference
    assert store["t"].time[-1] == NEVER


def test_all_rows_of_a_table_without_time_are_past(fit):
    t = fit("SELECT unnest([1, 3]) AS a", "a: numerical", until=0)
    assert t.table.numbers[0].mean == 2.0


def test_a_cut_off_before_all_rows_gives_an_encoding_that_knows_nothing(build):
    store = build(f"CREATE TABLE t AS {PAST}", f"t: {{time: day, columns: {{{RICH}}}}}")
    t = bind(store, fit_encoding(store, 0))
    rows = t.rows()
    assert np.isfinite(rows.dense).all()
    assert set(t.category("c")) == {1}
    assert {c for codes in t.lists("l") for c in codes} == {1}


# --- the rhythm of time -------------------------------------------------------------------------------------


def rhythm(build, every_s, num):
    store = build(
        f"CREATE TABLE t AS SELECT to_timestamp({NOW} - k * {every_s}) AS day FROM range({num}) AS r(k)",
        "t: {time: day}",
    )
    return fit_encoding(store, NOW).time


@pytest.mark.parametrize(
    ("every_s", "num", "clock", "week", "year"),
    [
        (3600, 24 * 40, True, True, False),
        (DAY_S, 10, False, False, False),
        (DAY_S, 500, False, True, True),
        (30 * DAY_S, 20, False, False, True),
        (365 * DAY_S, 20, False, False, False),
    ],
)
def test_the_rhythm_of_the_data_decides_which_clocks_are_shown(build, every_s, num, clock, week, year):
    time = rhythm(build, every_s, num)
    assert (time.has_clock, time.has_week, time.has_year) == (clock, week, year)
    span = (num - 1) * every_s / DAY_S
    assert list(time.scales_days) == sorted(time.scales_days)
    assert time.scales_days[0] == pytest.approx(min(every_s / DAY_S, span), abs=1e-3)
    assert time.scales_days[-1] == pytest.approx(span, abs=1e-3)


def test_without_time_there_are_scales_all_the_same(fit):
    assert np.isfinite(fit("SELECT 1 AS a", "a: numerical").encoding.time.scales_days).all()
