"""Aggregates: kernels against plain NumPy, visibility against brute force, and no bit from the future."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foreknow.errors import SamplingError
from foreknow.graph.encode import fit_encoding
from foreknow.sample.aggregates import kernel
from foreknow.sample.aggregates.aggregator import Aggregator
from foreknow.sample.aggregates.anchor import Visibility
from foreknow.sample.aggregates.candidates import Limits, core_plan, fit_windows, full_plan
from foreknow.sample.aggregates.feature import AggregatePlan, Feature, KeyPart, Stat
from foreknow.sample.aggregates.history import build_history
from foreknow.sample.aggregates.label import LabelHistory, label_horizon
from foreknow.sample.aggregates.reference import aggregate_reference, sibling_means_reference
from foreknow.sample.aggregates.value import Value
from foreknow.sample.seeds import Seeds
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.testing.market import START, build_market, market_tables, other_future
from foreknow.testing.stores import build_store
from foreknow.testing.strategies import bare_stores, seed_times
from foreknow.types import DAY_S, NEVER, Stype

pytestmark = pytest.mark.filterwarnings("error")

NOW = START + 200 * DAY_S


# --- kernels ------------------------------------------------------------------------------------------------------


@st.composite
def queries(draw):
    """Groups of values, some missing, and queries about them."""
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    n, pointer = sum(sizes), np.concatenate([[0], np.cumsum(sizes)])
    number = st.one_of(st.just(float("nan")), st.floats(-1000, 1000, width=32))
    values = np.array(draw(st.lists(number, min_size=n, max_size=n)), np.float32)
    start, stop, low = [], [], []
    for _ in range(draw(st.integers(1, 8))):
        group = draw(st.integers(-1, len(sizes) - 1))
        if group < 0:
            start.append(-1), stop.append(-1), low.append([-1, -1, -1])
            continue
        a, b = int(pointer[group]), int(pointer[group + 1])
        end = draw(st.integers(a, b))
        start.append(a), stop.append(end), low.append([a, draw(st.integers(a, end)), draw(st.integers(a, end))])
    return values, np.array(start), np.array(stop), np.array(low)


RECIPES = np.array(
    [
        *((kind, r, 0) for kind in (kernel.ROWS, kernel.MEAN, kernel.SUM, kernel.STD) for r in range(3)),
        *((kind, r, 0) for kind in (kernel.MIN, kernel.MAX) for r in range(3)),
        *((kernel.LAST, 0, k) for k in range(3)),
        (kernel.EWM, 0, 0),
        (kernel.CHANGE, 1, 0),
        (kernel.CHANGE, 2, 1),
    ]
)


def run_kernel(values, start, stop, low):
    out = np.full((len(start), len(RECIPES)), 7, np.float64)
    kernel.aggregate(values, np.lexsort((stop, start)), start, stop, low, RECIPES, out)
    return out


@given(queries())
def test_the_kernel_says_what_plain_numpy_says(given_queries):
    values, start, stop, low = given_queries
    expected = aggregate_reference(values, start, stop, low, RECIPES)
    np.testing.assert_allclose(run_kernel(values, start, stop, low), expected, rtol=1e-6, atol=1e-3)


def test_sums_far_from_zero_keep_their_digits():
    values = (1e6 + np.array([0, 1, 0, 1, 0, 1])).astype(np.float32)
    start, stop, low = np.array([0]), np.array([6]), np.array([[0, 2, 4]])
    found = dict(zip(map(tuple, RECIPES), run_kernel(values, start, stop, low)[0], strict=True))
    assert found[kernel.STD, 0, 0] == pytest.approx(0.5, abs=1e-9)
    assert found[kernel.MEAN, 0, 0] == 1e6 + 0.5


@given(queries(), st.floats(-1e6, 1e6, width=32))
def test_rows_after_the_last_one_seen_change_no_bit(given_queries, other):
    values, start, stop, low = given_queries
    before = run_kernel(values, start, stop, low)
    changed = values.copy()
    seen = np.zeros(len(values), bool)
    for a, b in zip(start, stop, strict=True):
        seen[max(a, 0) : max(b, 0)] = True
    changed[~seen] = other
    assert before.tobytes() == run_kernel(changed, start, stop, low).tobytes()


@given(st.data())
def test_siblings_are_the_others_known_by_then(data):
    n = data.draw(st.integers(1, 10))
    group = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    time = np.sort(np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))))
    values = np.array(data.draw(st.lists(st.sampled_from([np.nan, 1, 2, 5]), min_size=n, max_size=n)), np.float32)
    rows = np.lexsort((time, group)).astype(np.int32)
    pointer = np.searchsorted(group[rows], np.arange(4))
    for known in (time, None):
        mean, number = np.full(n, np.nan), np.full(n, np.nan)
        at = np.empty(0, np.int64) if known is None else known[rows]
        kernel.sibling_means(pointer, rows, at, values, mean, number)
        expected = sibling_means_reference(group, known, values)
        np.testing.assert_allclose(mean, expected[0])
        np.testing.assert_array_equal(number, expected[1])


# --- what is seen -------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.data())
def test_a_history_holds_the_rows_known_along_the_whole_chain(data):
    store = data.draw(bare_stores())
    edges = store.edge_types
    chains = [(e,) for e in range(len(edges))]
    chains += [(a, b) for a in range(len(edges)) for b in range(len(edges)) if edges[b].target == edges[a].source]
    if not chains:
        return
    chain = data.draw(st.sampled_from(chains))
    known = data.draw(seed_times())
    history = build_history(store, chain)
    size = store[edges[chain[0]].target].num_rows
    anchors = np.arange(size)
    spans = history.spans(anchors, np.full(size, known), [np.full(size, known - 2 * DAY_S)], (2,))

    def visible(table, row):
        time = store[table].time
        return time is None or time[row] <= known

    for g in range(size):
        expected = []
        for row in range(store[edges[chain[-1]].source].num_rows):
            at, sees = row, True
            for e in reversed(chain):
                sees = sees and visible(edges[e].source, at)
                at = int(store.parents[e][at])
                if at < 0:
                    break
            if sees and at == g:
                expected.append(row)
        found = history.rows[spans.start[g] : spans.stop[g]]
        assert sorted(found.tolist()) == expected
        if history.time is not None:
            assert (np.diff(history.time[spans.start[g] : spans.stop[g]]) >= 0).all()
            window = history.time[spans.low[g, 1] : spans.stop[g]]
            assert (window > known - 2 * DAY_S).all()
            assert len(window) == (history.time[spans.start[g] : spans.stop[g]] > known - 2 * DAY_S).sum()
        assert spans.stop[g] - spans.low[g, 2] == min(2, len(expected))


def test_keys_that_do_not_follow_one_another_are_refused(market):
    edges = [e.name for e in market.edge_types]
    with pytest.raises(SamplingError, match="does not lead to"):
        build_history(market, (edges.index("f2p_region"), edges.index("f2p_brand+code")))


def shop(folder):
    """Two shops; sales of 10, 20, ... on days 1, 2, ..., the third one in another shop; a sale without a time."""
    day = pa.array([DAY_S * d for d in (1, 2, 3, 4, 4)] + [None]).cast(pa.timestamp("s"))
    schema = Schema(
        {
            "shops": Table(
                name="shops",
                columns=(
                    Column(name="id", stype=Stype.KEY, dtype="BIGINT"),
                    Column(name="size", stype=Stype.NUMERICAL, dtype="BIGINT"),
                    Column(name="opened", stype=Stype.TIMESTAMP, dtype="TIMESTAMP"),
                ),
                primary_key=("id",),
            ),
            "sales": Table(
                name="sales",
                columns=(
                    Column(name="shop", stype=Stype.KEY, dtype="BIGINT"),
                    Column(name="amount", stype=Stype.NUMERICAL, dtype="DOUBLE"),
                    Column(name="at", stype=Stype.TIMESTAMP, dtype="TIMESTAMP"),
                ),
                foreign_keys=(ForeignKey(columns=("shop",), table="shops"),),
                time_column="at",
            ),
        }
    )
    rows = {
        "shops": pa.table(
            {"id": [0, 1], "size": [5, 6], "opened": pa.array([DAY_S, 3 * DAY_S]).cast(pa.timestamp("s"))}
        ),
        "sales": pa.table({"shop": [0, 0, 1, 0, 0, 0], "amount": [10.0, 20, 30, 40, 50, 99], "at": day}),
    }
    return build_store(folder, schema, rows)


def amounts(stat, **more):
    return Feature(
        family="history", chain=(0,), value=Value(kind="number", column="amount"), stat=Stat(kind=stat, **more)
    )


def one(store, features, seeds, *, see=None, labels=None, windows=(), horizon=0):
    plan = AggregatePlan(
        entity_table=store.schema.edge_types[0].target, windows_s=windows, horizon_s=horizon, features=tuple(features)
    )
    aggregator = Aggregator(store, plan, fit_encoding(store, NEVER - 1), see=see or Visibility(), labels=labels)
    row, time = zip(*seeds, strict=True)
    return aggregator.compute(Seeds(row=np.array(row, np.int32), time=np.array(time, np.int64)))


@pytest.mark.parametrize(
    ("see", "day", "total"),
    [
        (Visibility(), 2, 30),
        (Visibility(), 2 - 1 / DAY_S, 10),
        (Visibility(inclusive=False), 2, 10),
        (Visibility(inclusive=False), 2 + 1 / DAY_S, 30),
        (Visibility(), 9, 120),
        (Visibility(context_until=2 * DAY_S), 9, 30),
        (Visibility(context_until=2 * DAY_S, inclusive=False), 9, 10),
        (Visibility(), 0, 0),
    ],
)
def test_what_is_seen_ends_at_the_seed_time_or_the_context(tmp_path, see, day, total):
    assert one(shop(tmp_path), [amounts("sum")], [(0, round(day * DAY_S))], see=see)[0, 0] == total


def test_aggregates_of_a_shop_by_hand(tmp_path):
    rows = {"family": "history", "chain": (0,), "value": Value()}
    features = {
        "sum over the window": (amounts("sum", range=1), 90),
        "mean over the last 5 rows": (amounts("mean", range=2), 30),
        "last": (amounts("last"), 50),
        "one before": (amounts("last", other=1), 40),
        "rows in the window": (Feature(**rows, stat=Stat(kind="rows", range=1)), 2),
        "since the last": (Feature(**rows, stat=Stat(kind="since_last")), 1),
        "since the first": (Feature(**rows, stat=Stat(kind="since_first")), 4),
        "in mean gaps": (Feature(**rows, stat=Stat(kind="overdue")), 1),
        "mean gap": (Feature(**{**rows, "value": Value(kind="gap")}, stat=Stat(kind="mean")), 1.5),
        "size": (Feature(family="attribute", column="size"), 5),
        "opened": (Feature(family="attribute", column="opened"), 4),
    }
    found = one(shop(tmp_path), [f for f, _ in features.values()], [(0, 5 * DAY_S)], windows=(2 * DAY_S,))[0]
    assert dict(zip(features, found.tolist(), strict=True)) == {k: pytest.approx(v) for k, (_, v) in features.items()}


def test_an_instant_of_a_row_without_time_is_hidden_until_it_comes(tmp_path):
    opened = Feature(family="attribute", column="opened")
    found = one(shop(tmp_path), [opened], [(1, 2 * DAY_S), (1, 3 * DAY_S), (1, 5 * DAY_S)])[:, 0]
    np.testing.assert_array_equal(found, [np.nan, 0, 2])


@pytest.mark.parametrize(
    ("day", "see", "mean"),
    [
        (11, Visibility(), np.nan),
        (12, Visibility(), 1),  # the label of day 2 is known after ten days
        (12, Visibility(inclusive=False), np.nan),
        (13, Visibility(), 2),
        (30, Visibility(context_until=12 * DAY_S), 1),
        (30, Visibility(), 2),
    ],
)
def test_a_label_counts_once_its_window_has_closed(tmp_path, day, see, mean):
    feature = Feature(family="label", keys=(KeyPart(),), stat=Stat(kind="mean"))
    seeds = Seeds(row=np.array([0, 0, 1], np.int32), time=np.array([2, 3, 2]) * DAY_S)
    labels = LabelHistory(seeds=seeds, values=np.array([[1], [3], [100]], np.float32))
    found = one(shop(tmp_path), [feature], [(0, day * DAY_S)], see=see, labels=labels, horizon=10 * DAY_S)
    np.testing.assert_array_equal(found, [[mean]])


@pytest.mark.parametrize(
    ("splits", "days"),
    [
        ([[0, 7, 14], [44], [74]], 30),  # dense seed times, splits a horizon apart
        ([[0, 30, 60], [90], [120]], 30),
        ([[0], [1]], 1),
        ([[5]], 0),
        ([], 0),
    ],
)
def test_an_unknown_horizon_is_taken_to_be_long(splits, days):
    assert label_horizon([np.array(s) * DAY_S for s in splits]) == days * DAY_S


def test_windows_grow_from_the_horizon_and_stay_within_the_past(market):
    until = START + 300 * DAY_S
    assert fit_windows(30 * DAY_S, market, until) == (30 * DAY_S, 90 * DAY_S)
    assert fit_windows(7 * DAY_S, market, until) == (7 * DAY_S, 21 * DAY_S, 182 * DAY_S)


# --- everything at once -------------------------------------------------------------------------------------------


def everything(store, encoding, entity, see, num_labels=1):
    core = core_plan(
        store,
        entity,
        encoding,
        see=see,
        windows_s=(7 * DAY_S, 60 * DAY_S),
        horizon_s=20 * DAY_S,
        num_labels=num_labels,
        limits=Limits(values=10_000),
    )
    return full_plan(core, range(len(core)), store)


VIEWS = [
    Visibility(),
    Visibility(inclusive=False),
    Visibility(context_until=NOW - 30 * DAY_S),
    Visibility(known=("age", "region"), known_edges=()),
]


@pytest.mark.parametrize("see", VIEWS, ids=["inclusive", "exclusive", "frozen", "known"])
@pytest.mark.parametrize("entity", ["customers", "articles", "sales"])
def test_rows_after_the_seed_times_change_no_bit(tmp_path, entity, see):
    tables = market_tables()
    stores = [build_market(tmp_path / "a", tables), build_market(tmp_path / "b", other_future(tables, NOW))]
    encoding = fit_encoding(stores[0], NOW)
    table = stores[0][entity]
    rows = np.arange(table.num_rows if table.time is None else int((table.time <= NOW).sum()), dtype=np.int32)
    plan = everything(stores[0], encoding, entity, see, num_labels=2)
    assert {f.family for f in plan.features} >= {"attribute", "history", "label"}
    assert (
        max(len(f.anchor) + len(f.chain) for f in plan.features) >= (1 if entity == "sales" else 3)
        or entity == "articles"
    )
    rng = np.random.default_rng(0)
    past = Seeds(row=rng.choice(rows, 80), time=NOW - rng.integers(0, 150, 80) * DAY_S)
    future = Seeds(row=rng.choice(rows, 40), time=NOW + rng.integers(0, 50, 40) * DAY_S)
    asked = Seeds(row=np.tile(rows, 2), time=np.repeat([NOW, NOW - 11 * DAY_S], len(rows)))
    found = []
    for i, store in enumerate(stores):
        both = Seeds(row=np.concatenate([past.row, future.row]), time=np.concatenate([past.time, future.time]))
        known = past.time + 20 * DAY_S <= NOW
        values = np.random.default_rng(1).random((120, 2)).astype(np.float32)
        values[:80][~known] += i  # labels that are not known yet differ
        values[80:] += i
        labels = LabelHistory(seeds=both, values=values)
        found.append(Aggregator(store, plan, encoding, see=see, labels=labels).compute(asked))
    assert found[0].tobytes() == found[1].tobytes()
    filled = np.isfinite(found[0]).any(axis=0).mean()
    assert filled > 0.5, "most features say something here"


def test_a_change_of_the_past_is_seen(tmp_path):
    tables = market_tables()
    sales = tables["sales"]
    other = {**tables, "sales": sales.slice(0, sales.num_rows // 2)}
    stores = [build_market(tmp_path / "a", tables), build_market(tmp_path / "b", other)]
    encoding = fit_encoding(stores[0], NOW)
    plan = everything(stores[0], encoding, "customers", Visibility())
    rows = np.flatnonzero(stores[0]["customers"].time <= NOW).astype(np.int32)
    seeds = Seeds(row=rows, time=np.full(len(rows), NOW))
    a, b = (Aggregator(s, plan, encoding, see=Visibility()).compute(seeds) for s in stores)
    assert a.tobytes() != b.tobytes()


def test_a_seed_knows_nothing_of_the_others_and_threads_change_nothing(market, encoding):
    plan = everything(market, encoding, "customers", Visibility())
    rows = np.arange(20, dtype=np.int32)
    seeds = Seeds(row=rows, time=NOW + (rows % 3) * DAY_S)
    labels = LabelHistory(seeds=Seeds(row=rows, time=seeds.time - 50 * DAY_S), values=rows[:, None].astype(np.float32))
    whole = Aggregator(market, plan, encoding, see=Visibility(), labels=labels, num_threads=4).compute(seeds)
    alone = Aggregator(market, plan, encoding, see=Visibility(), labels=labels, num_threads=1)
    for i in (0, 7, 19):
        assert alone.compute(seeds.take(np.array([i]))).tobytes() == whole[i : i + 1].tobytes()


def test_an_entity_row_later_than_its_seed_time_shows_known_columns_only(market, encoding):
    late = np.flatnonzero(market["customers"].time > NOW).astype(np.int32)
    seeds = Seeds(row=late, time=np.full(len(late), NOW))
    for known, edges in (((), ()), (("age",), ()), (("region",), (0,))):
        see = Visibility(known=known, known_edges=edges)
        plan = everything(market, encoding, "customers", see)
        x = Aggregator(market, plan, encoding, see=see).compute(seeds)
        for j, f in enumerate(plan.features):
            if f.family == "attribute" and not f.anchor and f.column not in known:
                assert np.isnan(x[:, j]).all(), f.column
            if f.anchor[:1] and f.anchor[0][0] == "up" and f.anchor[0][1] not in edges:
                assert np.isnan(x[:, j]).all()
    assert any(len(f.anchor) == 1 and f.anchor[0] == ("up", 0) for f in plan.features)


def test_a_plan_survives_json_and_its_features_have_names_of_their_own(market, encoding):
    plan = everything(market, encoding, "customers", Visibility())
    assert AggregatePlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    names = plan.names(market)
    doubles = [n for n in names if names.count(n) > 1]
    assert not doubles[:3]
    assert "mean of sales by customer_id.amount over the last 5 rows" in names
    assert "number of visits over the last 7 days" in names
    assert replace(plan, features=plan.features[:2]) == plan.take([0, 1])
