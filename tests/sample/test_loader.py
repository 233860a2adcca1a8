"""Batches: in order, the same with any number of threads, and bit by bit blind to what comes after the seed time."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from foreknow.graph.encode import fit_encoding
from foreknow.sample.loader import Loader, Seeds, _phases
from foreknow.task.task import EntityTask
from foreknow.testing.market import END, START, build_market, market_loader, market_tables, other_future
from foreknow.testing.toy import SEED_TIMES
from foreknow.types import DAY_S, TaskType

pytestmark = pytest.mark.filterwarnings("error")

NOW = START + 300 * DAY_S


def tensors_of(batch):
    """Every tensor of a batch by name."""
    found = {"history": batch.history, "seed_clock": batch.seed_clock}
    for i, s in enumerate(batch.sets):
        for f in fields(s):
            value = getattr(s, f.name)
            if f.name == "lists":
                found |= {f"{i}.lists.{j}.{k}": t for j, pair in enumerate(value) for k, t in enumerate(pair)}
            elif value is not None:
                found[f"{i}.{f.name}"] = value
    return found


def assert_same(one, other, *, but=()):
    one, other = tensors_of(one), tensors_of(other)
    assert one.keys() == other.keys()
    assert [name for name in one if name not in but and not torch.equal(one[name], other[name])] == []


def seeds_at(rows, times):
    rows = np.asarray(rows, np.int32)
    return Seeds(row=rows, time=np.broadcast_to(np.asarray(times, np.int64), rows.shape).copy())


def set_of(loader, table, kind="parents"):
    """First set of a table."""
    return next(s.index for s in loader.sampler.plan.sets if s.table == table and s.kind == kind)


def row_of(store, customer):
    """Row id of a customer, who is the file row of that number."""
    return int(store["customers"].to_row(np.array([customer]))[0])


# --- order and threads --------------------------------------------------------------------------------------------


def test_all_seeds_come_once_in_order(market, encoding):
    loader, seeds = market_loader(market, encoding), seeds_at(range(11), NOW)
    assert [b.rows.tolist() for b in loader.batches(seeds, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    order = np.array([3, 1, 2, 10])
    assert [b.rows.tolist() for b in loader.batches(seeds, 3, order=order)] == [[3, 1, 2], [10]]
    assert [len(b) for b in loader.batches(seeds, 3, order=order)] == [3, 1]
    assert list(loader.batches(seeds_at([], 0), 4)) == []


@pytest.mark.parametrize("num_threads", [1, 3])
def test_batches_do_not_depend_on_threads(market, encoding, num_threads):
    seeds = seeds_at(np.arange(24).repeat(3), START + np.arange(72) * 6 * DAY_S)
    alone = list(market_loader(market, encoding).batches(seeds, 5, epoch=2))
    ahead = list(market_loader(market, encoding, num_threads=num_threads).batches(seeds, 5, epoch=2))
    assert len(alone) == len(ahead) == 15
    for one, other in zip(alone, ahead, strict=True):
        assert one.rows.tolist() == other.rows.tolist()
        assert_same(one, other)


def test_a_batch_depends_on_the_epoch(market, encoding):
    loader, seeds = market_loader(market, encoding, num_neighbors=(1,)), seeds_at(range(24), END)
    one, same, other = (next(loader.batches(seeds, 24, epoch=e)) for e in (1, 1, 2))
    assert_same(one, same)
    assert any(not torch.equal(a.dense, b.dense) for a, b in zip(one.sets, other.sets, strict=True) if len(a) == len(b))


def test_threads_are_left_when_the_reader_stops_early(market, encoding):
    import threading

    loader = market_loader(market, encoding, num_threads=2)
    batches = loader.batches(seeds_at(range(24), NOW), 1)
    next(batches)
    assert any(t.name.startswith("loader") for t in threading.enumerate())
    batches.close()
    assert not any(t.name.startswith("loader") for t in threading.enumerate())


def test_an_error_in_a_thread_is_raised_to_the_reader(market, encoding):
    loader = market_loader(market, encoding, num_threads=2)
    with pytest.raises(ValueError, match="seeds are no rows of 'customers'"):
        list(loader.batches(seeds_at([0, 99], NOW), 1))


# --- what a batch holds -------------------------------------------------------------------------------------------


def test_rows_are_encoded_as_their_table_is(market, encoding):
    loader, seeds = market_loader(market, encoding), seeds_at([3, 7], [NOW, END])
    batch, sample = loader.batch(seeds, np.arange(2)), loader.sampler.sample(seeds.row, seeds.time)
    for s, drawn, rows in zip(loader.sampler.plan.sets, sample.sets, batch.sets, strict=True):
        at = sample.seed_time[drawn.slot]
        expected = loader.features[s.table].gather(drawn.ids, at)
        assert rows.dense.numpy().tolist() == expected.dense.tolist()
        assert rows.category.numpy().tolist() == expected.category.tolist()
        for (codes, offsets), (expected_codes, expected_offsets) in zip(rows.lists, expected.lists, strict=True):
            assert codes.tolist() == expected_codes.tolist()
            assert offsets.tolist() == expected_offsets.tolist()
        time = market[s.table].time
        if time is None:
            assert rows.days is None
            assert rows.clock is None
        else:
            assert rows.days.tolist() == ((at - time[drawn.ids]) / DAY_S).astype(np.float32).tolist()
            assert rows.clock.numpy().tolist() == _phases(time[drawn.ids]).tolist()
        for name in ("owner", "offsets", "degree", "link"):
            given, drawn_array = getattr(rows, name), getattr(drawn, name)
            assert (given is None) == (drawn_array is None)
            if given is not None:
                assert given.tolist() == drawn_array.tolist()


def test_a_batch_of_the_toy_shop_by_hand(toy_store):
    """Customer 1 on the 31st of January (a Wednesday) bought on the 5th for 80 and on the day for 20."""
    task = EntityTask(
        name="Buys",
        type=TaskType.BINARY,
        entity_table="customers",
        entity_columns=("customer_id",),
        entity_key=("customer_id",),
        label="buys",
        time="seed_time",
        metric="roc_auc",
    )
    encoding = fit_encoding(toy_store, SEED_TIMES[0])
    loader = Loader.for_task(
        toy_store, task, encoding, num_neighbors=[-1], strategy="last", windows_days=(7, 28), seed=0
    )
    batch = loader.batch(seeds_at([0], SEED_TIMES[0]), np.arange(1))
    transactions = batch.sets[set_of(loader, "transactions", "children")]
    assert transactions.days.tolist() == [26, 0]
    assert transactions.degree.tolist() == [2]
    # prices up to then are 80, 20 and 20: mean 40, standard deviation 28.28
    assert transactions.dense[:, 0].tolist() == pytest.approx([2**0.5, -(0.5**0.5)])
    assert batch.seed_clock[0].tolist() == pytest.approx([0, 2 / 7, (19_753 / 365.2425) % 1], abs=1e-5)
    # links: whom the customer referred (47 days ago), then transactions; in 7 days, in 28, days since
    assert batch.history.tolist() == [[0, 0, 47, 1, 2, 0]]


def test_phases_begin_at_midnight_on_monday_and_with_the_year():
    times = np.array(["1970-01-01", "1970-01-05", "2024-06-09T12:00", "1969-12-31T18:00"], "datetime64[s]").astype(int)
    day, week, year = _phases(times).T
    assert day.tolist() == [0, 0, 0.5, 0.75]
    assert week.tolist() == pytest.approx([3 / 7, 0, 6.5 / 7, 2.75 / 7])
    assert year.tolist() == pytest.approx([0, 4 / 365.2425, 0.44, 1 - 0.25 / 365.2425], abs=2e-3)


def test_history_holds_every_link_into_the_entity_table(market, encoding):
    loader, seeds = market_loader(market, encoding), seeds_at([1, 5, 9], NOW)
    batch, sample = loader.batch(seeds, np.arange(3)), loader.sampler.sample(seeds.row, seeds.time)
    into = [s.index for s in loader.sampler.plan.hanging_from(0) if s.kind != "parents"]
    assert len(into) == 7  # referred customers, sales twice, visits, complaints, follows twice
    assert batch.history.shape == (3, 7 * 3)
    assert batch.history.tolist() == np.hstack([sample.sets[i].windows for i in into]).tolist()


def test_a_batch_moves_as_a_whole(market, encoding):
    batch = next(market_loader(market, encoding).batches(seeds_at(range(5), NOW), 5))
    assert batch.to("cpu") is batch
    moved = batch.to("meta")
    assert {t.device.type for t in tensors_of(moved).values()} == {"meta"}
    assert {k: t.shape for k, t in tensors_of(moved).items()} == {k: t.shape for k, t in tensors_of(batch).items()}
    assert moved.rows is batch.rows


def test_a_row_without_time_that_ages_all_the_same_is_told_its_age_at_each_seed_time(market, encoding):
    """Articles have an instant: to seeds of two times they look different. Regions don't: once per batch will do."""
    loader, rows = market_loader(market, encoding, num_neighbors=(-1, 1)), visible_customers(market)
    seeds = seeds_at([*rows, *rows], np.repeat([NOW, END], len(rows)))
    sample, batch = loader.sampler.sample(seeds.row, seeds.time), loader.batch(seeds, np.arange(len(seeds)))
    articles = set_of(loader, "articles")
    regions = next(s.index for s in loader.sampler.plan.sets if s.table == "regions" and s.is_leaf)
    assert len(set(sample.sets[articles].ids.tolist())) < len(sample.sets[articles])
    assert len(set(sample.sets[regions].ids.tolist())) == len(sample.sets[regions])
    source = sample.sets[loader.sampler.plan.sets[articles].source]
    link = sample.sets[articles].link
    at = sample.seed_time[source.slot[link >= 0]]
    launched = market["articles"].columns.instants[sample.sets[articles].ids[link[link >= 0]], 0]
    age = np.where((launched < 0) | (launched > at), 0, np.log1p(np.maximum(at - launched, 0) / DAY_S) / 4)
    column = encoding.tables["articles"].dense_size - 2
    assert batch.sets[articles].dense[link[link >= 0], column].tolist() == age.astype(np.float32).tolist()


# --- nothing later than the seed time -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def futures(market, encoding, tmp_path_factory):
    """Two markets of one past, with encodings fitted on it."""
    other = build_market(tmp_path_factory.mktemp("other"), other_future(market_tables(), NOW))
    assert sorted(t.num_rows for t in market.tables.values()) != sorted(t.num_rows for t in other.tables.values())
    return [(market, encoding), (other, fit_encoding(other, NOW))]


def visible_customers(store):
    return np.flatnonzero(store["customers"].time <= NOW)


@pytest.mark.parametrize("strategy", ["uniform", "last"])
def test_future_rows_after_the_seed_time_change_no_bit(futures, strategy):
    rows = visible_customers(futures[0][0])
    assert len(rows) > 10
    loaders = [market_loader(*f, strategy=strategy, num_neighbors=(4, 2)) for f in futures]
    one, other = (loader.batch(seeds_at(rows, NOW), np.arange(len(rows))) for loader in loaders)
    assert sum(len(s) for s in one.sets) > 300
    assert_same(one, other)


def test_future_rows_after_a_frozen_context_change_no_bit(futures):
    rows = visible_customers(futures[0][0])
    loaders = [market_loader(*f, context_until=NOW) for f in futures]
    assert_same(*(loader.batch(seeds_at(rows, END), np.arange(len(rows))) for loader in loaders))


def test_a_row_of_the_very_seed_time_counts_if_the_context_is_inclusive(market, tmp_path):
    """Two markets that differ in one sale's amount, at the seed time."""
    encoding, tables = fit_encoding(market, NOW), market_tables()
    sale = next(i for i, c in enumerate(tables["sales"]["customer_id"].to_pylist()) if c is not None)
    customer, stamp = tables["sales"]["customer_id"][sale].as_py(), tables["sales"]["sold"][sale]
    assert stamp.is_valid
    at = stamp.cast(pa.timestamp("s")).cast(pa.int64()).as_py()
    amounts = tables["sales"]["amount"].to_pylist()
    amounts[sale] = 1234.5
    columns = tables["sales"].column_names
    tables["sales"] = tables["sales"].set_column(columns.index("amount"), "amount", pa.array(amounts))
    other = build_market(tmp_path, tables)
    for inclusive in (True, False):
        one, two = (
            market_loader(s, encoding, inclusive=inclusive, strategy="last").batch(
                seeds_at([row_of(s, customer)], at), np.arange(1)
            )
            for s in (market, other)
        )
        two = tensors_of(two)
        assert any(not torch.equal(t, two[name]) for name, t in tensors_of(one).items()) == inclusive


def changed_customers(market, tmp_path, later):
    """The market with other values in all feature columns of customers who join after NOW."""
    tables = market_tables()
    old, new = tables["customers"], market_tables(seed=5)["customers"]
    for name in ("age", "income", "tier", "member", "born", "bio", "tags", "taste", "referred_by", "region"):
        mixed = pc.if_else(pa.array(later), new[name].combine_chunks(), old[name].combine_chunks())
        old = old.set_column(old.column_names.index(name), name, mixed)
    return build_market(tmp_path, {**tables, "customers": old})


def test_an_unseen_seed_is_hidden_but_for_what_is_known_ahead(market, encoding, tmp_path):
    joined = market_tables()["customers"]["joined"]
    later = pc.fill_null(pc.greater(joined, pa.scalar(NOW * 1_000_000, pa.timestamp("us"))), True).to_pylist()
    other = changed_customers(market, tmp_path, later)
    customers = [i for i, is_later in enumerate(later) if is_later]
    assert len(customers) > 5
    rows = np.arange(len(customers))

    def batch(store, **task):
        seeds = seeds_at([row_of(store, c) for c in customers], NOW)
        return market_loader(store, encoding, num_neighbors=(3,), **task).batch(seeds, rows)

    one = batch(market)
    assert_same(one, batch(other))
    seed = one.sets[0]
    assert seed.days.tolist() == [0] * len(customers)
    assert torch.equal(seed.clock, one.seed_clock)
    assert all((link < 0).all() for link in (s.link for s in one.sets[1:3]))
    # a known column is shown, and nothing else
    start = encoding.tables["customers"].dense_columns[0][1]  # after age
    one, two = batch(market, known=("income",)), batch(other, known=("income",))
    assert_same(one, two, but=("0.dense",))
    differs = (one.sets[0].dense != two.sets[0].dense).any(0)
    assert differs.nonzero().flatten().tolist() == [start, start + 1]  # as it is, and its logarithm
    # a known link is followed
    one = batch(market, known=("region",))
    region = market_loader(market, encoding, num_neighbors=(3,)).sampler.plan.sets[2]
    assert (region.table, region.kind) == ("regions", "parents")
    assert (one.sets[2].link >= 0).any()
    assert (one.sets[1].link < 0).all()


def test_a_link_of_several_columns_is_known_only_if_all_of_them_are(market, encoding):
    options = {"num_neighbors": [2], "strategy": "last", "windows_days": (), "seed": 0}
    task = {"name": "T", "type": TaskType.BINARY, "entity_table": "sales", "entity_columns": (), "entity_key": ()}
    known = [
        Loader.for_task(
            market,
            EntityTask(**task, label="x", time="t", metric="roc_auc", known=k),
            encoding,
            **options,
        ).sampler.known_edges
        for k in (("brand",), ("brand", "code"), ("code", "brand", "customer_id"))
    ]
    edges = [e.name for e in market.edge_types]
    article, customer = edges.index("f2p_brand+code"), edges.index("f2p_customer_id")
    assert known == [frozenset(), {article}, {article, customer}]


def launch_flags(market, encoding, at, **task):
    """By the missing flag of ``launched``, which articles look launched to sales of a customer at a time."""
    loader = market_loader(market, encoding, num_neighbors=(-1, 1), **task)
    batch = loader.batch(seeds_at(range(24), at), np.arange(24))
    index = set_of(loader, "articles")
    ids = loader.sampler.sample(np.arange(24, dtype=np.int32), np.full(24, at)).sets[index].ids
    flag = batch.sets[index].dense[:, encoding.tables["articles"].dense_size - 1]
    return {int(i): not missing for i, missing in zip(ids, flag.tolist(), strict=True)}


def test_an_instant_of_a_table_without_time_is_unknown_until_the_context_reaches_it(market, encoding):
    launched = market["articles"].columns.instants[:, 0]
    article = int(np.argsort(launched)[-2])  # late, and not missing
    at = int(launched[article])
    assert NOW - 200 * DAY_S < at < END
    assert launch_flags(market, encoding, at)[article]
    assert not launch_flags(market, encoding, at - 1)[article]
    assert not launch_flags(market, encoding, at, inclusive=False)[article]
    assert launch_flags(market, encoding, at + 1, inclusive=False)[article]
    assert launch_flags(market, encoding, END, context_until=at)[article]
    assert not launch_flags(market, encoding, END, context_until=at - 1)[article]
