"""What a seed sees: worked out by hand on the toy shop, and against `reference.py` on small databases of any shape."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chisquare

from foreknow.errors import SamplingError
from foreknow.sample.plan import make_plan
from foreknow.sample.reference import Past, reference_sample
from foreknow.sample.temporal import TemporalSampler, known_until
from foreknow.schema.table import Column, ForeignKey, Schema, Table
from foreknow.testing.stores import bare_store
from foreknow.testing.strategies import TICK_S, TICKS, bare_stores, plans, seed_times
from foreknow.testing.toy import SEED_TIMES
from foreknow.types import DAY_S, NEVER, Stype

pytestmark = pytest.mark.filterwarnings("error")

JANUARY_31, MARCH_1 = SEED_TIMES
MARCH_31 = MARCH_1 + 30 * DAY_S


# --- the toy shop, by hand ---------------------------------------------------------------------------------------

KEYS = {"customers": [1, 2, 3, 4], "articles": [10, 11, 12], "transactions": list(range(1, 12))}
REFERRERS, REFERRED, TRANSACTIONS = 1, 2, 3  # sets of the plan, see test_plan.py; articles are set 9


def rows_of(store, table, *keys):
    """Row ids of primary keys."""
    file_row = store[table].file_row
    order = range(store[table].num_rows) if file_row is None else file_row.tolist()
    keys_in_order = [KEYS[table][i] for i in order]
    return np.array([keys_in_order.index(k) for k in keys], np.int32)


def keys_of(store, table, rows):
    """Primary keys of row ids."""
    return [KEYS[table][int(r)] for r in (rows if store[table].file_row is None else store[table].file_row[rows])]


class Shop:
    """The toy shop, asked in primary keys."""

    def __init__(self, store, fan_outs=(-1, -1), **rule):
        self.store, self.plan = store, make_plan(store.schema, "customers", fan_outs)
        self.sampler = TemporalSampler(store, self.plan, **rule)

    def see(self, *seeds):
        """Sample ``(customer, time)`` pairs."""
        rows = rows_of(self.store, "customers", *(c for c, _ in seeds))
        self.sample = self.sampler.sample(rows, np.array([t for _, t in seeds], np.int64))
        return self

    def children(self, index, source=0):
        drawn = self.sample.sets[index]
        rows = drawn.ids[drawn.offsets[source] : drawn.offsets[source + 1]]
        return keys_of(self.store, self.plan.sets[index].table, rows)

    def parents(self, index):
        drawn = self.sample.sets[index]
        keys = keys_of(self.store, self.plan.sets[index].table, drawn.ids)
        return [None if at < 0 else keys[at] for at in drawn.link.tolist()]


def test_rows_of_the_very_seed_time_are_visible_in_an_inclusive_context(toy_store):
    assert Shop(toy_store).see((1, JANUARY_31)).children(TRANSACTIONS) == [1, 2]
    assert Shop(toy_store).see((1, MARCH_1)).children(TRANSACTIONS) == [1, 2, 3, 4]


def test_rows_of_the_very_seed_time_are_hidden_in_an_exclusive_context(toy_store):
    assert Shop(toy_store, inclusive=False).see((1, JANUARY_31)).children(TRANSACTIONS) == [1]
    assert Shop(toy_store, inclusive=False).see((1, MARCH_1)).children(TRANSACTIONS) == [1, 2, 3]


def test_children_come_in_order_of_time_ties_in_the_order_of_the_source(toy_store):
    assert Shop(toy_store).see((1, MARCH_31)).children(TRANSACTIONS) == [1, 2, 3, 4, 10, 11]


def test_a_self_link_is_followed_both_ways(toy_store):
    shop = Shop(toy_store).see((1, JANUARY_31), (1, MARCH_1), (2, MARCH_1))
    assert [shop.children(REFERRED, i) for i in range(3)] == [[2], [2, 3], []]  # customer 3 is of February
    assert shop.parents(REFERRERS) == [None, None, 1]
    referrer_referred = 5  # from the referrer on: all it referred, the seed included
    assert shop.children(referrer_referred) == [2, 3]


def test_each_distinct_article_is_there_once_per_batch(toy_store):
    shop = Shop(toy_store).see((1, MARCH_1), (2, JANUARY_31))
    bought = 9
    assert shop.children(TRANSACTIONS, 0) == [1, 2, 3, 4]
    assert shop.children(TRANSACTIONS, 1) == [5]
    assert shop.parents(bought) == [10, 11, 10, 12, 11]
    assert keys_of(toy_store, "articles", shop.sample.sets[bought].ids) == [10, 11, 12]


def test_a_timed_parent_is_there_once_per_seed_time(toy_store):
    shop = Shop(toy_store).see((2, MARCH_1), (3, MARCH_1), (2, JANUARY_31))
    referrers = shop.sample.sets[REFERRERS]
    assert shop.parents(REFERRERS) == [1, 1, 1]
    assert referrers.link.tolist() == [0, 0, 1]
    assert shop.sample.seed_time[referrers.slot].tolist() == [MARCH_1, JANUARY_31]


def test_a_seed_that_does_not_exist_yet_is_marked_and_its_links_are_hidden(toy_store):
    """Customer 3 comes in February, customer 4 on the 31st of January."""
    shop = Shop(toy_store).see((3, JANUARY_31), (4, JANUARY_31), (2, JANUARY_31))
    assert shop.sample.unseen.tolist() == [True, False, False]
    assert shop.parents(REFERRERS) == [None, None, 1]
    shop = Shop(toy_store, inclusive=False).see((3, JANUARY_31), (4, JANUARY_31), (2, JANUARY_31))
    assert shop.sample.unseen.tolist() == [True, True, False]


def test_a_link_known_ahead_is_followed_even_then(toy_store):
    shop = Shop(toy_store, known_edges=[0]).see((3, JANUARY_31))
    assert shop.sample.unseen.tolist() == [True]
    assert shop.parents(REFERRERS) == [1]


def test_the_latest_children_are_drawn_by_strategy_last(toy_store):
    shop = Shop(toy_store, (2, 2), strategy="last").see((1, MARCH_1), (2, MARCH_1))
    assert shop.children(TRANSACTIONS, 0) == [3, 4]
    assert shop.children(TRANSACTIONS, 1) == [5]
    assert shop.sample.sets[TRANSACTIONS].degree.tolist() == [4, 1]  # visible, drawn or not


def test_a_frozen_context_ends_at_its_date(toy_store):
    shop = Shop(toy_store, context_until=JANUARY_31).see((1, MARCH_31), (3, MARCH_31), (1, JANUARY_31 - 1))
    assert shop.children(TRANSACTIONS, 0) == [1, 2]
    assert shop.children(TRANSACTIONS, 2) == [1]  # an earlier seed time still counts
    assert shop.sample.unseen.tolist() == [False, True, False]
    shop = Shop(toy_store, context_until=JANUARY_31, inclusive=False).see((1, MARCH_31))
    assert shop.children(TRANSACTIONS, 0) == [1]


def test_windows_count_children_of_seeds(toy_store):
    """On the 31st of January: transactions of the 5th (26 days before) and of the very day."""
    rule = {"windows_days": (0.5, 26, 26 + 1 / DAY_S)}
    shop = Shop(toy_store, **rule).see((1, JANUARY_31), (4, JANUARY_31), (1, MARCH_1 + DAY_S))
    assert shop.sample.sets[TRANSACTIONS].windows.tolist() == [[1, 1, 2, 0], [0, 0, 0, -1], [0, 2, 2, 1]]
    shop = Shop(toy_store, inclusive=False, **rule).see((1, JANUARY_31))  # from 26 days before, itself included
    assert shop.sample.sets[TRANSACTIONS].windows.tolist() == [[0, 1, 1, 26]]
    assert shop.sample.sets[REFERRED].windows.shape == (1, 4)
    assert shop.sample.sets[REFERRERS].windows is None


def test_windows_end_with_the_context_but_are_measured_from_the_seed_time(toy_store):
    shop = Shop(toy_store, windows_days=(30, 60), context_until=JANUARY_31).see((1, MARCH_1))
    assert shop.sample.sets[TRANSACTIONS].windows.tolist() == [[0, 2, 30]]  # (Jan 31, ...] is empty, (Jan 1, Jan 31]


def test_seeds_out_of_range_are_refused(toy_store):
    sampler = Shop(toy_store).sampler
    for rows, bad in (([0, 4, 9], "2 of 3 seeds are"), ([-1], "1 of 1 seeds are")):
        with pytest.raises(SamplingError) as e:
            sampler.sample(np.array(rows, np.int32), np.full(len(rows), MARCH_1))
        first = next(r for r in rows if not 0 <= r < 4)
        assert str(e.value) == (
            f"{bad} no rows of 'customers', which has 4: e.g. {first}\n"
            "Hint: number rows from 0, in the order of the graph store (GraphTable.to_row)"
        )


def test_no_seeds_draw_nothing(toy_store):
    sample = Shop(toy_store, windows_days=(7,)).sampler.sample(np.empty(0, np.int32), np.empty(0, np.int64))
    assert sample.num_rows == 0
    assert [len(s) for s in sample.sets] == [0] * 10
    assert sample.sets[TRANSACTIONS].windows.shape == (0, 2)


# --- small databases of any shape, against the reference ----------------------------------------------------------


@st.composite
def samplings(draw, fan_outs=None, strategies=("uniform", "last")):
    """A sampler, its past, and seeds."""
    store = draw(bare_stores())
    entity = draw(st.sampled_from([t.name for t in store.schema if store[t.name].num_rows]))
    keys = range(len(store.edge_types))
    try:
        plan = make_plan(store.schema, entity, draw(plans() if fan_outs is None else fan_outs))
    except SamplingError:
        assume(False)
    rule = {
        "inclusive": draw(st.booleans()),
        "context_until": draw(st.one_of(st.none(), st.integers(0, TICKS).map(lambda t: t * TICK_S))),
    }
    known = draw(st.sets(st.sampled_from(keys))) if keys else set()
    sampler = TemporalSampler(
        store,
        plan,
        strategy=draw(st.sampled_from(strategies)),
        windows_days=(0.5, 1, 2.5),
        known_edges=sorted(known),
        **rule,
    )
    seed = st.tuples(st.integers(0, store[entity].num_rows - 1), seed_times())
    seeds = draw(st.lists(seed, max_size=4))
    return sampler, Past(store=store, **rule), [r for r, _ in seeds], [t for _, t in seeds]


def sample_of(sampler, rows, times, **options):
    return sampler.sample(np.array(rows, np.int32), np.array(times, np.int64), **options)


@given(samplings(fan_outs=st.lists(st.just(-1), min_size=1, max_size=3)))
def test_unlimited_fan_outs_draw_all_that_is_visible_and_nothing_else(case):
    sampler, past, rows, times = case
    sample = sample_of(sampler, rows, times)
    expected = reference_sample(past, sampler.plan, rows, times, known_edges=sampler.known_edges)
    for drawn, whole in zip(sample.sets, expected, strict=True):
        assert drawn.ids.tolist() == whole.rows
        assert sample.seed_time[drawn.slot].tolist() == whole.times
        for name in ("owner", "degree", "link"):
            found = getattr(drawn, name)
            assert (None if found is None else found.tolist()) == getattr(whole, name)
    assert sample.unseen.tolist() == [
        not past.sees(sampler.plan.entity_table, row, at) for row, at in zip(rows, times, strict=True)
    ]


@given(samplings())
def test_a_draw_is_a_part_of_what_is_visible(case):
    sampler, past, rows, times = case
    sample = sample_of(sampler, rows, times)
    for s, drawn in zip(sampler.plan.sets, sample.sets, strict=True):
        if s.source < 0:
            continue
        source = sample.sets[s.source]
        pairs = list(zip(source.ids.tolist(), sample.seed_time[source.slot].tolist(), strict=True))
        if s.kind == "parents":
            hidden = sample.unseen if s.source == 0 and s.edge not in sampler.known_edges else [False] * len(pairs)
            seen = [-1 if h else past.parent(s.edge, *pair) for pair, h in zip(pairs, hidden, strict=True)]
            assert [int(drawn.ids[at]) if at >= 0 else -1 for at in drawn.link] == seen
            assert set(drawn.link.tolist()) - {-1} == set(range(len(drawn)))  # none in vain
            assert len({*zip(drawn.ids.tolist(), drawn.slot.tolist(), strict=True)}) == len(drawn)
            continue
        assert drawn.offsets[0] == 0
        assert drawn.offsets[-1] == len(drawn)
        assert (drawn.slot == source.slot[drawn.owner]).all()
        for i, (row, at) in enumerate(pairs):
            part = slice(drawn.offsets[i], drawn.offsets[i + 1])
            visible, chosen = past.children(s.edge, row, at), drawn.ids[part].tolist()
            num = len(visible) if s.fan_out < 0 else min(s.fan_out, len(visible))
            assert drawn.degree[i] == len(visible)
            assert (drawn.owner[part] == i).all()
            assert len(chosen) == num
            assert sorted(set(chosen)) == chosen
            assert set(chosen) <= set(visible)
            if sampler.strategy == "last":
                assert chosen == visible[len(visible) - num :]


@given(samplings())
def test_windows_are_counted_as_the_reference_counts(case):
    sampler, past, rows, times = case
    sample = sample_of(sampler, rows, times)
    for s, drawn in zip(sampler.plan.sets, sample.sets, strict=True):
        if s.source != 0 or s.kind == "parents":
            assert drawn.windows is None
            continue
        expected = [
            past.window_counts(s.edge, row, at, sampler.windows_days) for row, at in zip(rows, times, strict=True)
        ]
        assert drawn.windows.shape == (len(rows), 4)
        assert drawn.windows.tolist() == expected


def tree(plan, sample, index, row):
    """What hangs from one drawn row, all the way out: what a seed sees, whoever else is in the batch."""
    hanging = {}
    for s in plan.hanging_from(index):
        drawn = sample.sets[s.index]
        if s.kind == "parents":
            at = int(drawn.link[row])
            hanging[s.index] = None if at < 0 else (int(drawn.ids[at]), tree(plan, sample, s.index, at))
            continue
        span = range(int(drawn.offsets[row]), int(drawn.offsets[row + 1]))
        children = [(int(drawn.ids[i]), tree(plan, sample, s.index, i)) for i in span]
        windows = None if drawn.windows is None else drawn.windows[row].tolist()
        hanging[s.index] = (int(drawn.degree[row]), windows, children)
    return hanging


def trees(sampler, rows, times, **options):
    sample = sample_of(sampler, rows, times, **options)
    return [tree(sampler.plan, sample, 0, i) for i in range(len(rows))]


@given(case=samplings(), epoch=st.integers(0, 3))
def test_a_seed_sees_the_same_whoever_else_is_in_the_batch(case, epoch):
    sampler, _, rows, times = case
    together = trees(sampler, rows, times, epoch=epoch)
    alone = [trees(sampler, [r], [t], epoch=epoch)[0] for r, t in zip(rows, times, strict=True)]
    assert together == alone
    assert trees(sampler, rows[::-1], times[::-1], epoch=epoch) == together[::-1]


@st.composite
def two_futures(draw):
    """Two stores that agree on all rows up to a time (and on tables without time), and that time."""
    store = draw(bare_stores())
    now = draw(seed_times())
    times, parents, past = {}, [], {}
    for name, t in store.tables.items():
        if t.time is None:
            times[name], past[name] = t.num_rows, t.num_rows
            continue
        kept = t.time[t.time <= now]
        later = st.one_of(st.integers(now + 1, now + 9), st.just(NEVER))
        new = draw(st.lists(later, max_size=6).map(sorted))
        times[name], past[name] = np.array([*kept, *new], np.int64), len(kept)
    for e, old in zip(store.edge_types, store.parents, strict=True):
        size = {n: t if isinstance(t, int) else len(t) for n, t in times.items()}
        # a row of the past keeps its link; one that led into the future may lead anywhere there, or nowhere any more
        ahead = st.sampled_from([-1, *range(past[e.target], size[e.target])])
        kept = [int(p) if p < past[e.target] else draw(ahead) for p in old[: past[e.source]]]
        anywhere = st.integers(-1, size[e.target] - 1)
        parents.append(np.array([*kept, *(draw(anywhere) for _ in range(size[e.source] - past[e.source]))], np.int32))
    return store, bare_store(store.schema, times, parents), now


@given(futures=two_futures(), fan_outs=plans(), strategy=st.sampled_from(["uniform", "last"]), data=st.data())
def test_future_rows_after_the_seed_time_change_nothing(futures, fan_outs, strategy, data):
    one, other, now = futures
    visible = one["t0"].num_rows if one["t0"].time is None else int((one["t0"].time <= now).sum())
    assume(visible)
    rows = data.draw(st.lists(st.integers(0, visible - 1), min_size=1, max_size=3))
    times = [now - data.draw(st.sampled_from([0, TICK_S])) for _ in rows]
    try:
        plan = make_plan(one.schema, "t0", fan_outs)
    except SamplingError:
        assume(False)
    seen = []
    for store in (one, other):
        sampler = TemporalSampler(store, plan, strategy=strategy, windows_days=(1, 2))
        seen.append((trees(sampler, rows, times), sample_of(sampler, rows, times).unseen.tolist()))
    assert seen[0] == seen[1]


# --- chance -------------------------------------------------------------------------------------------------------


def star(num_children, *, num_hubs=1, num_links=1):
    """Hubs with `num_children` children each along every link, child ``i`` at time ``i``."""
    links = [f"hub{i}" for i in range(num_links)]
    schema = Schema(
        {
            "hubs": Table(name="hubs", columns=(Column(name="id", stype=Stype.KEY),), primary_key=("id",)),
            "rays": Table(
                name="rays",
                columns=(*(Column(name=c, stype=Stype.KEY) for c in links), Column(name="time", stype=Stype.TIMESTAMP)),
                foreign_keys=tuple(ForeignKey(columns=(c,), table="hubs") for c in links),
                time_column="time",
            ),
        }
    )
    n = num_children * num_hubs
    return bare_store(schema, {"hubs": num_hubs, "rays": np.arange(n)}, [np.arange(n) % num_hubs] * num_links)


def star_sampler(store, fan_out, **options):
    return TemporalSampler(store, make_plan(store.schema, "hubs", [fan_out]), **options)


@pytest.mark.parametrize("degree", [6, 17], ids=["selection", "Floyd"])
def test_over_epochs_every_pair_of_children_is_drawn_equally_often(degree):
    sampler = star_sampler(star(degree + 5), 2)
    pairs = {p: i for i, p in enumerate(itertools.combinations(range(degree), 2))}
    drawn = [tuple(sample_of(sampler, [0], [degree - 1], epoch=e).sets[1].ids.tolist()) for e in range(12 * len(pairs))]
    counts = np.bincount([pairs[d] for d in drawn], minlength=len(pairs))
    assert chisquare(counts).pvalue > 0.01


def test_over_rows_every_child_is_drawn_equally_often():
    sampler = star_sampler(star(10, num_hubs=5000), 1)
    drawn = sample_of(sampler, range(5000), [50_000] * 5000).sets[1].ids // 5000
    assert chisquare(np.bincount(drawn, minlength=10)).pvalue > 0.01


def test_seed_epoch_and_seed_time_each_change_the_draw_and_nothing_else_does():
    store = star(1000)

    def draw(seed=0, epoch=0, time=999):
        return sample_of(star_sampler(store, 20, seed=seed), [0], [time], epoch=epoch).sets[1].ids.tolist()

    assert draw() == draw()
    assert draw() != draw(seed=1)
    assert draw() != draw(epoch=1)
    assert draw(seed=1) != draw(epoch=1)
    assert draw(time=1000) != draw(time=1001)  # the same children are visible


def test_two_rows_and_two_links_draw_independently():
    """Were keys shared, the same positions would be drawn."""
    one, other = np.split(sample_of(star_sampler(star(1000, num_hubs=2), 20), [0, 1], [1999] * 2).sets[1].ids // 2, 2)
    assert one.tolist() != other.tolist()
    one, other = (s.ids for s in sample_of(star_sampler(star(1000, num_links=2), 20), [0], [999]).sets[1:3])
    assert one.tolist() != other.tolist()


# --- the rule about time ------------------------------------------------------------------------------------------


def test_known_until_is_the_last_second_that_is_visible():
    times = np.array([10, 20, 30])
    assert known_until(times, inclusive=True, context_until=None).tolist() == [10, 20, 30]
    assert known_until(times, inclusive=False, context_until=None).tolist() == [9, 19, 29]
    assert known_until(times, inclusive=True, context_until=20).tolist() == [10, 20, 20]
    assert known_until(times, inclusive=False, context_until=20).tolist() == [9, 19, 19]


def test_a_parent_later_than_the_seed_time_is_not_linked():
    schema = Schema(
        {
            "owners": Table(
                name="owners",
                columns=(Column(name="id", stype=Stype.KEY), Column(name="time", stype=Stype.TIMESTAMP)),
                primary_key=("id",),
                time_column="time",
            ),
            "cars": Table(
                name="cars",
                columns=(Column(name="id", stype=Stype.KEY), Column(name="owner", stype=Stype.KEY)),
                primary_key=("id",),
                foreign_keys=(ForeignKey(columns=("owner",), table="owners"),),
            ),
        }
    )
    store = bare_store(schema, {"owners": np.array([5, NEVER]), "cars": 2}, [np.array([0, 1])])
    plan = make_plan(schema, "cars", [1])
    links = {
        (inclusive, at): sample_of(TemporalSampler(store, plan, inclusive=inclusive), [0, 1], [at, at]).sets[1].link
        for inclusive in (True, False)
        for at in (4, 5, 6)
    }
    assert {k: v.tolist() for k, v in links.items()} == {
        (True, 4): [-1, -1],
        (True, 5): [0, -1],
        (True, 6): [0, -1],
        (False, 4): [-1, -1],
        (False, 5): [-1, -1],
        (False, 6): [0, -1],
    }
